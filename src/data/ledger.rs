//! The row ledger: what happened to every row of the file. Nothing is dropped without a line in it.

use serde::{Deserialize, Serialize};

/// What happened to one row that was not simply kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    /// Every cell that matters was empty.
    Empty,
    /// The row could not be read; `reason` in words for people.
    Malformed { reason: String },
    /// The same content (normalised) as the row that began on `of_line`.
    Duplicate { of_line: u64 },
    /// Longer than the limit; its end was cut off. Still trained on.
    Truncated { num_tokens: usize },
    /// Longer than the limit and left out.
    TooLong { num_tokens: usize },
}

impl Fate {
    pub fn is_dropped(&self) -> bool {
        !matches!(self, Self::Truncated { .. })
    }
}

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Line of the file (from 1).
    pub line: u64,
    #[serde(flatten)]
    pub fate: Fate,
}

/// Counts and every entry. `num_read` = `num_kept` + dropped entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    pub num_read: u64,
    pub entries: Vec<Entry>,
}

impl Ledger {
    pub fn add(&mut self, line: u64, fate: Fate) {
        self.entries.push(Entry { line, fate });
    }

    pub fn num_kept(&self) -> u64 {
        self.num_read - self.count(Fate::is_dropped)
    }

    pub fn count(&self, which: impl Fn(&Fate) -> bool) -> u64 {
        self.entries.iter().filter(|e| which(&e.fate)).count() as u64
    }
}

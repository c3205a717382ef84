//! The row ledger: what happened to every row of the file. Nothing is dropped without a line in it.

use crate::base::human::{count, plural};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What happened to one row that was not simply kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    /// Every cell that matters was empty.
    Empty,
    /// The row could not be read; `reason` in words for people.
    Malformed { reason: String },
    /// There is a question, and nothing to learn; `reason` in words for people.
    NoAnswer { reason: String },
    /// The same content (normalised) as the row that began on `of_line`.
    Duplicate { of_line: u64 },
    /// Longer than the limit; its end was cut off. Still trained on.
    Truncated { num_tokens: usize },
    /// Longer than the limit, and what was cut off is all there was to learn.
    AnswerCut { num_tokens: usize },
    /// Longer than the limit and left out.
    TooLong { num_tokens: usize },
}

impl Fate {
    pub fn is_dropped(&self) -> bool {
        !matches!(self, Self::Truncated { .. })
    }
}

impl From<String> for Fate {
    fn from(reason: String) -> Self {
        Self::Malformed { reason }
    }
}

impl From<&str> for Fate {
    fn from(reason: &str) -> Self {
        Self::Malformed { reason: reason.into() }
    }
}

/// In words for people.
impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty"),
            Self::Malformed { reason } => write!(f, "malformed: {reason}"),
            Self::NoAnswer { reason } => write!(f, "unanswered: {reason}"),
            Self::Duplicate { of_line } => write!(f, "duplicate of line {of_line}"),
            Self::Truncated { num_tokens } => write!(f, "cut: {num_tokens} tokens"),
            Self::AnswerCut { num_tokens } => write!(f, "answer cut off: {num_tokens} tokens"),
            Self::TooLong { num_tokens } => write!(f, "too long: {num_tokens} tokens"),
        }
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
    /// What else people should know about how the file was read, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Rows by what happened to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub num_read: u64,
    pub num_kept: u64,
    pub num_empty: u64,
    pub num_malformed: u64,
    pub num_no_answer: u64,
    pub num_duplicate: u64,
    pub num_truncated: u64,
    pub num_answer_cut: u64,
    pub num_too_long: u64,
}

/// A ledger as it is written for people and other programs: the counts before the rows they count.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    #[serde(flatten)]
    counts: Counts,
    notes: &'a [String],
    entries: &'a [Entry],
}

impl Ledger {
    pub fn report(&self) -> Report<'_> {
        Report { counts: self.counts(), notes: &self.notes, entries: &self.entries }
    }

    pub fn add(&mut self, line: u64, fate: Fate) {
        self.entries.push(Entry { line, fate });
    }

    pub fn num_kept(&self) -> u64 {
        self.num_read - self.count(Fate::is_dropped)
    }

    pub fn count(&self, which: impl Fn(&Fate) -> bool) -> u64 {
        self.entries.iter().filter(|e| which(&e.fate)).count() as u64
    }

    pub fn counts(&self) -> Counts {
        let mut counts = Counts { num_read: self.num_read, num_kept: self.num_kept(), ..Counts::default() };
        for entry in &self.entries {
            *match &entry.fate {
                Fate::Empty => &mut counts.num_empty,
                Fate::Malformed { .. } => &mut counts.num_malformed,
                Fate::NoAnswer { .. } => &mut counts.num_no_answer,
                Fate::Duplicate { .. } => &mut counts.num_duplicate,
                Fate::Truncated { .. } => &mut counts.num_truncated,
                Fate::AnswerCut { .. } => &mut counts.num_answer_cut,
                Fate::TooLong { .. } => &mut counts.num_too_long,
            } += 1;
        }
        counts
    }

    /// One line: `12 rows read, 9 kept; left out: 1 empty, 2 duplicate; kept but cut: 1`.
    pub fn summary(&self) -> String {
        let c = self.counts();
        let dropped = [
            (c.num_empty, "empty"),
            (c.num_malformed, "malformed"),
            (c.num_no_answer, "without an answer"),
            (c.num_duplicate, "duplicate"),
            (c.num_answer_cut, "with the answer cut off"),
            (c.num_too_long, "too long"),
        ];
        let dropped = dropped.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", count(*n)));
        let dropped = dropped.collect::<Vec<_>>().join(", ");
        let mut line = format!("{} read, {} kept", plural(c.num_read, "row"), count(c.num_kept));
        if !dropped.is_empty() {
            line.push_str(&format!("; left out: {dropped}"));
        }
        if c.num_truncated > 0 {
            line.push_str(&format!("; kept but cut: {}", count(c.num_truncated)));
        }
        line
    }

    /// The first lines in words, then how many more there are.
    pub fn lines(&self, most: usize) -> Vec<String> {
        let told = |entry: &Entry| format!("line {}: {}", entry.line, entry.fate);
        let mut lines: Vec<String> = self.entries.iter().take(most).map(told).collect();
        if self.entries.len() > most {
            lines.push(format!("and {} more", count((self.entries.len() - most) as u64)));
        }
        lines
    }
}

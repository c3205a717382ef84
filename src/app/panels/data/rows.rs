//! Which rows the table shows: the ledger as filters.

use crate::data::import::Imported;
use crate::data::ledger::Entry;
use crate::data::{Fate, Ledger, Table};
use std::collections::HashMap;

/// A part of the ledger bar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Filter {
    #[default]
    All,
    Kept,
    Duplicate,
    Empty,
    Malformed,
    NoAnswer,
    Truncated,
    AnswerCut,
    TooLong,
}

impl Filter {
    pub const ALL: [Self; 9] = [
        Self::All,
        Self::Kept,
        Self::Duplicate,
        Self::Empty,
        Self::Malformed,
        Self::NoAnswer,
        Self::Truncated,
        Self::AnswerCut,
        Self::TooLong,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::All => "read",
            Self::Kept => "kept",
            Self::Duplicate => "duplicate",
            Self::Empty => "empty",
            Self::Malformed => "malformed",
            Self::NoAnswer => "unanswered",
            Self::Truncated => "cut",
            Self::AnswerCut => "answer cut off",
            Self::TooLong => "too long",
        }
    }

    pub fn help(self) -> &'static str {
        match self {
            Self::All => "All rows of the file",
            Self::Kept => "Rows the model learns from or is checked with",
            Self::Duplicate => "Rows that say the same as an earlier one",
            Self::Empty => "Rows with nothing in the columns that matter",
            Self::Malformed => "Rows that could not be read, each with its reason",
            Self::NoAnswer => "Rows with a question and nothing to learn, left out",
            Self::Truncated => "Rows longer than the limit: their end is cut off, the rest is kept",
            Self::AnswerCut => "Rows whose whole answer lies beyond the limit, left out",
            Self::TooLong => "Rows longer than the limit, left out",
        }
    }

    fn takes(self, fate: &Fate) -> bool {
        match self {
            Self::All => true,
            Self::Kept => !fate.is_dropped(),
            Self::Duplicate => matches!(fate, Fate::Duplicate { .. }),
            Self::Empty => matches!(fate, Fate::Empty),
            Self::Malformed => matches!(fate, Fate::Malformed { .. }),
            Self::NoAnswer => matches!(fate, Fate::NoAnswer { .. }),
            Self::Truncated => matches!(fate, Fate::Truncated { .. }),
            Self::AnswerCut => matches!(fate, Fate::AnswerCut { .. }),
            Self::TooLong => matches!(fate, Fate::TooLong { .. }),
        }
    }
}

/// One line of the shown table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    pub line: u64,
    /// Row of the table; none for a row that could not be read.
    pub row: Option<usize>,
    /// Entry of the ledger, if it has one.
    pub entry: Option<usize>,
}

/// The rows to show, found once when the file, the ledger or the filter changes, never a frame.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    pub counts: [u64; 9],
    fate_of_row: HashMap<usize, usize>,
    /// `None` shows the whole table.
    list: Option<Vec<Shown>>,
    num_table_rows: usize,
}

impl Rows {
    pub fn new(imported: &Imported, ledger: &Ledger, filter: Filter) -> Self {
        let table = &imported.table;
        let mut rows = Self { num_table_rows: table.num_rows(), ..Self::default() };
        for (i, filter) in Filter::ALL.into_iter().enumerate() {
            rows.counts[i] = match filter {
                Filter::All => ledger.num_read,
                Filter::Kept => ledger.num_kept(),
                _ => ledger.count(|fate| filter.takes(fate)),
            };
        }
        for (i, entry) in ledger.entries.iter().enumerate() {
            if let Some(row) = row_of(table, entry) {
                rows.fate_of_row.insert(row, i);
            }
        }
        rows.list = rows.listed(table, ledger, filter);
        rows
    }

    fn listed(&self, table: &Table, ledger: &Ledger, filter: Filter) -> Option<Vec<Shown>> {
        match filter {
            Filter::All => None,
            Filter::Kept => {
                let kept = (0..table.num_rows()).map(|row| self.table_row(table, row));
                let is_kept = |s: &Shown| s.entry.is_none_or(|e| !ledger.entries[e].fate.is_dropped());
                Some(kept.filter(is_kept).collect())
            }
            _ => {
                let entries = ledger.entries.iter().enumerate().filter(|(_, e)| filter.takes(&e.fate));
                let shown =
                    entries.map(|(i, e)| Shown { line: e.line, row: row_of(table, e), entry: Some(i) });
                Some(shown.collect())
            }
        }
    }

    fn table_row(&self, table: &Table, row: usize) -> Shown {
        Shown { line: table.lines[row], row: Some(row), entry: self.fate_of_row.get(&row).copied() }
    }

    pub fn len(&self) -> usize {
        self.list.as_ref().map_or(self.num_table_rows, Vec::len)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn get(&self, table: &Table, index: usize) -> Shown {
        match &self.list {
            Some(list) => list[index],
            None => self.table_row(table, index),
        }
    }

    pub fn count(&self, filter: Filter) -> u64 {
        Filter::ALL.iter().position(|f| *f == filter).map_or(0, |i| self.counts[i])
    }
}

/// The row that began on the entry's line; malformed rows are not in the table.
fn row_of(table: &Table, entry: &Entry) -> Option<usize> {
    if matches!(entry.fate, Fate::Malformed { .. }) {
        return None;
    }
    table.lines.binary_search(&entry.line).ok()
}

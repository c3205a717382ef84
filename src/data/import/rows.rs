//! Where every reader puts its rows: good ones into the table, the others into the ledger.

use super::encoding::Chosen;
use super::job::Job;
use crate::base::human;
use crate::data::{DataError, Fate, Ledger, Table};

/// No row is longer; what comes after is read over, and the row counts as malformed.
pub(super) const MAX_ROW_BYTES: usize = 32 << 20;
pub(super) const MAX_COLUMNS: usize = 1024;
/// So many unreadable rows are listed one by one. After that a file with more bad than good rows is refused.
const MAX_MALFORMED: u64 = 100_000;

#[derive(Default)]
pub(super) struct Rows {
    pub table: Table,
    ledger: Ledger,
    num_malformed: u64,
    first_nul: Option<u64>,
    encoding: Option<String>,
    is_mixed: bool,
}

impl Rows {
    pub fn new(chosen: &Chosen) -> Self {
        Self {
            first_nul: chosen.first_nul,
            encoding: Some(chosen.found.name.clone()),
            is_mixed: chosen.is_mixed,
            ..Self::default()
        }
    }

    /// Something people should know about how the file was read.
    pub fn note(&mut self, note: impl Into<String>) {
        self.ledger.notes.push(note.into());
    }

    /// A row that cannot be used.
    pub fn malformed(&mut self, line: u64, reason: impl Into<String>) {
        self.ledger.num_read += 1;
        self.num_malformed += 1;
        self.ledger.add(line, Fate::Malformed { reason: reason.into() });
    }

    pub fn too_long(&mut self, line: u64) {
        let limit = human::bytes(MAX_ROW_BYTES as u64);
        self.malformed(
            line,
            format!("the row is longer than {limit}; a quotation mark or a line break may be missing"),
        );
    }

    /// A row with one cell a column; fewer cells leave the last columns empty.
    pub fn push<'c>(&mut self, line: u64, cells: impl IntoIterator<Item = &'c str>) {
        self.ledger.num_read += 1;
        self.table.push_row(line, cells);
    }

    /// Row text that was checked, or `None` and a line in the ledger.
    pub fn checked<'t>(&mut self, line: u64, bytes: &'t [u8]) -> Option<&'t str> {
        if let Some(first) = self.first_nul
            && memchr::memchr(0, bytes).is_some()
        {
            let reason = format!(
                "contains a zero byte (the first one of the file is at byte {})",
                human::count(first)
            );
            self.malformed(line, reason);
            return None;
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(e) => {
                let reason = self.undecodable(&bytes[e.valid_up_to()..]);
                self.malformed(line, reason);
                None
            }
        }
    }

    fn undecodable(&self, rest: &[u8]) -> String {
        let name = self.encoding.as_deref().unwrap_or("UTF-8");
        let byte = rest.first().copied().unwrap_or_default();
        if self.is_mixed {
            format!("not {name} like the rest of the file (byte {byte:#04x}): mixed encodings")
        } else {
            format!("contains bytes that are not {name}: choose another encoding")
        }
    }

    /// Ends the import when nearly everything is malformed: the ledger must not outgrow memory.
    pub fn check(&self, job: &Job) -> Result<(), DataError> {
        if self.num_malformed > MAX_MALFORMED && self.num_malformed > self.table.num_rows() as u64 {
            return Err(self.nothing_readable(job));
        }
        Ok(())
    }

    fn nothing_readable(&self, job: &Job) -> DataError {
        let first = self.ledger.entries.iter().find_map(|entry| match &entry.fate {
            Fate::Malformed { reason } => Some(format!("line {}: {reason}", human::count(entry.line))),
            _ => None,
        });
        let num_read = human::plural(self.ledger.num_read, "row");
        let num_bad = human::count(self.num_malformed);
        job.malformed(format!("{num_bad} of {num_read} cannot be read; {}", first.unwrap_or_default()))
    }

    /// The table and the ledger; an error when there is no row.
    pub fn finish(mut self, job: &Job) -> Result<(Table, Ledger), DataError> {
        if self.table.num_rows() == 0 {
            return Err(if self.num_malformed > 0 { self.nothing_readable(job) } else { job.empty() });
        }
        // A separator at every line's end makes a last column without a name and without content.
        let has_content = |column: &crate::data::table::Column| column.iter().any(|cell| !cell.is_empty());
        while self.table.columns.len() > 1
            && self
                .table
                .columns
                .last()
                .is_some_and(|c| super::header::is_made_up(&c.name) && !has_content(c))
        {
            self.table.columns.pop();
        }
        Ok((self.table, self.ledger))
    }
}

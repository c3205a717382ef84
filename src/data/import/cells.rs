//! Rows on their way into the table: cells by column name, unknown names become new columns.

use crate::data::Table;
use std::collections::HashMap;

/// Columns a file may have: more is a sign of something that is no table.
const MAX_COLUMNS: usize = 4096;

/// Collects one row at a time.
pub(super) struct RowWriter {
    pub(super) table: Table,
    index: HashMap<String, usize>,
    cells: Vec<String>,
}

impl RowWriter {
    pub(super) fn new() -> Self {
        Self { table: Table::default(), index: HashMap::new(), cells: Vec::new() }
    }

    /// The column of that name, made when it is new; `None` when there are too many.
    pub(super) fn column(&mut self, name: &str) -> Option<usize> {
        match self.index.get(name) {
            Some(column) => Some(*column),
            None if self.index.len() >= MAX_COLUMNS => None,
            None => {
                let column = self.table.add_column(name);
                self.index.insert(name.to_string(), column);
                self.cells.push(String::new());
                Some(column)
            }
        }
    }

    /// The cell of a column in the row in progress.
    pub(super) fn cell(&mut self, column: usize) -> &mut String {
        &mut self.cells[column]
    }

    /// Ends the row.
    pub(super) fn finish(&mut self, line: u64) {
        self.table.push_row(line, self.cells.iter().map(String::as_str));
        self.discard();
    }

    /// Forgets the row in progress.
    pub(super) fn discard(&mut self) {
        self.cells.iter_mut().for_each(String::clear);
    }
}

//! Imported rows: columns of text in arenas, so a large file is in memory once.

/// Arenas grow up to this size and are never moved afterwards: no moment with two copies of a column.
const MAX_ARENA_BYTES: usize = 4 << 20;
const MIN_ARENA_BYTES: usize = 1 << 10;
/// A cell's end is its arena (upper bits) and its offset in that arena (lower bits).
const OFFSET_BITS: u32 = 40;
const OFFSET_MASK: u64 = (1 << OFFSET_BITS) - 1;

/// A column: all cells end to end, and where each ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    arenas: Vec<String>,
    /// [`OFFSET_BITS`] says how an end is packed. A cell never spans two arenas.
    ends: Vec<u64>,
}

impl Column {
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    pub fn push(&mut self, cell: &str) {
        if !cell.is_empty() {
            let has_room = self.arenas.last().is_some_and(|a| a.len() + cell.len() <= a.capacity());
            if !has_room {
                let grown = self.arenas.last().map_or(MIN_ARENA_BYTES, |a| a.capacity() * 2);
                self.arenas.push(String::with_capacity(grown.min(MAX_ARENA_BYTES).max(cell.len())));
            }
            if let Some(arena) = self.arenas.last_mut() {
                arena.push_str(cell);
            }
        }
        self.ends.push(self.end());
    }

    /// The packed end of what was pushed last.
    fn end(&self) -> u64 {
        let offset = self.arenas.last().map_or(0, String::len) as u64;
        ((self.arenas.len().saturating_sub(1) as u64) << OFFSET_BITS) | offset
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn get(&self, row: usize) -> &str {
        let end = self.ends[row];
        let before = if row == 0 { 0 } else { self.ends[row - 1] };
        let start = if before >> OFFSET_BITS == end >> OFFSET_BITS { before & OFFSET_MASK } else { 0 };
        match self.arenas.get((end >> OFFSET_BITS) as usize) {
            Some(arena) => &arena[start as usize..(end & OFFSET_MASK) as usize],
            None => "",
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|row| self.get(row))
    }

    /// Memory that the column holds.
    pub fn num_bytes(&self) -> usize {
        self.arenas.iter().map(String::capacity).sum::<usize>() + self.ends.capacity() * size_of::<u64>()
    }
}

/// The number that a cell says, with a comma or a full stop; `None` where it says none, or none that is finite.
pub fn number(cell: &str) -> Option<f64> {
    cell.trim().replace(',', ".").parse::<f64>().ok().filter(|n| n.is_finite())
}

/// Rows and named columns; every cell is text (nested JSON stays JSON text).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    pub columns: Vec<Column>,
    /// For each row, the line (text formats, from 1) or record number it began on in the file.
    pub lines: Vec<u64>,
}

impl Table {
    pub fn with_columns<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self { columns: names.into_iter().map(|n| Column::new(n)).collect(), lines: Vec::new() }
    }

    pub fn num_rows(&self) -> usize {
        self.lines.len()
    }

    pub fn cell(&self, row: usize, column: usize) -> &str {
        self.columns[column].get(row)
    }

    /// Appends a row; missing cells are empty. `cells` must not be longer than the columns.
    pub fn push_row<'a>(&mut self, line: u64, cells: impl IntoIterator<Item = &'a str>) {
        let mut cells = cells.into_iter();
        for column in &mut self.columns {
            column.push(cells.next().unwrap_or(""));
        }
        self.lines.push(line);
    }

    /// Adds a column whose cells so far are empty and returns its index.
    pub fn add_column(&mut self, name: &str) -> usize {
        let mut column = Column::new(name);
        column.ends.resize(self.num_rows(), 0);
        self.columns.push(column);
        self.columns.len() - 1
    }

    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// Memory that the table holds.
    pub fn num_bytes(&self) -> usize {
        self.columns.iter().map(Column::num_bytes).sum::<usize>() + self.lines.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_survive_the_change_of_arena() {
        let mut column = Column::new("text");
        let cells: Vec<String> = (0..3000).map(|i| "é".repeat(i % 700)).collect();
        for cell in &cells {
            column.push(cell);
        }
        assert!(column.arenas.len() > 3);
        assert!(column.iter().eq(cells.iter().map(String::as_str)));
    }

    #[test]
    fn a_late_column_is_empty_before_it_came() {
        let mut table = Table::with_columns(["a"]);
        table.push_row(1, ["x"]);
        let late = table.add_column("b");
        table.push_row(2, ["y", "z"]);
        assert_eq!((table.cell(0, late), table.cell(1, late)), ("", "z"));
    }
}

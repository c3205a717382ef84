//! Records of a CSV file by csv-core's state machine, with bounded buffers and right line numbers.

use super::rows::{MAX_COLUMNS, MAX_ROW_BYTES};
use super::source::Feed;
use crate::data::DataError;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

/// A byte that no text has: for files with one column, whose commas are commas.
pub(super) const NO_SEPARATOR: u8 = 0x1F;

/// Cells by which a record with too many is told.
const NUM_FIRST_CELLS: usize = 8;

/// How a record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    TooLong,
    /// The file ended inside quotes.
    OpenQuote,
}

pub(super) struct Records {
    core: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    text_len: usize,
    num_cells: usize,
    /// Cells of the record, also where it is too long.
    num_all_cells: usize,
    /// The first cells of a record with too many.
    first_cells: Vec<String>,
    /// Line on which the record begins, from 1.
    pub line: u64,
}

impl Records {
    pub fn new(separator: u8) -> Self {
        Self {
            core: ReaderBuilder::new().delimiter(separator).build(),
            text: vec![0; 64 << 10],
            ends: vec![0; 64],
            text_len: 0,
            num_cells: 0,
            num_all_cells: 0,
            first_cells: Vec::new(),
            line: 1,
        }
    }

    /// Reads the next record; `None` at the end. Blank lines are not records.
    pub fn next(&mut self, feed: &mut impl Feed) -> Result<Option<Ending>, DataError> {
        self.skip_blank_lines(feed)?;
        self.line = self.core.line();
        (self.text_len, self.num_cells, self.num_all_cells) = (0, 0, 0);
        let (mut is_too_long, mut has_read) = (false, false);
        loop {
            let block = feed.fill()?;
            if block.is_empty() && !has_read {
                return Ok(None);
            }
            let is_end = block.is_empty();
            // At the end a line break closes the record, unless it is still inside quotes.
            let input = if is_end { b"\n".as_slice() } else { block };
            let (result, num_in, num_out, num_ends) = self.core.read_record(
                input,
                &mut self.text[self.text_len..],
                &mut self.ends[self.num_cells..],
            );
            if !is_end {
                feed.consume(num_in);
                has_read |= num_in > 0;
            }
            self.text_len += num_out;
            self.num_cells += num_ends;
            self.num_all_cells += num_ends;
            match result {
                ReadRecordResult::Record => {
                    return Ok(Some(if is_too_long { Ending::TooLong } else { Ending::Whole }));
                }
                ReadRecordResult::InputEmpty if is_end => return Ok(Some(Ending::OpenQuote)),
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => is_too_long |= !self.grow_text(),
                ReadRecordResult::OutputEndsFull => is_too_long |= !self.grow_ends(),
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    /// For a reader that begins in the middle of a file.
    pub fn begin_at_line(&mut self, line: u64) {
        self.core.set_line(line);
    }

    /// Blank lines are skipped here so that a record's line is where it begins.
    fn skip_blank_lines(&mut self, feed: &mut impl Feed) -> Result<(), DataError> {
        loop {
            let block = feed.fill()?;
            let num_blank = block.iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
            if num_blank == 0 {
                return Ok(());
            }
            let num_lines = block[..num_blank].iter().filter(|b| **b == b'\n').count() as u64;
            self.core.set_line(self.core.line() + num_lines);
            feed.consume(num_blank);
        }
    }

    /// `false` when the row is too long: what it had is given up, the rest is read over.
    fn grow_text(&mut self) -> bool {
        if self.text.len() < MAX_ROW_BYTES {
            self.text.resize((self.text.len() * 2).min(MAX_ROW_BYTES), 0);
            return true;
        }
        self.text_len = 0;
        false
    }

    fn grow_ends(&mut self) -> bool {
        if self.ends.len() <= MAX_COLUMNS {
            self.ends.resize(self.ends.len() * 2, 0);
            return true;
        }
        if self.num_all_cells == self.num_cells {
            self.first_cells = self.first(NUM_FIRST_CELLS);
        }
        self.num_cells = 0;
        false
    }

    pub fn num_all_cells(&self) -> usize {
        self.num_all_cells
    }

    /// Of a record with too many cells: how many, and the first of them.
    pub fn surplus(&self) -> Option<(usize, &[String])> {
        (self.num_all_cells > self.num_cells).then_some((self.num_all_cells, self.first_cells.as_slice()))
    }

    /// The last line that the record reaches.
    pub fn last_line(&self) -> u64 {
        (self.core.line() - 1).max(self.line)
    }

    /// All cells end to end.
    pub fn bytes(&self) -> &[u8] {
        &self.text[..self.text_len]
    }

    /// Where each cell ends in [`Self::bytes`].
    pub fn ends(&self) -> &[usize] {
        &self.ends[..self.num_cells]
    }

    /// Cells as text, wrong bytes replaced: for looking, not for keeping.
    pub fn lossy(&self) -> Vec<String> {
        self.first(usize::MAX)
    }

    fn first(&self, most: usize) -> Vec<String> {
        let mut start = 0;
        let cells = self.ends().iter().take(most).map(|end| {
            let cell = self.bytes().get(start..*end).unwrap_or_default();
            start = *end;
            String::from_utf8_lossy(cell).into_owned()
        });
        cells.collect()
    }
}

//! Lines of a text, each with its number, none longer than a row may be.

use super::rows::MAX_ROW_BYTES;
use super::source::Feed;
use crate::data::DataError;

/// Reads line after line into one buffer.
pub(super) struct Lines {
    buffer: Vec<u8>,
    number: u64,
}

pub(super) struct Line<'b> {
    /// From 1.
    pub number: u64,
    /// Without its line break.
    pub bytes: &'b [u8],
    /// The line was longer than a row may be; `bytes` is its beginning.
    pub is_too_long: bool,
}

impl Lines {
    pub fn new() -> Self {
        Self { buffer: Vec::new(), number: 0 }
    }

    /// `None` at the end.
    pub fn next(&mut self, feed: &mut impl Feed) -> Result<Option<Line<'_>>, DataError> {
        self.buffer.clear();
        let (mut is_too_long, mut has_read) = (false, false);
        loop {
            let block = feed.fill()?;
            if block.is_empty() {
                if !has_read {
                    return Ok(None);
                }
                break;
            }
            has_read = true;
            let end = memchr::memchr(b'\n', block);
            let part = &block[..end.unwrap_or(block.len())];
            if self.buffer.len() + part.len() <= MAX_ROW_BYTES {
                self.buffer.extend_from_slice(part);
            } else {
                is_too_long = true;
            }
            let used = end.map_or(block.len(), |end| end + 1);
            feed.consume(used);
            if end.is_some() {
                break;
            }
        }
        self.number += 1;
        let bytes = self.buffer.strip_suffix(b"\r").unwrap_or(&self.buffer);
        Ok(Some(Line { number: self.number, bytes, is_too_long }))
    }
}

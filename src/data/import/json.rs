//! A JSON file: an array of rows, an object that wraps one, or values one after the other.
//!
//! The file is cut into rows here, by brackets and quotes only, so that one broken row does not end
//! the import and no more than a row is in memory; each row is then parsed on its own.

use super::json_row::RowParser;
use super::rows::{MAX_ROW_BYTES, Rows};
use super::source::{Feed, Source};
use crate::data::DataError;

/// How deep a wrapped array may lie: `{"data": {"rows": [...]}}`.
const MAX_WRAPPING: usize = 4;

pub(super) fn read(source: &mut Source, mut rows: Rows) -> Result<Rows, DataError> {
    let mut cutter = Cutter { source, line: 1 };
    let mut parser = RowParser::default();
    match cutter.peek()? {
        Some(b'[') => {
            cutter.take()?;
            read_array(&mut cutter, &mut rows, &mut parser)?;
        }
        Some(b'{') => read_object(&mut cutter, &mut rows, &mut parser)?,
        Some(_) => {
            return Err(cutter.source.job().malformed("this is not JSON: it begins with neither { nor ["));
        }
        None => return Err(cutter.source.job().empty()),
    }
    Ok(rows)
}

/// The rows of an array whose `[` was taken, up to its `]`.
fn read_array(cutter: &mut Cutter, rows: &mut Rows, parser: &mut RowParser) -> Result<(), DataError> {
    let mut value = Vec::new();
    loop {
        match cutter.peek()? {
            None => {
                let line = cutter.line;
                rows.malformed(line, "the file ends inside its list of rows: the rest is missing");
                return Ok(());
            }
            Some(b']') => return cutter.take().map(|_| ()),
            Some(b',') => {
                cutter.take()?;
            }
            Some(_) => {
                let line = cutter.line;
                let cut = cutter.value(&mut value)?;
                push(rows, parser, line, &value, cut);
                rows.check(cutter.source.job())?;
            }
        }
    }
}

/// An object that wraps rows, or rows as objects one after the other.
fn read_object(cutter: &mut Cutter, rows: &mut Rows, parser: &mut RowParser) -> Result<(), DataError> {
    let line = cutter.line;
    // Small values before the array are kept: without any array, the object itself is a row.
    let mut seen = Vec::new();
    if find_array(cutter, &mut seen)? {
        read_array(cutter, rows, parser)?;
        // What follows the array (counts, licences) is not data.
        return Ok(());
    }
    push(rows, parser, line, &seen, Cut::Whole);
    let mut value = Vec::new();
    while let Some(byte) = cutter.peek()? {
        if byte == b',' {
            cutter.take()?;
            continue;
        }
        let line = cutter.line;
        let cut = cutter.value(&mut value)?;
        push(rows, parser, line, &value, cut);
        rows.check(cutter.source.job())?;
    }
    Ok(())
}

/// Reads into an object until an array of objects was entered. All that was read is in `seen`; when there
/// is no such array, that is the whole object.
fn find_array(cutter: &mut Cutter, seen: &mut Vec<u8>) -> Result<bool, DataError> {
    let mut value = Vec::new();
    let mut depth = 0;
    loop {
        let Some(byte) = cutter.peek()? else { return Ok(false) };
        if seen.len() > MAX_ROW_BYTES {
            return Err(cutter.source.job().malformed("no list of rows was found in the JSON"));
        }
        match byte {
            b'{' if depth < MAX_WRAPPING => {
                depth += 1;
                seen.push(cutter.take()?);
            }
            b'}' => {
                depth = depth.saturating_sub(1);
                seen.push(cutter.take()?);
                if depth == 0 {
                    return Ok(false);
                }
            }
            b',' | b':' => seen.push(cutter.take()?),
            b'[' => {
                seen.push(cutter.take()?);
                let first = cutter.peek()?;
                if first == Some(b'{') && !is_conversation(seen) {
                    return Ok(true);
                }
                cutter.rest_of_array(seen)?;
            }
            _ => {
                cutter.value(&mut value)?;
                seen.extend_from_slice(&value);
            }
        }
    }
}

/// Whether the array that was just entered is a row's own conversation, not the list of rows.
fn is_conversation(seen: &[u8]) -> bool {
    let before = seen.strip_suffix(b"[").unwrap_or(seen).trim_ascii_end();
    let before = before.strip_suffix(b":").unwrap_or(before).trim_ascii_end();
    [&b"\"messages\""[..], b"\"conversations\"", b"\"conversation\""].iter().any(|key| before.ends_with(key))
}

fn push(rows: &mut Rows, parser: &mut RowParser, line: u64, value: &[u8], cut: Cut) {
    match cut {
        Cut::TooLong => rows.too_long(line),
        Cut::Unfinished => {
            rows.malformed(line, "the file ends in the middle of this row: the rest is missing")
        }
        Cut::Whole => {
            if let Some(text) = rows.checked(line, value) {
                parser.push(rows, line, text);
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Whole,
    TooLong,
    Unfinished,
}

/// Cuts values out of a stream of JSON.
struct Cutter<'s, 'j, 'a> {
    source: &'s mut Source<'j, 'a>,
    line: u64,
}

impl Cutter<'_, '_, '_> {
    /// The next byte that is not blank.
    fn peek(&mut self) -> Result<Option<u8>, DataError> {
        loop {
            let block = self.source.fill()?;
            let Some(num_blank) = block.iter().position(|b| !b.is_ascii_whitespace()) else {
                if block.is_empty() {
                    return Ok(None);
                }
                self.line += count_lines(block);
                let n = block.len();
                self.source.consume(n);
                continue;
            };
            let found = block[num_blank];
            self.line += count_lines(&block[..num_blank]);
            self.source.consume(num_blank);
            return Ok(Some(found));
        }
    }

    /// Takes the byte that [`Self::peek`] showed.
    fn take(&mut self) -> Result<u8, DataError> {
        let byte = self.source.fill()?.first().copied().unwrap_or_default();
        self.source.consume(1);
        Ok(byte)
    }

    /// The rest of an array whose `[` was taken, with its `]`.
    fn rest_of_array(&mut self, into: &mut Vec<u8>) -> Result<(), DataError> {
        let mut value = Vec::new();
        while let Some(byte) = self.peek()? {
            if byte == b']' || byte == b',' {
                into.push(self.take()?);
                if byte == b']' {
                    return Ok(());
                }
                continue;
            }
            self.value(&mut value)?;
            if into.len() + value.len() <= MAX_ROW_BYTES {
                into.extend_from_slice(&value);
            }
        }
        Ok(())
    }

    /// Reads one value, from its first byte to the byte after it.
    fn value(&mut self, into: &mut Vec<u8>) -> Result<Cut, DataError> {
        into.clear();
        let mut scan = Scan::default();
        let mut cut = Cut::Whole;
        loop {
            let block = self.source.fill()?;
            if block.is_empty() {
                return Ok(if scan.is_open() { Cut::Unfinished } else { cut });
            }
            let used = scan.run(block);
            self.line += count_lines(&block[..used]);
            if into.len() + used <= MAX_ROW_BYTES {
                into.extend_from_slice(&block[..used]);
            } else {
                cut = Cut::TooLong;
            }
            self.source.consume(used);
            if scan.is_done {
                return Ok(cut);
            }
        }
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// Where a value ends, by its brackets and quotes.
#[derive(Default)]
struct Scan {
    depth: u64,
    in_string: bool,
    is_escaped: bool,
    is_done: bool,
}

impl Scan {
    fn is_open(&self) -> bool {
        self.depth > 0 || self.in_string
    }

    /// Returns how many bytes of `block` belong to the value.
    fn run(&mut self, block: &[u8]) -> usize {
        let mut at = 0;
        while at < block.len() {
            if self.is_escaped {
                self.is_escaped = false;
                at += 1;
                continue;
            }
            if self.in_string {
                let Some(found) = memchr::memchr2(b'"', b'\\', &block[at..]) else { return block.len() };
                at += found + 1;
                self.is_escaped = block[at - 1] == b'\\';
                self.in_string = self.is_escaped;
                self.is_done = !self.in_string && self.depth == 0;
            } else {
                match block[at] {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' if self.depth == 0 => {
                        self.is_done = true;
                        return at;
                    }
                    b'}' | b']' => {
                        self.depth -= 1;
                        self.is_done = self.depth == 0;
                    }
                    b',' | b':' | b'\n' if self.depth == 0 => {
                        self.is_done = true;
                        return at;
                    }
                    _ => {}
                }
                at += 1;
            }
            if self.is_done {
                return at;
            }
        }
        at
    }
}

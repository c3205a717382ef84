//! Plain text: one example a paragraph, or a line in a file without blank lines.

use super::lines::Lines;
use super::rows::{MAX_ROW_BYTES, Rows};
use super::source::{Head, Source};
use crate::data::{DataError, Table};

pub(super) fn read(source: &mut Source, mut rows: Rows, head: &Head) -> Result<Rows, DataError> {
    rows.table = Table::with_columns(["text"]);
    let has_paragraphs = has_blank_line(&head.bytes);
    let mut lines = Lines::new();
    let mut paragraph = Vec::new();
    let (mut begins_at, mut is_too_long) = (0, false);
    while let Some(line) = lines.next(source)? {
        let is_blank = line.bytes.trim_ascii().is_empty();
        if !is_blank {
            if paragraph.is_empty() {
                begins_at = line.number;
            } else {
                paragraph.push(b'\n');
            }
            is_too_long |= line.is_too_long || paragraph.len() + line.bytes.len() > MAX_ROW_BYTES;
            if !is_too_long {
                paragraph.extend_from_slice(line.bytes);
            }
        }
        if is_blank || !has_paragraphs {
            push(&mut rows, begins_at, &mut paragraph, &mut is_too_long);
            rows.check(source.job())?;
        }
    }
    push(&mut rows, begins_at, &mut paragraph, &mut is_too_long);
    Ok(rows)
}

fn push(rows: &mut Rows, line: u64, paragraph: &mut Vec<u8>, is_too_long: &mut bool) {
    if *is_too_long {
        rows.too_long(line);
    } else if !paragraph.is_empty()
        && let Some(text) = rows.checked(line, paragraph)
    {
        rows.push(line, [text]);
    }
    paragraph.clear();
    *is_too_long = false;
}

/// A blank line between two that are not.
fn has_blank_line(bytes: &[u8]) -> bool {
    let mut lines = bytes.trim_ascii().split(|b| *b == b'\n');
    lines.any(|line| line.trim_ascii().is_empty())
}

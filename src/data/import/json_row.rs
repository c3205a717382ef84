//! One JSON value -> cells. Strings are unescaped, numbers and nested values stay as they are written.

use super::rows::{MAX_COLUMNS, Rows};
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::collections::HashMap;

/// The cells of one row, kept until the row proves to be whole.
#[derive(Default)]
pub(super) struct RowParser {
    /// Column by key. Keys of a row that failed stay, without a column, until a good row has them.
    indices: HashMap<String, usize>,
    names: Vec<String>,
    cells: Vec<String>,
}

/// Why a value is not a row.
enum Fault {
    /// serde_json says it better.
    Syntax,
    TooManyKeys,
    NotARow(&'static str),
}

impl RowParser {
    /// Parses `text`, which must be one JSON value, and puts it into `rows`.
    pub fn push(&mut self, rows: &mut Rows, line: u64, text: &str) {
        for cell in &mut self.cells {
            cell.clear();
        }
        match self.value(text.trim()) {
            Ok(()) => {
                for name in &self.names[rows.table.columns.len()..] {
                    rows.table.add_column(name);
                }
                rows.push(line, self.cells.iter().map(String::as_str));
            }
            Err(fault) => {
                let num_columns = rows.table.columns.len();
                self.forget_names_from(num_columns);
                rows.malformed(line, reason(&fault, text));
            }
        }
    }

    fn forget_names_from(&mut self, num_columns: usize) {
        self.names.truncate(num_columns);
        self.cells.truncate(num_columns);
        self.indices.retain(|_, index| *index < num_columns);
    }

    fn value(&mut self, text: &str) -> Result<(), Fault> {
        match text.as_bytes().first() {
            Some(b'{') => self.object(text),
            // A bare string is a text, a bare array a conversation.
            Some(b'"') => {
                let (string, end) = string(text, 0)?;
                if end != text.len() {
                    return Err(Fault::Syntax);
                }
                self.set(0, "text", &string)
            }
            Some(b'[') => {
                let end = skip_value(text, 0)?;
                if end != text.len() {
                    return Err(Fault::Syntax);
                }
                self.set(0, "messages", text)
            }
            _ if skip_value(text, 0).is_ok_and(|end| end == text.len()) => {
                Err(Fault::NotARow("expected an object in braces, found a number or a word"))
            }
            _ => Err(Fault::Syntax),
        }
    }

    /// `{"key": value, …}`. Only the outer level is taken apart here; values are checked by serde_json.
    fn object(&mut self, text: &str) -> Result<(), Fault> {
        let bytes = text.as_bytes();
        let mut at = blanks(bytes, 1);
        if bytes.get(at) == Some(&b'}') {
            return if at + 1 == bytes.len() { Ok(()) } else { Err(Fault::Syntax) };
        }
        for position in 0.. {
            let (key, end) = string(text, at)?;
            at = blanks(bytes, end);
            if bytes.get(at) != Some(&b':') {
                return Err(Fault::Syntax);
            }
            at = blanks(bytes, at + 1);
            if bytes.get(at) == Some(&b'"') {
                let (value, end) = string(text, at)?;
                self.set(position, &key, &value)?;
                at = end;
            } else {
                let end = skip_value(text, at)?;
                let value = &text[at..end];
                self.set(position, &key, if value == "null" { "" } else { value })?;
                at = end;
            }
            at = blanks(bytes, at);
            match bytes.get(at) {
                Some(b',') => at = blanks(bytes, at + 1),
                Some(b'}') if at + 1 == bytes.len() => return Ok(()),
                _ => return Err(Fault::Syntax),
            }
        }
        Err(Fault::Syntax)
    }

    /// `position` is a guess of the column: rows mostly have the same keys in the same order.
    fn set(&mut self, position: usize, key: &str, value: &str) -> Result<(), Fault> {
        let index = match self.names.get(position) {
            Some(name) if name == key => position,
            _ => self.index_of(key)?,
        };
        if let Some(cell) = self.cells.get_mut(index) {
            cell.clear();
            cell.push_str(value);
        }
        Ok(())
    }

    fn index_of(&mut self, key: &str) -> Result<usize, Fault> {
        if let Some(index) = self.indices.get(key) {
            return Ok(*index);
        }
        if self.names.len() >= MAX_COLUMNS {
            return Err(Fault::TooManyKeys);
        }
        let index = self.names.len();
        self.indices.insert(key.to_string(), index);
        self.names.push(key.to_string());
        self.cells.push(String::new());
        Ok(index)
    }
}

fn reason(fault: &Fault, text: &str) -> String {
    match fault {
        Fault::TooManyKeys => format!("brings the file over {MAX_COLUMNS} different keys"),
        Fault::NotARow(why) => (*why).to_string(),
        Fault::Syntax => match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => "not valid JSON: something follows the value".to_string(),
            Err(e) => syntax_words(&e),
        },
    }
}

/// serde_json's reason with the place inside the row; the line is said by the ledger.
pub(super) fn syntax_words(error: &serde_json::Error) -> String {
    let words = error.to_string();
    let what = words.rfind(" at line ").map_or(words.as_str(), |at| &words[..at]);
    format!("not valid JSON: {what} (at character {})", error.column())
}

fn blanks(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The string that begins at `at`, unescaped, and where it ends.
fn string(text: &str, at: usize) -> Result<(Cow<'_, str>, usize), Fault> {
    let bytes = text.as_bytes();
    if bytes.get(at) != Some(&b'"') {
        return Err(Fault::Syntax);
    }
    let mut end = at + 1;
    let mut has_escapes = false;
    loop {
        let found =
            bytes.get(end..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)).ok_or(Fault::Syntax)?;
        end += found;
        if bytes[end] == b'"' {
            break;
        }
        has_escapes = true;
        end += 2;
    }
    let string = if has_escapes {
        let unescaped = serde_json::from_str::<String>(&text[at..=end]);
        Cow::Owned(unescaped.map_err(|_| Fault::Syntax)?)
    } else {
        Cow::Borrowed(&text[at + 1..end])
    };
    Ok((string, end + 1))
}

/// Where the value that begins at `at` ends.
fn skip_value(text: &str, at: usize) -> Result<usize, Fault> {
    let rest = text.get(at..).ok_or(Fault::Syntax)?;
    let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
    match stream.next() {
        Some(Ok(_)) => Ok(at + stream.byte_offset()),
        _ => Err(Fault::Syntax),
    }
}

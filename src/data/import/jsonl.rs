//! JSON Lines: one value a line.

use super::json_row::RowParser;
use super::lines::Lines;
use super::rows::Rows;
use super::source::Source;
use crate::data::DataError;

pub(super) fn read(source: &mut Source, mut rows: Rows) -> Result<Rows, DataError> {
    let mut lines = Lines::new();
    let mut parser = RowParser::default();
    while let Some(line) = lines.next(source)? {
        if line.is_too_long {
            rows.too_long(line.number);
        } else if !line.bytes.trim_ascii().is_empty()
            && let Some(text) = rows.checked(line.number, line.bytes)
        {
            parser.push(&mut rows, line.number, text);
        }
        rows.check(source.job())?;
    }
    Ok(rows)
}

//! CSV and TSV.

use super::csv_records::{Ending, NO_SEPARATOR, Records};
use super::header;
use super::rows::{MAX_COLUMNS, Rows};
use super::source::{Feed, Head, Source};
use super::{Format, ImportOptions, csv_sniff, is_separator};
use crate::base::human;
use crate::data::{DataError, Table};

/// Cells by which a row with too many is told.
const MOST_NAMES: usize = 8;

/// Returns the rows and the separator, which is `None` for a file with one column.
pub(super) fn read(
    source: &mut Source,
    mut rows: Rows,
    format: Format,
    options: &ImportOptions,
    head: &Head,
) -> Result<(Rows, Option<char>), DataError> {
    let sniffed = match options.separator {
        Some(said) => {
            let byte = u8::try_from(said).ok().filter(|_| is_separator(said));
            let byte = byte.ok_or_else(|| {
                let why = format!("`{said}` cannot be a separator; use a comma, `;`, tab or `|`");
                DataError::Option { why }
            })?;
            csv_sniff::with_separator(head, byte)
        }
        None => csv_sniff::sniff(head, format),
    };
    let Some(sniffed) = sniffed else { return Err(source.job().empty()) };
    let mut records = Records::new(sniffed.separator);
    if sniffed.has_separator_line {
        skip_separator_line(source, &mut records)?;
    }
    if options.has_header.unwrap_or_else(|| sniffed.has_header()) {
        match records.next(source)? {
            Some(Ending::OpenQuote) => {
                let why = "the first row does not end: a quotation mark is missing in it";
                return Err(source.job().malformed(why));
            }
            Some(Ending::TooLong) => return Err(source.job().malformed(too_wide(&records))),
            _ => {}
        }
        rows.table = Table::with_columns(header::unique_names(records.lossy()));
    } else {
        rows.table = Table::with_columns(header::numbered(sniffed.num_columns));
    }
    if rows.table.columns.len() > MAX_COLUMNS {
        let cells = records.lossy();
        return Err(source.job().malformed(too_many(rows.table.columns.len(), &cells)));
    }
    let mut is_first = true;
    while let Some(ending) = records.next(source)? {
        if std::mem::take(&mut is_first) && records.surplus().is_some() && rows.table.num_rows() == 0 {
            return Err(source.job().malformed(too_wide(&records)));
        }
        push(&mut rows, &records, ending);
        rows.check(source.job())?;
    }
    let note = options.separator.and_then(|said| is_one_column(&rows, said, head));
    note.into_iter().for_each(|note| rows.note(note));
    let separator = (sniffed.separator != NO_SEPARATOR).then(|| char::from(sniffed.separator));
    Ok((rows, separator))
}

fn too_wide(records: &Records) -> String {
    match records.surplus() {
        Some((num_cells, first)) => too_many(num_cells, first),
        None => "the first row does not end: a line break may be missing".into(),
    }
}

fn too_many(num_cells: usize, first: &[String]) -> String {
    let names = first.iter().take(MOST_NAMES).map(String::as_str);
    let mut names: Vec<String> = names.map(|name| human::elide(name, 40)).collect();
    let num_more = human::count((num_cells - names.len()) as u64);
    names.push(format!("… and {num_more} more"));
    format!(
        "the first row has {} cells, and more than {} cells cannot be read: {}. Save the columns you need as a file of their own",
        human::count(num_cells as u64),
        human::count(MAX_COLUMNS as u64),
        names.join(", ")
    )
}

/// A separator that was said and does not occur where another one does.
fn is_one_column(rows: &Rows, said: char, head: &Head) -> Option<String> {
    let other = csv_sniff::sniff(head, Format::Csv).filter(csv_sniff::Sniffed::is_table)?;
    (rows.table.columns.len() == 1).then(|| {
        format!(
            "The separator `{said}` does not occur, so the file was read as one column; `{}` looks like the right one.",
            char::from(other.separator).escape_default()
        )
    })
}

fn skip_separator_line(source: &mut Source, records: &mut Records) -> Result<(), DataError> {
    let line_end = memchr::memchr(b'\n', source.fill()?);
    source.consume(line_end.map_or(0, |n| n + 1));
    records.begin_at_line(2);
    Ok(())
}

fn push(rows: &mut Rows, records: &Records, ending: Ending) {
    let line = records.line;
    match ending {
        Ending::TooLong if records.surplus().is_some() => {
            return rows.malformed(line, wrong_number(records, rows.table.columns.len()));
        }
        Ending::TooLong => return rows.too_long(line),
        Ending::OpenQuote => {
            let last = human::count(records.last_line());
            let reason =
                format!("a quotation mark is never closed: everything up to line {last} went into this row");
            return rows.malformed(line, reason);
        }
        Ending::Whole => {}
    }
    let num_columns = rows.table.columns.len();
    let ends = records.ends();
    // Spreadsheets leave separators at the end of a line.
    let last_full = ends.get(num_columns.saturating_sub(1)).copied().unwrap_or_default();
    let has_surplus = ends.len() > num_columns && records.bytes().len() > last_full;
    if ends.len() < num_columns || has_surplus {
        return rows.malformed(line, wrong_number(records, num_columns));
    }
    let Some(text) = rows.checked(line, records.bytes()) else { return };
    if !ends.iter().all(|end| text.is_char_boundary(*end)) {
        return rows.malformed(line, "a separator stands inside a character: choose another encoding");
    }
    let mut start = 0;
    let cells = ends.iter().take(num_columns).map(|end| {
        let cell = &text[start..*end];
        start = *end;
        cell
    });
    rows.push(line, cells);
}

fn wrong_number(records: &Records, num_columns: usize) -> String {
    let expected = human::plural(num_columns as u64, "cell");
    let mut reason = format!("expected {expected}, found {}", human::count(records.num_all_cells() as u64));
    if records.last_line() > records.line {
        let last = human::count(records.last_line());
        reason.push_str(&format!(" (the row goes on to line {last}: is a quotation mark missing?)"));
    }
    reason
}

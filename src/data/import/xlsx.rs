//! Excel workbooks (.xlsx): the first sheet with data.

use super::binary::Watched;
use super::header;
use super::job::Job;
use super::rows::{MAX_COLUMNS, MAX_ROW_BYTES, Rows};
use crate::base::human;
use crate::data::{DataError, Table};
use calamine::{DataRef, Reader, Xlsx};
use std::io::{BufReader, Read, Seek};

/// What a workbook may unpack to, all parts together.
const MAX_UNPACKED_BYTES: u64 = 2 << 30;
const MAX_PARTS: usize = 100_000;
/// Rows that the header is judged against.
const NUM_FIRST_ROWS: usize = 200;
/// Sheets that a note names.
const MOST_NAMES: usize = 8;
/// A longer stretch of blank rows is one note rather than a row of the ledger each.
const MOST_BLANK: u64 = 1000;
const CHECKING: &str = "Checking the workbook";
const PHASE: &str = "Reading rows";

pub(super) fn read(job: &mut Job) -> Result<Rows, DataError> {
    read_from(job, &mut |job| job.rewound())
}

pub(super) fn read_from<R: Read + Seek>(
    job: &mut Job,
    open: &mut dyn FnMut(&mut Job) -> Result<R, DataError>,
) -> Result<Rows, DataError> {
    let watched = Watched::new(open(job)?, job);
    check_archive(job, watched)?;
    let watched = Watched::new(open(job)?, job);
    let mut book: Xlsx<_> = Xlsx::new(BufReader::new(watched)).map_err(|e| damaged(job, &e))?;
    for name in book.sheet_names() {
        let mut sheet = Sheet::default();
        read_sheet(job, &mut book, &name, &mut sheet)?;
        sheet.begin(job);
        if sheet.rows.table.num_rows() > 0 {
            let others: Vec<String> = book.sheet_names().into_iter().filter(|other| *other != name).collect();
            if !others.is_empty() {
                let others = human::some_of(others.iter().map(String::as_str), MOST_NAMES);
                sheet
                    .rows
                    .note(format!("The sheet {name} was read; others in the workbook were not: {others}."));
            }
            return Ok(sheet.rows);
        }
    }
    Err(job.empty())
}

/// Unpacks every part once, into nothing: sizes that an archive declares may lie, and a damaged part is
/// named here before any of it is kept.
fn check_archive<R: Read + Seek>(job: &mut Job, watched: Watched<R>) -> Result<(), DataError> {
    let broken = |e: zip::result::ZipError| format!("the archive is damaged or cut off: {e}");
    let mut archive = zip::ZipArchive::new(BufReader::new(watched)).map_err(|e| job.malformed(broken(e)))?;
    if archive.len() > MAX_PARTS {
        return Err(job.malformed("the archive has too many parts to be a workbook"));
    }
    if archive.index_for_name("META-INF/manifest.xml").is_some()
        && archive.index_for_name("mimetype").is_some()
    {
        let why = "this is an OpenDocument file (.ods, .odt); save its table as .xlsx or CSV";
        return Err(job.malformed(why));
    }
    if archive.index_for_name("[Content_Types].xml").is_none()
        || !archive.file_names().flatten().any(|n| n.starts_with("xl/"))
    {
        return Err(
            job.malformed("this is a ZIP archive, not an Excel workbook; unpack it and open what is inside")
        );
    }
    let mut num_unpacked = 0;
    let mut block = vec![0; 64 << 10];
    for index in 0..archive.len() {
        let mut part = archive.by_index(index).map_err(|e| job.malformed(broken(e)))?;
        let name = part.name().map(std::borrow::Cow::into_owned).unwrap_or_default();
        loop {
            let n = part
                .read(&mut block)
                .map_err(|e| job.malformed(format!("the workbook is damaged in its part {name}: {e}")))?;
            if n == 0 {
                break;
            }
            num_unpacked += n as u64;
            job.tick(CHECKING, 0)?;
            if num_unpacked > MAX_UNPACKED_BYTES {
                let limit = human::bytes(MAX_UNPACKED_BYTES);
                return Err(
                    job.malformed(format!("the workbook unpacks to more than {limit}; save it as CSV"))
                );
            }
        }
    }
    Ok(())
}

fn damaged(job: &Job, error: &calamine::XlsxError) -> DataError {
    job.malformed(format!("the workbook is damaged: {error}"))
}

/// A sheet as it is read: cells come one by one, empty ones not at all.
#[derive(Default)]
struct Sheet {
    rows: Rows,
    /// The first rows, until it is known whether one of them is a header.
    first: Vec<(u64, Vec<String>)>,
    has_begun: bool,
    /// The last row with cells, from 1; 0 before the first.
    last_line: u64,
    cells: Vec<String>,
}

fn read_sheet<RS: Read + Seek>(
    job: &mut Job,
    book: &mut Xlsx<RS>,
    name: &str,
    sheet: &mut Sheet,
) -> Result<(), DataError> {
    let Ok(mut reader) = book.worksheet_cells_reader(name) else {
        // A chart has no cells.
        return Ok(());
    };
    let num_rows = u64::from(reader.dimensions().end.0).max(1);
    let (mut row, mut num_cells) = (0_u64, 0_u64);
    loop {
        let cell = match reader.next_cell() {
            Ok(Some(cell)) => cell,
            Ok(None) => break,
            Err(e) => return Err(damaged(job, &e)),
        };
        let (cell_row, cell_column) = cell.get_position();
        num_cells += 1;
        if num_cells.is_multiple_of(256) {
            let share = (f64::from(cell_row) / num_rows as f64).min(1.0);
            job.tick(PHASE, (job.num_bytes as f64 * share) as u64)?;
        }
        let line = u64::from(cell_row) + 1;
        if line != row {
            sheet.end_row(job, row)?;
            row = line;
        }
        let value = text(cell.get_value());
        let column = cell_column as usize;
        if value.is_empty() {
            continue;
        }
        if column >= MAX_COLUMNS {
            return Err(job.malformed(format!("row {line} has a cell beyond column {MAX_COLUMNS}")));
        }
        if sheet.cells.len() <= column {
            sheet.cells.resize(column + 1, String::new());
        }
        sheet.cells[column] = value;
    }
    sheet.end_row(job, row)
}

impl Sheet {
    fn end_row(&mut self, job: &Job, line: u64) -> Result<(), DataError> {
        if self.cells.is_empty() {
            return Ok(());
        }
        let cells = std::mem::take(&mut self.cells);
        if self.has_begun {
            self.push(line, &cells);
            return self.rows.check(job);
        }
        self.first.push((line, cells));
        if self.first.len() > NUM_FIRST_ROWS {
            self.begin(job);
        }
        Ok(())
    }

    /// Decides on the header and pushes the rows that waited for it.
    fn begin(&mut self, job: &Job) {
        if self.has_begun {
            return;
        }
        self.has_begun = true;
        let waiting = std::mem::take(&mut self.first);
        let num_columns = waiting.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
        let mut plain: Vec<Vec<String>> = waiting.iter().map(|(_, cells)| cells.clone()).collect();
        for cells in &mut plain {
            cells.resize(num_columns, String::new());
        }
        let is_header = job.options.has_header.unwrap_or_else(|| {
            plain.split_first().is_some_and(|(first, rest)| header::is_header(first, rest))
        });
        let names = match plain.first() {
            Some(first) if is_header => header::unique_names(first),
            _ => header::numbered(num_columns),
        };
        self.rows.table = Table::with_columns(names);
        if is_header {
            self.last_line = waiting.first().map_or(0, |(line, _)| *line);
        }
        for (line, cells) in waiting.iter().skip(usize::from(is_header)) {
            self.push(*line, cells);
        }
    }

    /// Blank rows between two that are not count as rows, like blank cells.
    fn push_blank(&mut self, before: u64) {
        let blank = self.last_line + 1..before;
        if self.last_line == 0 || blank.is_empty() {
            return;
        }
        if before - self.last_line > MOST_BLANK {
            let (first, last) = (human::count(blank.start), human::count(before - 1));
            return self
                .rows
                .note(format!("The rows {first} to {last} of the sheet are blank and not counted."));
        }
        blank.for_each(|line| self.rows.push(line, []));
    }

    fn push(&mut self, line: u64, cells: &[String]) {
        self.push_blank(line);
        self.last_line = line;
        if cells.iter().map(String::len).sum::<usize>() > MAX_ROW_BYTES {
            return self.rows.too_long(line);
        }
        while self.rows.table.columns.len() < cells.len() {
            let index = self.rows.table.columns.len();
            let names = header::numbered(index + 1);
            self.rows.table.add_column(&names[index]);
        }
        self.rows.push(line, cells.iter().map(String::as_str));
    }
}

fn text(value: &DataRef) -> String {
    match value {
        DataRef::Empty => String::new(),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_string(),
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::Bool(is_true) => is_true.to_string(),
        DataRef::Error(error) => error.to_string(),
        DataRef::DateTime(at) if at.is_duration() => at.as_f64().to_string(),
        DataRef::DateTime(at) => {
            let (year, month, day, hour, minute, second, _) = at.to_ymd_hms_milli();
            let date = format!("{year:04}-{month:02}-{day:02}");
            if (hour, minute, second) == (0, 0, 0) {
                date
            } else {
                format!("{date} {hour:02}:{minute:02}:{second:02}")
            }
        }
    }
}

//! Any file people have -> [`Table`]. Streams; the file is never in memory beside its table.
//!
//! A text file is looked at once for its encoding, then read in blocks that are decoded to UTF-8 and
//! handed to a parser. Rows that cannot be read go to the ledger with their line and the reason.

mod job;
mod detect;
mod binary;
mod encoding;
mod source;
mod lines;
mod rows;
mod header;
mod csv_records;
mod csv_sniff;
mod csv;
mod json_row;
mod json;
mod jsonl;
mod parquet;
mod xlsx;
mod text;

use super::{DataError, Ledger, Schema, Table};
use crate::base::{Control, Progress};
use job::Job;
use serde::{Deserialize, Serialize};
use source::Source;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a file is, whatever its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Csv,
    Tsv,
    Json,
    Jsonl,
    Parquet,
    Xlsx,
    Text,
}

impl Format {
    pub const ALL: [Self; 7] =
        [Self::Csv, Self::Tsv, Self::Json, Self::Jsonl, Self::Parquet, Self::Xlsx, Self::Text];

    /// The name people know.
    pub fn title(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Json => "JSON",
            Self::Jsonl => "JSON Lines",
            Self::Parquet => "Parquet",
            Self::Xlsx => "Excel",
            Self::Text => "plain text",
        }
    }

    /// A file of this format, in a sentence.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Csv => "a CSV file",
            Self::Tsv => "a TSV file",
            Self::Json => "a JSON file",
            Self::Jsonl => "a JSON Lines file",
            Self::Parquet => "a Parquet file",
            Self::Xlsx => "an Excel file",
            Self::Text => "a text file",
        }
    }

    /// Whether the file is text, so that it has an encoding.
    pub fn is_text(self) -> bool {
        !matches!(self, Self::Parquet | Self::Xlsx)
    }
}

/// Endings of file names that can be imported, for file dialogs.
pub const EXTENSIONS: [&str; 9] = ["csv", "tsv", "tab", "json", "jsonl", "ndjson", "parquet", "xlsx", "txt"];

/// Encodings to offer where people may correct what was recognised (WHATWG labels).
pub const ENCODINGS: [&str; 16] = [
    "utf-8",
    "utf-16le",
    "utf-16be",
    "windows-1252",
    "windows-1250",
    "windows-1251",
    "windows-1253",
    "windows-1254",
    "windows-1255",
    "windows-1256",
    "iso-8859-2",
    "koi8-r",
    "shift_jis",
    "euc-kr",
    "gb18030",
    "big5",
];

/// Whether a CSV file may have `said` between its cells.
pub fn is_separator(said: char) -> bool {
    said.is_ascii() && !matches!(said, '"' | '\n' | '\r')
}

/// What the user may say against what was recognised; everything absent is recognised from the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportOptions {
    pub format: Option<Format>,
    /// WHATWG label: `utf-8`, `utf-16le`, `windows-1254`…
    pub encoding: Option<String>,
    /// CSV separator.
    pub separator: Option<char>,
    /// Whether the first row of a CSV or of a sheet holds names.
    pub has_header: Option<bool>,
}

/// A file as it was read.
#[derive(Debug, Clone)]
pub struct Imported {
    pub path: PathBuf,
    pub format: Format,
    /// WHATWG name of the text encoding, and whether it was recognised by a byte order mark, guessed, or said.
    pub encoding: Option<EncodingFound>,
    pub separator: Option<char>,
    pub num_bytes: u64,
    /// Shared with the data sets made of it.
    pub table: Arc<Table>,
    /// Rows read, malformed ones so far. Empty and duplicate rows are found by `prepare`.
    pub ledger: Ledger,
    /// The recognised schema.
    pub schema: Schema,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodingFound {
    pub name: String,
    pub how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    ByteOrderMark,
    Guessed,
    Said,
}

/// Reads `path`, whatever it is. Stops within 200 ms of `control.stop()`.
///
/// # Errors
/// [`DataError::Unreadable`] when the file cannot be opened or read, [`DataError::Malformed`] when no row
/// of it can be used, [`DataError::Empty`] without rows, [`DataError::Stopped`].
pub fn import(
    path: &Path,
    options: &ImportOptions,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<Imported, DataError> {
    let mut job = Job::open(path, options, control, progress)?;
    let sample = job.sample()?;
    let binary = detect::binary_format(&job, &sample)?;
    let (format, encoding, separator, rows) = match binary {
        Some(Format::Parquet) => (Format::Parquet, None, None, binary::guarded(&mut job, parquet::read)?),
        Some(_) => (Format::Xlsx, None, None, binary::guarded(&mut job, xlsx::read)?),
        None => {
            let encoding = encoding::find(&mut job, &sample)?;
            let start = Source::open(&mut job, &encoding)?.head(detect::SAMPLE_BYTES)?;
            let format = detect::text_format(&job, &start)?;
            let (rows, separator) = read_text(&mut job, format, &encoding, &start)?;
            (format, Some(encoding.found), separator, rows)
        }
    };
    let (table, ledger) = rows.finish(&job)?;
    let schema = Schema::guess(&table);
    Ok(Imported {
        path: path.to_path_buf(),
        format,
        encoding,
        separator,
        num_bytes: job.num_bytes,
        table: Arc::new(table),
        ledger,
        schema,
    })
}

/// The running text of a file in whatever encoding, with line feeds; about `max_bytes` of it, and whether that is all.
/// What cannot be decoded is replaced.
///
/// # Errors
/// As [`import`].
pub fn plain_text(
    path: &Path,
    max_bytes: usize,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<(String, bool), DataError> {
    let options = ImportOptions { format: Some(Format::Text), ..ImportOptions::default() };
    let mut job = Job::open(path, &options, control, progress)?;
    let sample = job.sample()?;
    if let Some(found) = detect::binary_format(&job, &sample)? {
        return Err(job.malformed(format!("this is {}, not plain text", found.noun())));
    }
    let encoding = encoding::find(&mut job, &sample)?;
    let head = Source::open(&mut job, &encoding)?.head(max_bytes)?;
    let text = String::from_utf8_lossy(&head.bytes);
    // The last character may be cut.
    let text = if head.is_whole { &text } else { text.trim_end_matches('\u{FFFD}') };
    Ok((text.replace("\r\n", "\n"), head.is_whole))
}

/// Reads the rows of a text file and, for CSV, says the separator.
fn read_text(
    job: &mut Job,
    format: Format,
    encoding: &encoding::Chosen,
    start: &source::Head,
) -> Result<(rows::Rows, Option<char>), DataError> {
    let options = job.options;
    let mut source = Source::open_after(job, encoding, start)?;
    let rows = rows::Rows::new(encoding);
    match format {
        Format::Csv | Format::Tsv => csv::read(&mut source, rows, format, options, start),
        Format::Jsonl => Ok((jsonl::read(&mut source, rows)?, None)),
        Format::Json => Ok((json::read(&mut source, rows)?, None)),
        _ => Ok((text::read(&mut source, rows, start)?, None)),
    }
}

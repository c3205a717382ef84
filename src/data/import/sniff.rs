//! What a file is, from its first bytes; its name decides only between kinds of text.

use super::Format;
use crate::data::DataError;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes looked at to recognise format, encoding and separator.
const HEAD_BYTES: u64 = 1 << 20;

pub(super) fn head(path: &Path) -> Result<Vec<u8>, DataError> {
    let unreadable = |e: std::io::Error| {
        let why = match e.kind() {
            std::io::ErrorKind::PermissionDenied => "you may not read it".into(),
            _ => e.to_string(),
        };
        DataError::Unreadable { path: path.to_path_buf(), why }
    };
    let mut head = Vec::new();
    File::open(path).and_then(|f| f.take(HEAD_BYTES).read_to_end(&mut head)).map_err(unreadable)?;
    Ok(head)
}

/// First bytes of files that are no data, with their names.
const FOREIGN: [(&[u8], &str); 10] = [
    (b"\x89PNG", "a PNG picture"),
    (b"\xFF\xD8\xFF", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"\x1F\x8B", "a gzip archive: unpack it first"),
    (b"7z\xBC\xAF", "a 7-Zip archive: unpack it first"),
    (b"Rar!", "a RAR archive: unpack it first"),
    (b"\x28\xB5\x2F\xFD", "a Zstandard archive: unpack it first"),
    (b"\x7FELF", "a program"),
    (b"SQLite format 3", "an SQLite database"),
];

pub(super) fn format(path: &Path, head: &[u8]) -> Result<Format, DataError> {
    let malformed = |why: String| DataError::Malformed { path: path.to_path_buf(), why };
    if head.starts_with(b"PAR1") {
        return Ok(Format::Parquet);
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"\xD0\xCF\x11\xE0") {
        return Ok(Format::Xlsx);
    }
    if let Some((_, what)) = FOREIGN.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(malformed(format!("this is {what}, whatever its name says")));
    }
    let name = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    match name.as_str() {
        "parquet" => Err(malformed("it is called .parquet, but is no Parquet file".into())),
        "xlsx" | "xls" | "xlsm" | "xlsb" | "ods" => {
            Err(malformed("it is called a spreadsheet, but is no such file".into()))
        }
        "tsv" | "tab" => Ok(Format::Tsv),
        "csv" => Ok(Format::Csv),
        "jsonl" | "ndjson" => Ok(Format::Jsonl),
        "json" => Ok(if is_lines_of_json(head) { Format::Jsonl } else { Format::Json }),
        "txt" | "md" | "text" => Ok(Format::Text),
        _ => Ok(by_content(head)),
    }
}

/// Two or more lines, each of which begins an object.
fn is_lines_of_json(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    serde_json::from_str::<serde::de::IgnoredAny>(first).is_ok()
        && first.starts_with('{')
        && lines.next().is_some()
}

fn by_content(head: &[u8]) -> Format {
    let text = String::from_utf8_lossy(head);
    let start = text.trim_start_matches('\u{FEFF}').trim_start();
    if is_lines_of_json(head) {
        Format::Jsonl
    } else if start.starts_with(['{', '[']) {
        Format::Json
    } else if super::csv::separator(&text).is_some() {
        Format::Csv
    } else {
        Format::Text
    }
}

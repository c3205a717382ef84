//! What a file is: by its content first, by its name only where the content leaves a choice.

use super::job::Job;
use super::source::Head;
use super::{Format, csv_sniff};
use crate::data::DataError;
use serde::de::IgnoredAny;

/// How much decoded text the decision is made on.
pub(super) const SAMPLE_BYTES: usize = 256 << 10;

/// Magic bytes of what people drop by mistake, and what it is.
const KNOWN: &[(&[u8], &str)] = &[
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"RIFF", "an audio, video or WebP file"),
    (b"%PDF-", "a PDF document; save its table as CSV, or its text as .txt"),
    (b"\xd0\xcf\x11\xe0", "an old Office file (.xls, .doc); save it as .xlsx or CSV"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it first"),
    (b"\xfd7zXZ\0", "compressed with xz; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive; unpack it first"),
    (b"SQLite format 3\0", "an SQLite database; save its table as CSV"),
    (b"GGUF", "a model (GGUF), not a data set; open it in Model"),
    (b"ARROW1", "an Arrow file; save it as Parquet or CSV"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\0", "a program"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\xff\xfe\0\0", "text in UTF-32; save it as UTF-8"),
    (b"\0\0\xfe\xff", "text in UTF-32; save it as UTF-8"),
];

/// The binary format that the first bytes tell, `None` for text; a clear refusal of anything else.
pub(super) fn binary_format(job: &Job, sample: &[u8]) -> Result<Option<Format>, DataError> {
    let found = if sample.starts_with(b"PAR1") {
        Some(Format::Parquet)
    } else if sample.starts_with(b"PK\x03\x04") || sample.starts_with(b"PK\x05\x06") {
        Some(Format::Xlsx)
    } else {
        None
    };
    if found.is_none() {
        if let Some((_, what)) = KNOWN.iter().find(|(magic, _)| sample.starts_with(magic)) {
            return Err(job.malformed(format!("this is {what}")));
        }
        let wanted = job.options.format.or(match job.extension().as_str() {
            "parquet" => Some(Format::Parquet),
            "xlsx" | "xlsm" => Some(Format::Xlsx),
            _ => None,
        });
        if let Some(wanted) = wanted.filter(|f| !f.is_text()) {
            let why = format!("this is not {}, or it is damaged at its start", wanted.noun());
            return Err(job.malformed(why));
        }
    }
    Ok(found)
}

/// What kind of text this is. `options.format` wins; then JSON is recognised by its look, then the
/// ending of the name decides, then whether the lines look like a table.
pub(super) fn text_format(job: &Job, head: &Head) -> Result<Format, DataError> {
    if let Some(format) = job.options.format {
        return Ok(format);
    }
    let text = String::from_utf8_lossy(&head.bytes);
    let text = text.trim_start();
    if text.is_empty() && head.is_whole {
        return Err(job.empty());
    }
    let extension = job.extension();
    let by_name = match extension.as_str() {
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        "json" => Some(Format::Json),
        "tsv" | "tab" => Some(Format::Tsv),
        "csv" => Some(Format::Csv),
        "txt" | "text" | "md" => Some(Format::Text),
        _ => None,
    };
    if let Some(json) = json_format(text, head.is_whole, by_name) {
        return Ok(json);
    }
    Ok(by_name.unwrap_or_else(|| match csv_sniff::sniff(head, Format::Csv) {
        Some(found) if found.is_table() => Format::Csv,
        _ => Format::Text,
    }))
}

/// JSON or JSON Lines, when the text begins like it. Where the name says either, a broken beginning is
/// still JSON.
fn json_format(text: &str, is_whole: bool, by_name: Option<Format>) -> Option<Format> {
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let is_value = |line: &str| serde_json::from_str::<IgnoredAny>(line).is_ok();
    if is_value(first) {
        let has_more = !rest.trim().is_empty();
        // One object alone may still wrap the rows: {"data": [...]}.
        return Some(if has_more || by_name == Some(Format::Jsonl) { Format::Jsonl } else { Format::Json });
    }
    // A bad first line, but its neighbours are whole objects.
    let next_is_object = rest.lines().take(3).any(|line| line.starts_with('{') && is_value(line.trim()));
    if text.starts_with('{') && next_is_object {
        return Some(Format::Jsonl);
    }
    let begins_well = match serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>().next() {
        Some(Ok(_)) => true,
        Some(Err(e)) => e.is_eof() && !is_whole,
        None => false,
    };
    match by_name {
        // A value over many lines, whatever the name says.
        Some(Format::Jsonl) if begins_well && matches!(first.trim(), "{" | "[") => Some(Format::Json),
        Some(Format::Jsonl | Format::Json) => by_name,
        _ => begins_well.then_some(Format::Json),
    }
}

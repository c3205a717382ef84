//! Which character separates the cells, and whether the first row holds names.

use super::csv_records::{Ending, NO_SEPARATOR, Records};
use super::source::Head;
use super::{Format, header};

const MAX_RECORDS: usize = 500;

pub(super) struct Sniffed {
    pub separator: u8,
    /// Cells of most records.
    pub num_columns: usize,
    /// Share of records with that many cells, 0..1.
    share: f64,
    /// A first line `sep=;`, as spreadsheets write it, is no record.
    pub has_separator_line: bool,
    records: Vec<Vec<String>>,
}

impl Sniffed {
    /// Whether a file whose name says nothing should be read as a table.
    pub fn is_table(&self) -> bool {
        self.separator != NO_SEPARATOR && self.share >= 0.95 && self.records.len() >= 2
    }

    pub fn has_header(&self) -> bool {
        self.records.split_first().is_some_and(|(first, rest)| header::is_header(first, rest))
    }
}

/// Tries each separator on the beginning of the file. `None` when there is no record.
pub(super) fn sniff(head: &Head, format: Format) -> Option<Sniffed> {
    let order = if format == Format::Tsv { *b"\t,;|" } else { *b",;\t|" };
    if let Some(separator) = separator_line(&head.bytes) {
        let mut sniffed = try_separator(head, separator, true)?;
        sniffed.has_separator_line = true;
        return Some(sniffed);
    }
    let mut best: Option<(f64, Sniffed)> = None;
    for separator in order {
        let Some(tried) = try_separator(head, separator, false) else { continue };
        let score = score(&tried);
        if score > best.as_ref().map_or(0.3, |(score, _)| *score) {
            best = Some((score, tried));
        }
    }
    best.map(|(_, sniffed)| sniffed).or_else(|| try_separator(head, NO_SEPARATOR, false))
}

/// What a file looks like with the separator that the user said.
pub(super) fn with_separator(head: &Head, separator: u8) -> Option<Sniffed> {
    let has_line = separator_line(&head.bytes) == Some(separator);
    let mut sniffed = try_separator(head, separator, has_line)?;
    sniffed.has_separator_line = has_line;
    Some(sniffed)
}

fn score(tried: &Sniffed) -> f64 {
    if tried.num_columns < 2 {
        return 0.0;
    }
    // The first row tells most: ragged rows come later, names rarely hold separators.
    match tried.records.first().map_or(0, Vec::len) {
        n if n == tried.num_columns => tried.share,
        1 => tried.share * 0.2,
        _ => tried.share * 0.4,
    }
}

fn separator_line(bytes: &[u8]) -> Option<u8> {
    let rest = bytes.strip_prefix(b"sep=").or_else(|| bytes.strip_prefix(b"SEP="))?;
    match rest {
        [separator, b'\n' | b'\r', ..] if separator.is_ascii() => Some(*separator),
        _ => None,
    }
}

fn try_separator(head: &Head, separator: u8, skip_line: bool) -> Option<Sniffed> {
    let skipped = if skip_line { memchr::memchr(b'\n', &head.bytes).map_or(0, |n| n + 1) } else { 0 };
    let mut feed = &head.bytes[skipped..];
    let mut reader = Records::new(separator);
    let mut records = Vec::new();
    while records.len() < MAX_RECORDS {
        // Reading from memory does not fail.
        let Ok(Some(ending)) = reader.next(&mut feed) else { break };
        // The sample may end in the middle of a record.
        let is_cut = feed.is_empty() && !head.is_whole;
        if is_cut && !records.is_empty() {
            break;
        }
        if ending == Ending::Whole || records.is_empty() {
            records.push(reader.lossy());
        }
    }
    let mut counts = std::collections::BTreeMap::new();
    for record in &records {
        *counts.entry(record.len()).or_insert(0_usize) += 1;
    }
    let (num_columns, num_same) = counts.into_iter().max_by_key(|(_, num)| *num)?;
    let share = num_same as f64 / records.len() as f64;
    Some(Sniffed { separator, num_columns, share, has_separator_line: false, records })
}

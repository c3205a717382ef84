//! Table -> examples -> ledger -> split -> samples: everything that happens to the data before a run.

use super::import::Imported;
use super::mask::{TrainOn, sample};
use super::split::{SplitOptions, split_and_count};
use super::stats::TokenStats;
use super::template::{Rendered, Template};
use super::tokenise::Tokeniser;
use super::{DataError, Example, Fate, Ledger, Row, Sample, Schema, Split};
use crate::base::human::{count, plural};
use crate::base::{Control, Progress, Unit};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Rows that are tokenised between two looks at the control.
const BLOCK: usize = 256;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrepareOptions {
    pub schema: Schema,
    pub split: SplitOptions,
    pub train_on: TrainOn,
    /// Longest example, in tokens.
    pub max_tokens: usize,
    /// Leave out longer rows instead of cutting them.
    pub drop_overlong: bool,
    pub keep_duplicates: bool,
    /// Use the model's chat template when it has one.
    pub chat: bool,
}

impl PrepareOptions {
    /// The usual choices for a schema.
    pub fn new(schema: Schema) -> Self {
        Self {
            schema,
            split: SplitOptions::default(),
            train_on: TrainOn::Answers,
            max_tokens: 512,
            drop_overlong: false,
            keep_duplicates: false,
            chat: true,
        }
    }
}

/// Data ready to train on, and to look at.
#[derive(Debug, Clone)]
pub struct Dataset {
    pub source: PathBuf,
    pub options: PrepareOptions,
    /// Rows that are kept, in file order.
    pub rows: Vec<Row>,
    /// One sample a row, same order.
    pub samples: Vec<Sample>,
    pub split: Split,
    pub ledger: Ledger,
    pub stats: TokenStats,
    pub template: Arc<Template>,
    pub tokeniser: Arc<Tokeniser>,
}

/// A token as it is shown in the mask preview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub text: String,
    pub is_trained: bool,
}

impl Dataset {
    /// The tokens of a kept row as text, each with whether the model is trained on it.
    pub fn preview(&self, row: usize) -> Result<Vec<Piece>, DataError> {
        let Some(example) = self.rows.get(row).map(|r| &r.example) else { return Ok(Vec::new()) };
        let options = &self.options;
        let rendered = self.template.render(example, options.train_on, options.chat)?;
        preview(&self.tokeniser, &rendered, options.max_tokens)
    }

    /// Tokens of the training rows, after cutting.
    pub fn train_tokens(&self) -> u64 {
        self.split.train.iter().map(|i| self.samples[*i].len() as u64).sum()
    }
}

/// Pieces of text, one a token; tokens that share a character are shown as one.
pub fn preview(
    tokeniser: &Tokeniser,
    rendered: &Rendered,
    max_tokens: usize,
) -> Result<Vec<Piece>, DataError> {
    let placed = tokeniser.encode_placed(&rendered.text, &rendered.literal)?;
    let (cut, _) = sample(tokeniser, rendered, max_tokens)?;
    let mut pieces: Vec<Piece> = Vec::new();
    let mut shown = 0;
    for (token, weight) in placed.iter().zip(&cut.weights) {
        let end = token.bytes.end;
        let Some(text) = rendered.text.get(shown..end).filter(|t| !t.is_empty()) else { continue };
        pieces.push(Piece { text: text.into(), is_trained: *weight > 0.0 });
        shown = end;
    }
    Ok(pieces)
}

/// Turns an imported file into a data set for one model's tokenizer and template.
///
/// # Errors
/// [`DataError::Schema`] when no row is left, [`DataError::AllMasked`] when no token of the training rows is
/// trained on, [`DataError::Template`] when rendering fails.
pub fn prepare(
    imported: &Imported,
    tokeniser: Arc<Tokeniser>,
    template: Arc<Template>,
    options: &PrepareOptions,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<Dataset, DataError> {
    let mut ledger = imported.ledger.clone();
    let candidates = rows(imported, options, &mut ledger, control, progress)?;
    let kept = tokenise(candidates, (&tokeniser, &template), options, &mut ledger, control, progress)?;
    ledger.entries.sort_by_key(|entry| entry.line);
    if kept.rows.is_empty() {
        return Err(kept.refused.unwrap_or_else(|| nothing_left(&ledger, options.max_tokens)));
    }
    let (split, num_moved) = split_and_count(&kept.rows, &options.split);
    if num_moved > 0 {
        log::info!(
            "{} moved so that every part of the split has what it needs",
            plural(num_moved as u64, "row")
        );
    }
    let Kept { rows, samples, lengths, .. } = kept;
    let num_trained = samples.iter().map(|s| s.num_trained() as u64).sum();
    if split.train.iter().all(|i| samples[*i].num_trained() == 0) {
        let why = format!("none of the {} training rows has a token to learn from", split.train.len());
        return Err(DataError::AllMasked { why });
    }
    let stats = TokenStats::new(lengths, num_trained);
    let source = imported.path.clone();
    Ok(Dataset { source, options: options.clone(), rows, samples, split, ledger, stats, template, tokeniser })
}

/// Rows that are kept, with their samples and lengths before cutting.
#[derive(Default)]
struct Kept {
    rows: Vec<Row>,
    samples: Vec<Sample>,
    lengths: Vec<u32>,
    /// The first error of a row that could not be rendered.
    refused: Option<DataError>,
}

/// Renders and tokenises rows, block by block on all cores; the order stays. Rows that are cut, dropped or refused
/// become lines of the ledger.
fn tokenise(
    candidates: Vec<Row>,
    (tokeniser, template): (&Tokeniser, &Template),
    options: &PrepareOptions,
    ledger: &mut Ledger,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<Kept, DataError> {
    let total = candidates.len() as u64;
    let mut candidates = candidates.into_iter();
    let mut kept = Kept::default();
    let mut num_spelt = 0;
    loop {
        if control.is_stopped() {
            return Err(DataError::Stopped);
        }
        let block: Vec<Row> = candidates.by_ref().take(BLOCK).collect();
        if block.is_empty() {
            break;
        }
        let tokenised: Vec<Result<_, DataError>> = block
            .par_iter()
            .map(|row| {
                let rendered = template.render(&row.example, options.train_on, options.chat)?;
                let is_spelt = matches!(row.example, Example::Text { .. }) && !rendered.literal.is_empty();
                Ok((sample(tokeniser, &rendered, options.max_tokens)?, is_spelt))
            })
            .collect();
        for (row, result) in block.into_iter().zip(tokenised) {
            let ((sample, num_tokens), is_spelt) = match result {
                Ok(done) => done,
                Err(error) => {
                    ledger.add(row.line, Fate::Malformed { reason: error.to_string() });
                    kept.refused.get_or_insert(error);
                    continue;
                }
            };
            num_spelt += u64::from(is_spelt);
            if num_tokens > options.max_tokens {
                let too_long = Fate::TooLong { num_tokens };
                let cut = Fate::Truncated { num_tokens };
                ledger.add(row.line, if options.drop_overlong { too_long } else { cut });
                if options.drop_overlong {
                    continue;
                }
            }
            kept.lengths.push(u32::try_from(num_tokens).unwrap_or(u32::MAX));
            kept.samples.push(sample);
            kept.rows.push(row);
        }
        progress.report("Counting tokens", total - candidates.len() as u64, Some(total), Unit::Rows);
    }
    if num_spelt > 0 {
        // Most likely chats that were rendered elsewhere.
        let rows = plural(num_spelt, "row");
        log::warn!(
            "{rows} of plain text spell special tokens, which stay text; import chats as messages instead"
        );
    }
    Ok(kept)
}

/// Why there is no row to train on.
fn nothing_left(ledger: &Ledger, max_tokens: usize) -> DataError {
    let too_long = ledger.count(|fate| matches!(fate, Fate::TooLong { .. }));
    let empty = ledger.count(|fate| matches!(fate, Fate::Empty));
    let reason = ledger.entries.iter().find_map(|entry| match &entry.fate {
        Fate::Malformed { reason } => Some(format!("; line {}: {reason}", entry.line)),
        _ => None,
    });
    let why = format!(
        "none of the {} is left: {} empty, {} longer than {max_tokens} tokens{}",
        plural(ledger.num_read, "row"),
        count(empty),
        count(too_long),
        reason.unwrap_or_default()
    );
    DataError::Schema { why }
}

/// Rows with content, in file order; the others become lines of the ledger.
fn rows(
    imported: &Imported,
    options: &PrepareOptions,
    ledger: &mut Ledger,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<Vec<Row>, DataError> {
    let mut rows = Vec::new();
    let mut seen: HashMap<u64, u64> = HashMap::new();
    let num_rows = imported.table.num_rows() as u64;
    for index in 0..imported.table.num_rows() {
        if index.is_multiple_of(BLOCK) {
            if control.is_stopped() {
                return Err(DataError::Stopped);
            }
            progress.report("Reading rows", index as u64, Some(num_rows), Unit::Rows);
        }
        let line = imported.table.lines[index];
        match options.schema.row(&imported.table, index) {
            Ok(None) => ledger.add(line, Fate::Empty),
            Err(reason) => ledger.add(line, Fate::Malformed { reason }),
            Ok(Some(row)) => match seen.get(&row.hash) {
                Some(of_line) if !options.keep_duplicates => {
                    ledger.add(line, Fate::Duplicate { of_line: *of_line });
                }
                _ => {
                    seen.entry(row.hash).or_insert(line);
                    rows.push(row);
                }
            },
        }
    }
    Ok(rows)
}

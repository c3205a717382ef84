//! Table -> examples -> ledger -> split -> samples: everything that happens to the data before a run.

use super::import::Imported;
use super::labels::Labels;
use super::reading::{Read, Reader};
use super::shots::Shot;
use super::split::{SplitOptions, split_and_count};
use super::stats::TokenStats;
use super::template::Template;
use super::tokenise::Tokeniser;
use super::{
    DataError, Example, Fate, GeneralText, Layout, Ledger, Reading, Role, Row, Sample, Schema, Split, Table,
    mask, template,
};
use crate::base::human::{count, plural};
use crate::base::{Control, Progress, Unit};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Rows that are tokenised between two looks at the control.
const BLOCK: usize = 256;
/// Why a row of which all is there is not trained on.
const MASKED: &str = "the template leaves the answer out";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrepareOptions {
    pub schema: Schema,
    pub split: SplitOptions,
    /// What samples are made of the rows for.
    pub reading: Reading,
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
            reading: Reading::default(),
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
    /// The text of all rows.
    pub table: Arc<Table>,
    /// What the columns are for in this reading.
    pub schema: Schema,
    /// The classes, where rows have them.
    pub labels: Labels,
    /// Rows that are kept, in file order; once for each sample where one makes several.
    pub rows: Vec<Row>,
    /// One sample a row, same order.
    pub samples: Vec<Sample>,
    pub split: Split,
    pub ledger: Ledger,
    pub stats: TokenStats,
    pub template: Arc<Template>,
    pub tokeniser: Arc<Tokeniser>,
    /// Beside the rows, where the run has any.
    pub general_text: Option<GeneralText>,
}

/// A token as it is shown in the mask preview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub text: String,
    pub is_trained: bool,
}

impl Dataset {
    /// A kept row's example.
    pub fn example(&self, row: usize) -> Option<Example> {
        self.schema.example(&self.table, self.rows.get(row)?.index).ok()
    }

    /// Question and answer of a kept row, if it has them.
    pub fn shot(&self, row: usize) -> Option<Shot> {
        Shot::of(&self.example(row)?)
    }

    /// The tokens of a kept row as text, each with whether the model is trained on it.
    pub fn preview(&self, row: usize) -> Result<Vec<Piece>, DataError> {
        let options = &self.options;
        match (options.reading.train_on(), self.example(row), self.samples.get(row)) {
            (Some(train_on), Some(example), _) => {
                let rendered = self.template.render(&example, train_on, options.chat)?;
                preview(&self.tokeniser, &rendered, options.max_tokens)
            }
            (None, _, Some(sample)) => Ok(as_spelt(&self.tokeniser, sample)),
            _ => Ok(Vec::new()),
        }
    }

    /// Tokens of the training rows, after cutting.
    pub fn train_tokens(&self) -> u64 {
        self.split.train.iter().map(|i| self.samples[*i].len() as u64).sum()
    }
}

/// The tokens of a sample as the vocabulary spells them.
fn as_spelt(tokeniser: &Tokeniser, sample: &Sample) -> Vec<Piece> {
    let piece = |(id, weight): (&u32, f32)| {
        let text = tokeniser.token_text(*id).unwrap_or_default();
        // Spaces and beginnings of words, as the usual vocabularies write them.
        let text = match (text.strip_prefix("##"), text.strip_prefix(['Ġ', '▁'])) {
            (Some(rest), _) => rest.to_string(),
            (_, Some(rest)) => format!(" {rest}"),
            _ => format!(" {text}"),
        };
        Piece { text, is_trained: weight > 0.0 }
    };
    sample.ids.iter().zip(sample.weights.iter()).map(piece).collect()
}

/// Pieces of text, one a token; tokens that share a character are shown as one.
pub fn preview(
    tokeniser: &Tokeniser,
    rendered: &template::Rendered,
    max_tokens: usize,
) -> Result<Vec<Piece>, DataError> {
    let placed = tokeniser.encode_placed(&rendered.text, &rendered.literal)?;
    let (cut, _) = mask::sample(tokeniser, rendered, max_tokens)?;
    let mut pieces: Vec<Piece> = Vec::new();
    let mut shown = 0;
    for (token, weight) in placed.iter().zip(cut.weights.iter()) {
        let end = token.bytes.end;
        let Some(text) = rendered.text.get(shown..end).filter(|t| !t.is_empty()) else { continue };
        pieces.push(Piece { text: text.into(), is_trained: weight > 0.0 });
        shown = end;
    }
    Ok(pieces)
}

/// Turns an imported file into a data set for one model's tokenizer and template.
///
/// # Errors
/// Those of [`prepare_rows`], and [`DataError::NoTraining`] when the split leaves nothing to train on.
pub fn prepare(
    imported: &Imported,
    tokeniser: Arc<Tokeniser>,
    template: Arc<Template>,
    options: &PrepareOptions,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<Dataset, DataError> {
    let dataset = prepare_rows(imported, tokeniser, template, options, control, progress)?;
    if dataset.split.train.is_empty() {
        let Split { valid, test, .. } = &dataset.split;
        return Err(DataError::NoTraining { num_valid: valid.len(), num_test: test.len() });
    }
    Ok(dataset)
}

/// [`prepare`] for other uses than training: all rows may lie in any part of the split.
///
/// # Errors
/// Those of [`Schema::check`]; why no row is left; [`DataError::Template`] when no row can be rendered.
pub fn prepare_rows(
    imported: &Imported,
    tokeniser: Arc<Tokeniser>,
    template: Arc<Template>,
    options: &PrepareOptions,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<Dataset, DataError> {
    if options.max_tokens < 2 {
        return Err(DataError::LimitTooSmall { max_tokens: options.max_tokens });
    }
    let schema = options.reading.schema(&options.schema).map_err(|why| DataError::Schema { why })?;
    schema.check(&imported.table)?;
    let mut ledger = imported.ledger.clone();
    let candidates = rows(imported, &schema, options, &mut ledger, control, progress)?;
    let table = Arc::clone(&imported.table);
    let labels = labels(&table, &schema, &candidates, &options.reading);
    let reader = Reader {
        reading: &options.reading,
        tokeniser: &tokeniser,
        template: &template,
        labels: &labels,
        max_tokens: options.max_tokens,
        chat: options.chat,
    };
    let source = (&*table, &schema);
    let kept = tokenise(source, candidates, &reader, options, &mut ledger, control, progress)?;
    ledger.entries.sort_by_key(|entry| entry.line);
    if kept.rows.is_empty() {
        return Err(kept.refused.unwrap_or_else(|| nothing_left(&ledger, &kept.lengths, options.max_tokens)));
    }
    let (split, num_moved) = split_and_count(&kept.rows, &options.split);
    ledger.notes.extend(moved(num_moved));
    ledger.notes.extend(several(&kept, &options.reading));
    let Kept { rows, samples, lengths, .. } = kept;
    let num_trained = samples.iter().map(|s| s.num_trained() as u64).sum();
    let stats = TokenStats::new(lengths, num_trained);
    let (source, options) = (imported.path.clone(), options.clone());
    Ok(Dataset {
        source,
        options,
        table,
        schema,
        labels,
        rows,
        samples,
        split,
        ledger,
        stats,
        template,
        tokeniser,
        general_text: None,
    })
}

/// What is known of the rows without a model: unreadable, empty, unanswered and duplicate ones.
///
/// # Errors
/// Those of [`Schema::check`] where there is a layout, and [`DataError::Stopped`].
pub fn ledger(
    imported: &Imported,
    options: &PrepareOptions,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<Ledger, DataError> {
    let (table, mut ledger) = (&imported.table, imported.ledger.clone());
    if options.schema.layout().is_some() {
        options.schema.check(table)?;
        rows(imported, &options.schema, options, &mut ledger, control, progress)?;
    } else {
        // Without roles only rows without any content are known.
        let is_blank = |row: &usize| table.columns.iter().all(|c| c.get(*row).trim().is_empty());
        let blank = (0..table.num_rows()).filter(is_blank);
        blank.for_each(|row| ledger.add(table.lines[row], Fate::Empty));
    }
    ledger.entries.sort_by_key(|entry| entry.line);
    Ok(ledger)
}

/// The classes that rows have, or those that are given.
fn labels(table: &Table, schema: &Schema, rows: &[Row], reading: &Reading) -> Labels {
    match reading {
        Reading::Labelled { labels: Some(names), .. } => Labels::new(names.clone()),
        Reading::Labelled { has_several, labels: None } => {
            let column = schema.column(Role::Label).and_then(|column| table.columns.get(column));
            Labels::of(
                column.iter().flat_map(|column| rows.iter().map(|row| column.get(row.index))),
                *has_several,
            )
        }
        Reading::Sentences { pairing, .. } => Labels::new(pairing.labels().map(String::from).to_vec()),
        _ => Labels::default(),
    }
}

/// Rows that are kept, with their samples; and the lengths before cutting, also of rows that are left out for them.
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
    (table, schema): (&Table, &Schema),
    candidates: Vec<Row>,
    reader: &Reader,
    options: &PrepareOptions,
    ledger: &mut Ledger,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<Kept, DataError> {
    let total = candidates.len() as u64;
    let places: Vec<usize> = candidates.iter().map(|row| row.index).collect();
    // The text of some row, for readings that set texts side by side.
    let some_text = |number: u64| match schema.example(table, places[(number % total) as usize]) {
        Ok(Example::Text { text }) => Some(text),
        _ => None,
    };
    let mut candidates = candidates.into_iter();
    let mut kept = Kept::default();
    let mut spelt = Spelt::default();
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
                let example = schema.example(table, row.index);
                let example = example.map_err(|fate| DataError::Schema { why: fate.to_string() })?;
                reader.read(&example, row.index as u64, &some_text)
            })
            .collect();
        for (row, result) in block.into_iter().zip(tokenised) {
            let Read { samples, num_tokens, special } = match result {
                Ok(done) => done,
                Err(error) => {
                    ledger.add(row.line, Fate::Malformed { reason: error.to_string() });
                    kept.refused.get_or_insert(error);
                    continue;
                }
            };
            kept.lengths.push(u32::try_from(num_tokens).unwrap_or(u32::MAX));
            let num_trained = samples.iter().map(Sample::num_trained).sum();
            if let Some(fate) = fate(num_trained, num_tokens, options) {
                let is_dropped = fate.is_dropped();
                ledger.add(row.line, fate);
                if is_dropped {
                    continue;
                }
            }
            spelt.add(row.line, special);
            kept.rows.extend(samples.iter().map(|_| row));
            kept.samples.extend(samples);
        }
        progress.report("Counting tokens", total - candidates.len() as u64, Some(total), Unit::Rows);
    }
    ledger.notes.extend(spelt.note(schema.layout()));
    Ok(kept)
}

/// What becomes of a row of `num_tokens` before cutting, of which `num_trained` are learnt from; `None` when it is simply kept.
fn fate(num_trained: usize, num_tokens: usize, options: &PrepareOptions) -> Option<Fate> {
    let is_long = num_tokens > options.max_tokens && !options.reading.goes_on();
    match num_trained {
        _ if is_long && options.drop_overlong => Some(Fate::TooLong { num_tokens }),
        0 if is_long => Some(Fate::AnswerCut { num_tokens }),
        0 => Some(Fate::NoAnswer { reason: MASKED.into() }),
        _ => is_long.then_some(Fate::Truncated { num_tokens }),
    }
}

/// That rows make more samples than one, in words.
fn several(kept: &Kept, reading: &Reading) -> Option<String> {
    let num_rows = 1 + kept.rows.windows(2).filter(|rows| rows[0].index != rows[1].index).count();
    let what = if reading.goes_on() { "piece" } else { "pair of sentences" };
    let (samples, rows) = (kept.samples.len() as u64, plural(num_rows as u64, "row"));
    let counted = match samples {
        1 => format!("1 {what}"),
        _ => {
            format!("{} {}", count(samples), if reading.goes_on() { "pieces" } else { "pairs of sentences" })
        }
    };
    (kept.samples.len() != num_rows).then(|| format!("{rows} make {counted}, each an example of its own."))
}

/// What the content alone would place elsewhere, in words.
fn moved(num_rows: usize) -> Option<String> {
    let rows = plural(num_rows as u64, "row");
    let note = format!("{rows} moved in the split, so that no part is empty or lacks a common label.");
    (num_rows > 0).then(|| format!("{note} When rows are added, they may lie elsewhere."))
}

/// Rows whose words spell special tokens.
#[derive(Default)]
struct Spelt {
    num_rows: u64,
    first: Option<(String, u64)>,
}

impl Spelt {
    fn add(&mut self, line: u64, special: Option<String>) {
        let Some(special) = special else { return };
        self.num_rows += 1;
        self.first.get_or_insert((special, line));
    }

    fn note(self, layout: Option<Layout>) -> Option<String> {
        let (special, line) = self.first?;
        let contain = if self.num_rows == 1 { "contains" } else { "contain" };
        // Plain text with such tokens is most likely chats that were rendered elsewhere.
        let advice = if layout == Some(Layout::Text) { " Import chats as messages instead." } else { "" };
        Some(format!(
            "{} {contain} special tokens of the model ({special} in line {line}); they are read as plain text.{advice}",
            plural(self.num_rows, "row")
        ))
    }
}

/// Why no row is left.
fn nothing_left(ledger: &Ledger, lengths: &[u32], max_tokens: usize) -> DataError {
    let counts = ledger.counts();
    let is_masked = |fate: &Fate| matches!(fate, Fate::NoAnswer { reason } if reason == MASKED);
    let num_masked = ledger.count(is_masked);
    let num_unusable = counts.num_malformed + counts.num_no_answer;
    let shortest = lengths.iter().min().map_or(0, |n| *n as usize);
    let longest = lengths.iter().max().map_or(0, |n| *n as usize);
    // What most rows suffer from is what to do something about.
    if counts.num_too_long > num_unusable {
        return DataError::AllTooLong { num_rows: counts.num_too_long, max_tokens, shortest };
    }
    if counts.num_answer_cut > num_unusable {
        return DataError::AnswersCut { num_rows: counts.num_answer_cut, max_tokens, longest };
    }
    if num_masked > 0 && counts.num_malformed == 0 && num_masked == counts.num_no_answer {
        let why = format!("none of the {} has a token to learn from: {MASKED}", plural(num_masked, "row"));
        return DataError::AllMasked { why };
    }
    let mut why = ledger.summary();
    let with_reason = |fate: &Fate| matches!(fate, Fate::Malformed { .. } | Fate::NoAnswer { .. });
    if let Some(entry) = ledger.entries.iter().find(|entry| with_reason(&entry.fate)) {
        why.push_str(&format!("; line {}: {}", entry.line, entry.fate));
    }
    DataError::NothingLeft { why }
}

/// Rows with content, in file order; the others become lines of the ledger.
fn rows(
    imported: &Imported,
    schema: &Schema,
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
        match schema.row(&imported.table, index) {
            Err(fate) => ledger.add(line, fate),
            Ok(row) => match seen.get(&row.hash) {
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

//! `tunesmith data inspect|preview`

use super::show::Show;
use super::table::{one_line, table};
use super::{number, out};
use crate::base::{Control, Failure, human};
use crate::data::import::{How, ImportOptions, Imported};
use crate::data::mask::TrainOn;
use crate::data::prepare::{Dataset, Piece, PrepareOptions};
use crate::data::{Fate, Ledger, Role};
use crate::engine::Halt;
use crate::engine::jobs;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Rows of the file that are shown.
const NUM_ROWS: usize = 5;
/// Lines of the ledger that are printed; `--json` has all.
const NUM_LEDGER_LINES: usize = 20;

#[derive(Subcommand)]
pub enum Action {
    /// How the file is understood: format, encoding, what each column is for, and which rows are left out
    Inspect(Inspect),
    /// One row as the model sees it, with the part that is trained on marked
    Preview(Preview),
}

#[derive(Args)]
pub struct Reading {
    /// The data file: CSV, TSV, JSON, JSONL, Parquet, XLSX or text
    file: PathBuf,
    /// Text encoding, for example windows-1254; recognised when not given
    #[arg(long)]
    encoding: Option<String>,
    /// What separates the cells of a CSV file; recognised when not given
    #[arg(long)]
    separator: Option<char>,
}

#[derive(Args)]
pub struct Inspect {
    #[command(flatten)]
    reading: Reading,
    /// Count tokens with this model's tokenizer, too: split, lengths, duplicates
    #[arg(long)]
    model: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Preview {
    #[command(flatten)]
    reading: Reading,
    /// Name from `tunesmith model list`, hub id (org/name), model folder or .gguf file
    #[arg(long)]
    model: String,
    /// Which of the kept rows, from 1
    #[arg(long, default_value_t = 1, value_parser = number::times)]
    row: u64,
    /// Longest example, in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 512, value_parser = number::at_least_one)]
    max_tokens: usize,
    /// Train on everything instead of on the answers only
    #[arg(long)]
    everything: bool,
    /// Show the text without the model's chat template
    #[arg(long)]
    plain: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Action {
    pub fn is_json(&self) -> bool {
        match self {
            Self::Inspect(a) => a.json,
            Self::Preview(a) => a.json,
        }
    }
}

pub fn run(action: Action, control: &Control) -> Result<(), Halt> {
    match action {
        Action::Inspect(a) => inspect(&a, control),
        Action::Preview(a) => preview(&a, control),
    }
}

fn read(reading: &Reading, control: &Control, show: &mut Show) -> Result<Imported, Halt> {
    let options = ImportOptions {
        encoding: reading.encoding.clone(),
        separator: reading.separator,
        ..ImportOptions::default()
    };
    jobs::data::read(&reading.file, &options, control, &mut |kind| show.take(&kind))
}

fn prepare(
    imported: &Imported,
    model: &str,
    options: &PrepareOptions,
    control: &Control,
    show: &mut Show,
) -> Result<Dataset, Halt> {
    let files = jobs::model::open(model)?;
    jobs::data::prepare_for(imported, &files, options, control, &mut |kind| show.take(&kind))
}

fn inspect(a: &Inspect, control: &Control) -> Result<(), Halt> {
    let mut show = Show::new();
    let imported = read(&a.reading, control, &mut show)?;
    let options = PrepareOptions::new(imported.schema.clone());
    let dataset = match &a.model {
        Some(model) => Some(prepare(&imported, model, &options, control, &mut show)?),
        None => None,
    };
    show.clear();
    if a.json {
        out::json(&inspected(&imported, dataset.as_ref()));
    } else {
        out::line(described(&imported, dataset.as_ref()));
    }
    Ok(())
}

fn roles(imported: &Imported) -> impl Iterator<Item = (&str, Role)> {
    let role = |i: usize| imported.schema.roles.get(i).copied().unwrap_or(Role::Ignore);
    imported.table.columns.iter().enumerate().map(move |(i, c)| (c.name.as_str(), role(i)))
}

fn inspected(imported: &Imported, dataset: Option<&Dataset>) -> Value {
    let columns: Vec<Value> =
        roles(imported).map(|(name, role)| json!({ "name": name, "role": role })).collect();
    let sample: Vec<Vec<&str>> = (0..imported.table.num_rows().min(NUM_ROWS))
        .map(|row| (0..imported.table.columns.len()).map(|c| imported.table.cell(row, c)).collect())
        .collect();
    json!({
        "path": imported.path,
        "format": imported.format,
        "encoding": imported.encoding,
        "separator": imported.separator,
        "num_bytes": imported.num_bytes,
        "num_rows": imported.table.num_rows(),
        "layout": imported.schema.layout(),
        "columns": columns,
        "sample": sample,
        "ledger": ledger_json(dataset.map_or(&imported.ledger, |d| &d.ledger)),
        "dataset": dataset.map(dataset_json),
    })
}

fn ledger_json(ledger: &Ledger) -> Value {
    json!({
        "num_read": ledger.num_read,
        "num_kept": ledger.num_kept(),
        "num_empty": ledger.count(|f| matches!(f, Fate::Empty)),
        "num_malformed": ledger.count(|f| matches!(f, Fate::Malformed { .. })),
        "num_duplicate": ledger.count(|f| matches!(f, Fate::Duplicate { .. })),
        "num_truncated": ledger.count(|f| matches!(f, Fate::Truncated { .. })),
        "num_too_long": ledger.count(|f| matches!(f, Fate::TooLong { .. })),
        "entries": ledger.entries,
    })
}

fn dataset_json(dataset: &Dataset) -> Value {
    json!({
        "num_train": dataset.split.train.len(),
        "num_valid": dataset.split.valid.len(),
        "num_test": dataset.split.test.len(),
        "tokens": {
            "total": dataset.stats.total(),
            "trained": dataset.stats.num_trained,
            "median": dataset.stats.percentile(50.0),
            "p95": dataset.stats.percentile(95.0),
            "longest": dataset.stats.percentile(100.0),
        },
    })
}

fn described(imported: &Imported, dataset: Option<&Dataset>) -> String {
    let mut lines = vec![format!(
        "{}: {:?}, {}, {}",
        imported.path.display(),
        imported.format,
        human::bytes(imported.num_bytes),
        human::plural(imported.table.num_rows() as u64, "row")
    )];
    if let Some(found) = &imported.encoding {
        let how = match found.how {
            How::ByteOrderMark => "by its byte order mark",
            How::Guessed => "guessed",
            How::Said => "as you said",
        };
        lines.push(format!("encoding {} ({how})", found.name));
    }
    let layout = imported.schema.layout();
    lines.push(match layout {
        Some(layout) => format!("layout {}", snake(&layout)),
        None => "layout not recognised: say what each column is for".into(),
    });
    let heading: Vec<String> =
        roles(imported).map(|(name, role)| format!("{} [{}]", one_line(name), snake(&role))).collect();
    let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> = (0..imported.table.num_rows().min(NUM_ROWS))
        .map(|row| (0..heading.len()).map(|c| imported.table.cell(row, c).to_string()).collect())
        .collect();
    lines.push(format!("\n{}\n", table(&heading, &rows)));
    lines.extend(ledger_lines(dataset.map_or(&imported.ledger, |d| &d.ledger)));
    if let Some(dataset) = dataset {
        let (split, stats) = (&dataset.split, &dataset.stats);
        lines.push(format!(
            "split: {} to train, {} to validate, {} to test",
            split.train.len(),
            split.valid.len(),
            split.test.len()
        ));
        lines.push(format!(
            "tokens: {} in all, {} of them trained on; median {}, 95 % up to {}, longest {}",
            human::count(stats.total()),
            human::count(stats.num_trained),
            stats.percentile(50.0),
            stats.percentile(95.0),
            stats.percentile(100.0)
        ));
    }
    lines.join("\n")
}

/// The name that a value has in files.
fn snake(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(String::from)).unwrap_or_default()
}

fn ledger_lines(ledger: &Ledger) -> Vec<String> {
    let mut lines = vec![format!(
        "ledger: {} read, {} kept",
        human::plural(ledger.num_read, "row"),
        human::count(ledger.num_kept())
    )];
    for entry in ledger.entries.iter().take(NUM_LEDGER_LINES) {
        let fate = match &entry.fate {
            Fate::Empty => "empty".to_string(),
            Fate::Malformed { reason } => format!("left out: {reason}"),
            Fate::Duplicate { of_line } => format!("the same as line {of_line}"),
            Fate::Truncated { num_tokens } => format!("cut ({num_tokens} tokens)"),
            Fate::TooLong { num_tokens } => format!("too long ({num_tokens} tokens)"),
        };
        lines.push(format!("  line {}: {fate}", entry.line));
    }
    let more = ledger.entries.len().saturating_sub(NUM_LEDGER_LINES);
    if more > 0 {
        lines.push(format!("  and {} more", human::count(more as u64)));
    }
    lines
}

fn preview(a: &Preview, control: &Control) -> Result<(), Halt> {
    let mut show = Show::new();
    let imported = read(&a.reading, control, &mut show)?;
    let mut options = PrepareOptions::new(imported.schema.clone());
    options.max_tokens = a.max_tokens;
    options.chat = !a.plain;
    if a.everything {
        options.train_on = TrainOn::Everything;
    }
    let dataset = prepare(&imported, &a.model, &options, control, &mut show)?;
    show.clear();
    let index = a.row as usize - 1;
    let Some(row) = dataset.rows.get(index) else {
        return Err(Failure::new(
            "There is no such row",
            format!(
                "row {} was asked for, but {} kept",
                a.row,
                human::plural(dataset.rows.len() as u64, "row")
            ),
            format!("Choose a row from 1 to {}.", dataset.rows.len()),
        )
        .into());
    };
    let pieces = dataset.preview(index)?;
    let (num_tokens, num_trained) = (dataset.samples[index].len(), dataset.samples[index].num_trained());
    if a.json {
        let pieces: Vec<Value> =
            pieces.iter().map(|p| json!({ "text": p.text, "trained": p.is_trained })).collect();
        out::json(&json!({
            "row": a.row, "line": row.line, "num_tokens": num_tokens, "num_trained": num_trained,
            "example": row.example, "pieces": pieces,
        }));
    } else {
        out::line(coloured(&pieces));
        out::note(format!(
            "\nrow {} (line {}): {num_tokens} tokens, {num_trained} trained on ({})",
            a.row,
            row.line,
            if out::has_colours() { "green" } else { "between » and «" }
        ));
    }
    Ok(())
}

/// What is trained on in green, or between marks where there are no colours.
fn coloured(pieces: &[Piece]) -> String {
    let (begin, end) = if out::has_colours() { ("\x1b[1;32m", "\x1b[0m") } else { ("»", "«") };
    let mut text = String::new();
    let mut is_open = false;
    for piece in pieces {
        if piece.is_trained != is_open {
            text.push_str(if is_open { end } else { begin });
            is_open = piece.is_trained;
        }
        // Control characters of a data file must not reach the terminal.
        text.extend(
            piece.text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{FFFD}' } else { c }),
        );
    }
    if is_open {
        text.push_str(end);
    }
    text
}

//! `tunesmith data inspect|preview|split`

use super::show::Show;
use super::table::{one_line, table};
use super::{ledger, lengths, number, out};
use crate::base::{Control, Failure, human};
use crate::data::import::{How, ImportOptions, Imported};
use crate::data::mask::TrainOn;
use crate::data::prepare::{Dataset, Piece, PrepareOptions};
use crate::data::{Ledger, Role, prepare as preparing, reading};
use crate::engine::Halt;
use crate::engine::jobs::{self, Report};
use crate::export;
use crate::recipe::{Recipe, load};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Rows of the file that are shown.
const NUM_ROWS: usize = 5;
/// Lines of the ledger that are printed; `--json` has all.
const NUM_LEDGER_LINES: usize = 20;
/// Columns that are shown; `--json` has all.
const NUM_COLUMNS: usize = 8;

#[derive(Subcommand)]
pub enum Action {
    /// How the file is understood: format, encoding, what each column is for, and which rows are left out
    Inspect(Inspect),
    /// One row as the model sees it, with the part that is trained on marked
    Preview(Preview),
    /// The rows that a run would train on, validate with and test on, as three JSON Lines files for other programs
    Split(Split),
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
    /// Take roles, template, limits and split from this recipe; FILE stands for its data
    #[arg(long)]
    recipe: Option<PathBuf>,
}

impl Reading {
    fn recipe(&self) -> Result<Option<Recipe>, Halt> {
        let Some(path) = &self.recipe else { return Ok(None) };
        let unusable = |problems: Vec<_>| jobs::train::refusal("The recipe cannot be used", &problems);
        Ok(Some(load::from_file(path).map_err(unusable)?))
    }
}

/// As the recipe says, or the usual choices.
fn options(recipe: Option<&Recipe>, imported: &Imported) -> PrepareOptions {
    match recipe {
        Some(recipe) => jobs::data::prepare_options(recipe, imported),
        None => PrepareOptions::new(imported.schema.clone()),
    }
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
    #[arg(long, required_unless_present = "recipe")]
    model: Option<String>,
    /// Which of the kept rows, from 1
    #[arg(long, default_value_t = 1, value_parser = number::times)]
    row: u64,
    /// Longest example, in tokens; 512 unless a recipe says otherwise
    #[arg(long, value_name = "TOKENS", value_parser = number::at_least_one)]
    max_tokens: Option<usize>,
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

#[derive(Args)]
pub struct Split {
    #[command(flatten)]
    reading: Reading,
    /// Name from `tunesmith model list`, hub id (org/name), model folder or .gguf file: its tokenizer says what is too long
    #[arg(long, required_unless_present = "recipe")]
    model: Option<String>,
    /// Folder for train.jsonl, valid.jsonl and test.jsonl, new or empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Action {
    pub fn is_json(&self) -> bool {
        match self {
            Self::Split(a) => a.json,
            Self::Inspect(a) => a.json,
            Self::Preview(a) => a.json,
        }
    }
}

pub fn run(action: Action, control: &Control) -> Result<(), Halt> {
    match action {
        Action::Inspect(a) => inspect(&a, control),
        Action::Preview(a) => preview(&a, control),
        Action::Split(a) => split(&a, control),
    }
}

fn read(
    reading: &Reading,
    recipe: Option<&Recipe>,
    control: &Control,
    show: &mut Show,
) -> Result<Imported, Halt> {
    let mut options = recipe.map_or_else(ImportOptions::default, jobs::data::import_options);
    options.encoding = reading.encoding.clone().or(options.encoding);
    options.separator = reading.separator.or(options.separator);
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
    let recipe = a.reading.recipe()?;
    let mut imported = read(&a.reading, recipe.as_ref(), control, &mut show)?;
    let options = options(recipe.as_ref(), &imported);
    imported.schema.clone_from(&options.schema);
    let prepared = a.model.as_ref().map(|model| prepare(&imported, model, &options, control, &mut show));
    let known = |show: &mut Show| -> Result<Ledger, Halt> {
        let mut sink = |kind| show.take(&kind);
        Ok(preparing::ledger(&imported, &options, control, &mut Report::to(&mut sink))?)
    };
    let (ledger, dataset, refused) = match prepared {
        Some(Ok(dataset)) => (dataset.ledger.clone(), Some(dataset), None),
        Some(Err(halt)) if a.json => return Err(halt),
        // What cannot be trained on as it is can still be looked at.
        Some(Err(Halt::Failed(why))) => {
            let ledger = known(&mut show).unwrap_or_else(|_| imported.ledger.clone());
            (ledger, None, Some(Halt::Failed(why)))
        }
        Some(Err(halt)) => return Err(halt),
        None => (known(&mut show)?, None, None),
    };
    show.clear();
    if a.json {
        out::json(&inspected(&imported, &ledger, dataset.as_ref()));
    } else {
        out::line(described(&imported, &ledger, dataset.as_ref()));
    }
    refused.map_or(Ok(()), Err)
}

fn roles(imported: &Imported) -> impl Iterator<Item = (&str, Role)> {
    let role = |i: usize| imported.schema.roles.get(i).copied().unwrap_or(Role::Ignore);
    imported.table.columns.iter().enumerate().map(move |(i, c)| (c.name.as_str(), role(i)))
}

fn inspected(imported: &Imported, ledger: &Ledger, dataset: Option<&Dataset>) -> Value {
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
        "ledger": ledger::json(ledger),
        "dataset": dataset.map(dataset_json),
    })
}

fn dataset_json(dataset: &Dataset) -> Value {
    json!({
        "num_train": dataset.split.train.len(),
        "num_valid": dataset.split.valid.len(),
        "num_test": dataset.split.test.len(),
        "tokens": lengths::json(dataset),
    })
}

fn described(imported: &Imported, ledger: &Ledger, dataset: Option<&Dataset>) -> String {
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
    let columns = columns(imported);
    let roles: Vec<(&str, Role)> = roles(imported).collect();
    let named = |c: &usize| format!("{} [{}]", one_line(roles[*c].0), snake(&roles[*c].1));
    let heading: Vec<String> = columns.iter().map(named).collect();
    let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> = (0..imported.table.num_rows().min(NUM_ROWS))
        .map(|row| columns.iter().map(|c| imported.table.cell(row, *c).to_string()).collect())
        .collect();
    lines.push(format!("\n{}\n", table(&heading, &rows)));
    if columns.len() < roles.len() {
        let num_more = human::count((roles.len() - columns.len()) as u64);
        lines.push(format!("… and {num_more} more columns\n"));
    }
    lines.extend(ledger::lines(ledger, NUM_LEDGER_LINES));
    if let Some(dataset) = dataset {
        let split = &dataset.split;
        lines.push(format!(
            "split: {} to train, {} to validate, {} to test",
            split.train.len(),
            split.valid.len(),
            split.test.len()
        ));
        lines.extend(lengths::lines(dataset));
    }
    lines.join("\n")
}

/// Columns to show: first those that play a part, in the order of the file.
fn columns(imported: &Imported) -> Vec<usize> {
    let mut columns: Vec<(bool, usize)> =
        roles(imported).enumerate().map(|(c, (_, role))| (role == Role::Ignore, c)).collect();
    columns.sort_unstable();
    let mut columns: Vec<usize> = columns.into_iter().take(NUM_COLUMNS).map(|(_, c)| c).collect();
    columns.sort_unstable();
    columns
}

/// The name that a value has in files.
fn snake(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(String::from)).unwrap_or_default()
}

fn preview(a: &Preview, control: &Control) -> Result<(), Halt> {
    let mut show = Show::new();
    let recipe = a.reading.recipe()?;
    let imported = read(&a.reading, recipe.as_ref(), control, &mut show)?;
    let mut options = options(recipe.as_ref(), &imported);
    options.max_tokens = a.max_tokens.unwrap_or(options.max_tokens);
    options.chat &= !a.plain;
    if a.everything {
        options.reading = reading::Reading::Written { train_on: TrainOn::Everything };
    }
    let of_recipe = recipe.map(|recipe| recipe.model.source).unwrap_or_default();
    let model = a.model.as_deref().unwrap_or(&of_recipe);
    let dataset = prepare(&imported, model, &options, control, &mut show)?;
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
            "example": dataset.example(index), "pieces": pieces,
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

fn split(a: &Split, control: &Control) -> Result<(), Halt> {
    let mut show = Show::new();
    export::check_free(&a.out)?;
    let recipe = a.reading.recipe()?;
    let imported = read(&a.reading, recipe.as_ref(), control, &mut show)?;
    let options = options(recipe.as_ref(), &imported);
    let of_recipe = recipe.map(|recipe| recipe.model.source).unwrap_or_default();
    let model = a.model.as_deref().unwrap_or(&of_recipe);
    let dataset = prepare(&imported, model, &options, control, &mut show)?;
    export::split(&dataset, &a.out)?;
    show.clear();
    let (train, valid, test) = (&dataset.split.train, &dataset.split.valid, &dataset.split.test);
    if a.json {
        out::json(
            &json!({ "path": a.out, "num_train": train.len(), "num_valid": valid.len(), "num_test": test.len() }),
        );
    } else {
        let dir = a.out.display();
        out::line(format!(
            "{dir}: {} to train, {} to validate, {} to test",
            train.len(),
            valid.len(),
            test.len()
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

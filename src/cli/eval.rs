//! `tunesmith eval`

use super::asking::{self, Model};
use super::show::Show;
use super::{ledger, number, out};
use crate::base::{Control, Failure};
use crate::data::DataError;
use crate::data::import::{ImportOptions, Imported};
use crate::data::prepare::{Dataset, PrepareOptions, prepare_rows};
use crate::data::shots::{LineFormat, Shot, draw};
use crate::engine::Halt;
use crate::engine::jobs::judge::Judge;
use crate::engine::jobs::measure::{Style, answer_all, ask_rows, greedy, loss};
use crate::engine::jobs::{self, Report, reader};
use crate::eval::report::Report as Figures;
use crate::project::RunFolder;
use crate::project::event::PERPLEXITY;
use crate::recipe::{Recipe, Task};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: Model,
    /// Data file with the rows to measure on
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Which rows: all, or one part of the split. With the adapter of a run, the file is read, understood and split
    /// as in the run
    #[arg(long, value_enum, default_value_t)]
    part: Part,
    /// Examples shown before each question, drawn from the training part; these rows are not measured
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = number::count)]
    num_shots: usize,
    /// Longest answer, in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 64, value_parser = number::at_least_one)]
    max_tokens: usize,
    /// At most so many rows; all of them when not given
    #[arg(long, value_name = "ROWS", value_parser = number::at_least_one)]
    limit: Option<usize>,
    /// Send the questions as they are, without the model's chat template
    #[arg(long)]
    plain: bool,
    /// Decides the split, where no run does, and which examples are shown
    #[arg(long, default_value_t = 17, value_parser = number::seed)]
    seed: u64,
    /// Which of several tasks that were learnt together
    #[arg(long, value_name = "NAME")]
    task: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// A part of the data, as the adapter's run saw it, or a run with the usual split.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Part {
    #[default]
    All,
    Train,
    Valid,
    Test,
}

pub fn run(a: &Arguments, control: &Control) -> Result<(), Halt> {
    let mut show = Show::new();
    let files = jobs::model::open(&a.model.model)?;
    if let Some(task) = reader::named(&files, a.model.adapter.as_deref(), a.task.as_deref())? {
        return judged(a, task, control, &mut show);
    }
    let loaded = asking::load(&a.model, control, &mut show)?;
    let (model, adapter) = (&loaded.model, loaded.adapter.as_ref());
    let mut sink = |kind| show.take(&kind);
    let of_run = recipe_of_run(a);
    let reading = of_run.as_ref().map_or_else(ImportOptions::default, jobs::data::import_options);
    let imported = jobs::data::read(&a.data, &reading, control, &mut sink)?;
    let options = options(a, of_run.as_ref(), &imported, model.config().context_tokens);
    let (tokeniser, template) = (model.tokeniser.clone(), model.template.clone());
    let mut report = Report::to(&mut sink);
    let dataset = prepare_rows(&imported, tokeniser, template, &options, control, &mut report)
        .map_err(|error| unmeasurable(error, a))?;
    show.rows(&dataset.ledger);
    let shots = draw(|row| dataset.shot(row), &dataset.split.train, a.num_shots, a.seed);
    asking::need_shots(shots.len(), a.num_shots, "the training part", &a.data)?;
    let mut sink = |kind| show.take(&kind);
    let rows = chosen(a, &dataset, &shots);
    if rows.is_empty() {
        return Err(nothing_to_measure(a).into());
    }
    let style =
        Style { chat: dataset.options.chat, format: LineFormat::default(), shots, num_shots: a.num_shots };
    let asked = ask_rows(model, &dataset, &rows, &style)?;
    let options = greedy(model, a.max_tokens, style.stop(model));
    let scored = answer_all(model, adapter, &asked, &options, "Answering", control, &mut sink)?;
    let samples: Vec<_> = rows.iter().map(|i| &dataset.samples[*i]).collect();
    let total = loss(model, adapter, &samples, "Loss", control, &mut sink)?;
    let figures = Figures::of(&scored).with_loss(total.sum, total.weight, total.num_examples);
    show.clear();
    if a.json {
        let mut value = serde_json::json!(figures);
        value["ledger"] = ledger::json(&dataset.ledger);
        out::json(&value)
    } else {
        out::line(told(&figures))
    }
    Ok(())
}

/// Measures a model that was tuned to judge texts, on the rows that its task reads.
fn judged(a: &Arguments, task: Task, control: &Control, show: &mut Show) -> Result<(), Halt> {
    let loaded = asking::load_model(&a.model, control, show)?;
    let judge = Judge::new(&loaded, a.model.adapter.as_deref(), task)?;
    let model = &judge.reader.model;
    let of_run = recipe_of_run(a);
    let reading = of_run.as_ref().map_or_else(ImportOptions::default, jobs::data::import_options);
    let mut sink = |kind| show.take(&kind);
    let imported = jobs::data::read(&a.data, &reading, control, &mut sink)?;
    let mut options = options(a, of_run.as_ref(), &imported, model.config().context_tokens);
    options.reading = judge.task.reading(options.split.seed);
    let (tokeniser, template) = (model.tokeniser.clone(), model.template.clone());
    let mut report = Report::to(&mut sink);
    let dataset = prepare_rows(&imported, tokeniser, template, &options, control, &mut report)?;
    show.rows(&dataset.ledger);
    let rows = chosen(a, &dataset, &[]);
    if rows.is_empty() {
        return Err(nothing_to_measure(a).into());
    }
    let (total, report) = judge.measure(&dataset, &rows, control)?;
    show.clear();
    if a.json {
        let mut value = serde_json::json!({ "rows": rows.len(), "loss": total.mean(), "report": report });
        if let Some(perplexity) = total.perplexity() {
            value[PERPLEXITY] = perplexity.into();
        }
        value["ledger"] = ledger::json(&dataset.ledger);
        out::json(&value);
        return Ok(());
    }
    out::line(format!("{:<14}{}\n{:<14}{:.4}", "rows", rows.len(), "loss", total.mean()));
    if let Some(report) = report {
        out::line(report.to_string());
    }
    if let Some(perplexity) = total.perplexity() {
        out::line(format!("{:<14}{perplexity:.2}", PERPLEXITY));
    }
    Ok(())
}

/// The recipe of the run that made the adapter: rows it was trained on must not count as test rows.
fn recipe_of_run(a: &Arguments) -> Option<Recipe> {
    let adapter = std::path::absolute(a.model.adapter.as_ref()?).ok()?;
    let whole = adapter.ancestors().take(3).find_map(|folder| RunFolder::open(folder).ok()?.recipe().ok())?;
    let place = whole.tasks.iter().position(|task| Some(&task.name) == a.task.as_ref());
    whole.each_task().into_iter().nth(place.unwrap_or(0))
}

/// As in the run; or the usual choices. The place of a row hangs on its prompt and so on roles and template.
fn options(a: &Arguments, run: Option<&Recipe>, imported: &Imported, context: usize) -> PrepareOptions {
    let mut options = match run {
        Some(recipe) => jobs::data::prepare_options(recipe, imported),
        None => PrepareOptions { max_tokens: context, ..PrepareOptions::new(imported.schema.clone()) },
    };
    if run.is_none() {
        options.split.seed = a.seed;
    } else if options.schema.check(&imported.table).is_err() {
        out::note("The columns are not those of the adapter's run: what they are for is recognised anew.");
        options.schema = imported.schema.clone();
    }
    options.max_tokens = options.max_tokens.min(context);
    options.chat &= !a.plain;
    options
}

/// Rows to measure, without those that are shown as examples.
fn chosen(a: &Arguments, dataset: &Dataset, shots: &[Shot]) -> Vec<usize> {
    let split = &dataset.split;
    let part = match a.part {
        Part::All => (0..dataset.rows.len()).collect(),
        Part::Train => split.train.clone(),
        Part::Valid => split.valid.clone(),
        Part::Test => split.test.clone(),
    };
    let is_shown = |i: &usize| dataset.shot(*i).is_some_and(|shot| shots.contains(&shot));
    part.into_iter().filter(|i| !is_shown(i)).take(a.limit.unwrap_or(usize::MAX)).collect()
}

/// Nobody is trained here: what to do is about the file and the model.
fn unmeasurable(error: DataError, a: &Arguments) -> Halt {
    let hint = match &error {
        DataError::AnswersCut { .. } => "Choose a model with a longer context, or shorten the rows.",
        DataError::AllMasked { .. } => "Leave the chat template out (--plain).",
        DataError::NothingLeft { .. } => {
            "`tunesmith data inspect` lists the rows with their reasons: put them right in the file."
        }
        DataError::Schema { .. } => {
            let why = format!("no question and answer are recognised in it ({})", a.data.display());
            let hint = "Name the columns in the first row, for example question and answer.";
            return Failure::new("The columns do not fit", why, hint).into();
        }
        _ => return error.into(),
    };
    Failure::new("There is nothing to measure", format!("{error} ({})", a.data.display()), hint).into()
}

fn nothing_to_measure(a: &Arguments) -> Failure {
    Failure::new(
        "There is nothing to measure",
        format!("no row is left in this part of {}", a.data.display()),
        "Choose --part all, a file with more rows, or fewer shots.",
    )
}

fn told(figures: &Figures) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "not measured".into(), |v| format!("{v:.4}"));
    let percent = |value: Option<f64>| value.map_or_else(|| "?".into(), |v| format!("{:.1}", v * 100.0));
    let exact = match figures.exact_match {
        None => "not measured: no row has a known answer".to_string(),
        share => format!(
            "{} % ({} to {} % likely)",
            percent(share),
            percent(figures.exact_match_low),
            percent(figures.exact_match_high)
        ),
    };
    let rows = [
        ("rows", figures.num_examples.to_string()),
        ("loss", number(figures.loss)),
        ("perplexity", number(figures.perplexity)),
        ("exact match", exact),
        ("word F1", number(figures.token_f1)),
        ("ROUGE-L", number(figures.rouge_l)),
        ("BLEU", number(figures.bleu)),
    ];
    let mut lines = rows.map(|(name, value)| format!("{name:<14}{value}")).to_vec();
    if let Some(problem) = &figures.unanswered_because {
        lines.push(format!(
            "{:<14}{} of {}, not scored: {problem}",
            "not answered", figures.num_unanswered, figures.num_examples
        ));
    }
    lines.join("\n")
}

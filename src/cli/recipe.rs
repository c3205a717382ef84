//! `tunesmith recipe list|show|check`

use super::show::Show;
use super::table::table;
use super::{ledger, out};
use crate::base::{Control, Explain, Failure, human};
use crate::data::import::import;
use crate::data::prepare::prepare;
use crate::data::{DataError, GeneralText, Ledger};
use crate::engine::Halt;
use crate::engine::jobs::{Report, data, model, speed, train};
use crate::recipe::plan::{DataFacts, Facts, ModelFacts};
use crate::recipe::{Plan, Problem, Recipe, Severity, load, preset};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub enum Action {
    /// The recipes that come along (presets), and what each is for
    List(List),
    /// Print a preset as a file to change: tunesmith recipe show balanced > my.toml
    Show(Print),
    /// Every problem of a recipe, with a fix where there is one
    Check(Check),
}

#[derive(Args)]
pub struct List {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Print {
    /// Name from `tunesmith recipe list`
    name: String,
}

#[derive(Args)]
pub struct Check {
    /// The recipe, a TOML file
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Action {
    pub fn is_json(&self) -> bool {
        match self {
            Self::Check(a) => a.json,
            Self::List(a) => a.json,
            Self::Show(_) => false,
        }
    }
}

pub fn run(action: Action, control: &Control) -> Result<(), Halt> {
    match action {
        Action::Check(a) => check(&a, control),
        Action::List(a) => {
            list(&a);
            Ok(())
        }
        Action::Show(a) => show(&a),
    }
}

fn list(a: &List) {
    let presets = preset::all();
    if a.json {
        let told = |p: &preset::Preset| json!({ "name": p.name, "about": p.recipe.about });
        out::json(&json!({ "presets": presets.iter().map(told).collect::<Vec<_>>() }));
        return;
    }
    let rows: Vec<Vec<String>> =
        presets.into_iter().map(|p| vec![p.name.to_string(), p.recipe.about]).collect();
    out::line(table(&["name", "what it is for"], &rows));
}

fn show(a: &Print) -> Result<(), Halt> {
    let Some(text) = preset::text(&a.name) else {
        let names: Vec<&str> = preset::all().iter().map(|p| p.name).collect();
        let detail = format!("no preset is called \"{}\"", a.name);
        return Err(Failure::new(
            "The preset was not found",
            detail,
            format!("There are: {}.", names.join(", ")),
        )
        .into());
    };
    out::piece(text);
    Ok(())
}

fn check(a: &Check, control: &Control) -> Result<(), Halt> {
    let mut seen = Seen::default();
    let problems = match load::from_file(&a.file) {
        Ok(recipe) => checked(&recipe, &a.file, &mut seen, control),
        Err(problems) => problems,
    };
    let num_errors = problems.iter().filter(|p| p.severity == Severity::Error).count();
    if a.json {
        let rows = seen.ledger.as_ref().map(ledger::json);
        out::json(&json!({
            "ok": num_errors == 0, "problems": problems, "not_checked": seen.unknown, "ledger": rows,
            "estimate": seen.plan.as_ref().map(estimate_json),
        }));
    } else {
        for problem in &problems {
            let kind = if problem.severity == Severity::Error { "error" } else { "warning" };
            out::line(format!("{kind}: {}", train::told(problem)));
            if let Some(fix) = &problem.fix {
                out::line(format!("  {}: {} = {}", fix.label, fix.field, fix.value));
            }
        }
        for why in &seen.unknown {
            out::line(format!("not checked: {why}"));
        }
        if problems.is_empty() {
            out::line("The recipe is fine.");
        }
        if let Some(plan) = &seen.plan {
            out::line(estimate_words(plan));
        }
    }
    if num_errors > 0 { Err(Halt::Reported) } else { Ok(()) }
}

fn estimate_json(plan: &Plan) -> serde_json::Value {
    let estimate = plan.estimate();
    json!({
        "updates": plan.num_updates(),
        "secs": estimate.secs,
        "memory_bytes": estimate.memory_bytes,
        "memory_limit_bytes": plan.memory_limit_bytes(),
        "disk_bytes": estimate.disk_bytes,
        "backward_stops_at_block": estimate.backward_stop.map(|stop| stop.block),
    })
}

fn estimate_words(plan: &Plan) -> String {
    let estimate = plan.estimate();
    let of_limit = plan.memory_limit_bytes().map(|l| format!(" of {} allowed", human::bytes(l)));
    format!(
        "About {} for {}, {} of memory{}, {} on disk.",
        human::secs(estimate.secs),
        human::plural(plan.num_updates(), "update"),
        human::bytes(estimate.memory_bytes),
        of_limit.unwrap_or_default(),
        human::bytes(estimate.disk_bytes)
    ) + &estimate.backward_stop.map_or(String::new(), |stop| format!(" {}.", stop.describe()))
}

/// What looking at model and data found.
#[derive(Default)]
struct Seen {
    facts: Facts,
    ledger: Option<Ledger>,
    /// The run, when nothing forbids it.
    plan: Option<Plan>,
    num_micro_batches: Option<u64>,
    /// The data cannot be trained on, and why.
    unusable: Option<Problem>,
    /// What could not be looked at.
    unknown: Vec<String>,
}

/// Problems, as far as model and data can be looked at.
fn checked(recipe: &Recipe, file: &Path, seen: &mut Seen, control: &Control) -> Vec<Problem> {
    seen.facts = train::machine_facts(file);
    if let Err(halt) = look(recipe, seen, control) {
        seen.unknown.push(match halt {
            Halt::Failed(failure) => failure.to_string(),
            Halt::Stopped | Halt::Reported => "stopped".into(),
        });
    }
    let mut problems = recipe.check(&seen.facts);
    if let Some(num) = seen.num_micro_batches {
        seen.facts.speed = speed::measured().ok();
        seen.plan = Plan::new(recipe.clone(), &seen.facts, num).ok();
    }
    // The limit itself is a problem of the recipe already.
    if let Some(unusable) = seen.unusable.take().filter(|p| problems.iter().all(|q| q.field != p.field)) {
        problems.insert(0, unusable);
    }
    problems
}

fn look(recipe: &Recipe, seen: &mut Seen, control: &Control) -> Result<(), Halt> {
    let mut show = Show::new();
    // It is told even where there is no model or data to look at.
    match recipe.forgetting.text.as_ref().map(|text| GeneralText::check(text, control)) {
        Some(Err(DataError::Stopped)) => return Err(Halt::Stopped),
        Some(Err(error)) => seen.unusable = Some(unusable(&error)),
        Some(Ok(())) | None => {}
    }
    let files = model::open(&recipe.model.source)?;
    seen.facts.model = Some(ModelFacts::from(&files.info));
    let (tokeniser, template) = (files.tokeniser()?, files.template()?);
    let mut sink = |kind| show.take(&kind);
    let mut report = Report::to(&mut sink);
    let mut datasets = Vec::new();
    for (name, of_task) in recipe.task_names().into_iter().zip(recipe.each_task()) {
        let Some(path) = &of_task.data.path else { return Ok(()) };
        let imported = import(path, &data::import_options(&of_task), control, &mut report);
        let prepared = imported.and_then(|imported| {
            let options = data::prepare_options(&of_task, &imported);
            let (tokeniser, template) = (tokeniser.clone(), template.clone());
            let dataset = prepare(&imported, tokeniser, template, &options, control, &mut report)?;
            if datasets.is_empty() {
                train::general_text(recipe, &dataset, control, &mut report)?;
            }
            Ok(dataset)
        });
        match prepared {
            Ok(dataset) => datasets.push(dataset),
            Err(DataError::Stopped) => return Err(Halt::Stopped),
            Err(error) => {
                seen.unusable = Some(of_task_named(unusable(&error), name));
                return Ok(());
            }
        }
    }
    datasets.iter().for_each(|dataset| show.rows(&dataset.ledger));
    seen.facts =
        std::mem::take(&mut seen.facts).of_data(recipe, datasets.iter().map(DataFacts::of).collect());
    seen.num_micro_batches = Some(train::num_micro_batches(recipe, &datasets));
    seen.ledger = datasets.into_iter().next().map(|dataset| dataset.ledger);
    Ok(())
}

/// A problem that says of which of several tasks it is.
fn of_task_named(problem: Problem, name: &str) -> Problem {
    if name.is_empty() {
        return problem;
    }
    let field = format!("tasks.{name}.{}", problem.field);
    Problem { field, text: format!("Task \"{name}\": {}", problem.text), ..problem }
}

fn unusable(error: &DataError) -> Problem {
    let text = format!("{}: {error}. {}", error.title(), error.hint());
    Problem { field: field(error).into(), severity: Severity::Error, text, fix: None }
}

/// The setting that an error of the data is about.
fn field(error: &DataError) -> &'static str {
    match error {
        DataError::AllTooLong { .. } | DataError::AnswersCut { .. } | DataError::LimitTooSmall { .. } => {
            "batch.max_tokens"
        }
        DataError::Placeholder { .. } => "data.schema.prompt_template",
        DataError::Schema { .. } => "data.schema",
        DataError::NoTraining { .. } => "data.split",
        DataError::AllMasked { .. } => "objective.train_on",
        DataError::GeneralText(_) | DataError::TextTooShort { .. } => "forgetting.text",
        _ => "data.path",
    }
}

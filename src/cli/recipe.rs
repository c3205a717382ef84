//! `tunesmith recipe list|show|check`

use super::out;
use super::show::Show;
use super::table::table;
use crate::base::{Control, Failure};
use crate::engine::Halt;
use crate::engine::jobs::{data, model, train};
use crate::recipe::plan::Facts;
use crate::recipe::{Problem, Recipe, Severity, load, preset};
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
    let (problems, unknown) = match load::from_file(&a.file) {
        Ok(recipe) => checked(&recipe, &a.file, control),
        Err(problems) => (problems, Vec::new()),
    };
    let num_errors = problems.iter().filter(|p| p.severity == Severity::Error).count();
    if a.json {
        out::json(&json!({ "ok": num_errors == 0, "problems": problems, "not_checked": unknown }));
    } else {
        for problem in &problems {
            let kind = if problem.severity == Severity::Error { "error" } else { "warning" };
            out::line(format!("{kind}: {}", train::told(problem)));
            if let Some(fix) = &problem.fix {
                out::line(format!("  {}: {} = {}", fix.label, fix.field, fix.value));
            }
        }
        for why in &unknown {
            out::line(format!("not checked: {why}"));
        }
        if problems.is_empty() {
            out::line("The recipe is fine.");
        }
    }
    if num_errors > 0 { Err(Halt::Reported) } else { Ok(()) }
}

/// Problems, as far as model and data can be looked at, and what could not be.
fn checked(recipe: &Recipe, file: &Path, control: &Control) -> (Vec<Problem>, Vec<String>) {
    let mut unknown = Vec::new();
    let mut facts = train::machine_facts(file);
    if let Err(halt) = look(recipe, &mut facts, control) {
        unknown.push(match halt {
            Halt::Failed(failure) => failure.to_string(),
            Halt::Stopped | Halt::Reported => "stopped".into(),
        });
    }
    (recipe.check(&facts), unknown)
}

fn look(recipe: &Recipe, facts: &mut Facts, control: &Control) -> Result<(), Halt> {
    let mut show = Show::new();
    let files = model::open(&recipe.model.source)?;
    facts.model = Some(data::model_facts(&files));
    let Some(path) = &recipe.data.path else { return Ok(()) };
    let imported = data::read(path, &data::import_options(recipe), control, &mut |kind| show.take(&kind))?;
    let options = data::prepare_options(recipe, &imported);
    let dataset = data::prepare_for(&imported, &files, &options, control, &mut |kind| show.take(&kind))?;
    facts.data = Some(data::data_facts(&dataset));
    Ok(())
}

//! `tunesmith train`

use super::show::Show;
use super::{ledger, out};
use crate::base::{Control, Failure, human};
use crate::engine::Halt;
use crate::engine::event::EventKind;
use crate::engine::jobs::{BaseModel, LastRead, train};
use crate::project::{Outcome, RunEvent, RunFolder, runs};
use crate::recipe::{Problem, Recipe, load};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

#[derive(Args)]
pub struct Arguments {
    /// The recipe, a TOML file (`tunesmith recipe show balanced` prints one); not needed with --resume
    #[arg(long, value_name = "FILE", required_unless_present = "resume")]
    recipe: Option<PathBuf>,
    /// Changes one setting of the recipe, for example data.path=my.csv or optimizer.learning_rate=3e-4; may be
    /// given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<String>,
    /// Folder of the run, new or empty: it gets the frozen recipe, metrics.jsonl, checkpoints and the adapter
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Go on with the run in --out from its last checkpoint, by the recipe it was begun with
    #[arg(long)]
    resume: bool,
    /// Print one JSON object for each event
    #[arg(long)]
    pub json: bool,
}

pub(super) fn assignment(text: &str) -> Result<String, String> {
    let Some((key, value)) = load::split(text).filter(|(key, _)| !key.is_empty()) else {
        return Err("it must have the form key=value".into());
    };
    match load::misfit(key, value) {
        None => Ok(text.to_string()),
        Some(problem) => Err(problem.text),
    }
}

impl Arguments {
    pub fn contradiction(&self) -> Option<&'static str> {
        let is_told = self.recipe.is_some() || !self.set.is_empty();
        (self.resume && is_told).then_some(
            "a resumed run keeps the recipe it was begun with (recipe.toml in its folder), so --recipe and --set \
             would change nothing.\nLeave them out to go on with the run, or leave out --resume and name a new \
             folder with --out",
        )
    }
}

pub fn run(a: &Arguments, control: &Control) -> Result<(), Halt> {
    let mut show = Show::new();
    let mut failed = false;
    let mut sink = |kind: EventKind| {
        show.take(&kind);
        match &kind {
            EventKind::Run { event, .. } if a.json => {
                failed |= matches!(event, RunEvent::Failed { .. });
                out::json(event);
            }
            EventKind::Rows { ledger, num_train, num_valid, num_test } if a.json => {
                let mut event = ledger::json(ledger);
                event["event"] = json!("data");
                event["num_train"] = json!(num_train);
                event["num_valid"] = json!(num_valid);
                event["num_test"] = json!(num_test);
                out::json(&event);
            }
            _ => {}
        }
    };
    let mut base = BaseModel::default();
    let result = match (&a.recipe, a.resume) {
        (Some(recipe), false) => {
            RunFolder::check_free(&a.out)?;
            let recipe = read(recipe, &a.set)?;
            let ready = train::ready(&recipe, &LastRead::default(), &a.out, control, &mut sink)?;
            let folder = RunFolder::create(&a.out, &recipe)?;
            train::start(&mut base, &ready, &folder, control, &mut sink)
        }
        _ => train::resume(&mut base, &LastRead::default(), &a.out, control, &mut sink),
    };
    show.clear();
    // The run has said so itself, in a line of its own.
    let outcome = match result {
        Err(Halt::Failed(failure)) if failed => {
            out::failure(&failure);
            return Err(Halt::Reported);
        }
        other => other?,
    };
    if !a.json {
        if let Some(course) = runs::summary(&a.out).ok().and_then(|run| run.general_text.describe()) {
            out::line(format!("Perplexity of the general text: {course}."));
        }
        out::line(ending(outcome, a));
    }
    match outcome {
        Outcome::Done | Outcome::StoppedEarly => Ok(()),
        Outcome::Stopped | Outcome::Discarded | Outcome::Failed => Err(Halt::Reported),
    }
}

fn read(path: &std::path::Path, set: &[String]) -> Result<Recipe, Halt> {
    let mut recipe = load::from_file(path).map_err(unusable)?;
    load::set_all(&mut recipe, set).map_err(unusable)?;
    Ok(train::settled(recipe)?)
}

pub(super) fn unusable(problems: Vec<Problem>) -> Failure {
    train::refusal("The recipe cannot be used", &problems)
}

fn ending(outcome: Outcome, a: &Arguments) -> String {
    let out = a.out.display();
    match outcome {
        Outcome::Done | Outcome::StoppedEarly => format!(
            "{} The adapter is in {}. Memory at its highest: {}.",
            if outcome == Outcome::Done {
                "Done."
            } else {
                "Stopped early: the validation loss no longer fell."
            },
            a.out.join("adapter").display(),
            human::bytes(crate::base::hardware::peak_resident_bytes()),
        ),
        Outcome::Stopped => format!("Stopped and saved. Go on with: tunesmith train --resume --out {out}"),
        Outcome::Discarded => "Stopped; nothing was kept.".into(),
        Outcome::Failed => format!("The run failed. Its log is {}.", a.out.join("log.txt").display()),
    }
}

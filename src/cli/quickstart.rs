//! `tunesmith quickstart`: the whole job on a bundled data set.

use super::Device;
use super::show::Show;
use super::table::table;
use super::{number, out};
use crate::base::{Control, Failure, human, storage};
use crate::data::prepare::Dataset;
use crate::data::shots::{LineFormat, draw};
use crate::engine::Halt;
use crate::engine::event::EventKind;
use crate::engine::jobs::measure::{Style, answer_all, ask_rows, greedy};
use crate::engine::jobs::{BaseModel, LastRead, Report, model, train};
use crate::engine::lane::Sink;
use crate::eval::compare::Cell;
use crate::eval::report::Comparison;
use crate::hub::download;
use crate::model::load::LoadedModel;
use crate::peft::Adapter;
use crate::project::samples::{FRUIT, FRUIT_TEXT};
use crate::project::{Outcome, Project, RunFolder, data_ledger};
use crate::recipe::{Recipe, preset};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Instant;

const PRESET: &str = "quickstart";
/// Longest answer: fruit types are one word, but the base model may want to explain itself.
const MAX_ANSWER_TOKENS: usize = 24;
/// Examples shown to the base model.
const SHOTS: [usize; 3] = [0, 1, 3];
/// Answers printed side by side.
const NUM_ANSWERS: usize = 8;

#[derive(Args)]
pub struct Arguments {
    /// Project folder for data, run and adapter; made if it is not there
    #[arg(long, default_value = "tunesmith-quickstart")]
    dir: PathBuf,
    /// Number of training steps (updates); as many as the preset says when not given
    #[arg(long, value_name = "COUNT", value_parser = number::times)]
    updates: Option<u64>,
    /// Another model than the starter model: name from `tunesmith model list`, model folder or .gguf file
    #[arg(long)]
    model: Option<String>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    device: Device,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// One line of the table.
struct Measured {
    model: &'static str,
    num_shots: usize,
    cell: Cell,
}

pub fn run(a: &Arguments, control: &Control) -> Result<(), Halt> {
    let began = Instant::now();
    let mut show = Show::new();
    let mut base = BaseModel::default();
    let mut sink = |kind: EventKind| show.take(&kind);
    let project = Project::open(&a.dir)?;
    let recipe = recipe(a, &project)?;
    if a.model.is_none() {
        download::get(&recipe.model.source, control, &mut Report::to(&mut sink))?;
    }
    let ready = train::ready(&recipe, &LastRead::default(), project.folder(), control, &mut sink)?;
    data_ledger::save(project.folder(), &ready.datasets[0])?;
    let folder = RunFolder::create_in(&project.runs(), &train::name_hint(&recipe), &recipe)?;
    let training = Instant::now();
    let outcome = train::start(&mut base, &ready, &folder, control, &mut sink)?;
    let train_secs = training.elapsed().as_secs_f64();
    if matches!(outcome, Outcome::Stopped | Outcome::Discarded) {
        let path = folder.path().display();
        let hint = format!("Go on with: tunesmith train --resume --out \"{path}\"");
        return Err(
            Failure::new("Stopped and saved", "you asked for it before the run was done", hint).into()
        );
    }
    let model = base.load(&ready.files, train::placement(&recipe), control, &mut sink)?;
    let adapter = model::adapter(&folder.adapter_dir(), &model)?;
    let measured = measure(&model, &adapter, &ready.datasets[0], &recipe, control, &mut sink)?;
    show.clear();
    let secs = Secs { all: began.elapsed().as_secs_f64(), train: train_secs };
    let report = told(&measured, &ready.datasets[0], &folder, secs, &recipe.model.source, a.json);
    if a.json {
        out::json(&report.0)
    } else {
        out::line(report.1)
    }
    Ok(())
}

fn data_file(project: &Project) -> PathBuf {
    project.folder().join("datasets").join(FRUIT)
}

/// Whether the data file holds something else than the bundled example: a user's own rows are theirs.
fn is_changed(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|content| content != FRUIT_TEXT.as_bytes())
}

/// The preset, for the sample written into the project.
fn recipe(a: &Arguments, project: &Project) -> Result<Recipe, Halt> {
    let preset = preset::find(PRESET).ok_or_else(|| {
        Failure::new("The quickstart preset is missing", "this build was put together wrongly", "")
    })?;
    let mut recipe = preset.recipe;
    let path = data_file(project);
    let unwritable = |e: std::io::Error| {
        let detail = format!("{e} ({})", path.display());
        Failure::new("Cannot write the sample data", detail, "Choose another folder with --dir.")
    };
    if !path.exists() {
        storage::write_atomic_bytes(&path, FRUIT_TEXT.as_bytes()).map_err(unwritable)?;
    } else if is_changed(&path) {
        out::note(format!(
            "Using {} as it is: it was changed since it was put there.\nDelete it to train on the bundled example again.",
            path.display()
        ));
    }
    recipe.data.path = Some(std::path::absolute(&path).map_err(unwritable)?);
    recipe.run.device = a.device.into();
    if let Some(model) = &a.model {
        recipe.model.source.clone_from(model);
    }
    if a.updates.is_some() {
        recipe.length.updates = a.updates;
    }
    Ok(recipe)
}

/// The base with 0, 1 and 3 shots and the tuned model with none, on the test part. All get the same chat form.
fn measure(
    model: &LoadedModel,
    adapter: &Adapter,
    dataset: &Dataset,
    recipe: &Recipe,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<Vec<Measured>, Halt> {
    let most = SHOTS.into_iter().max().unwrap_or(0);
    let shots = draw(|row| dataset.shot(row), &dataset.split.train, most, recipe.run.seed);
    let style = |num_shots| Style {
        chat: recipe.data.chat,
        format: LineFormat::default(),
        shots: shots.clone(),
        num_shots,
    };
    let mut all = Vec::new();
    let columns = SHOTS.map(|k| ("base", k, None)).into_iter().chain([("tuned", 0, Some(adapter))]);
    for (name, num_shots, adapter) in columns {
        let style = style(num_shots);
        let asked = ask_rows(model, dataset, &dataset.split.test, &style)?;
        let phase = format!("Testing the {name} model, {}", shots_in_words(num_shots));
        let options = greedy(model, MAX_ANSWER_TOKENS, style.stop(model));
        let answers = answer_all(model, adapter, &asked, &options, &phase, control, sink)?;
        all.push(Measured { model: name, num_shots, cell: Cell::new(answers) });
    }
    Ok(all)
}

fn shots_in_words(num_shots: usize) -> String {
    match num_shots {
        0 => "zero-shot".into(),
        1 => "one-shot".into(),
        k => format!("{k}-shot"),
    }
}

#[derive(Clone, Copy)]
struct Secs {
    all: f64,
    train: f64,
}

fn told(
    measured: &[Measured],
    dataset: &Dataset,
    folder: &RunFolder,
    secs: Secs,
    source: &str,
    is_json: bool,
) -> (serde_json::Value, String) {
    let base = measured.iter().find(|m| m.model == "base" && m.num_shots == 0);
    let tuned = measured.iter().find(|m| m.model == "tuned");
    let comparison = match (base, tuned) {
        (Some(base), Some(tuned)) => Comparison::new(&base.cell.answers, &tuned.cell.answers),
        _ => Comparison::default(),
    };
    let best = measured.iter().filter(|m| m.model == "base").filter_map(|m| m.cell.score.share());
    let best = best.fold(0.0, f64::max);
    let tuned_share = tuned.and_then(|m| m.cell.score.share()).unwrap_or(0.0);
    let gain_points = 100.0 * (tuned_share - best);
    if is_json {
        let table: Vec<_> = measured
            .iter()
            .map(|m| {
                json!({ "model": m.model, "num_shots": m.num_shots, "exact_match": m.cell.score.share(),
                             "matches": m.cell.score.matches, "num_examples": m.cell.score.num })
            })
            .collect();
        let value = json!({
            "table": table, "gain_points": gain_points, "num_test": dataset.split.test.len(),
            "num_train": dataset.split.train.len(), "train_secs": secs.train, "secs": secs.all,
            "run": folder.path(), "adapter": folder.adapter_dir(), "answers": comparison.pairs,
        });
        return (value, String::new());
    }
    let rows: Vec<Vec<String>> = measured
        .iter()
        .map(|m| {
            let share = m.cell.score.share().unwrap_or(0.0);
            let (low, high) = m.cell.score.interval().unwrap_or_default();
            vec![
                m.model.to_string(),
                shots_in_words(m.num_shots),
                format!("{} of {}", m.cell.score.matches, m.cell.score.num),
                format!("{:.0} %", 100.0 * share),
                format!("{:.0} to {:.0} %", 100.0 * low, 100.0 * high),
            ]
        })
        .collect();
    let answers: Vec<Vec<String>> = comparison
        .pairs
        .iter()
        .zip(&dataset.split.test)
        .take(NUM_ANSWERS)
        .map(|(pair, row)| {
            vec![
                dataset.shot(*row).map(|shot| shot.input).unwrap_or_default(),
                pair.expected.clone().unwrap_or_default(),
                pair.base.clone(),
                pair.tuned.clone(),
            ]
        })
        .collect();
    let lines = [
        format!(
            "Exact match on {} that were not trained on:\n",
            human::plural(dataset.split.test.len() as u64, "test row")
        ),
        table(&["model", "prompt", "right", "exact match", "95 % likely"], &rows),
        format!(
            "\nThe tuned model is {gain_points:+.0} points from the base's best. Some answers, all zero-shot:\n"
        ),
        table(&["question", "right", "base", "tuned"], &answers),
        format!(
            "\nTrained on {} in {}; {} in all.",
            human::plural(dataset.split.train.len() as u64, "row"),
            human::secs(secs.train),
            human::secs(secs.all)
        ),
        on_disk(folder.path(), source),
    ];
    (serde_json::Value::Null, lines.join("\n"))
}

/// Where things are, and how to go on.
fn on_disk(run: &Path, source: &str) -> String {
    let adapter = run.join("adapter");
    format!(
        "Run:     {}\nAdapter: {}\nGo on:   tunesmith generate --model {source} --chat --adapter '{}' --prompt \"Which type of fruit is the peach?\"\n         tunesmith    (the window, to look at the run and to train on data of your own)",
        run.display(),
        adapter.display(),
        adapter.display()
    )
}

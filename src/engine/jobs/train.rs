//! From a recipe to a trained adapter.

use super::data::{import_options, prepare_options};
use super::model::{self, BaseModel};
use super::{LastRead, Report, speed};
use crate::base::{Control, Failure, Progress, Unit, hardware};
use crate::data::loader::Loader;
use crate::data::prepare::{Dataset, prepare};
use crate::data::{DataError, GeneralText, Goal, Sample};
use crate::engine::event::EventKind;
use crate::engine::halt::Halt;
use crate::engine::lane::Sink;
use crate::hub;
use crate::model::config::DecoderConfig;
use crate::model::device;
use crate::model::files::ModelFiles;
use crate::model::load::Placement;
use crate::project::event::Phase;
use crate::project::{Beginning, Outcome, RunEvent, RunFolder, runs};
use crate::recipe::plan::{DataFacts, Facts, ModelFacts};
use crate::recipe::{Plan, Problem, Recipe, Severity, shared_config};
use crate::train::report::Listener;
use crate::train::{self, Outside};
use jiff::civil::DateTime;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A recipe with its model opened, its data prepared, and itself found sound.
pub struct Ready {
    pub plan: Plan,
    pub files: ModelFiles,
    /// One a task.
    pub datasets: Vec<Dataset>,
    /// Of the model as it is trained: with a head of its own, where the objective has one.
    config: DecoderConfig,
    /// Warnings; the run may start.
    pub warnings: Vec<Problem>,
    began: DateTime,
}

impl Ready {
    /// What a run begins with that begins now.
    pub(super) fn beginning(&self) -> Result<Beginning, Halt> {
        let mut parts = Vec::new();
        let mut tests = Vec::new();
        for dataset in &self.datasets {
            let rows = |part: &[usize]| part.iter().map(|row| &dataset.samples[*row]).collect::<Vec<_>>();
            parts.extend([rows(&dataset.split.train), rows(&dataset.split.valid)]);
            tests.push(rows(&dataset.split.test));
        }
        for text in self.datasets.iter().filter_map(|dataset| dataset.general_text.as_ref()) {
            parts.extend([&text.held_out, &text.rest].map(|pieces| pieces.iter().collect()));
        }
        let weights = self.files.weights.fingerprint()?;
        let test = Some(hash_of(&tests));
        Ok(Beginning { time: self.began, data: hash_of(&parts), test, weights })
    }
}

/// Of tokens and their weights.
fn hash_of(parts: &[Vec<&Sample>]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&part.len().to_le_bytes());
        for sample in part {
            hasher.update(&sample.len().to_le_bytes());
            hasher.update(bytemuck::cast_slice(&sample.ids));
            let weights: Vec<f32> = sample.weights.iter().collect();
            hasher.update(bytemuck::cast_slice(&weights));
            hasher.update(bytemuck::cast_slice(&sample.parts));
            if sample.goal != Goal::None {
                hasher.update(format!("{:?}", sample.goal).as_bytes());
            }
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// A run goes on exactly or not at all: not with other data, not on another model. The same of a comparison; `what` is
/// which of them.
pub(super) fn refuse_change(what: &str, before: &Beginning, now: &Beginning) -> Result<(), Failure> {
    let title = format!("Cannot go on with the {what}");
    if before.weights != now.weights {
        let detail = format!("the model is not the one the {what} began with: its weights have changed");
        let hint = format!("Put the model back as it was, or begin a new {what}.");
        return Err(Failure::new(title, detail, hint));
    }
    if before.data != now.data {
        let detail = format!(
            "the data is not what the {what} began with: rows were changed, added or taken away, or the general text was changed"
        );
        let hint = format!("Put the files back as they were, or begin a new {what} with the new data.");
        return Err(Failure::new(title, detail, hint));
    }
    Ok(())
}

/// What this machine says about a recipe whose run will lie near `out`.
pub fn machine_facts(out: &Path) -> Facts {
    Facts {
        free_memory_bytes: hardware::memory().available_bytes,
        resident_bytes: hardware::resident_bytes(),
        free_disk_bytes: hardware::free_disk_bytes(out),
        has_cuda: device::has_cuda(),
        has_metal: device::has_metal(),
        speed: speed::known(),
        ..Facts::default()
    }
}

/// With names that mean the same in another folder, where the frozen recipe is read again.
pub fn settled(mut recipe: Recipe) -> Result<Recipe, Failure> {
    let files = [
        (&mut recipe.data.path, "data file", "data.path"),
        (&mut recipe.forgetting.text, "general text", "forgetting.text"),
    ];
    let of_tasks = recipe.tasks.iter_mut().map(|task| (&mut task.data.path, "data file", "data.path"));
    for (file, what, field) in files.into_iter().chain(of_tasks) {
        let Some(path) = file else { continue };
        *path = std::path::absolute(&path).map_err(|e| {
            let hint = format!("Give its whole path in {field}.");
            Failure::new(format!("Cannot find the {what}"), e.to_string(), hint)
        })?;
    }
    recipe.model.source = hub::lasting(&recipe.model.source);
    Ok(recipe)
}

/// Everything before the first update of a new run: opens, imports, prepares and checks. Writes nothing.
pub fn ready(
    recipe: &Recipe,
    data: &LastRead,
    out: &Path,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<Ready, Halt> {
    ready_at(jiff::Zoned::now().datetime(), recipe, data, out, control, sink)
}

/// [`ready`] for a run that began at this time.
pub(super) fn ready_at(
    began: DateTime,
    recipe: &Recipe,
    data: &LastRead,
    out: &Path,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<Ready, Halt> {
    if let Some(text) = &recipe.forgetting.text {
        GeneralText::check(text, control)?;
    }
    let files = model::open(&recipe.model.source)?;
    if !recipe.has_tasks() && recipe.data.path.is_none() {
        return Err(Failure::new(
            "Cannot start the run",
            "the recipe names no data file (data.path)",
            "Choose a data file first; on the command line with --set data.path=FILE.",
        )
        .into());
    }
    // What is wrong whatever the data is comes first: a limit of 0 tokens is not the data's fault.
    let facts = Facts { model: Some(ModelFacts::from(&files.info)), ..machine_facts(out) };
    let problems = recipe.check(&facts);
    // A task without a file is among them; a single one without was told above.
    if problems.iter().any(|p| p.severity == Severity::Error) {
        return Err(refusal("Cannot start the run", &problems).into());
    }
    let mut datasets = prepared(recipe, &files, began, data, control, sink)?;
    let mut report = Report::to(sink);
    if let Some(first) = datasets.first_mut() {
        first.general_text = general_text(recipe, first, control, &mut report)?;
    }
    for dataset in &datasets {
        sink(EventKind::Rows {
            ledger: Arc::new(dataset.ledger.clone()),
            num_train: dataset.split.train.len(),
            num_valid: dataset.split.valid.len(),
            num_test: dataset.split.test.len(),
        });
    }
    let facts = facts.of_data(recipe, datasets.iter().map(DataFacts::of).collect()).of_objective(recipe);
    let problems = recipe.check(&facts);
    let plan = Plan::new(recipe.clone(), &facts, num_micro_batches(recipe, &datasets))
        .map_err(|problems| refusal("Cannot start the run", &problems))?;
    let warnings = problems.into_iter().filter(|p| p.severity == Severity::Warning).collect();
    let each = recipe.each_task();
    let names = recipe.task_names().into_iter().zip(&each).zip(&datasets);
    let tasks = names.map(|((name, of), data)| (name, &of.objective, data.labels.names()));
    let config = shared_config(&files.config, tasks);
    Ok(Ready { plan, files, datasets, config, warnings, began })
}

/// What a recipe's model, data and objective say of what can be learnt.
pub(super) fn facts_of(
    recipe: &Recipe,
    data: &LastRead,
    out: &Path,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<Facts, Halt> {
    let files = model::open(&recipe.model.source)?;
    let facts = Facts { model: Some(ModelFacts::from(&files.info)), ..machine_facts(out) };
    let datasets = prepared(recipe, &files, jiff::Zoned::now().datetime(), data, control, sink)?;
    Ok(facts.of_data(recipe, datasets.iter().map(DataFacts::of).collect()).of_objective(recipe))
}

/// The data of each task. What is wrong with one's is told with its name.
fn prepared(
    recipe: &Recipe,
    files: &ModelFiles,
    began: DateTime,
    data: &LastRead,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<Vec<Dataset>, Halt> {
    let (tokeniser, template) = (files.tokeniser()?, Arc::new(files.template()?.dated(began)));
    let mut datasets = Vec::new();
    for (name, of_task) in recipe.task_names().into_iter().zip(recipe.each_task()) {
        let Some(path) = &of_task.data.path else { continue };
        let imported = data.read(path, &import_options(&of_task), control, sink);
        let imported = imported.map_err(|halt| of_task_named(halt, name))?;
        let options = prepare_options(&of_task, &imported);
        let (tokeniser, template, report) = (tokeniser.clone(), template.clone(), &mut Report::to(sink));
        let dataset = prepare(&imported, tokeniser, template, &options, control, report);
        datasets.push(dataset.map_err(|error| of_task_named(error.into(), name))?);
    }
    Ok(datasets)
}

/// A failure that says of which of several tasks it is.
fn of_task_named(halt: Halt, name: &str) -> Halt {
    match halt {
        Halt::Failed(failure) if !name.is_empty() => {
            Halt::Failed(Failure { detail: format!("task \"{name}\": {}", failure.detail), ..failure })
        }
        other => other,
    }
}

/// What a recipe names to be remembered, in the tokens of a data set's model.
pub fn general_text(
    recipe: &Recipe,
    dataset: &Dataset,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<Option<GeneralText>, DataError> {
    let (tokeniser, template) = (&dataset.tokeniser, &dataset.template);
    let read = |path: &PathBuf| {
        GeneralText::read(path, tokeniser, template, recipe.piece_tokens(), control, progress)
    };
    recipe.forgetting.text.as_ref().map(read).transpose()
}

/// Micro-batches of one pass over all data, as the trainer's loaders deal them.
pub fn num_micro_batches(recipe: &Recipe, datasets: &[Dataset]) -> u64 {
    datasets.iter().map(|dataset| num_of_task(recipe, dataset)).sum()
}

fn num_of_task(recipe: &Recipe, dataset: &Dataset) -> u64 {
    let samples = dataset.split.train.iter().map(|i| &dataset.samples[*i]);
    let lengths = samples.filter(|s| s.num_trained() > 0).map(|s| s.len()).collect();
    let batch = &recipe.batch;
    Loader::new(lengths, batch.micro_batch_tokens, batch.packing, recipe.run.seed).epoch(0).len() as u64
}

/// All errors of a recipe as one failure.
pub fn refusal(title: &str, problems: &[Problem]) -> Failure {
    let errors: Vec<&Problem> = problems.iter().filter(|p| p.severity == Severity::Error).collect();
    let lines: Vec<String> = errors.iter().map(|p| told(p)).collect();
    let fixes: Vec<String> = errors
        .iter()
        .filter_map(|p| p.fix.as_ref())
        .map(|fix| format!("{} ({} = {})", fix.label, fix.field, fix.value))
        .collect();
    let hint = if fixes.is_empty() { "Change the recipe.".to_string() } else { fixes.join("\n") };
    Failure::new(title, lines.join("\n"), hint)
}

/// A problem with its field, if it has one.
pub fn told(problem: &Problem) -> String {
    if problem.field.is_empty() {
        problem.text.clone()
    } else {
        format!("{}: {}", problem.field, problem.text)
    }
}

/// Trains a new run in `folder`, which holds the frozen recipe already.
pub fn start(
    base: &mut BaseModel,
    ready: &Ready,
    folder: &RunFolder,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<Outcome, Halt> {
    folder.save_beginning(&ready.beginning()?)?;
    for (name, dataset) in ready.plan.recipe().task_names().into_iter().zip(&ready.datasets) {
        folder.save_ledger(name, &dataset.ledger)?;
    }
    carry_on(base, ready, folder, false, control, sink)
}

/// Goes on with the run in `path` from its last checkpoint. One that is over stays as it is.
pub fn resume(
    base: &mut BaseModel,
    data: &LastRead,
    path: &Path,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<Outcome, Halt> {
    let folder = RunFolder::open(path)?;
    if let Some((outcome, why)) = ended(&folder)? {
        if outcome == Outcome::Discarded {
            let hint = "Begin a new run with its recipe.toml in another folder.";
            return Err(Failure::new("Cannot go on with the run", why, hint).into());
        }
        let text = format!("There is nothing left to do. {why}");
        sink(EventKind::Run { folder: path.to_path_buf(), event: RunEvent::Notice { text } });
        return Ok(outcome);
    }
    let folder = folder.locked()?;
    let recipe = folder.recipe()?;
    say(&folder, Phase::PreparingData, sink);
    let beginning = folder.beginning();
    let time = beginning.as_ref().map_or_else(|| jiff::Zoned::now().datetime(), |b| b.time);
    let ready = ready_at(time, &recipe, data, path, control, sink)?;
    if let Some(before) = beginning {
        refuse_change("run", &before, &ready.beginning()?)?;
    }
    carry_on(base, &ready, &folder, true, control, sink)
}

/// How a run ended that does not go on, and why not.
fn ended(folder: &RunFolder) -> Result<Option<(Outcome, &'static str)>, Halt> {
    let outcome = runs::outcome(&folder.events()?);
    Ok(outcome.and_then(|outcome| Some((outcome, runs::why_over(outcome)?))))
}

fn carry_on(
    base: &mut BaseModel,
    ready: &Ready,
    folder: &RunFolder,
    is_resumed: bool,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<Outcome, Halt> {
    for problem in &ready.warnings {
        let text = told(problem);
        sink(EventKind::Run { folder: folder.path().to_path_buf(), event: RunEvent::Notice { text } });
    }
    say(folder, Phase::LoadingModel, sink);
    let recipe = ready.plan.recipe();
    let model = base.load(&ready.files, placement(recipe), control, sink)?;
    let model = model.with_config(ready.config.clone(), recipe.run.seed)?;
    let mut following = Following { folder: folder.path(), report: Report::to(sink) };
    let outside = Outside { control, resident_bytes: &hardware::resident_bytes };
    let outcome =
        train::run(&ready.plan, &model, &ready.datasets, folder, is_resumed, outside, &mut following)?;
    tell_report(folder, sink);
    Ok(outcome)
}

/// Passes on what a run tells.
struct Following<'a, 's, 'b> {
    folder: &'a Path,
    report: Report<'s, 'b>,
}

impl Progress for Following<'_, '_, '_> {
    fn report(&mut self, phase: &str, done: u64, total: Option<u64>, unit: Unit) {
        self.report.report(phase, done, total, unit);
    }
}

impl Listener for Following<'_, '_, '_> {
    fn take(&mut self, event: RunEvent) {
        self.report.send(EventKind::Run { folder: self.folder.to_path_buf(), event });
    }
}

/// What came of the test rows, where it was measured. A report that cannot be read takes nothing else away from the run.
pub fn tell_report(run: &RunFolder, sink: &mut Sink<'_>) {
    let folder = run.path().to_path_buf();
    match run.report() {
        Ok(Some(report)) => sink(EventKind::Report { folder, report: Arc::new(report) }),
        Ok(None) => {}
        Err(error) => sink(EventKind::Notice(format!("The results of the test rows are left out: {error}"))),
    }
}

/// Where a recipe's model is put.
pub fn placement(recipe: &Recipe) -> Placement {
    Placement { device: recipe.run.device, precision: recipe.base_precision() }
}

/// Phases before the trainer takes over are of no use later: they are not written to the run.
fn say(folder: &RunFolder, phase: Phase, sink: &mut Sink<'_>) {
    sink(EventKind::Run { folder: folder.path().to_path_buf(), event: RunEvent::Phase { phase } });
}

/// What a run is named after: its data file, or its tasks.
pub fn name_hint(recipe: &Recipe) -> String {
    let stem = recipe.data.path.as_deref().and_then(Path::file_stem);
    let of_one = stem.map(|s| s.to_string_lossy().into_owned());
    of_one.unwrap_or_else(|| recipe.task_names().join("-"))
}

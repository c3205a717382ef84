//! The same data, split, seed and number of updates with several methods, one after the other: ordinary runs, and a
//! table.

use super::data::import_options;
use super::measure::{Style, answer_all, ask_rows, greedy, loss};
use super::train::{self, Ready};
use super::{BaseModel, LastRead, model};
use crate::base::storage::{FolderLock, LOCK_FILE};
use crate::base::{Control, Explain, Failure, hardware};
use crate::data::split::spread;
use crate::engine::event::{EventKind, TESTING};
use crate::engine::halt::Halt;
use crate::engine::lane::Sink;
use crate::eval::report::Report as Figures;
use crate::project::comparisons::{self, run_folder};
use crate::project::event::Phase;
use crate::project::method_comparison::{JSON_FILE, MethodComparison, MethodRow, TaskFigure};
use crate::project::run_folder::{read_recipe, write_recipe};
use crate::project::{Beginning, Outcome, ProjectError, RunEvent, RunFolder};
use crate::recipe::plan::{Facts, ModelFacts};
use crate::recipe::recipe::{Objective, OrderBy};
use crate::recipe::variants::Contender;
use crate::recipe::{Recipe, Severity};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// Longest answer to a test row.
const MAX_ANSWER_TOKENS: usize = 48;

/// `recipe` for a contender. Nothing ends a run early, so that all have as many updates.
fn recipe_for(recipe: &Recipe, contender: &Contender) -> Recipe {
    let mut changed = contender.recipe(recipe);
    changed.early_stop.enabled = false;
    changed
}

/// Where a comparison takes its model and its rows from.
pub struct Held<'a> {
    pub base: &'a mut BaseModel,
    pub data: &'a LastRead,
}

/// Runs `recipe` with each of `methods`, and orders of the rows, in a folder of its own below `out`; what is there already goes on or is
/// taken as it is, results of others that are not among them included. The comparison so far is saved and told as
/// `EventKind::Compared` at the beginning and after each. A method that fails is a row with its reason.
///
/// # Errors
/// When it was stopped, when nothing can be run with any method, when `out` holds other runs, or when another process
/// compares there.
pub fn compare(
    held: Held<'_>,
    recipe: &Recipe,
    methods: &[Contender],
    out: &Path,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<MethodComparison, Halt> {
    let Held { base, data } = held;
    refuse_foreign(out)?;
    let facts = Facts {
        model: Some(ModelFacts::from(&model::open(&recipe.model.source)?.info)),
        ..train::machine_facts(out)
    };
    // Read once and held, it serves all runs.
    let of_one = recipe.data.path.as_deref().filter(|_| !recipe.has_tasks());
    let _table = of_one.map(|path| data.read(path, &import_options(recipe), control, sink)).transpose()?;
    let _lock = locked(out)?;
    let mut all = gone_on_with(recipe, methods, out)?;
    let methods = all.planned.clone();
    let still = || methods.iter().filter(|method| all.row(&method.key()).is_none());
    refuse_unfit(still(), recipe, &facts)?;
    if still().any(|method| matches!(method.order, Some(OrderBy::Column(_)))) {
        let facts = train::facts_of(recipe, data, out, control, sink)?;
        refuse_unordered(still(), recipe, &facts)?;
    }
    let tell = |all: &MethodComparison, sink: &mut Sink<'_>| {
        sink(EventKind::Compared { folder: out.to_path_buf(), comparison: all.clone() });
    };
    all.save(out)?;
    write_recipe(out, recipe)?;
    tell(&all, sink);
    for (index, method) in methods.iter().enumerate() {
        let key = method.key();
        if all.row(&key).is_some() {
            continue;
        }
        let of_all = recipe;
        let recipe = recipe_for(of_all, method);
        let path = run_folder(out, &key);
        let turn = EventKind::MethodTurn { key, name: method.describe(), index, total: methods.len() };
        sink(turn);
        control.wait_while_paused();
        let folders = begun(out, &methods);
        let begun: Vec<Beginning> = folders.iter().filter_map(RunFolder::beginning).collect();
        // Chat templates may write the date: all methods have that of the first.
        let time = begun.first().map_or_else(|| jiff::Zoned::now().datetime(), |first| first.time);
        let ready = train::ready_at(time, &recipe, data, &path, control, sink);
        if let Ok(ready) = &ready {
            refuse_other_rows(ready, &begun)?;
        }
        let orders = orders_of(&folders, &recipe);
        let place = Place { contender: method, path: &path, orders };
        let row = match ready.and_then(|ready| run(base, &ready, data, place, control, sink)) {
            Ok(row) => row,
            Err(Halt::Failed(failure)) if !control.is_stopped() => failed(method, &recipe, &failure),
            Err(halt) => return Err(halt),
        };
        all.push(row);
        all.save(out)?;
        tell(&all, sink);
        // What one method needed shall not count as the next one's.
        hardware::give_back_freed();
    }
    Ok(all)
}

/// Goes on with the comparison in `folder`; methods without a result are tried again.
///
/// # Errors
/// As [`compare`]; and for files that cannot be read.
pub fn resume(
    held: Held<'_>,
    folder: &Path,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<MethodComparison, Halt> {
    let planned = MethodComparison::read(folder).map_err(unreadable)?.planned;
    compare(held, &read_recipe(folder)?, &planned, folder, control, sink)
}

/// The comparison in `out` with what is done already, which is neither measured nor tested again, and `methods` to be
/// done.
fn gone_on_with(recipe: &Recipe, methods: &[Contender], out: &Path) -> Result<MethodComparison, Halt> {
    let before = so_far(out)?;
    let is_sound =
        |row: &MethodRow| row.problem.is_none() && RunFolder::is_one(&run_folder(out, &row.method));
    let is_done = |method: &Contender| before.row(&method.key()).is_some_and(is_sound);
    let asked = |method: &Contender| methods.iter().find(|asked| asked.key() == method.key());
    let kept = before.planned.iter().filter(|method| asked(method).is_some() || is_done(method));
    let mut planned: Vec<Contender> = kept.map(|method| asked(method).unwrap_or(method).clone()).collect();
    for method in methods {
        if !planned.iter().any(|other| other.key() == method.key()) {
            planned.push(method.clone());
        }
    }
    for method in &mut planned {
        let of_method = recipe_for(recipe, method);
        refuse_another(&of_method, &run_folder(out, &method.key()))?;
        method.method = of_method.method;
    }
    let of_each = recipe.each_task();
    let files = of_each.iter().filter_map(|of| Some(of.data.path.as_deref()?.file_name()?.to_string_lossy()));
    let mut all = MethodComparison {
        model: recipe.model.source.clone(),
        data: files.collect::<Vec<_>>().join(", "),
        updates: recipe.length.updates.unwrap_or_default(),
        planned,
        ..MethodComparison::default()
    };
    before.rows.into_iter().filter(is_sound).for_each(|row| all.push(row));
    Ok(all)
}

/// Refuses a comparison of which methods cannot be trained, so that nobody waits for the others to learn it.
fn refuse_unfit<'m>(
    methods: impl Iterator<Item = &'m Contender>,
    recipe: &Recipe,
    facts: &Facts,
) -> Result<(), Halt> {
    let (mut fit, mut unfit) = (Vec::new(), Vec::new());
    for method in methods {
        let recipe = recipe_for(recipe, method);
        let problems = recipe.check(facts);
        match problems.iter().find(|problem| problem.severity == Severity::Error) {
            Some(problem) => unfit.push(format!("{}: {}", method.describe(), train::told(problem))),
            None if fit.contains(&method.method.variant()) => {}
            None => fit.push(method.method.variant()),
        }
    }
    if unfit.is_empty() {
        return Ok(());
    }
    let hint = match fit.as_slice() {
        [] => "Change the recipe as the reasons say.".into(),
        fit => {
            format!("Change the recipe as the reasons say, or leave these out (--methods {}).", fit.join(","))
        }
    };
    Err(Failure::new("Not all of these methods can be trained", unfit.join("; "), hint).into())
}

/// The same of orders that the data lacks.
fn refuse_unordered<'m>(
    methods: impl Iterator<Item = &'m Contender>,
    recipe: &Recipe,
    facts: &Facts,
) -> Result<(), Halt> {
    for method in methods {
        let problems = recipe_for(recipe, method).check(facts);
        if let Some(problem) = problems.iter().find(|problem| problem.field == "curriculum.by") {
            let hint = "Name each order once: shuffled, length, loss, or column:NAME with a column of the data file.";
            return Err(
                Failure::new("Not all of these orders can be learnt in", train::told(problem), hint).into()
            );
        }
    }
    Ok(())
}

/// The lock of a comparison's folder.
fn locked(out: &Path) -> Result<FolderLock, Halt> {
    comparisons::lock(out).map_err(|error| match error {
        ProjectError::InUse { .. } => {
            Failure::new("Cannot compare there", error.to_string(), error.hint()).into()
        }
        other => other.into(),
    })
}

/// Files of other things would be written over: a recipe of somebody's own, a run's.
fn refuse_foreign(out: &Path) -> Result<(), Halt> {
    // What was killed before its first word leaves its lock.
    let is_lock = |entry: &std::fs::DirEntry| entry.file_name() == LOCK_FILE;
    let is_empty =
        std::fs::read_dir(out).map_or(true, |entries| entries.flatten().all(|entry| is_lock(&entry)));
    let runs = std::fs::read_dir(run_folder(out, "")).into_iter().flatten().flatten();
    let is_begun = runs
        .filter(|run| Contender::is_key(&run.file_name().to_string_lossy()))
        .any(|run| RunFolder::is_one(&run.path()));
    let is_comparison = out.join(JSON_FILE).exists() || is_begun;
    if is_empty || (is_comparison && !RunFolder::is_one(out)) {
        return Ok(());
    }
    let detail = format!("{} holds other files", out.display());
    Err(Failure::new("Cannot compare there", detail, "Name a new folder, or one of a comparison.").into())
}

/// A run goes on by the recipe it was begun with; with another one, two methods would not be compared on the same.
fn refuse_another(recipe: &Recipe, path: &Path) -> Result<(), Halt> {
    if !RunFolder::is_one(path) || RunFolder::open(path)?.recipe()? == *recipe {
        return Ok(());
    }
    let detail = format!("{} holds a run with another recipe or other data", path.display());
    let hint = "Name another folder with --out, or give the same recipe again to go on.";
    Err(Failure::new("Cannot go on with the comparison", detail, hint).into())
}

/// The comparison in `folder`; an empty one where none is. One that cannot be read is not written over.
fn so_far(folder: &Path) -> Result<MethodComparison, Halt> {
    match MethodComparison::read(folder) {
        Err(ProjectError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => {
            Ok(Default::default())
        }
        read => Ok(read.map_err(unreadable)?),
    }
}

fn unreadable(error: ProjectError) -> Failure {
    let hint = "Restore the file from a copy, or begin a new comparison. Or delete the file and compare the same methods \
                again with the same --out: the runs in it are kept, and tested again.";
    Failure::new("Cannot go on with the comparison", error.to_string(), hint)
}

/// The runs in a comparison's folder so far.
fn begun(out: &Path, methods: &[Contender]) -> Vec<RunFolder> {
    let folders = methods.iter().map(|method| run_folder(out, &method.key()));
    folders.filter_map(|path| RunFolder::open(&path).ok()).collect()
}

/// A recipe names its files, which may have changed since: all methods learn from the same rows and are tested on the same.
fn refuse_other_rows(ready: &Ready, begun: &[Beginning]) -> Result<(), Halt> {
    let now = ready.beginning()?;
    for before in begun {
        train::refuse_change("comparison", before, &now)?;
        if before.test.is_some() && before.test != now.test {
            let detail = "the test rows are not those that the comparison began with";
            let hint = "Put the data file back as it was, or begin a new comparison with the new data.";
            return Err(Failure::new("Cannot go on with the comparison", detail, hint).into());
        }
    }
    Ok(())
}

/// The order of the rows that another run of the same curriculum found.
fn orders_of(begun: &[RunFolder], recipe: &Recipe) -> Option<Vec<Vec<usize>>> {
    let is_alike = |run: &&RunFolder| run.recipe().is_ok_and(|other| other.curriculum == recipe.curriculum);
    begun.iter().filter(is_alike).find_map(RunFolder::orders)
}

fn failed(contender: &Contender, recipe: &Recipe, failure: &Failure) -> MethodRow {
    MethodRow {
        problem: Some(format!("{}: {}", failure.title, failure.detail)),
        ..new_row(contender, recipe)
    }
}

fn new_row(contender: &Contender, recipe: &Recipe) -> MethodRow {
    MethodRow {
        method: contender.key(),
        name: contender.describe(),
        learning_rate: recipe.optimizer.learning_rate,
        ..MethodRow::default()
    }
}

/// A contender and where it trains.
struct Place<'a> {
    contender: &'a Contender,
    path: &'a Path,
    /// Of its rows, where that was found already.
    orders: Option<Vec<Vec<usize>>>,
}

/// One method: its run, from where it is, and its row.
fn run(
    base: &mut BaseModel,
    ready: &Ready,
    data: &LastRead,
    place: Place,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<MethodRow, Halt> {
    let Place { contender, path, orders } = place;
    let recipe = ready.plan.recipe();
    let mut peak = Peak::default();
    let mut watched = |kind: EventKind| {
        if let EventKind::Run { event, .. } = &kind {
            peak.take(event);
        }
        sink(kind);
    };
    let outcome = match RunFolder::is_one(path) {
        true => train::resume(base, data, path, control, &mut watched)?,
        false => {
            let folder = RunFolder::create(path, recipe)?;
            orders.map(|orders| folder.save_orders(&orders)).transpose()?;
            train::start(base, ready, &folder, control, &mut watched)?
        }
    };
    if matches!(outcome, Outcome::Stopped | Outcome::Discarded) {
        return Err(Halt::Stopped);
    }
    let folder = RunFolder::open(path)?;
    let mut row = new_row(contender, recipe);
    take_in(&mut row, &folder.events()?);
    row.adapter_bytes = num_bytes(&folder.adapter_dir());
    row.peak_bytes = row.peak_bytes.max(peak.highest_bytes);
    // All else is tested by the run itself.
    if !recipe.has_tasks() && matches!(recipe.objective, Objective::Supervised { .. }) {
        test(&mut row, base, ready, &folder, control, sink)?;
    }
    Ok(row)
}

/// What the run has told of itself. Memory is as it was after each update, for updates that nobody watches any more.
fn take_in(row: &mut MethodRow, events: &[RunEvent]) {
    let mut secs = Vec::new();
    let mut tested = BTreeMap::new();
    for event in events {
        match event {
            RunEvent::Started { num_trainable_params, estimated_memory_bytes, .. } => {
                row.num_trainable_params = Some(*num_trainable_params);
                row.estimated_bytes = Some(*estimated_memory_bytes);
            }
            RunEvent::Update { update, update_secs, memory_bytes, .. } => {
                row.num_updates = *update;
                row.peak_bytes = row.peak_bytes.max(Some(*memory_bytes));
                secs.push(*update_secs);
            }
            // Of several tasks by their mean beside the first, the best one is not that of the least loss.
            RunEvent::Validation { loss, best: true, beside_first: None, .. } if loss.is_finite() => {
                row.best_validation_loss = Some(*loss);
            }
            RunEvent::Tested { is_base: false, loss, num_rows, metrics, task: Some(task), .. } => {
                let figure = TaskFigure::of(task, *loss, metrics);
                tested.insert(task, *num_rows);
                // A run that was cut short between the tests of its tasks tells some of them again.
                match row.tasks.iter_mut().find(|other| other.task == *task) {
                    Some(before) => *before = figure,
                    None => row.tasks.push(figure),
                }
            }
            RunEvent::Tested { is_base: false, loss, num_rows, metrics, .. } => {
                row.test_loss = Some(*loss);
                row.num_tested = *num_rows;
                row.exact_match = metrics.get("accuracy").copied();
            }
            _ => {}
        }
    }
    row.num_tested += tested.values().sum::<usize>();
    secs.sort_by(f64::total_cmp);
    row.update_secs = secs.get(secs.len() / 2).copied();
}

/// The most resident memory of the process while a run makes updates. Validation and checkpoints are left out: each
/// method has the same of the former.
#[derive(Default)]
struct Peak {
    highest_bytes: Option<u64>,
}

impl Peak {
    fn take(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Phase { phase: Phase::Training } => hardware::forget_peak(),
            RunEvent::Update { memory_bytes, .. } => {
                let reached = hardware::peak_since_forgotten().unwrap_or(*memory_bytes);
                self.highest_bytes = self.highest_bytes.max(Some(reached));
            }
            _ => {}
        }
    }
}

/// The test rows, at most as many as are validated on: their loss, and how many are answered exactly where the right
/// answer is known.
fn test(
    row: &mut MethodRow,
    base: &mut BaseModel,
    ready: &Ready,
    folder: &RunFolder,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<(), Halt> {
    let recipe = ready.plan.recipe();
    let Some(dataset) = ready.datasets.first() else { return Ok(()) };
    let rows = spread(&dataset.split.test, recipe.validation.max_examples);
    if rows.is_empty() {
        return Ok(());
    }
    let model = base.load(&ready.files, train::placement(recipe), control, sink)?;
    let adapter = model::adapter(&folder.adapter_dir(), &model)?;
    let style = Style::zero_shot(recipe.data.chat);
    let asked = ask_rows(&model, dataset, &rows, &style)?;
    let options = greedy(&model, MAX_ANSWER_TOKENS, style.stop(&model));
    let scored = answer_all(&model, Some(&adapter), &asked, &options, TESTING, control, sink)?;
    let samples: Vec<_> = rows.iter().map(|i| &dataset.samples[*i]).collect();
    let total = loss(&model, Some(&adapter), &samples, TESTING, control, sink)?;
    let figures = Figures::of(&scored).with_loss(total.sum, total.weight, total.num_examples);
    row.exact_match = figures.exact_match;
    row.test_loss = figures.loss;
    row.num_tested = figures.num_examples;
    Ok(())
}

/// Of the files of a folder; `None` when there is none.
fn num_bytes(folder: &Path) -> Option<u64> {
    let entries = std::fs::read_dir(folder).ok()?;
    Some(entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|about| about.len()).sum())
}

//! Methods compared in a project: what is kept, stopped, gone on with, listed and deleted.

use crate::cli::{rows_file, tiny_model};
use crate::commands::{Real, recipe, trained};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tunesmith::base::{Control, DeviceChoice, Explain, Precision};
use tunesmith::engine::Command;
use tunesmith::engine::event::{EventKind, TESTING};
use tunesmith::engine::halt::Halt;
use tunesmith::engine::jobs::methods::{Held, compare};
use tunesmith::engine::jobs::model::open;
use tunesmith::engine::jobs::{BaseModel, LastRead, merge};
use tunesmith::model::load::Placement;
use tunesmith::project::method_comparison::{JSON_FILE, MethodComparison, MethodRow};
use tunesmith::project::{RunFolder, comparisons};
use tunesmith::recipe::recipe::{Method, Prefix};
use tunesmith::recipe::variants::Contender;
use tunesmith::recipe::{Recipe, load};

fn methods(kinds: &[&str]) -> Vec<Contender> {
    let all = Method::all().into_iter();
    all.filter(|method| kinds.contains(&method.kind())).map(Contender::from).collect()
}

fn compared(seen: &[EventKind]) -> MethodComparison {
    let last = seen.iter().rev().find_map(|kind| match kind {
        EventKind::Compared { comparison, .. } => Some(comparison.clone()),
        _ => None,
    });
    last.unwrap()
}

#[test]
fn a_comparison_is_read_back_as_it_was_saved() {
    let temp = tempfile::tempdir().unwrap();
    let planned = methods(&["lora", "ia3"]);
    let mut all = MethodComparison { planned, ..MethodComparison::default() };
    for (method, loss) in [("ia3", 1.5), ("lora", 2.5)] {
        let best_validation_loss = Some(loss);
        all.push(MethodRow { method: method.into(), best_validation_loss, ..MethodRow::default() });
    }
    assert_eq!(all.rows.iter().map(|row| row.method.as_str()).collect::<Vec<_>>(), ["lora", "ia3"]);
    let folder = temp.path().join(comparisons::FOLDER).join("one");
    all.save(&folder).unwrap();
    assert_eq!(MethodComparison::read(&folder).unwrap(), all);
    assert_eq!(all.best[0].method, "ia3");

    // What is damaged is listed with the reason, and the others beside it.
    let bad = folder.with_file_name("two");
    fs::create_dir_all(&bad).unwrap();
    for text in ["{\"rows\": 3}".to_string(), "not json".into(), " ".repeat(2 << 20)] {
        fs::write(bad.join(JSON_FILE), text).unwrap();
        let listed = comparisons::list(temp.path()).unwrap();
        assert_eq!(listed.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["two", "one"]);
        assert!(listed[0].found.as_ref().unwrap_err().contains(JSON_FILE), "{:?}", listed[0]);
        assert_eq!(listed[1].found.as_ref(), Ok(&all));
    }
    let other = temp.path().join("elsewhere");
    all.save(&other).unwrap();
    let refusal = comparisons::delete(&other).unwrap_err();
    assert!(other.exists() && refusal.title().contains("comparison"), "{refusal}");
    comparisons::delete(&bad).unwrap();
    assert_eq!(comparisons::list(temp.path()).unwrap().len(), 1);
}

/// A window and its engine: the first method is done when it is stopped, and is not trained again.
#[test]
fn a_stopped_comparison_goes_on_with_the_method_that_was_in_progress() {
    let place = tempfile::tempdir().unwrap();
    let (model, rows) = (tiny_model(place.path()), rows_file(place.path()));
    let project = place.path().join("project");
    let real = Real::new();
    let mut recipe = recipe(&model, &rows);
    load::set(&mut recipe, "length.updates=40").unwrap();
    let command = Command::CompareMethods {
        project: project.clone(),
        recipe,
        methods: methods(&["lora", "ia3", "bottleneck"]),
    };
    let stop_at_second = |kind: &EventKind| matches!(kind, EventKind::MethodTurn { index: 1, .. });
    let (seen, last) = real.carry_out_until(command, stop_at_second);
    assert!(matches!(last, EventKind::Stopped), "{last:?}");
    let before = compared(&seen);
    assert_eq!(before.missing().map(|of| of.method.kind()).collect::<Vec<_>>(), ["ia3", "bottleneck"]);
    assert_eq!((before.rows.len(), before.rows[0].num_updates, before.updates), (1, 40, 40));

    let [EventKind::Comparisons(listed)] =
        &real.done(Command::ListComparisons { project: project.clone() })[..]
    else {
        panic!()
    };
    assert_eq!(listed[0].found.as_ref(), Ok(&before));
    let folder = listed[0].folder.clone();
    assert!(folder.starts_with(project.join(comparisons::FOLDER)));
    let metrics = comparisons::run_folder(&folder, "lora").join("metrics.jsonl");
    let told = fs::read(&metrics).unwrap();
    let seen = real.done(Command::ResumeComparison { folder: folder.clone() });
    let turns = seen.iter().filter_map(|kind| match kind {
        EventKind::MethodTurn { key, index, total, .. } => Some((key.as_str(), *index, *total)),
        _ => None,
    });
    assert_eq!(turns.collect::<Vec<_>>(), [("ia3", 1, 3), ("bottleneck", 2, 3)]);
    let after = compared(&seen);
    assert_eq!(after.rows[0], before.rows[0]);
    assert!(after.missing().next().is_none() && after.rows.iter().all(|row| row.num_updates == 40));
    assert_eq!(fs::read(&metrics).unwrap(), told, "it was not trained again");
    let runs = real.done(Command::ListRuns { project: project.clone() });
    assert!(matches!(&runs[..], [EventKind::Runs(runs)] if runs.is_empty()), "they are no runs of the list");

    let seen = real.done(Command::DeleteComparison { project, folder: folder.clone() });
    assert!(matches!(&seen[..], [EventKind::Comparisons(left)] if left.is_empty()) && !folder.exists());
}

#[test]
fn a_run_is_merged_and_the_difference_told() {
    let place = tempfile::tempdir().unwrap();
    let (model, rows) = (tiny_model(place.path()), rows_file(place.path()));
    let real = Real::new();
    let run = trained(&real, &place.path().join("project"), recipe(&model, &rows));
    let to = place.path().join("merged");
    // The model is held already when it is stopped: it is the merging that heeds it.
    let mut base = BaseModel::default();
    let files = open(&model).unwrap();
    let placement = Placement { device: DeviceChoice::Cpu, precision: Precision::Stored };
    base.load(&files, placement, &Control::new(), &mut |_| ()).unwrap();
    let stopped = Control::new();
    stopped.stop();
    let from = merge::From { folder: &run, model: None, device: DeviceChoice::Cpu };
    let halt = merge::run(&mut base, from, &to, &stopped, &mut |_| ()).unwrap_err();
    assert!(matches!(halt, Halt::Stopped) && !to.exists(), "{halt:?}");
    let seen = real.done(Command::MergeAdapter { run: run.clone(), to: to.clone() });
    let [EventKind::Merged { run: of, to: at, merged }] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((of, at), (&run, &to));
    assert!(merged.largest_difference < 1e-3 * merged.largest_logit, "{merged:?}");
    assert!(to.join("model.safetensors").is_file() && !to.join("adapter_config.json").exists());
    let again = real.failed(Command::MergeAdapter { run, to: to.clone() });
    assert!(again.detail.contains("there already"), "{again}");
    assert!(Path::new(&to).join("model.safetensors").is_file());
}

/// A recipe names its data file: when a row of it has changed, whichever, the methods left would not be compared with
/// those that are done.
#[test]
fn a_comparison_does_not_go_on_with_other_rows() {
    let place = tempfile::tempdir().unwrap();
    let (model, rows) = (tiny_model(place.path()), rows_file(place.path()));
    let real = Real::new();
    let command = Command::CompareMethods {
        project: place.path().join("project"),
        recipe: recipe(&model, &rows),
        methods: methods(&["lora", "ia3"]),
    };
    let stop_at_second = |kind: &EventKind| matches!(kind, EventKind::MethodTurn { index: 1, .. });
    let (seen, _) = real.carry_out_until(command, stop_at_second);
    let before = compared(&seen);
    assert_eq!(before.rows.len(), 1);
    let folder = seen.iter().find_map(|kind| match kind {
        EventKind::Compared { folder, .. } => Some(folder.clone()),
        _ => None,
    });
    let folder = folder.unwrap();

    let was = fs::read_to_string(&rows).unwrap();
    let mut of_test_rows = 0;
    for changed in 1..was.lines().count() {
        let lines = was.lines().enumerate();
        let other = |(i, line): (usize, &str)| format!("{line}{}\n", if i == changed { " tree" } else { "" });
        fs::write(&rows, lines.map(other).collect::<String>()).unwrap();
        let refusal = real.failed(Command::ResumeComparison { folder: folder.clone() });
        assert!(refusal.title.contains("comparison") && refusal.hint.contains("new comparison"), "{refusal}");
        of_test_rows += usize::from(refusal.detail.contains("the test rows"));
        assert_eq!(MethodComparison::read(&folder).unwrap(), before);
    }
    assert!(of_test_rows > 0);

    // A note of an earlier version says nothing of the test rows.
    fs::write(&rows, &was).unwrap();
    let note = comparisons::run_folder(&folder, "lora").join("beginning.json");
    let mut said: serde_json::Value = serde_json::from_slice(&fs::read(&note).unwrap()).unwrap();
    assert!(said.as_object_mut().unwrap().remove("test").is_some());
    fs::write(&note, said.to_string()).unwrap();
    let after = compared(&real.done(Command::ResumeComparison { folder }));
    assert_eq!((after.rows.len(), &after.rows[0]), (2, &before.rows[0]));
}

#[test]
fn a_comparison_that_cannot_be_read_is_not_written_over() {
    let place = tempfile::tempdir().unwrap();
    let (model, rows) = (tiny_model(place.path()), rows_file(place.path()));
    let (out, recipe) = (place.path().join("out"), recipe(&model, &rows));
    let json = out.join(JSON_FILE);
    let compare = || {
        let held = Held { base: &mut BaseModel::default(), data: &LastRead::default() };
        compare(held, &recipe, &methods(&["lora"]), &out, &Control::default(), &mut |_| ())
    };
    let whole = compare().unwrap_or_else(|_| panic!("it is new"));
    for text in ["not json".to_string(), " ".repeat(2 << 20)] {
        fs::write(&json, &text).unwrap();
        let Err(Halt::Failed(refusal)) = compare() else { panic!("{json:?} was taken for none") };
        assert!(refusal.detail.contains(JSON_FILE) && refusal.hint.contains("delete the file"), "{refusal}");
        assert_eq!(fs::read_to_string(&json).unwrap(), text);
    }
    // As the hint has it: what was learned is tested again, and not trained again.
    fs::remove_file(&json).unwrap();
    let again = compare().unwrap_or_else(|_| panic!("it is made anew"));
    let figures = |all: &MethodComparison| (all.rows[0].best_validation_loss, all.rows[0].test_loss);
    assert_eq!(figures(&again), figures(&whole));
}

/// What is done stays in the table when other methods are asked for; another recipe is refused for its sake, too.
#[test]
fn a_comparison_keeps_what_is_done_when_other_methods_are_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let (model, rows) = (tiny_model(place.path()), rows_file(place.path()));
    let (out, mut recipe) = (place.path().join("out"), recipe(&model, &rows));
    let compare = |recipe: &Recipe, kinds: &[&str]| {
        let held = Held { base: &mut BaseModel::default(), data: &LastRead::default() };
        compare(held, recipe, &methods(kinds), &out, &Control::default(), &mut |_| ())
    };
    let first = compare(&recipe, &["lora", "ia3"]).unwrap_or_else(|_| panic!("it is new"));
    assert_eq!(compare(&recipe, &["ia3"]).unwrap_or_else(|_| panic!("it is done")), first);
    let more = compare(&recipe, &["bottleneck"]).unwrap_or_else(|_| panic!("it goes on"));
    let kinds: Vec<_> = more.rows.iter().map(|row| row.method.as_str()).collect();
    assert_eq!(kinds, ["lora", "ia3", "bottleneck"]);
    assert_eq!((&more.rows[..2], more.missing().count()), (&first.rows[..], 0));
    load::set(&mut recipe, "run.seed=9").unwrap();
    let Err(Halt::Failed(refusal)) = compare(&recipe, &["prompt"]) else { panic!("seeds were mixed") };
    assert!(refusal.detail.contains("another recipe"), "{refusal}");
    assert_eq!(MethodComparison::read(&out).unwrap(), more);

    // What failed, or was never begun, is no longer planned.
    let mut cut = more.clone();
    cut.rows[0].problem = Some("no memory".into());
    cut.rows.truncate(2);
    cut.save(&out).unwrap();
    load::set(&mut recipe, "run.seed=42").unwrap();
    let left = compare(&recipe, &["ia3"]).unwrap_or_else(|_| panic!("it is done"));
    assert_eq!((left.planned.len(), &left.rows[..]), (1, &first.rows[1..]));
}

/// A project has its runs where a comparison has those of its methods: its files are not written over.
#[test]
fn a_project_is_no_place_for_a_comparison() {
    let place = tempfile::tempdir().unwrap();
    let (model, rows) = (tiny_model(place.path()), rows_file(place.path()));
    let recipe = recipe(&model, &rows);
    let out = place.path().join("project");
    drop(RunFolder::create(&out.join("runs").join("2026-11-22-090000-rows"), &recipe).unwrap());
    let held = Held { base: &mut BaseModel::default(), data: &LastRead::default() };
    let refused = compare(held, &recipe, &methods(&["lora"]), &out, &Control::new(), &mut |_| ());
    let Err(Halt::Failed(refusal)) = refused else { panic!("it was written to") };
    assert!(refusal.detail.contains("other files"), "{refusal}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
}

/// The lock is held from before the first word to the last, also while no run holds its own.
#[test]
fn one_process_at_a_time_compares_in_a_folder() {
    let place = tempfile::tempdir().unwrap();
    let (model, rows) = (tiny_model(place.path()), rows_file(place.path()));
    let recipe = recipe(&model, &rows);
    let out = place.path().join(comparisons::FOLDER).join("one");
    let is_locked = std::cell::Cell::new(0);
    let mut watch = |kind: EventKind| {
        if matches!(kind, EventKind::Compared { .. } | EventKind::MethodTurn { .. }) {
            let refusal = comparisons::delete(&out).unwrap_err();
            assert!(refusal.to_string().contains("another window or command"), "{refusal}");
            is_locked.set(is_locked.get() + 1);
        }
    };
    let compare = |watch: &mut dyn FnMut(EventKind)| {
        let held = Held { base: &mut BaseModel::default(), data: &LastRead::default() };
        compare(held, &recipe, &methods(&["lora"]), &out, &Control::default(), watch)
    };
    let lock = comparisons::lock(&out).unwrap();
    let Err(Halt::Failed(refusal)) = compare(&mut watch) else { panic!("it began beside another one") };
    assert!(refusal.detail.contains("another window or command"), "{refusal}");
    assert!(!out.join(JSON_FILE).exists());
    drop(lock);
    assert_eq!(compare(&mut watch).unwrap_or_else(|_| panic!("it is free")).rows.len(), 1);
    assert_eq!(is_locked.get(), 3);
    comparisons::delete(&out).unwrap();
}

/// Pausing holds for the test of a method as for its updates.
#[test]
fn a_comparison_waits_in_the_test_of_a_method_while_it_is_paused() {
    let place = tempfile::tempdir().unwrap();
    let (model, rows) = (tiny_model(place.path()), rows_file(place.path()));
    let (recipe, out) = (recipe(&model, &rows), place.path().join("out"));
    let (control, is_resumed) = (Control::new(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let mut is_paused = false;
        let mut watch = |kind: EventKind| match kind {
            EventKind::Progress { phase, .. } if phase == TESTING && !is_paused => {
                is_paused = true;
                control.pause();
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(300));
                    is_resumed.store(true, Ordering::SeqCst);
                    control.resume();
                });
            }
            EventKind::Compared { comparison, .. } if !comparison.rows.is_empty() => {
                assert!(is_resumed.load(Ordering::SeqCst), "it did not wait");
            }
            _ => {}
        };
        let held = Held { base: &mut BaseModel::default(), data: &LastRead::default() };
        let all = compare(held, &recipe, &methods(&["lora"]), &out, &control, &mut watch);
        let all = all.unwrap_or_else(|_| panic!("it ends well"));
        assert!(is_paused && all.rows[0].test_loss.is_some());
    });
}

/// A recipe of somebody's own and what a run froze have the same name.
#[test]
fn a_comparison_is_not_begun_among_other_files() {
    let place = tempfile::tempdir().unwrap();
    let (model, rows) = (tiny_model(place.path()), rows_file(place.path()));
    let recipe = recipe(&model, &rows);
    let own = place.path().join("own");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("recipe.toml"), "# mine").unwrap();
    let held = Held { base: &mut BaseModel::default(), data: &LastRead::default() };
    let refusal = compare(held, &recipe, &methods(&["lora"]), &own, &Control::default(), &mut |_| ());
    let Err(Halt::Failed(refusal)) = refusal else { panic!("it began") };
    assert!(refusal.detail.contains("other files") && refusal.hint.contains("new folder"), "{refusal}");
    assert_eq!(fs::read_to_string(own.join("recipe.toml")).unwrap(), "# mine");
    assert_eq!(fs::read_dir(&own).unwrap().count(), 1);
}

/// What cannot be trained is refused before the first method is trained, which may take hours.
#[test]
fn a_comparison_with_a_method_that_cannot_be_trained_is_not_begun() {
    let place = tempfile::tempdir().unwrap();
    let (model, rows) = (tiny_model(place.path()), rows_file(place.path()));
    let prefix = Prefix { num_virtual_tokens: 100_000, ..Prefix::default() };
    let command = Command::CompareMethods {
        project: place.path().join("project"),
        recipe: recipe(&model, &rows),
        methods: vec![
            Method::Lora(Default::default()).into(),
            Method::Ia3(Default::default()).into(),
            Method::Prefix(prefix).into(),
        ],
    };
    let (seen, last) = Real::new().carry_out(command);
    let EventKind::Failed(refusal) = last else { panic!("{last:?}") };
    let names = |name: &str| refusal.detail.contains(name);
    assert!(names("Prefix tuning, 100,000 virtual tokens") && !names("LoRA") && !names("IA3"), "{refusal}");
    assert!(refusal.hint.contains("--methods lora,ia3"), "{refusal}");
    assert!(
        !seen.iter().any(|kind| matches!(kind, EventKind::MethodTurn { .. } | EventKind::Compared { .. }))
    );
    assert!(
        !place
            .path()
            .join("project/comparisons")
            .read_dir()
            .is_ok_and(|mut all| all.next().is_some_and(|entry| entry.unwrap().path().join("runs").exists()))
    );
}

/// DoRA, LoRA+ and the like beside their kinds, each with a run of its own.
#[test]
fn variants_of_a_method_are_compared_side_by_side() {
    let place = tempfile::tempdir().unwrap();
    let (model, rows) = (tiny_model(place.path()), rows_file(place.path()));
    let recipe = recipe(&model, &rows);
    let out = place.path().join("out");
    let held = Held { base: &mut BaseModel::default(), data: &LastRead::default() };
    let all = Method::variants();
    let names: Vec<&str> = all.iter().map(Method::variant).collect();
    let num = names.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!((num, num > Method::all().len()), (names.len(), true), "{names:?}");
    let contenders: Vec<Contender> = all.iter().cloned().map(Contender::from).collect();
    let compared = compare(held, &recipe, &contenders, &out, &Control::new(), &mut |_| ()).unwrap();
    let rows: Vec<&str> = compared.rows.iter().map(|row| row.method.as_str()).collect();
    assert_eq!(rows, names);
    for row in &compared.rows {
        assert_eq!(row.problem, None, "{}", row.name);
        let kept = RunFolder::open(&out.join("runs").join(&row.method)).unwrap().recipe().unwrap();
        assert_eq!(kept.method.variant(), row.method);
    }
    let told: std::collections::BTreeSet<&str> = compared.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(told.len(), rows.len(), "each is told from the others by its name: {told:?}");
}

#[test]
fn two_processes_cannot_compare_in_one_folder() {
    let place = tempfile::tempdir().unwrap();
    let (model, rows) = (tiny_model(place.path()), rows_file(place.path()));
    let out = place.path().join("out");
    let _held = comparisons::lock(&out).unwrap();
    let held = Held { base: &mut BaseModel::default(), data: &LastRead::default() };
    let halt = compare(held, &recipe(&model, &rows), &methods(&["lora"]), &out, &Control::new(), &mut |_| ());
    let Err(Halt::Failed(failure)) = halt else { panic!("{halt:?}") };
    assert_eq!(failure.title, "Cannot compare there");
}

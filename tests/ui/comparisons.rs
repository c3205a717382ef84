//! Methods compared: the form, how far it is, the table, the chart, and the earlier ones.

use crate::{actors, stage};
use eframe::egui::{self, accesskit::Role};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use std::path::PathBuf;
use tunesmith::app::jobs::JobSwitch;
use tunesmith::app::panels::train::{self, compare::Action};
use tunesmith::app::{App, AppState, Effect, Place, UiAction};
use tunesmith::engine::event::EventKind;
use tunesmith::engine::{Command, Event, JobId};
use tunesmith::project::comparisons::Comparison;
use tunesmith::project::event::Phase;
use tunesmith::project::method_comparison::{MethodComparison, MethodRow, TaskFigure};
use tunesmith::project::{Outcome, RunEvent};
use tunesmith::recipe::recipe::{Method, OrderBy};
use tunesmith::recipe::variants::Contender;

const JOB: u64 = 41;

fn folder() -> PathBuf {
    PathBuf::from("/home/ada/Tunesmith/comparisons/2026-11-21-150000-fruit-families")
}

fn compare(action: Action) -> UiAction {
    UiAction::Train(train::Action::Compare(action))
}

fn row(method: &Method, loss: f64, share: f64, memory: u64) -> MethodRow {
    MethodRow {
        method: method.kind().into(),
        name: method.describe(),
        learning_rate: 5e-4,
        num_updates: 60,
        num_trainable_params: Some(2_442_240),
        adapter_bytes: Some(9_800_000),
        peak_bytes: Some(memory),
        estimated_bytes: Some(1_100_000_000),
        update_secs: Some(0.9 + loss / 10.0),
        best_validation_loss: Some(loss),
        exact_match: Some(share),
        test_loss: Some(loss + 0.1),
        num_tested: 15,
        ..MethodRow::default()
    }
}

/// Four methods, one of them without a result; the last of five was not run.
fn half_done() -> MethodComparison {
    let [lora, freeze, full, ia3, bottleneck, ..] = Method::all();
    let planned = [&lora, &freeze, &full, &ia3, &bottleneck].map(|method| method.clone().into()).to_vec();
    let mut found = MethodComparison {
        model: actors::STARTER.into(),
        data: "fruit-families.csv".into(),
        planned,
        ..MethodComparison::default()
    };
    found.push(row(&lora, 0.41, 0.8, 902_000_000));
    found.push(row(&freeze, 0.52, 0.6, 1_310_000_000));
    let problem =
        "Cannot start the run: the run would need about 2.6 GB of memory, and 1.9 GB may be used".into();
    found.push(MethodRow {
        method: "full".into(),
        name: "Full tuning".into(),
        learning_rate: 2e-5,
        problem: Some(problem),
        ..MethodRow::default()
    });
    found.push(row(&ia3, 0.97, 0.2, 811_000_000));
    found
}

fn done() -> MethodComparison {
    let mut found = half_done();
    found.push(row(&Method::all()[4], 0.44, 0.8, 934_000_000));
    found
}

/// Two tasks, a figure of each besides.
fn of_tasks() -> MethodComparison {
    let mut found = done();
    let rows = std::mem::take(&mut found.rows);
    for (place, row) in rows.into_iter().enumerate() {
        let figure = |task: &str, figure: &str, value: f64| TaskFigure {
            task: task.into(),
            figure: figure.into(),
            value: Some(value),
            is_better_high: true,
        };
        let share = 0.7 + 0.05 * place as f64;
        let tasks = vec![figure("moods", "accuracy", share), figure("grades", "R²", 0.9 - share / 2.0)];
        let is_measured = row.problem.is_none();
        let tasks = if is_measured { tasks } else { Vec::new() };
        found.push(MethodRow { exact_match: None, test_loss: None, tasks, ..row });
    }
    found
}

/// The table of methods that learnt several tasks; also a scene of the screenshots.
pub fn table_of_tasks() -> AppState {
    with(of_tasks(), Some(Action::Show(folder())))
}

fn with(found: MethodComparison, action: Option<Action>) -> AppState {
    let mut state = actors::furnished(156);
    state.act(UiAction::Go(Place::Train));
    actors::feed(&mut state, EventKind::Comparisons(vec![Comparison::new(&folder(), found)]));
    action.into_iter().for_each(|action| drop(state.act(compare(action))));
    state
}

/// The form with an earlier comparison; also a scene of the screenshots.
pub fn form() -> AppState {
    with(half_done(), Some(Action::Open))
}

/// A comparison that has ended; also a scene of the screenshots.
pub fn result() -> AppState {
    with(done(), Some(Action::Show(folder())))
}

/// One that was stopped; also a scene of the screenshots.
pub fn stopped() -> AppState {
    with(half_done(), Some(Action::Show(folder())))
}

/// One in progress, in its fifth method; also a scene of the screenshots.
pub fn running() -> AppState {
    let mut state = with(half_done(), None);
    let resume = Command::ResumeComparison { folder: folder() };
    state.act(compare(Action::Show(folder())));
    state.submitted(JobId(JOB), &resume);
    let mut say = |kind| state.apply(Event { job: JobId(JOB), kind });
    say(EventKind::Started);
    say(EventKind::Compared { folder: folder(), comparison: half_done() });
    let name = Method::all()[4].describe();
    say(EventKind::MethodTurn { key: "bottleneck".into(), name, index: 4, total: 5 });
    let run = folder().join("runs/bottleneck");
    for event in [
        RunEvent::Phase { phase: Phase::Training },
        RunEvent::Started {
            time: "2026-11-21T15:30:00Z".into(),
            num_updates: 60,
            updates_per_epoch: 37.5,
            num_train: 124,
            num_valid: 16,
            num_trainable_params: 2_200_000,
            estimated_memory_bytes: 1_310_000_000,
            estimated_secs: 60.0,
            device: "CPU, 2 threads".into(),
            from_update: 31,
        },
    ] {
        say(EventKind::Run { folder: run.clone(), event });
    }
    state
}

/// What stands in the way of a click: the place is Train, and nothing is waiting to be done.
fn window(state: AppState) -> Harness<'static, App> {
    let mut h = stage::window(state);
    stage::act(&mut h, UiAction::Go(Place::Train));
    stage::effects(&mut h);
    h
}

/// Where rows come from easy to hard, each method shuffled is offered beside it: one method is enough then, and what is used afterwards
/// brings its order along.
#[test]
fn an_order_of_rows_is_compared_with_shuffled_ones() {
    let mut h = window(with(half_done(), Some(Action::Open)));
    let by = |h: &mut Harness<'static, App>, by: OrderBy| {
        let mut recipe = h.state().state.train.recipe().clone();
        recipe.curriculum.by = by;
        stage::act(h, UiAction::Train(train::Action::Edit("curriculum.by", Box::new(recipe))));
    };
    assert!(h.query_by_label("Each also with its rows shuffled").is_none());
    by(&mut h, OrderBy::Length);
    for other in ["freeze", "ia3", "bottleneck", "prompt", "full", "prefix", "p_tuning"] {
        stage::act(&mut h, compare(Action::Tick(other, false)));
    }
    h.get_by_label("Tick two or more.");
    h.get_by_label("Each also with its rows shuffled").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label_contains("for the updates of 2 runs");
    h.get_by_label("Start comparing").click();
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    let [Command::CompareMethods { methods, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(methods.iter().map(Contender::key).collect::<Vec<_>>(), ["lora-length", "lora-shuffled"]);
    stage::act(&mut h, compare(Action::Use(Box::new(methods[1].clone()), 1e-3)));
    assert_eq!(h.state().state.train.recipe().curriculum.by, OrderBy::Shuffled);
    stage::act(&mut h, compare(Action::Use(Box::new(methods[0].clone()), 1e-3)));
    assert_eq!(h.state().state.train.recipe().curriculum.by, OrderBy::Length);
}

#[test]
fn methods_that_fit_are_ticked_and_started_with_as_many_updates() {
    let mut h = window(with(half_done(), None));
    h.get_by_value("Small addition (LoRA)").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Compare methods…").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label_contains("for the updates of 8 methods");
    h.get_by_label_contains("of 120.00 GB free for what they train");
    h.get_by_label("Tested on 16 rows, which no method learns from.");
    for kept in ["All weights (full)", "Memory (prefix)", "Encoded prompt (P-tuning)"] {
        h.get_by_label(&format!("Compare {kept}")).click();
        h.run_steps(stage::SETTLE);
    }
    h.get_by_label_contains("for the updates of 5 methods");
    stage::act(&mut h, compare(Action::SetUpdates(30)));
    h.get_by_label("Start comparing").click();
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    let [command @ Command::CompareMethods { recipe, methods, .. }] = &commands[..] else {
        panic!("{commands:?}")
    };
    let kinds: Vec<_> = methods.iter().map(|of| of.method.kind()).collect();
    assert_eq!(kinds, ["lora", "freeze", "ia3", "bottleneck", "prompt"]);
    assert_eq!(recipe.length.updates, Some(30));
    assert_ne!(h.state().state.train.recipe().length.updates, Some(30), "the form keeps its own");

    // Its folder is known with the first event; it is looked at from then on.
    stage::accept(&mut h, JOB, command);
    let other = folder().with_file_name("2026-11-22-090000-fruit-families");
    let empty = MethodComparison { rows: Vec::new(), ..half_done() };
    stage::say(&mut h, JOB, EventKind::Compared { folder: other, comparison: empty });
    h.get_by_label("LoRA, rank 8");
    assert_eq!(h.query_all_by_label("waits for its turn").count(), 5);
    stage::act(&mut h, compare(Action::Close));
    assert!(h.query_by_label("Start").is_some_and(|start| start.accesskit_node().is_disabled()));
    h.get_by_label("Methods are being compared.");
}

#[test]
fn too_few_methods_and_what_forbids_any_run_are_told() {
    let mut h = window(form());
    for method in &Method::all()[1..] {
        stage::act(&mut h, compare(Action::Tick(method.kind(), false)));
    }
    h.get_by_label("Tick two or more.");
    h.get_by_label("Start comparing").click();
    stage::act(&mut h, compare(Action::Start));
    assert!(stage::commands(&mut h).is_empty());
    let mut bare = stage::empty();
    actors::feed(&mut bare, actors::project());
    bare.act(compare(Action::Open));
    let h = window(bare);
    h.get_by_label("Choose a model first.");
    h.get_by_label("None yet. Each is kept here, to be looked at again or to go on with.");
}

#[test]
fn progress_says_which_method_and_which_update_and_stopping_keeps_all() {
    let mut h = window(running());
    h.get_all_by_label("5 of 5: Bottleneck adapters, width 32 · update 31/60").next().unwrap();
    h.get_by_label("training");
    h.get_all_by_label("Stop").next().unwrap().click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Stop comparing the methods?");
    assert!(h.query_by_label("Discard the run").is_none(), "there is nothing to throw away");
    h.get_all_by_label("Stop").last().unwrap().click();
    h.run_steps(stage::SETTLE);
    let effects = stage::effects(&mut h);
    assert!(matches!(&effects[..], [Effect::Job(JobId(JOB), _)]), "{effects:?}");
    stage::say(&mut h, JOB, EventKind::Stopped);
    h.get_by_label("not done yet: Go on does it");
    stage::effects(&mut h);
    h.get_by_label("Go on").click();
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    assert!(matches!(&commands[..], [Command::ResumeComparison { folder: at }] if *at == folder()));
}

/// What a test counts is no updates.
#[test]
fn the_test_of_a_method_is_told_as_such() {
    let mut state = running();
    let unit = tunesmith::base::Unit::Examples;
    let phase = "Testing".to_string();
    let kind = EventKind::Progress { phase, done: 3, total: Some(16), unit };
    state.apply(Event { job: JobId(JOB), kind });
    let mut h = window(state);
    let words = "5 of 5: Bottleneck adapters, width 32 · testing: 3 of 16 examples";
    assert!(h.query_all_by_label(words).next().is_some());
    h.get_by_label("testing");
    let name = Method::all()[4].describe();
    stage::say(&mut h, JOB, EventKind::MethodTurn { key: "bottleneck".into(), name, index: 4, total: 5 });
    h.get_by_label("training");
}

#[test]
fn a_comparison_is_paused_and_goes_on_while_it_trains_and_while_it_tests() {
    let mut h = window(running());
    let press = |h: &mut Harness<'static, App>, label: &str| {
        h.get_by_label(label).click();
        h.run_steps(stage::SETTLE);
        let effects = stage::effects(h);
        let [Effect::Job(job, switch)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(*job, JobId(JOB));
        h.state_mut().state.shared.jobs.switched(*job, *switch);
        h.run_steps(stage::SETTLE);
        *switch
    };
    assert_eq!(press(&mut h, "Pause"), JobSwitch::Pause);
    h.get_all_by_label("5 of 5: Bottleneck adapters, width 32 · paused at update 31/60").next().unwrap();
    assert_eq!(press(&mut h, "Resume"), JobSwitch::Resume);
    let unit = tunesmith::base::Unit::Tokens;
    let phase = "Testing".to_string();
    stage::say(&mut h, JOB, EventKind::Progress { phase, done: 210, total: Some(530), unit });
    assert_eq!(press(&mut h, "Pause"), JobSwitch::Pause);
    let words = "5 of 5: Bottleneck adapters, width 32 · paused, testing: 210 of 530 tokens";
    h.get_all_by_label(words).next().unwrap();
    assert_eq!(press(&mut h, "Resume"), JobSwitch::Resume);
    h.state_mut().state.shared.jobs.switched(JobId(JOB), JobSwitch::Stop);
    h.run_steps(stage::SETTLE);
    assert!(h.query_by_label("Pause").is_none(), "it is stopping");
}

#[test]
fn the_table_is_sorted_marks_the_best_and_says_why_there_is_no_result() {
    let mut h = window(result());
    h.get_by_label("0.4100, best by validation loss");
    h.get_by_label("811.0 MB, best by memory");
    h.get_by_label_contains("No result. Cannot start the run: the run would need about 2.6 GB");
    let order = |h: &Harness<'static, App>| {
        let mut names: Vec<(f32, String)> = Vec::new();
        for method in Method::all() {
            let name = method.describe();
            let found = h.query_all_by_label(&name).map(|node| node.rect().top()).fold(f32::MAX, f32::min);
            names.extend((found < f32::MAX).then_some((found, method.kind().to_string())));
        }
        names.sort_by(|a, b| a.0.total_cmp(&b.0));
        names.into_iter().map(|(_, kind)| kind).collect::<Vec<_>>()
    };
    assert_eq!(order(&h), ["lora", "freeze", "full", "ia3", "bottleneck"]);
    h.get_by_label("Sort by Validation loss").click();
    h.run_steps(stage::SETTLE);
    assert_eq!(order(&h), ["lora", "bottleneck", "freeze", "ia3", "full"]);
    h.get_by_label("Sort by Validation loss").click();
    h.run_steps(stage::SETTLE);
    assert_eq!(order(&h), ["ia3", "freeze", "bottleneck", "lora", "full"], "no number stays below");

    // The chart: exact match tells no one best, so that test loss is shown first; memory is a press away.
    h.get_by_label("Bar of LoRA, rank 8: 0.5100");
    h.get_by_label("memory").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Bar of IA3: 811.0 MB");
    assert!(h.query_by_label_contains("Bar of Full tuning").is_none());
}

#[test]
fn a_method_is_taken_from_the_table_into_the_form() {
    let mut h = window(result());
    h.get_by_label("Use IA3").click();
    h.run_steps(stage::SETTLE);
    let recipe = h.state().state.train.recipe().clone();
    // As it was in the comparison, whatever its usual learning rate.
    assert_eq!((recipe.method.kind(), recipe.optimizer.learning_rate), ("ia3", 5e-4));
    h.get_by_value("Learnt factors (IA3)");
    stage::act(&mut h, compare(Action::Open));
    h.key_press(egui::Key::Escape);
    h.run_steps(stage::SETTLE);
    assert!(!h.state().state.train.compare.is_open());
}

#[test]
fn one_that_cannot_be_read_says_why_and_can_be_deleted() {
    let mut state = form();
    let bad =
        Comparison { found: Err("expected value at line 1".into()), ..Comparison::new(&folder(), done()) };
    actors::feed(&mut state, EventKind::Comparisons(vec![bad]));
    let mut h = stage::window_of(state, stage::LARGE, egui::Theme::Light);
    stage::effects(&mut h);
    h.get_by_label("It cannot be read: open it for the reason.");
    h.get_by_label("Open the comparison 2026-11-21-150000-fruit-families").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("This comparison cannot be read: expected value at line 1");
    h.get_by_label("Delete…").click();
    h.run_steps(stage::SETTLE);
    assert!(stage::effects(&mut h).is_empty(), "nothing is deleted before the answer");
    h.get_by_label("Delete the comparison").click();
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    assert!(matches!(&commands[..], [Command::DeleteComparison { folder: at, .. }] if *at == folder()));
    stage::say(&mut h, 7, EventKind::Comparisons(Vec::new()));
    h.get_by_label("None yet. Each is kept here, to be looked at again or to go on with.");
}

#[test]
fn the_comparison_is_usable_in_a_narrow_window() {
    for (what, state) in [("form", form()), ("result", result()), ("running", running())] {
        let size = if what == "form" { stage::SMALLEST } else { stage::NARROW };
        let mut h = stage::window_of(state, size, egui::Theme::Light);
        stage::act(&mut h, UiAction::Go(Place::Train));
        let mut num_seen = 0;
        for node in h.root().children_recursive() {
            let access = node.accesskit_node();
            let is_wanted = matches!(access.role(), Role::Button | Role::CheckBox | Role::Label);
            if is_wanted && !access.is_hidden() {
                let name = access.label().or(access.value()).unwrap_or_default();
                assert!(node.rect().right() <= size.x + 1.0, "{what}: {name:?} lies at {:?}", node.rect());
                num_seen += 1;
            }
        }
        assert!(num_seen > 20, "{what}: only {num_seen} things were looked at");
    }
}

/// The run's own outcome is not that of the job: a method that fails is a row.
#[test]
fn runs_of_a_comparison_do_not_touch_the_run_that_train_shows() {
    let mut state = running();
    let run = folder().join("runs/bottleneck");
    let event = RunEvent::Finished {
        outcome: Outcome::Done,
        update: 60,
        best_update: None,
        best_loss: None,
        secs: 60.0,
        adapter: None,
    };
    state.apply(Event { job: JobId(JOB), kind: EventKind::Run { folder: run, event } });
    assert!(state.train.live.is_none() && state.shared.jobs.training().is_some());
    assert!(state.shared.runs.iter().all(|run| !run.folder.starts_with(folder())));
}

/// Each task has a column that sorts, a best and a chart.
#[test]
fn several_tasks_have_a_column_each() {
    let mut h = stage::window(table_of_tasks());
    h.get_by_label("Sort by grades R²");
    h.get_by_label("Sort by moods accuracy").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("0.9000, best by moods: accuracy");
    h.get_by_label("grades: R²").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("longer is better");
}

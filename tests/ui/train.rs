//! Train: the form, its problems, Start, and a run as it goes.

use crate::{actors, stage};
use eframe::egui;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use std::path::PathBuf;
use std::sync::Arc;
use tunesmith::app::jobs::JobSwitch;
use tunesmith::app::panels::{data, train};
use tunesmith::app::{App, AppState, Effect, Place, UiAction};
use tunesmith::base::{Control, DeviceChoice, Failure, Silent};
use tunesmith::data::import::{ImportOptions, import};
use tunesmith::engine::event::EventKind;
use tunesmith::engine::{Command, Event, JobId, jobs};
use tunesmith::project::RunEvent;
use tunesmith::project::event::{Answer, OperationCost, Outcome, Phase};
use tunesmith::recipe::Recipe;
use tunesmith::recipe::plan::{Facts, Speed};

pub const JOB: u64 = 77;

pub fn folder() -> PathBuf {
    PathBuf::from("/home/ada/Tunesmith/runs/2026-11-21-160000-fruit-families")
}

pub fn at_train() -> Harness<'static, App> {
    let mut h = stage::window(actors::furnished(156));
    stage::effects(&mut h);
    stage::act(&mut h, UiAction::Go(Place::Train));
    h
}

pub fn edit(h: &mut Harness<'static, App>, change: impl FnOnce(&mut Recipe)) {
    let mut recipe = h.state().state.train.recipe().clone();
    change(&mut recipe);
    stage::act(h, UiAction::Train(train::Action::Edit("method.rank", Box::new(recipe))));
}

pub fn rank(recipe: &Recipe) -> usize {
    let lora = recipe.method.lora().unwrap();
    lora.rank
}

pub fn started(from_update: u64) -> RunEvent {
    RunEvent::Started {
        time: "2026-11-21T16:00:00Z".into(),
        num_updates: 300,
        updates_per_epoch: 37.5,
        num_train: 124,
        num_valid: 16,
        num_trainable_params: 4_884_480,
        estimated_memory_bytes: 1_310_000_000,
        estimated_secs: 174.0,
        device: "CPU, 2 threads".into(),
        from_update,
    }
}

pub fn update(update: u64) -> RunEvent {
    let x = update as f64;
    RunEvent::Update {
        update,
        epoch: x / 37.5,
        loss: 2.4 * (-x / 40.0).exp() + 0.35 + 0.14 * (x * 2.3).sin() * (-x / 200.0).exp(),
        learning_rate: 1e-3 * (x / 15.0).min(1.0) * 0.5 * (1.0 + (x / 300.0 * std::f64::consts::PI).cos()),
        grad_norm: 1.2 * (-x / 150.0).exp() + 0.2 * (x * 1.7).cos().abs(),
        num_tokens: 480 + (update * 7) % 32,
        tokens_per_second: 880.0 + 30.0 * (x * 0.3).sin(),
        update_secs: 0.58,
        memory_bytes: 1_180_000_000 + (update % 7) * 3_000_000,
        replay_loss: None,
        divergence: None,
    }
}

fn profile(update: u64) -> RunEvent {
    let cost = |operation: &str, forward_secs, backward_secs, calls| {
        let operation = operation.to_string();
        OperationCost { operation, forward_secs, backward_secs, calls }
    };
    let operations = vec![
        cost("low_rank_linear", 0.15, 0.23, 120),
        cost("linear_cross_entropy", 0.07, 0.0, 1),
        cost("attention", 0.02, 0.04, 30),
        cost("rms_norm", 0.004, 0.009, 61),
        cost("swiglu", 0.005, 0.008, 30),
        cost("rope", 0.003, 0.003, 30),
    ];
    RunEvent::Profile { update, update_secs: 0.58, operations }
}

fn validation(update: u64, loss: f64, best: bool, without_gain: u32) -> RunEvent {
    RunEvent::Validation { update, loss, beside_first: None, best, without_gain, metrics: Default::default() }
}

fn answers(update: u64) -> RunEvent {
    let answer = |prompt: &str, expected: &str, base: &str, tuned: &str| Answer {
        prompt: prompt.into(),
        expected: expected.into(),
        base: base.into(),
        tuned: tuned.into(),
    };
    let answers = vec![
        answer("What type of fruit is a peach?", "drupe", "A peach is a type of stone fruit.", "drupe"),
        answer(
            "What type of fruit is an orange?",
            "hesperidium",
            "An orange is a citrus fruit.",
            "hesperidium",
        ),
        answer("What type of fruit is a cucumber?", "pepo", "A cucumber is a vegetable.", "berry"),
    ];
    RunEvent::Answers { update, answers }
}

/// A run in the middle: 200 of 300 updates, the last two validations without gain.
fn events() -> Vec<RunEvent> {
    let mut all = vec![RunEvent::Phase { phase: Phase::LoadingModel }, started(0)];
    all.push(RunEvent::Phase { phase: Phase::Training });
    for u in 1..=200 {
        all.push(update(u));
        if u % 10 == 0 {
            all.push(profile(u));
        }
        match u {
            38 => all.push(validation(u, 1.32, true, 0)),
            75 => all.push(validation(u, 0.81, true, 0)),
            113 => all.push(validation(u, 0.62, true, 0)),
            150 => all.push(validation(u, 0.66, false, 1)),
            188 => all.push(validation(u, 0.69, false, 2)),
            _ => continue,
        }
        all.push(answers(u));
        all.push(RunEvent::Checkpoint { update: u, name: format!("update-{u}"), best: u <= 113 });
    }
    all
}

fn begin(state: &mut AppState) {
    let recipe = Box::new(state.train.recipe().clone());
    let project = PathBuf::from("/home/ada/Tunesmith");
    state.submitted(JobId(JOB), &Command::Train { project, recipe });
    state.apply(Event { job: JobId(JOB), kind: EventKind::Started });
}

pub fn feed(state: &mut AppState, events: &[RunEvent]) {
    for event in events {
        let kind = EventKind::Run { folder: folder(), event: event.clone() };
        state.apply(Event { job: JobId(JOB), kind });
    }
}

/// The window during a run; also a scene of the screenshots.
pub fn running() -> AppState {
    let mut state = actors::furnished(156);
    state.act(UiAction::Train(train::Action::LoadPreset("balanced".into())));
    begin(&mut state);
    state.shared.now_secs = 131.0;
    feed(&mut state, &events());
    state
}

/// A form with problems; also a scene of the screenshots.
pub fn with_problems() -> AppState {
    let mut state = actors::furnished(156);
    let mut recipe = state.train.recipe().clone();
    recipe.optimizer.learning_rate = 3.0;
    let lora = recipe.method.lora_mut().unwrap();
    lora.rank = 0;
    state.act(UiAction::Train(train::Action::Edit("optimizer.learning_rate", Box::new(recipe))));
    state
}

/// A dataset may lie in memory where an earlier one lay.
#[test]
fn the_review_is_of_the_data_that_is_there_now() {
    let mut state = actors::furnished(60);
    for num_rows in [156, 40, 156, 100, 60] {
        let file = actors::imported(num_rows);
        actors::feed(&mut state, EventKind::Imported(Arc::clone(&file)));
        let options = state.data.options().cloned().expect("an open file has options");
        actors::feed(&mut state, EventKind::Prepared(actors::dataset(&file, &options)));
        let fresh = actors::furnished(num_rows);
        assert!(state.train.review.plan.is_some(), "{num_rows} rows");
        assert_eq!(state.train.review.plan, fresh.train.review.plan, "{num_rows} rows");
    }
}

#[test]
fn start_sends_the_recipe_with_model_and_data() {
    let mut h = at_train();
    h.get_by_label("Start").click();
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    let [Command::Train { project, recipe }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(project, &PathBuf::from("/home/ada/Tunesmith"));
    assert_eq!(recipe.model.source, actors::STARTER);
    let shared = &h.state().state.shared;
    assert_eq!(recipe.data.path.as_ref(), shared.imported.as_ref().map(|i| &i.path));
    let options = shared.prepare_options.as_ref().unwrap();
    assert_eq!(recipe.data.schema.as_ref(), Some(&options.schema));
    assert_eq!(recipe.batch.max_tokens, options.max_tokens);
}

/// What is shown is what is trained on, also where the guess about the file would be wrong.
#[test]
fn the_run_reads_its_file_as_it_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    let rows: String = (0..20).map(|i| format!("no. {i}; a peach|drupe; soft\n")).collect();
    std::fs::write(&path, rows).unwrap();
    let read = |options: &ImportOptions| import(&path, options, &Control::new(), &mut Silent).unwrap();
    let said = ImportOptions { separator: Some('|'), has_header: Some(false), ..ImportOptions::default() };
    let mut h = at_train();
    stage::act(&mut h, UiAction::Data(data::Action::Reimport(said.clone())));
    let before = h.state().state.train.recipe().data.separator;
    assert_eq!(before, None, "the table from before is still shown");
    let commands = stage::commands(&mut h);
    stage::accept(&mut h, 5, &commands[0]);
    let shown = Arc::new(read(&said));
    stage::say(&mut h, 5, EventKind::Imported(Arc::clone(&shown)));
    let again = |h: &Harness<'static, App>| {
        let options = jobs::data::import_options(h.state().state.train.recipe());
        read(&options).table
    };
    assert!(shown.table != read(&ImportOptions::default()).table, "a file that is guessed wrongly");
    assert_eq!(again(&h), shown.table);
    // A reading that fails leaves the table as it is, and so the recipe.
    stage::act(&mut h, UiAction::Data(data::Action::Reimport(ImportOptions::default())));
    let commands = stage::commands(&mut h);
    let import = commands.iter().find(|c| matches!(c, Command::Import { .. })).unwrap();
    stage::accept(&mut h, 6, import);
    stage::say(&mut h, 6, EventKind::Failed(Failure::new("No", "because", "try")));
    assert_eq!(again(&h), shown.table);
}

#[test]
fn ctrl_enter_starts() {
    let mut h = at_train();
    h.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Enter);
    h.run_steps(stage::SETTLE);
    assert!(matches!(stage::commands(&mut h)[..], [Command::Train { .. }]));
}

#[test]
fn start_says_why_it_cannot_be_pressed() {
    let mut h = stage::window(stage::empty());
    stage::act(&mut h, UiAction::Go(Place::Train));
    h.get_by_label("No project is open.");
    for kind in [actors::project(), actors::models(true)] {
        stage::say(&mut h, 1, kind);
    }
    h.get_by_label("Choose a model first.");
    stage::say(&mut h, 2, actors::model());
    h.get_by_label("Open a data file first.");
    stage::effects(&mut h);
    stage::act(&mut h, UiAction::Train(train::Action::Start));
    assert!(stage::commands(&mut h).is_empty());
}

#[test]
fn a_problem_stands_at_its_field_and_its_button_puts_it_right() {
    let mut h = at_train();
    edit(&mut h, |r| {
        let lora = r.method.lora_mut().unwrap();
        lora.rank = 0;
    });
    h.get_by_label("Must be changed: A rank of 0 has nothing to train. Use 8.");
    let why = h.state().state.header(Place::Train).primary.and_then(|p| p.why_not);
    assert_eq!(why.as_deref(), Some("A rank of 0 has nothing to train. Use 8."));
    stage::effects(&mut h);
    stage::act(&mut h, UiAction::Train(train::Action::Start));
    assert!(stage::commands(&mut h).is_empty(), "a run with an error must not start");
    h.get_by_label("Use 8").click();
    h.run_steps(stage::SETTLE);
    assert_eq!(rank(h.state().state.train.recipe()), 8);
    assert!(h.state().state.header(Place::Train).primary.is_some_and(|p| p.why_not.is_none()));
}

#[test]
fn changes_are_counted_undone_and_reset() {
    let mut h = at_train();
    let before = rank(h.state().state.train.recipe());
    edit(&mut h, |r| r.optimizer.learning_rate = 2e-4);
    edit(&mut h, |r| {
        let lora = r.method.lora_mut().unwrap();
        lora.rank = 48;
    });
    h.get_by_label("2 changed");
    // Two changes of one field in a row are one step.
    h.get_by_label("Undo").click();
    h.run_steps(stage::SETTLE);
    assert!(h.query_by_label("2 changed").is_none());
    edit(&mut h, |r| r.length.epochs = 9.0);
    h.get_by_label("1 changed");
    h.get_by_label("Reset").click();
    h.run_steps(stage::SETTLE);
    assert!(h.state().state.train.changed().is_empty());
    assert_eq!(rank(h.state().state.train.recipe()), before);
}

#[test]
fn a_preset_tells_data_what_it_needs_and_start_waits_for_it() {
    let mut h = at_train();
    stage::act(&mut h, UiAction::Train(train::Action::LoadPreset("quickstart".into())));
    stage::act(&mut h, UiAction::Train(train::Action::Start));
    let commands = stage::commands(&mut h);
    let [Command::Prepare { options, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(options.max_tokens, 128);
    assert!((options.split.test - 0.2).abs() < 1e-9 && (options.split.valid - 0.12).abs() < 1e-9);
    let file = Arc::clone(h.state().state.shared.imported.as_ref().unwrap());
    stage::accept(&mut h, 5, &commands[0]);
    stage::say(&mut h, 5, EventKind::Prepared(actors::dataset(&file, options)));
    let commands = stage::commands(&mut h);
    let [Command::Train { recipe, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(recipe.batch.max_tokens, 128);
}

#[test]
fn the_simple_form_has_six_rows_and_the_advanced_one_more() {
    let mut h = at_train();
    for name in [
        "Strength (rank)",
        "Passes (epochs)",
        "Learning rate",
        "Longest example (tokens)",
        "Stop early",
        "Method",
    ] {
        assert!(h.query_all_by_label(name).next().is_some(), "{name} is not in the simple form");
    }
    assert!(h.query_by_label("Gentle start (warm-up)").is_none());
    h.get_by_label("Advanced").click();
    h.run_steps(stage::SETTLE);
    for name in ["Loudness (alpha)", "Gentle start (warm-up)", "Save memory", "Seed"] {
        assert!(h.query_all_by_label(name).next().is_some(), "{name} is not in the advanced form");
    }
}

#[test]
fn a_run_is_followed_paused_saved_and_stopped() {
    let mut h = stage::window(running());
    stage::effects(&mut h);
    stage::act(&mut h, UiAction::Go(Place::Train));
    h.get_by_label("training: update 200/300, pass 5.3 of 8.0");
    h.get_all_by_label_contains("about 58.0 s left").next().expect("the time left");
    h.get_by_label_contains("memory 1.19 GB (estimate 1.31 GB)");
    h.get_by_label_contains("Chart: Filled, ");
    h.get_by_label("Pause").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Save now").click();
    h.run_steps(stage::SETTLE);
    let effects = stage::effects(&mut h);
    let switches = [JobSwitch::Pause, JobSwitch::SaveNow];
    for (effect, wanted) in effects.iter().zip(switches) {
        assert!(matches!(effect, Effect::Job(JobId(JOB), s) if *s == wanted), "{effects:?}");
    }
    assert_eq!(effects.len(), 2);
    h.get_by_label("Resume");
    // Esc asks, Esc again keeps on.
    h.key_press(egui::Key::Escape);
    h.run_steps(stage::SETTLE);
    h.get_by_label("Stop the run?");
    h.key_press(egui::Key::Escape);
    h.run_steps(stage::SETTLE);
    assert!(h.query_by_label("Stop the run?").is_none());
    h.get_by_label("Stop…").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Stop and save").click();
    h.run_steps(stage::SETTLE);
    let effects = stage::effects(&mut h);
    assert!(matches!(effects[..], [Effect::Job(JobId(JOB), JobSwitch::Stop)]), "{effects:?}");
}

#[test]
fn a_run_read_from_disk_is_drawn_as_the_live_one_was() {
    let live = running().train.live.expect("a run");
    let read = train::RunView::from_events(folder(), live.recipe.clone(), &events(), 0.9);
    assert_eq!(read, live);
    assert_eq!(live.best().map(|b| b.update), Some(113));
    // Three validations of 37.5 updates each after the best one.
    assert_eq!(live.patience_span(), Some((113.0, 225.5)));
    // Lines that come twice, from disk and over the channel, are drawn once.
    let mut twice = read.clone();
    events().iter().skip(3).filter(|e| matches!(e, RunEvent::Update { .. })).for_each(|e| twice.apply(e));
    assert_eq!(twice.loss, read.loss);
}

#[test]
fn a_resumed_run_goes_on_from_its_checkpoint() {
    let mut view = running().train.live.expect("a run");
    view.apply(&started(150));
    assert_eq!(view.last.update, 150);
    assert_eq!(view.loss.raw.len(), 150);
    assert_eq!(view.valid.len(), 4);
    view.apply(&update(151));
    assert_eq!(view.loss.raw.len(), 151);
}

#[test]
fn sample_answers_and_the_log_can_be_read() {
    let mut h = stage::window(running());
    stage::act(&mut h, UiAction::Go(Place::Train));
    h.get_by_label("Sample answers").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("A peach is a type of stone fruit.");
    assert_eq!(h.get_all_by_label("drupe").count(), 2, "expected, and the tuned answer");
    h.get_by_label("Log").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label_contains("update 188: validation loss 0.6900");
    h.get_by_label("Numbers").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("4,884,480");
    h.get_by_label("Profile").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Update 200 took 0.58 s. The model's operations, forward and back:");
    h.get_by_label("low rank linear");
    h.get_by_label("65.5 %");
}

#[test]
fn a_failed_run_says_why_and_lets_the_next_one_start() {
    let mut h = stage::window(running());
    stage::act(&mut h, UiAction::Go(Place::Train));
    let why = h.state().state.header(Place::Train).primary.and_then(|p| p.why_not);
    assert_eq!(why.as_deref(), Some("A run is in progress."));
    let failure = Failure::new("The loss is not a number", "at update 201", "Try a learning rate of 0.0002.");
    stage::say(&mut h, JOB, EventKind::Failed(failure));
    h.get_by_label("The loss is not a number: at update 201");
    assert!(h.state().state.header(Place::Train).primary.is_some_and(|p| p.why_not.is_none()));
    h.get_by_label("Prepare the next run").click();
    h.run_steps(stage::SETTLE);
    assert!(h.state().state.train.live.is_none());
}

#[test]
fn an_ended_run_says_how_it_ended() {
    let mut state = running();
    let finished = RunEvent::Finished {
        outcome: Outcome::StoppedEarly,
        update: 225,
        best_update: Some(113),
        best_loss: Some(0.62),
        secs: 158.0,
        adapter: Some("adapter".into()),
    };
    feed(&mut state, &[finished]);
    state.apply(Event { job: JobId(JOB), kind: EventKind::Done });
    let mut h = stage::window(state);
    stage::act(&mut h, UiAction::Go(Place::Train));
    h.get_by_label_contains("2 m 38 s so far");
    h.get_by_label("stopped early: no more gain: update 200/300, pass 5.3 of 8.0");
}

#[test]
fn checkpoints_that_do_not_fit_on_the_disk_are_a_problem() {
    let mut h = at_train();
    let facts = |free| EventKind::Machine(Facts { free_disk_bytes: Some(free), ..Facts::default() });
    stage::say(&mut h, 1, facts(120_000_000_000));
    h.get_by_label_contains("of 120.00 GB free");
    stage::say(&mut h, 1, facts(5_000_000));
    let header = h.state().state.header(Place::Train);
    let why = header.primary.and_then(|p| p.why_not).expect("it must not start");
    assert!(why.contains("5.0 MB are free on the disk"), "{why}");
    h.get_by_label("Use 1");
}

/// How fast an unknown machine is, is asked once; then the estimate of time follows it.
#[test]
fn the_machine_is_measured_when_it_is_not_known() {
    let machine = |speed| EventKind::Machine(Facts { speed, ..Facts::default() });
    let speed = Speed { device: DeviceChoice::Cpu, flops_per_second: 1e9 };
    let num_asked = |h: &mut Harness<'static, App>| {
        let commands = stage::commands(h);
        commands.iter().filter(|command| matches!(command, Command::MeasureSpeed)).count()
    };
    let mut known = stage::window(stage::empty());
    stage::say(&mut known, 1, machine(Some(speed)));
    assert_eq!(num_asked(&mut known), 0);
    let mut unknown = stage::window(stage::empty());
    stage::say(&mut unknown, 1, machine(None));
    stage::say(&mut unknown, 1, machine(None));
    assert_eq!(num_asked(&mut unknown), 1);

    let mut h = at_train();
    let secs =
        |h: &Harness<'static, App>| h.state().state.train.review.plan.as_ref().unwrap().estimate().secs;
    let rough = secs(&h);
    stage::say(&mut h, 2, EventKind::Speed(speed));
    assert!(secs(&h) > 10.0 * rough);
    stage::say(&mut h, 3, machine(None));
    assert!(secs(&h) > 10.0 * rough, "what was measured is not forgotten");
}

/// One wide control pushed the right edge of the card out of the picture.
#[test]
fn the_card_of_the_form_has_its_right_edge_in_both_forms() {
    let mut h = at_train();
    let at = (571, 100);
    let simple = *h.render().unwrap().get_pixel(at.0, at.1);
    stage::act(&mut h, UiAction::Train(train::Action::SetAdvanced(true)));
    h.run_steps(stage::SETTLE);
    assert_eq!(*h.render().unwrap().get_pixel(at.0, at.1), simple);
}

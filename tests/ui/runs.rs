//! Runs: the list, one opened, several compared, deleted only after asking.

use crate::{actors, stage};
use eframe::egui::{self, accesskit::Role};
use egui_kittest::kittest::{NodeT, Queryable};
use std::path::PathBuf;
use tunesmith::app::panels::runs::Action;
use tunesmith::app::{AppState, Effect, Place, UiAction};
use tunesmith::engine::event::EventKind;
use tunesmith::engine::{Command, Event, JobId};
use tunesmith::peft::merge::Merged;
use tunesmith::project::RunEvent;
use tunesmith::recipe::recipe::Method;

pub fn first() -> PathBuf {
    PathBuf::from("/home/ada/Tunesmith/runs/2026-11-21-143000-lora-fruit-families")
}

fn second() -> PathBuf {
    PathBuf::from("/home/ada/Tunesmith/runs/2026-11-20-091200-lora-letters-to-the-editor-with-a-long-name")
}

/// The losses of a run, as its file has them.
fn read(folder: PathBuf, num_updates: u64, floor: f64) -> EventKind {
    let update = |update: u64| {
        let x = update as f64;
        RunEvent::Update {
            update,
            epoch: x / 37.5,
            loss: 2.4 * (-x / 40.0).exp() + floor + 0.1 * (x * 2.3).sin(),
            learning_rate: 5e-4,
            grad_norm: 1.0,
            num_tokens: 512,
            tokens_per_second: 880.0,
            update_secs: 0.5,
            memory_bytes: 1_200_000_000,
            replay_loss: None,
            divergence: None,
        }
    };
    let valid = |update: u64, best: u64| RunEvent::Validation {
        update,
        loss: floor + 0.2 + update.abs_diff(best) as f64 / 400.0,
        beside_first: None,
        best: update <= best,
        without_gain: (update.saturating_sub(best) / 20) as u32,
        metrics: Default::default(),
    };
    let started = RunEvent::Started {
        time: "2026-11-21T14:30:00Z".into(),
        num_updates: 300,
        updates_per_epoch: 37.5,
        num_train: 124,
        num_valid: 16,
        num_trainable_params: 4_884_480,
        estimated_memory_bytes: 1_310_000_000,
        estimated_secs: 174.0,
        device: "CPU, 2 threads".into(),
        from_update: 0,
    };
    let mut events = vec![started];
    for u in 1..=num_updates {
        events.push(update(u));
        if u % 20 == 0 {
            events.push(valid(u, num_updates * 2 / 3 / 20 * 20));
        }
    }
    EventKind::RunRead { folder, events }
}

/// The runs of the actors, with recipes that differ.
fn listed() -> AppState {
    let mut state = actors::furnished(40);
    let mut runs = state.shared.runs.clone();
    let lora = runs[1].recipe.method.lora_mut().unwrap();
    lora.rank = 32;
    runs[1].recipe.optimizer.learning_rate = 2e-4;
    runs[0].recipe.data.path = Some(PathBuf::from("/home/ada/fruit-families.csv"));
    runs[1].recipe.data.path = Some(PathBuf::from("/home/ada/letters.jsonl"));
    state.apply(Event { job: JobId(0), kind: EventKind::Runs(runs) });
    state
}

/// Two runs ticked and read; also a scene of the screenshots.
pub fn compared() -> AppState {
    let mut state = listed();
    for folder in [first(), second()] {
        state.act(UiAction::Runs(Action::Tick(folder, true)));
    }
    for (folder, n, floor) in [(first(), 300, 0.4), (second(), 84, 0.9)] {
        state.apply(Event { job: JobId(0), kind: read(folder, n, floor) });
    }
    state.act(UiAction::Runs(Action::CompareTicked));
    state
}

/// As many runs as can be compared, with long names; also a scene of the screenshots.
pub fn compared_many() -> AppState {
    let mut state = listed();
    let mut runs = state.shared.runs.clone();
    for n in 2..6 {
        let mut run = runs[n % 2].clone();
        run.name = format!("2026-11-1{n}-101112-lora-a-data-file-with-quite-a-long-name-number-{n}");
        run.folder = PathBuf::from("/home/ada/Tunesmith/runs").join(&run.name);
        run.recipe.batch.accumulation = n;
        runs.push(run);
    }
    let folders: Vec<PathBuf> = runs.iter().map(|r| r.folder.clone()).collect();
    state.apply(Event { job: JobId(0), kind: EventKind::Runs(runs) });
    for (n, folder) in folders.into_iter().enumerate() {
        state.act(UiAction::Runs(Action::Tick(folder.clone(), true)));
        state.apply(Event { job: JobId(0), kind: read(folder, 300 - 30 * n as u64, 0.3 + 0.1 * n as f64) });
    }
    state.act(UiAction::Runs(Action::CompareTicked));
    state
}

/// One run opened; also a scene of the screenshots.
pub fn opened() -> AppState {
    let mut state = listed();
    state.act(UiAction::Runs(Action::Open(first())));
    state.apply(Event { job: JobId(0), kind: read(first(), 300, 0.4) });
    state
}

#[test]
fn ticked_runs_are_read_and_only_what_differs_is_listed() {
    let mut h = stage::window(listed());
    stage::act(&mut h, UiAction::Go(Place::Runs));
    h.get_by_label("Compare 2026-11-21-143000-lora-fruit-families").click();
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    assert!(matches!(&commands[..], [Command::ReadRun { folder }] if *folder == first()), "{commands:?}");
    let mut h = stage::window(compared());
    stage::act(&mut h, UiAction::Go(Place::Runs));
    h.get_by_label("Chart of the losses of the chosen runs");
    h.get_by_label("method.rank");
    h.get_by_label("optimizer.learning_rate");
    assert!(h.query_by_label("batch.max_tokens").is_none(), "what is the same is not listed");
}

#[test]
fn a_past_run_has_the_charts_of_a_live_one() {
    let mut h = stage::window(listed());
    stage::act(&mut h, UiAction::Go(Place::Runs));
    stage::act(&mut h, UiAction::Runs(Action::Open(first())));
    h.get_by_label("Reading what it reported…");
    stage::say(&mut h, 4, read(first(), 300, 0.4));
    h.get_by_label_contains("Chart of the loss over the updates");
    for title in ["Learning rate", "Gradient norm", "Tokens per second", "Memory"] {
        h.get_by_label_contains(&format!("Chart: {title}, "));
    }
    h.get_by_label("Log axis").click();
    h.get_by_label("Log").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label_contains("update 200: validation loss 0.6000");
    h.get_by_label("Numbers").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("/home/ada/fruit-families.csv");
    h.key_press(egui::Key::Escape);
    h.run_steps(stage::SETTLE);
    h.get_by_label("Compare 2026-11-21-143000-lora-fruit-families");
}

#[test]
fn runs_are_usable_in_a_narrow_window() {
    for (what, state) in [("list", listed()), ("compared", compared_many()), ("open", opened())] {
        let mut h = stage::window_of(state, stage::NARROW, egui::Theme::Light);
        stage::act(&mut h, UiAction::Go(Place::Runs));
        let mut num_seen = 0;
        for node in h.root().children_recursive() {
            let access = node.accesskit_node();
            // The table of what differs may be scrolled sideways; what is pressed may not.
            let is_wanted = match access.role() {
                Role::Button | Role::CheckBox => true,
                Role::Label => what != "compared",
                _ => false,
            };
            if is_wanted && !access.is_hidden() {
                let name = access.label().or(access.value()).unwrap_or_default();
                let rect = node.rect();
                assert!(rect.right() <= stage::NARROW.x + 1.0, "{what}: {name:?} lies at {rect:?}");
                num_seen += 1;
            }
        }
        assert!(num_seen > 10, "{what}: only {num_seen} things were looked at");
    }
}

#[test]
fn long_names_are_elided_and_a_run_is_left_out_of_the_comparison() {
    let mut h = stage::window_of(compared_many(), stage::SMALLEST, egui::Theme::Light);
    stage::act(&mut h, UiAction::Go(Place::Runs));
    let long = "2026-11-15-101112-lora-a-data-file-with-quite-a-long-name-number-5";
    assert!(h.query_by_label(long).is_none());
    let short = tunesmith::base::human::elide(long, 26);
    h.get_all_by_label(&short).next().expect("the name in the legend").hover();
    h.run_steps(80);
    h.get_by_label(long);
    h.get_by_label(&format!("Leave out {long}")).click();
    h.run_steps(stage::SETTLE);
    assert!(h.query_all_by_label(&short).next().is_none());
}

#[test]
fn a_run_is_deleted_only_after_it_was_asked() {
    let mut h = stage::window(opened());
    stage::act(&mut h, UiAction::Go(Place::Runs));
    stage::effects(&mut h);
    h.get_by_label("Delete…").click();
    h.run_steps(stage::SETTLE);
    assert!(stage::effects(&mut h).is_empty(), "nothing is deleted before the answer");
    h.get_by_label_contains("will be gone for good");
    h.get_by_label("Cancel").click();
    h.run_steps(stage::SETTLE);
    assert!(stage::effects(&mut h).is_empty(), "keeping deletes nothing");
    h.get_by_label("Delete…").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Delete the run").click();
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    assert!(matches!(&commands[..], [Command::DeleteRun { folder }] if *folder == first()), "{commands:?}");
}

#[test]
fn a_run_is_resumed_with_its_past_or_says_why_not() {
    let mut state = opened();
    let mut runs = state.shared.runs.clone();
    (runs[0].outcome, runs[0].resumable) = (None, Ok(120));
    state.apply(Event { job: JobId(0), kind: EventKind::Runs(runs) });
    let mut h = stage::window(state);
    stage::act(&mut h, UiAction::Go(Place::Runs));
    stage::effects(&mut h);
    h.get_by_label("Resume").click();
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    let [resume @ Command::ResumeRun { folder }, Command::ReadRun { .. }] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert_eq!(*folder, first());
    stage::accept(&mut h, 3, resume);
    stage::say(&mut h, 4, read(first(), 120, 0.4));
    let live = h.state().state.train.live.as_ref().expect("the run is shown in Train");
    assert_eq!(live.loss.raw.len(), 120);
    // Its recipe is known, so the updates without gain are marked: 80 was the best of a check every 20.
    let patience = live.recipe.as_ref().expect("the recipe of the run").early_stop.patience;
    assert_eq!(live.patience_span(), Some((80.0, 80.0 + 20.0 * f64::from(patience))));
    // What cannot be resumed has a button that does nothing.
    let mut state = opened();
    let mut runs = state.shared.runs.clone();
    runs[0].resumable = Err("it saved no checkpoint".into());
    state.apply(Event { job: JobId(0), kind: EventKind::Runs(runs) });
    let mut h = stage::window(state);
    stage::act(&mut h, UiAction::Go(Place::Runs));
    stage::effects(&mut h);
    h.get_by_label("Resume").click();
    h.run_steps(stage::SETTLE);
    assert!(stage::effects(&mut h).is_empty());
}

/// What a button of the opened run asks of the engine once a folder was picked.
fn commands_for_a_folder(button: &str) -> Vec<Command> {
    let mut h = stage::window(opened());
    stage::act(&mut h, UiAction::Go(Place::Runs));
    stage::effects(&mut h);
    h.get_by_label(button).click();
    h.run_steps(stage::SETTLE);
    let effects = stage::effects(&mut h);
    let [Effect::Pick(pick)] = &effects[..] else { panic!("{effects:?}") };
    let chosen = (pick.then)(PathBuf::from("/media/usb"));
    stage::act(&mut h, chosen);
    stage::commands(&mut h)
}

#[test]
fn a_run_is_exported_to_the_folder_that_was_chosen() {
    let commands = commands_for_a_folder("Export…");
    let [Command::ExportAdapter { run, to }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(*run, first());
    assert!(to.starts_with("/media/usb"));
}

/// A run that was merged; also a scene of the screenshots.
pub fn merged() -> AppState {
    let mut state = opened();
    let merged = Merged { largest_difference: 1.24e-5, largest_logit: 23.41 };
    let to = PathBuf::from("/media/usb/2026-11-21-143000-lora-fruit-families-merged");
    actors::feed(&mut state, EventKind::Merged { run: first(), to, merged });
    state
}

#[test]
fn a_run_is_merged_and_the_difference_stays_until_it_is_put_away() {
    let commands = commands_for_a_folder("Merge…");
    let [Command::MergeAdapter { run, to }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(*run, first());
    assert_eq!(*to, PathBuf::from("/media/usb/2026-11-21-143000-lora-fruit-families-merged"));

    let mut h = stage::window(merged());
    stage::act(&mut h, UiAction::Go(Place::Runs));
    let words = "Its logits differ from the adapter's by at most 1.2e-5, where the largest is 23.4.";
    h.get_by_label(words);
    h.state_mut().state.tick(60.0, None);
    h.run_steps(stage::SETTLE);
    h.get_by_label(words);
    stage::act(&mut h, UiAction::Runs(Action::Open(second())));
    assert!(h.query_by_label(words).is_none(), "it is of the other run");
    stage::act(&mut h, UiAction::Runs(Action::Open(first())));
    h.get_by_label("Put this away").click();
    h.run_steps(stage::SETTLE);
    assert!(h.query_by_label(words).is_none());
}

#[test]
fn what_cannot_be_merged_says_why() {
    for (kind, why) in [
        ("prefix", "a prefix is seen beside the text"),
        ("prompt", "a soft prompt stands before the text"),
        ("p_tuning", "a soft prompt stands before the text"),
        ("bottleneck", "layers of their own"),
        ("full", "It is a whole model already: Export copies it."),
        ("freeze", "It is a whole model already: Export copies it."),
    ] {
        let mut state = opened();
        let mut runs = state.shared.runs.clone();
        runs[0].recipe.method = Method::all().into_iter().find(|method| method.kind() == kind).unwrap();
        actors::feed(&mut state, EventKind::Runs(runs));
        let mut h = stage::window(state);
        stage::act(&mut h, UiAction::Go(Place::Runs));
        assert!(h.get_by_label("Merge…").accesskit_node().is_disabled(), "{kind}");
        h.get_by_label("Merge…").hover();
        h.run_steps(80);
        assert!(h.query_all_by_label_contains(why).next().is_some(), "{kind}");
    }
}

#[test]
fn the_settings_of_a_run_come_into_the_form_and_its_split_into_data() {
    let mut state = opened();
    let mut runs = state.shared.runs.clone();
    runs[0].recipe.optimizer.learning_rate = 3e-4;
    runs[0].recipe.batch.max_tokens = 96;
    runs[0].recipe.data.split.test = 0.3;
    state.apply(Event { job: JobId(0), kind: EventKind::Runs(runs) });
    let mut h = stage::window(state);
    stage::act(&mut h, UiAction::Go(Place::Runs));
    stage::effects(&mut h);
    h.get_by_label("Use its settings").click();
    h.run_steps(stage::SETTLE);
    assert_eq!(h.state().state.place, Place::Train);
    assert!((h.state().state.train.recipe().optimizer.learning_rate - 3e-4).abs() < 1e-12);
    h.get_by_label("Preset: From a run or a file");
    let commands = stage::commands(&mut h);
    let [Command::Prepare { options, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(options.max_tokens, 96);
    assert!((options.split.test - 0.3).abs() < 1e-12);
}

#[test]
fn no_second_run_is_begun_beside_the_first() {
    let mut h = stage::window(opened());
    stage::act(&mut h, UiAction::Go(Place::Runs));
    let train = Command::Train { project: PathBuf::from("p"), recipe: Default::default() };
    stage::accept(&mut h, 5, &train);
    stage::effects(&mut h);
    for button in ["Resume", "Rerun"] {
        h.get_by_label(button).click();
        h.run_steps(stage::SETTLE);
        assert!(stage::commands(&mut h).is_empty(), "{button}");
    }
}

//! What is around every place: the bar, keys, palette, notices, questions, leaving.

use crate::{actors, stage};
use eframe::egui::{self, Key, Modifiers, accesskit::Role};
use egui_kittest::kittest::{NodeT, Queryable};
use std::path::PathBuf;
use tunesmith::app::action::{Ending, FrameAction};
use tunesmith::app::jobs::JobSwitch;
use tunesmith::app::state::Overlay;
use tunesmith::app::{Effect, Place, UiAction, panels};
use tunesmith::base::{DeviceChoice, Failure};
use tunesmith::engine::event::EventKind;
use tunesmith::engine::{Command, JobId};
use tunesmith::recipe::Recipe;
use tunesmith::recipe::plan::Facts;

fn train() -> Command {
    Command::Train { project: PathBuf::from("p"), recipe: Box::new(Recipe::default()) }
}

#[test]
fn places_open_by_click_and_by_key() {
    let mut h = stage::window(actors::furnished(40));
    for place in [Place::Data, Place::Runs, Place::Model, Place::Train, Place::Playground, Place::Home] {
        h.get_by_role_and_label(Role::Button, place.name()).click();
        h.run_steps(stage::SETTLE);
        assert_eq!(h.state().state.place, place);
    }
    for (key, place) in [(Key::Num3, Place::Data), (Key::Num6, Place::Playground), (Key::Num1, Place::Home)] {
        h.key_press_modifiers(Modifiers::COMMAND, key);
        h.run_steps(stage::SETTLE);
        assert_eq!(h.state().state.place, place);
    }
}

#[test]
fn ctrl_o_asks_for_a_file() {
    let mut h = stage::window(stage::empty());
    h.key_press_modifiers(Modifiers::COMMAND, Key::O);
    h.run_steps(stage::SETTLE);
    let effects = stage::effects(&mut h);
    let Some(Effect::Pick(pick)) = effects.into_iter().next() else { panic!("no dialog") };
    assert_eq!(pick.title, "Open data");
}

#[test]
fn ctrl_l_replaces_the_path_and_enter_opens_it() {
    let mut h = stage::window(actors::furnished(10));
    h.key_press_modifiers(Modifiers::COMMAND, Key::L);
    h.run_steps(stage::SETTLE);
    assert_eq!(h.state().state.place, Place::Data);
    h.get_by_role_and_label(Role::TextInput, "Path of the data file").type_text("/data/new.csv");
    h.run_steps(stage::SETTLE);
    h.key_press(Key::Enter);
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    let [Command::Import { path, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(path, &PathBuf::from("/data/new.csv"));
}

#[test]
fn the_palette_finds_and_runs_an_action() {
    let mut h = stage::window(actors::furnished(10));
    h.key_press_modifiers(Modifiers::COMMAND, Key::K);
    h.run_steps(stage::SETTLE);
    h.get_by_role_and_label(Role::TextInput, "Find an action").type_text("go runs");
    h.run_steps(stage::SETTLE);
    h.key_press(Key::Enter);
    h.run_steps(stage::SETTLE);
    assert_eq!(h.state().state.place, Place::Runs);
    assert!(matches!(h.state().state.overlay, Overlay::None));
}

#[test]
fn escape_closes_what_is_open() {
    let mut h = stage::window(stage::empty());
    h.get_by_label("Keyboard").click();
    h.run_steps(stage::SETTLE);
    assert!(matches!(h.state().state.overlay, Overlay::Shortcuts));
    h.key_press(Key::Escape);
    h.run_steps(stage::SETTLE);
    assert!(matches!(h.state().state.overlay, Overlay::None));
}

#[test]
fn a_failure_stays_until_dismissed_and_can_be_copied() {
    let mut h = stage::window(stage::empty());
    let failure = Failure::new("Cannot read the data file", "invalid header at byte 12", "Save it as CSV.");
    stage::say(&mut h, 7, EventKind::Failed(failure));
    h.get_by_label("Save it as CSV.");
    assert!(h.query_by_label("invalid header at byte 12").is_none());
    h.get_by_label("Details").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("invalid header at byte 12");
    h.get_by_label("Copy").click();
    h.run_steps(stage::SETTLE);
    let copied = stage::effects(&mut h).into_iter().find_map(|e| match e {
        Effect::CopyText(text) => Some(text),
        _ => None,
    });
    assert!(copied.is_some_and(|c| c.contains("invalid header at byte 12") && c.contains("Tunesmith")));
    h.state_mut().state.tick(1_000.0, None);
    h.run_steps(stage::SETTLE);
    h.get_by_label("Dismiss").click();
    h.run_steps(stage::SETTLE);
    assert!(h.query_by_label("Save it as CSV.").is_none());
}

#[test]
fn the_status_bar_shows_what_runs_and_stops_it() {
    let mut h = stage::window(stage::empty());
    let command = Command::Import { path: PathBuf::from("/x/big.csv"), options: Default::default() };
    stage::accept(&mut h, 3, &command);
    let unit = tunesmith::base::Unit::Rows;
    let progress = EventKind::Progress { phase: "Reading".into(), done: 1_200, total: Some(4_000), unit };
    stage::say(&mut h, 3, progress);
    h.get_by_label("Importing big.csv: 1,200 of 4,000 rows");
    h.get_by_role_and_label(Role::Button, "Stop").click();
    h.run_steps(stage::SETTLE);
    let effects = stage::effects(&mut h);
    assert!(effects.iter().any(|e| matches!(e, Effect::Job(JobId(3), JobSwitch::Stop))), "{effects:?}");
    h.get_by_label("Stopping…");
    stage::say(&mut h, 3, EventKind::Stopped);
    h.get_by_label("Nothing is running");
}

#[test]
fn stopping_a_run_from_the_status_bar_asks_as_closing_does() {
    let mut h = stage::window(stage::empty());
    stage::accept(&mut h, 5, &train());
    let stop = |h: &mut egui_kittest::Harness<'static, tunesmith::app::App>, answer: &str| {
        h.get_by_role_and_label(Role::Button, "Stop").click();
        h.run_steps(stage::SETTLE);
        h.get_by_label("Stop the run?");
        h.get_by_label(answer).click();
        h.run_steps(stage::SETTLE);
    };
    stop(&mut h, "Keep training");
    assert!(stage::effects(&mut h).is_empty(), "keeping changes nothing");
    h.get_by_role_and_label(Role::Button, "Stop").click();
    h.run_steps(stage::SETTLE);
    h.key_press(Key::Enter);
    h.run_steps(stage::SETTLE);
    assert!(stage::effects(&mut h).is_empty(), "Enter keeps");
    stop(&mut h, "Discard the run");
    assert!(matches!(stage::effects(&mut h)[..], [Effect::Job(JobId(5), JobSwitch::Discard)]));
    stage::say(&mut h, 5, EventKind::Stopped);
    assert!(stage::effects(&mut h).iter().all(|e| !matches!(e, Effect::Quit)), "the window stays");
}

#[test]
fn a_run_that_ends_while_it_is_asked_about_takes_the_question_with_it() {
    let mut h = stage::window(stage::empty());
    stage::accept(&mut h, 5, &train());
    stage::act(&mut h, UiAction::Frame(FrameAction::CloseRequested));
    stage::say(&mut h, 5, EventKind::Done);
    assert!(matches!(h.state().state.overlay, Overlay::None));
    assert!(matches!(stage::effects(&mut h)[..], [Effect::Quit]));
}

#[test]
fn the_status_bar_names_the_device() {
    let mut h = stage::window(actors::furnished(40));
    h.get_by_label("CPU, 2 threads");
    let facts = |has_cuda| EventKind::Machine(Facts { has_cuda, ..Facts::default() });
    stage::say(&mut h, 1, facts(true));
    h.get_by_label("CUDA");
    let mut recipe = h.state().state.train.recipe().clone();
    recipe.run.device = DeviceChoice::Cpu;
    let edit = |recipe: &Recipe| {
        UiAction::Train(panels::train::Action::Edit("run.device", Box::new(recipe.clone())))
    };
    stage::act(&mut h, edit(&recipe));
    h.get_by_label("CPU, 2 threads");
    recipe.run.device = DeviceChoice::Metal;
    stage::act(&mut h, edit(&recipe));
    h.get_by_label("Metal: not here");
    // During a run it is the one that the run said.
    stage::accept(&mut h, 5, &train());
    let started = crate::train::started(0);
    stage::say(&mut h, 5, EventKind::Run { folder: PathBuf::from("r"), event: started });
    h.get_by_label("CPU, 2 threads");
}

#[test]
fn closing_during_a_run_asks_and_waits_for_it_to_be_saved() {
    let mut h = stage::window(stage::empty());
    stage::accept(&mut h, 5, &train());
    stage::act(&mut h, UiAction::Frame(FrameAction::CloseRequested));
    h.get_by_label("It is in progress. The window closes once it has ended.");
    h.get_by_label("Keep training").click();
    h.run_steps(stage::SETTLE);
    assert!(stage::effects(&mut h).is_empty());
    stage::act(&mut h, UiAction::Frame(FrameAction::CloseRequested));
    h.get_by_label("Stop and save").click();
    h.run_steps(stage::SETTLE);
    let effects = stage::effects(&mut h);
    assert!(matches!(effects[..], [Effect::Job(JobId(5), JobSwitch::Stop)]), "{effects:?}");
    stage::say(&mut h, 5, EventKind::Stopped);
    assert!(matches!(stage::effects(&mut h)[..], [Effect::Quit]));
}

#[test]
fn the_runs_on_disk_are_read_when_a_project_opens_and_when_a_run_ends() {
    let mut h = stage::window(stage::empty());
    stage::say(&mut h, 1, actors::project());
    let asked = stage::commands(&mut h);
    assert!(asked.iter().any(|c| matches!(c, Command::ListRuns { .. })), "{asked:?}");
    stage::accept(&mut h, 5, &train());
    stage::say(&mut h, 5, EventKind::Done);
    let commands = stage::commands(&mut h);
    assert!(commands.iter().any(|c| matches!(c, Command::ListRuns { .. })), "{commands:?}");
}

#[test]
fn discarding_says_so_to_the_engine_and_no_run_means_no_question() {
    let mut h = stage::window(stage::empty());
    stage::act(&mut h, UiAction::Frame(FrameAction::CloseRequested));
    assert!(matches!(stage::effects(&mut h)[..], [Effect::Quit]));
    stage::accept(&mut h, 5, &train());
    stage::act(&mut h, UiAction::Frame(FrameAction::CloseRequested));
    stage::act(&mut h, UiAction::Frame(FrameAction::EndRun(Ending::Discard)));
    assert!(matches!(stage::effects(&mut h)[..], [Effect::Job(JobId(5), JobSwitch::Discard)]));
}

/// Screen readers, and people who cannot use a mouse, know controls by their names.
#[test]
fn every_control_has_a_name_in_every_place() {
    for (state, what) in [(stage::empty as fn() -> _, "empty"), (|| actors::furnished(30), "furnished")] {
        let mut h = stage::window(state());
        for place in Place::ALL {
            stage::act(&mut h, UiAction::Go(place));
            let nameless: Vec<String> = h
                .root()
                .children_recursive()
                .map(|n| n.accesskit_node())
                .filter(|n| is_control(n.role()))
                .filter(|n| n.label().is_none_or(|l| l.trim().is_empty() || l.chars().all(is_icon)))
                .map(|n| format!("{:?} {:?} {:?}", n.role(), n.label(), n.value()))
                .collect();
            assert!(nameless.is_empty(), "{what} {}: {nameless:#?}", place.name());
        }
    }
}

fn is_control(role: Role) -> bool {
    matches!(
        role,
        Role::Button
            | Role::CheckBox
            | Role::RadioButton
            | Role::ComboBox
            | Role::Slider
            | Role::SpinButton
            | Role::TextInput
            | Role::MultilineTextInput
    )
}

fn is_icon(c: char) -> bool {
    ('\u{e000}'..='\u{f8ff}').contains(&c)
}

#[test]
fn nothing_is_wider_than_the_smallest_window() {
    let mut h = stage::window_of(actors::furnished(60), stage::SMALLEST, egui::Theme::Dark);
    for place in Place::ALL {
        stage::act(&mut h, UiAction::Go(place));
        let window = egui::Rect::from_min_size(egui::Pos2::ZERO, stage::SMALLEST).expand(1.0);
        for node in h.root().children_recursive() {
            let is_button = matches!(node.accesskit_node().role(), Role::Button | Role::ComboBox);
            if is_button && !node.accesskit_node().is_hidden() {
                let rect = node.rect();
                let name = node.accesskit_node().label();
                let cut = rect.left() < 0.0 || rect.right() > window.right();
                assert!(!cut, "{}: {name:?} lies at {rect:?}", place.name());
            }
        }
    }
}

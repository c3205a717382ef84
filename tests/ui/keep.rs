//! What was typed is in the project's folder: a window is closed and another one opened, over the real engine.

use crate::{actors, stage};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tunesmith::app::action::FrameAction;
use tunesmith::app::live::Live;
use tunesmith::app::panels::{data, train};
use tunesmith::app::state::Settings;
use tunesmith::app::{App, AppState, Effect, Place, UiAction, keep, theme};
use tunesmith::base::DeviceChoice;
use tunesmith::engine::event::EventKind;
use tunesmith::engine::{Command, JobId};
use tunesmith::recipe::plan::Speed;

const WAIT: Duration = Duration::from_secs(20);

/// A window with its engine, as a start of the program makes it.
fn open(settings: Settings, project: &Path) -> Harness<'static, App> {
    let project = project.to_path_buf();
    let mut h = Harness::builder().with_size(stage::WINDOW).with_max_steps(12).build_eframe(move |cc| {
        theme::install(&cc.egui_ctx);
        let mut state = AppState::new(settings);
        // A machine that is known is not measured: the figure would be kept in the folder of whoever runs the tests.
        state.shared.facts.speed = Some(Speed { device: DeviceChoice::Cpu, flops_per_second: 1e11 });
        let mut app = App::new(state, Some(Box::new(Live::start(&cc.egui_ctx))));
        app.perform(vec![Effect::submit(Command::OpenProject { folder: project })], &cc.egui_ctx);
        app
    });
    until(&mut h, |s| s.shared.project.is_some());
    h
}

fn until(h: &mut Harness<'static, App>, is_so: impl Fn(&AppState) -> bool) {
    let began = Instant::now();
    while !is_so(&h.state().state) {
        assert!(began.elapsed() < WAIT, "it did not happen: {:?}", h.state().state.notices.all());
        std::thread::sleep(Duration::from_millis(5));
        h.step();
    }
}

fn act(h: &mut Harness<'static, App>, action: UiAction) {
    let ctx = h.ctx.clone();
    h.state_mut().act(action, &ctx);
    h.run_steps(stage::SETTLE);
}

/// What `perform` does with the window's close button, up to the moment in which the window would go.
fn close(mut h: Harness<'static, App>) -> Settings {
    act(&mut h, UiAction::Frame(FrameAction::CloseRequested));
    until(&mut h, |s| !s.is_leaving);
    h.state().state.settings_to_keep()
}

#[test]
fn what_was_typed_is_there_when_the_window_is_opened_again() {
    let home = tempfile::tempdir().unwrap();
    let project = home.path().join("früchte");
    let file = home.path().join("rows.csv");
    std::fs::write(&file, "a,b\none,two\nthree,four\n").unwrap();

    let mut h = open(Settings::default(), &project);
    act(&mut h, UiAction::Data(data::Action::Open(file.clone())));
    until(&mut h, |s| s.shared.imported.is_some());
    act(&mut h, UiAction::Data(data::Action::Edit(data::Edit::MaxTokens(77))));
    let mut recipe = h.state().state.train.recipe().clone();
    recipe.optimizer.learning_rate = 7e-4;
    act(&mut h, UiAction::Train(train::Action::Edit("optimizer.learning_rate", Box::new(recipe))));
    act(&mut h, UiAction::Go(Place::Model));
    h.get_by_label("Path of the model").focus();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Path of the model").type_text("/models/şeftali");
    h.run_steps(stage::SETTLE);
    let settings = close(h);
    assert_eq!(settings.recent_projects, std::slice::from_ref(&project));

    let mut h = open(settings, &project);
    assert_eq!(h.get_by_label("Path of the model").value().as_deref(), Some("/models/şeftali"));
    assert!(
        (h.state().state.train.draft()["recipe"]["optimizer"]["learning_rate"].as_f64().unwrap() - 7e-4)
            .abs()
            < 1e-9
    );
    until(&mut h, |s| s.shared.imported.is_some());
    let state = &h.state().state;
    assert_eq!(state.shared.imported.as_ref().unwrap().path, file);
    assert_eq!(state.data.options().unwrap().max_tokens, 77);

    // Another project has nothing of it, and this one is listed on Home.
    let other = home.path().join("other");
    act(&mut h, UiAction::Frame(FrameAction::OpenProject(other.clone())));
    until(&mut h, |s| s.shared.project.as_ref().is_some_and(|p| p.folder == other));
    act(&mut h, UiAction::Go(Place::Home));
    assert!(h.state().state.shared.imported.is_none());
    h.get_by_label("Open the project früchte").click();
    h.run_steps(stage::SETTLE);
    until(&mut h, |s| s.shared.project.as_ref().is_some_and(|p| p.folder == project));
    act(&mut h, UiAction::Go(Place::Model));
    assert_eq!(h.get_by_label("Path of the model").value().as_deref(), Some("/models/şeftali"));
}

fn remembered(effects: &[Effect]) -> Option<(PathBuf, serde_json::Value)> {
    effects.iter().find_map(|e| match e {
        Effect::Submit(command) => match &**command {
            Command::Remember { project, memory } => {
                Some((project.clone(), memory.drafts.get("data")?.clone()))
            }
            _ => None,
        },
        _ => None,
    })
}

#[test]
fn typing_is_written_after_a_moment_and_once() {
    let mut state = actors::furnished(40);
    let type_path = |state: &mut AppState, text: &str| {
        state.act(UiAction::Data(data::Action::SetPathText(text.into())));
    };
    state.tick(100.0, None);
    type_path(&mut state, "/data/ne");
    assert!(state.tick(101.0, None).is_empty(), "the moment has not passed");
    type_path(&mut state, "/data/new.csv");
    let written = remembered(&state.tick(100.0 + keep::REST_SECS, None));
    let (project, draft) = written.expect("it is written");
    assert_eq!(project, PathBuf::from("/home/ada/Tunesmith"));
    assert_eq!(draft["path"], "/data/new.csv");
    assert!(state.tick(200.0, None).is_empty(), "nothing changed since");
    state.act(UiAction::Go(Place::Data));
    assert!(state.tick(300.0, None).is_empty(), "looking changes nothing");
}

#[test]
fn closing_waits_until_what_was_typed_is_written() {
    let mut h = stage::window(actors::furnished(40));
    stage::effects(&mut h);
    stage::act(&mut h, UiAction::Data(data::Action::SetPathText("/data/new.csv".into())));
    stage::act(&mut h, UiAction::Frame(FrameAction::CloseRequested));
    let effects = stage::effects(&mut h);
    let [Effect::Submit(command)] = &effects[..] else { panic!("{effects:?}") };
    assert!(matches!(**command, Command::Remember { .. }));
    h.state_mut().state.submitted(JobId(9), command);
    stage::say(&mut h, 9, EventKind::Done);
    assert!(matches!(stage::effects(&mut h)[..], [Effect::Quit]));
}

/// "Compare" on Home was to be done again after every start.
#[test]
fn home_remembers_that_base_and_tuned_were_compared() {
    let state = crate::playground::answered();
    let kept = state.memory();
    assert_eq!(kept.drafts["home"]["has_compared"], true);
    let mut other = stage::empty();
    let EventKind::Project(mut project) = actors::project() else { panic!("no project") };
    project.memory = kept;
    actors::feed(&mut other, EventKind::Project(project));
    let cards = other.home.cards(&other.shared);
    assert_eq!(cards[3].text, "Base and tuned answered side by side");
}

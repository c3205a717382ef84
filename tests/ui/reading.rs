//! Playground for models that read: a real small BERT guesses words and finds rows; classes and scores as a run says them.

use crate::{actors, stage};
use eframe::egui::{self, Key, accesskit::Role};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use tunesmith::app::panels::playground::{Action, Mode, ReadingAction};
use tunesmith::app::{App, AppState, Effect, Place, UiAction};
use tunesmith::base::{Control, Failure, Unit};
use tunesmith::data::import::{ImportOptions, import};
use tunesmith::data::prepare::PrepareOptions;
use tunesmith::data::{Reading, Role as Column};
use tunesmith::engine::command::{Ask, AskRequest};
use tunesmith::engine::event::{EventKind, Told};
use tunesmith::engine::jobs::{self, BaseModel, Embedded, LastRead};
use tunesmith::engine::{Command, Event, JobId};
use tunesmith::project::RunFolder;
use tunesmith::recipe::recipe::{Classification, Contrastive, Objective, Regression};
use tunesmith::recipe::{Recipe, load};

const JOB: u64 = 41;

/// The tiny BERT of the fixtures with its words, and a file of rows with two classes.
struct Bench {
    _folder: tempfile::TempDir,
    model: String,
    rows: PathBuf,
}

fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("tiny-bert");
        std::fs::create_dir(&model).unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        for (from, file) in [
            ("parity/encoders/bert/masked", "config.json"),
            ("parity/encoders/bert/masked", "model.safetensors"),
            ("encoders/words", "tokenizer.json"),
            ("encoders/words", "tokenizer_config.json"),
        ] {
            std::fs::copy(fixtures.join(from).join(file), model.join(file)).unwrap();
        }
        let animals = [
            &["the cat", "a dog", "the small dog", "an old cat", "you"][..],
            &["sleeps", "runs", "eats bread", "likes tea"],
            &["in the garden", "in the house", "today"],
        ];
        let weather = [
            &["the sun is", "rain is", "it was", "today it was", "the garden was"][..],
            &["good", "bad", "very good", "not good"],
            &["and old", "and new", "in the garden"],
        ];
        let mut text = "text,label\n".to_string();
        for (words, label) in [(animals, "animals"), (weather, "weather")] {
            for i in 0..60 {
                let row = [words[0][i % 5], words[1][i / 5 % 4], words[2][i / 20]].join(" ");
                text += &format!("{row},{label}\n");
            }
        }
        let rows = folder.path().join("rows.csv");
        std::fs::write(&rows, text).unwrap();
        Bench { model: model.to_str().unwrap().into(), _folder: folder, rows }
    })
}

/// The window with that model and these rows; the newest run has learnt `objective`.
fn furnished(objective: Option<Objective>) -> AppState {
    let bench = bench();
    let mut state = actors::furnished(40);
    state.act(UiAction::Model(tunesmith::app::panels::model::Action::Choose(bench.model.clone())));
    let files = jobs::model::open(&bench.model).unwrap();
    actors::feed(&mut state, EventKind::Model(files.info.clone()));
    let (tokeniser, template) = (files.tokeniser().unwrap(), files.template().unwrap());
    actors::feed(&mut state, EventKind::Tokeniser { source: bench.model.clone(), tokeniser, template });
    let control = Control::new();
    let mut silent = |_| ();
    let imported = Arc::new(
        import(&bench.rows, &ImportOptions::default(), &control, &mut tunesmith::base::Silent).unwrap(),
    );
    let mut schema = imported.schema.clone();
    schema.roles = vec![Column::Text, Column::Label];
    let reading = Reading::Labelled { has_several: false, labels: None };
    let options =
        PrepareOptions { reading, max_tokens: 32, keep_duplicates: true, ..PrepareOptions::new(schema) };
    let dataset = jobs::data::prepare_for(&imported, &files, &options, &control, &mut silent).unwrap();
    actors::feed(&mut state, EventKind::Imported(imported));
    actors::feed(&mut state, EventKind::Prepared(Arc::new(dataset)));
    let mut runs = state.shared.runs.clone();
    runs[0].recipe.model.source = bench.model.clone();
    match objective {
        Some(objective) => runs[0].recipe.objective = objective,
        None => runs.clear(),
    }
    actors::feed(&mut state, EventKind::Runs(runs));
    state.place = Place::Playground;
    state
}

fn act(state: &mut AppState, action: ReadingAction) -> Vec<Effect> {
    state.act(UiAction::Playground(Action::Reading(action)))
}

/// Typed into the draft, as it comes back after a restart.
fn typed(state: &mut AppState, field: &str, text: &str) {
    let mut draft = state.playground.draft();
    draft["reading"][field] = text.into();
    state.playground.restore(draft);
}

/// What is asked of the engine now.
fn asked(state: &mut AppState) -> AskRequest {
    let effects = act(state, ReadingAction::Ask);
    for effect in &effects {
        if let Effect::Submit(command) = effect
            && let Command::Ask(request) = &**command
        {
            state.submitted(JobId(JOB), command);
            return request.clone();
        }
    }
    panic!("nothing was asked: {effects:?}")
}

fn feed(state: &mut AppState, kind: EventKind) {
    state.apply(Event { job: JobId(JOB), kind });
}

/// Asks the real model, the base beside a real run of a few updates.
fn answered(state: &mut AppState) {
    let mut request = asked(state);
    request.columns = vec![None, Some(trained(&state.shared.runs[0].recipe.objective))];
    let mut seen = Vec::new();
    let mut sink = |kind| seen.push(kind);
    let (mut base, mut held) = (BaseModel::default(), Embedded::default());
    jobs::ask::run(&mut base, &mut held, &request, &Control::new(), &mut sink).unwrap();
    seen.into_iter().for_each(|kind| feed(state, kind));
    feed(state, EventKind::Done);
}

/// A run of the bench's rows; its folder. Several tests may want the same one.
fn trained(objective: &Objective) -> PathBuf {
    static DONE: Mutex<()> = Mutex::new(());
    let _one_at_a_time = DONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let bench = bench();
    let folder = bench.rows.with_file_name(objective.kind());
    if folder.exists() {
        return folder;
    }
    let mut recipe = Recipe { objective: objective.clone(), ..Recipe::default() };
    recipe.model.source = bench.model.clone();
    recipe.data.path = Some(bench.rows.clone());
    for set in ["length.updates=40", "optimizer.learning_rate=0.02", "batch.max_tokens=32", "run.device=cpu"]
    {
        load::set(&mut recipe, set).unwrap();
    }
    let (control, data) = (Control::new(), LastRead::default());
    let mut silent = |_| ();
    let ready = jobs::train::ready(&recipe, &data, &folder, &control, &mut silent).unwrap();
    let run = RunFolder::create(&folder, &recipe).unwrap();
    jobs::train::start(&mut BaseModel::default(), &ready, &run, &control, &mut silent).unwrap();
    folder
}

/// Hidden words, guessed by base and tuned; also a scene of the screenshots.
pub fn filled() -> AppState {
    let mut state = furnished(Some(Objective::Masked(Default::default())));
    typed(&mut state, "hidden", "the [MASK] sleeps in the [MASK].");
    answered(&mut state);
    state
}

/// The nearest rows and a map; also a scene of the screenshots.
pub fn alike() -> AppState {
    let mut state = furnished(Some(Objective::Contrastive(Contrastive::default())));
    typed(&mut state, "query", "the small cat sleeps");
    answered(&mut state);
    act(&mut state, ReadingAction::Pick(Some(3)));
    state
}

/// Two texts and what a run says of them; also a scene of the screenshots.
pub fn classified() -> AppState {
    let mut state = furnished(Some(Objective::Classification(Classification::default())));
    typed(
        &mut state,
        "texts",
        "The queue was long, but everybody was kind.\nNever again!\nşehir verisi: harika",
    );
    let request = asked(&mut state);
    assert_eq!(request.columns.len(), 1, "the base has no head");
    let labels = ["negative", "neutral", "positive"].map(String::from).to_vec();
    let said = vec![vec![0.08, 0.21, 0.71], vec![0.93, 0.05, 0.02], vec![0.02, 0.03, 0.95]];
    let told = Told::Classes {
        task: String::new(),
        labels,
        has_several: false,
        said,
        is_cut: vec![false, true, false],
    };
    feed(&mut state, EventKind::Told { column: 0, told });
    feed(&mut state, EventKind::Done);
    state
}

/// Numbers on their scale; also a scene of the screenshots.
pub fn scored() -> AppState {
    let mut state = furnished(Some(Objective::Regression(Regression::default())));
    typed(&mut state, "texts", "The queue was long, but everybody was kind.\nNever again!");
    asked(&mut state);
    let told = Told::Scores {
        task: String::new(),
        range: [-4.0, 4.0],
        said: vec![1.62, -4.31],
        is_cut: vec![false, false],
    };
    feed(&mut state, EventKind::Told { column: 0, told });
    feed(&mut state, EventKind::Done);
    state
}

/// Rows are being read; also a scene of the screenshots.
pub fn reading() -> AppState {
    let mut state = furnished(Some(Objective::Contrastive(Contrastive::default())));
    typed(&mut state, "query", "the small cat sleeps");
    asked(&mut state);
    feed(&mut state, EventKind::Started);
    let phase = "Reading the rows".to_string();
    feed(&mut state, EventKind::Progress { phase, done: 420, total: Some(2_000), unit: Unit::Examples });
    state
}

/// Nothing has learnt classes; also a scene of the screenshots.
pub fn headless() -> AppState {
    let mut state = furnished(None);
    act(&mut state, ReadingAction::Choose(Mode::Judge));
    typed(&mut state, "texts", "Never again!");
    asked(&mut state);
    let why = Failure::new(
        "The base model judges no texts",
        "it has no head for classes or scores: a run that learns them makes one",
        "Ask what such a run made of it, or train one: Train, What is learnt.",
    );
    feed(&mut state, EventKind::Told { column: 0, told: Told::Refused(why.clone()) });
    feed(&mut state, EventKind::Failed(why));
    state
}

#[test]
fn what_is_asked_follows_from_what_was_learnt() {
    for (objective, mode) in [
        (Objective::default(), Mode::Write),
        (Objective::Masked(Default::default()), Mode::FillMask),
        (Objective::Contrastive(Contrastive::default()), Mode::Like),
        (Objective::Classification(Classification::default()), Mode::Judge),
        (Objective::Regression(Regression::default()), Mode::Judge),
    ] {
        let state = furnished(Some(objective.clone()));
        assert_eq!(state.playground.mode(&state.shared), mode, "{}", objective.kind());
    }
    let mut state = furnished(None);
    assert_eq!(state.playground.mode(&state.shared), Mode::FillMask, "a BERT alone guesses words");
    act(&mut state, ReadingAction::Choose(Mode::Like));
    assert_eq!(state.playground.mode(&state.shared), Mode::Like);
    // A choice is of one model.
    state.act(UiAction::Model(tunesmith::app::panels::model::Action::Choose(actors::STARTER.into())));
    actors::feed(&mut state, actors::model());
    assert_eq!(state.playground.mode(&state.shared), Mode::Write);
}

#[test]
fn a_real_model_guesses_the_hidden_words_side_by_side() {
    let mut h = stage::window(filled());
    h.run_steps(stage::SETTLE);
    let first = h.query_all_by_label("Hidden word 1").count();
    assert_eq!((first, h.query_all_by_label("Hidden word 2").count()), (2, 2), "two columns, two places");
    let bars = h.query_all_by_label_contains(" %").count();
    assert!(bars >= 2 * 2 * 5, "{bars}");
}

/// Another column's answers would stand under its name.
#[test]
fn answers_go_with_the_columns_that_gave_them() {
    for action in [Action::SetColumn(1, None, "Base".into()), Action::RemoveColumn(0)] {
        let mut h = stage::window(filled());
        h.run_steps(stage::SETTLE);
        stage::act(&mut h, UiAction::Playground(action));
        h.run_steps(stage::SETTLE);
        assert_eq!(h.query_all_by_label("Hidden word 1").count(), 0);
    }
}

/// Without a cursor the word goes to the end; what cannot be asked is said beside the button.
#[test]
fn a_word_is_hidden_by_a_button_and_nothing_hidden_is_said() {
    let mut state = furnished(None);
    typed(&mut state, "hidden", "the cat ");
    let mut h = stage::window(state);
    assert!(
        h.query_all_by_label_contains("Nothing is hidden: put [MASK] in the place of a word").count() > 0
    );
    h.get_by_label("Hide a word").click();
    h.run_steps(stage::SETTLE);
    let draft = h.state().state.playground.draft();
    assert_eq!(draft["reading"]["hidden"], "the cat [MASK]");
    assert_eq!(h.query_all_by_label_contains("Nothing is hidden").count(), 0);
    stage::effects(&mut h);
    h.get_by_label("Text with hidden words").focus();
    h.run_steps(stage::SETTLE);
    h.key_press_modifiers(eframe::egui::Modifiers::COMMAND, eframe::egui::Key::Enter);
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    let [Command::Ask(AskRequest { ask: Ask::FillMask { text, .. }, .. })] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert_eq!(text, "the cat [MASK]");
}

#[test]
fn wrong_texts_are_said_before_anything_is_asked() {
    let mut state = furnished(None);
    for (text, words) in [
        ("", "Type a text first."),
        ("the cat", "Nothing is hidden"),
        (&"[MASK] cat ".repeat(20), "reads at most 32"),
    ] {
        typed(&mut state, "hidden", text);
        let why = state.header(Place::Playground).primary.unwrap().why_not.unwrap();
        assert!(why.contains(words), "{text}: {why}");
    }
    act(&mut state, ReadingAction::Choose(Mode::Judge));
    let why = state.header(Place::Playground).primary.unwrap().why_not;
    assert_eq!(why.as_deref(), Some("Type a text first."));
    act(&mut state, ReadingAction::Choose(Mode::Like));
    state.shared.dataset = None;
    let why = state.header(Place::Playground).primary.unwrap().why_not.unwrap();
    assert!(why.contains("Open data first"), "{why}");
    act(&mut state, ReadingAction::Choose(Mode::Write));
    let why = state.header(Place::Playground).primary.unwrap().why_not;
    assert!(why.is_some(), "a BERT writes nothing");
    let mut writer = actors::furnished(40);
    act(&mut writer, ReadingAction::Choose(Mode::FillMask));
    let why = writer.header(Place::Playground).primary.unwrap().why_not.unwrap();
    assert!(why.contains("writes from left to right"), "{why}");
}

#[test]
fn rows_that_are_near_are_read_in_full() {
    let mut state = furnished(Some(Objective::Contrastive(Contrastive::default())));
    typed(&mut state, "query", "the cat sleeps in the house");
    answered(&mut state);
    let mut h = stage::window(state);
    assert_eq!(h.query_all_by_label("Map of 120 rows").count(), 2, "a map for each column");
    h.get_by_label("animals");
    h.get_by_label("weather");
    let row = h.query_all_by_role_and_label(Role::Button, "the cat sleeps in the house").next();
    row.expect("the row that is the same comes first").click();
    h.run_steps(stage::SETTLE);
    let line = |h: &Harness<'static, App>| h.get_by_label_contains("Line ").accesskit_node().value();
    let before = line(&h);
    h.get_by_label("Next row").click();
    h.run_steps(stage::SETTLE);
    assert_ne!(line(&h), before);
    h.get_by_label("Close the row").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label_contains("Press a row or a point");
}

/// Presses the first map in steps until one meets a point.
#[test]
fn a_point_of_the_map_is_pressed_and_its_row_is_shown() {
    let mut state = furnished(Some(Objective::Contrastive(Contrastive::default())));
    typed(&mut state, "query", "the cat sleeps in the house");
    answered(&mut state);
    let mut h = stage::window_of(state, egui::vec2(1280.0, 1000.0), egui::Theme::Light);
    let map = h.query_all_by_label("Map of 120 rows").next().unwrap().rect();
    let steps = (1..14).flat_map(|y| (1..24).map(move |x| egui::vec2(x as f32, y as f32) * 20.0));
    for step in steps {
        let pos = map.min + step;
        h.hover_at(pos);
        for pressed in [true, false] {
            let (button, modifiers) = (egui::PointerButton::Primary, egui::Modifiers::NONE);
            h.event(egui::Event::PointerButton { pos, button, pressed, modifiers });
            h.step();
        }
        if h.query_by_label_contains("Line ").is_some() {
            h.get_by_label("Next row");
            return;
        }
    }
    panic!("no point was met");
}

/// The map is walked by the arrow keys, and says the row that it stands on.
#[test]
fn the_map_is_walked_by_keyboard() {
    let mut state = furnished(Some(Objective::Contrastive(Contrastive::default())));
    typed(&mut state, "query", "the cat sleeps in the house");
    answered(&mut state);
    let mut h = stage::window_of(state, egui::vec2(1280.0, 1000.0), egui::Theme::Light);
    h.query_all_by_label("Map of 120 rows").next().unwrap().focus();
    h.run_steps(stage::SETTLE);
    let mut lines = Vec::new();
    for key in [Key::ArrowDown, Key::ArrowLeft, Key::ArrowRight, Key::ArrowUp] {
        h.key_press(key);
        h.run_steps(stage::SETTLE);
        let map = h.query_all_by_label("Map of 120 rows").next().unwrap();
        assert!(map.is_focused(), "{key:?} leads away");
        let told = map.accesskit_node().value().unwrap();
        let line = told.split(':').next().unwrap().to_string();
        assert!(told.len() > line.len() + 2, "{told}");
        h.get_by_role_and_label(Role::Label, &line);
        lines.push(line);
    }
    lines.dedup();
    assert!(lines.len() > 1, "{lines:?}");
}

#[test]
fn reading_shows_how_far_it_is_and_is_stopped() {
    let mut h = stage::window(reading());
    assert!(h.query_all_by_label_contains("420 of 2,000 examples").count() > 0);
    stage::effects(&mut h);
    h.query_all_by_label("Stop").next().unwrap().click();
    h.run_steps(stage::SETTLE);
    let effects = stage::effects(&mut h);
    assert!(effects.iter().any(|e| matches!(e, Effect::Job(JobId(JOB), _))), "{effects:?}");
    stage::say(&mut h, JOB, EventKind::Stopped);
    h.get_by_label("Stopped.");
}

#[test]
fn classes_stand_beside_their_texts_and_the_base_says_why_it_is_not_asked() {
    let h = stage::window(classified());
    h.get_by_label("positive: 71.0 %");
    h.get_by_label_contains("only its beginning was judged");
    h.get_by_label_contains("Not asked: the part that says classes or scores is made by a run");
    let h = stage::window(scored());
    h.get_by_label_contains("1.620, of -4.000 to 4.000");
    h.get_by_label_contains("Beyond the numbers that it learnt from");
    assert!(h.query_all_by_label("Judge the texts").all(|node| !node.accesskit_node().is_disabled()));
}

/// A run that has learnt classes is offered where no column has.
#[test]
fn what_has_no_head_says_which_run_has_one() {
    let h = stage::window(headless());
    h.get_by_label_contains("No run of this model has learnt classes or scores yet");
    h.get_by_label_contains("it has no head for classes or scores");
    let mut state = furnished(Some(Objective::Classification(Classification::default())));
    state.act(UiAction::Playground(Action::RemoveColumn(1)));
    act(&mut state, ReadingAction::Choose(Mode::Judge));
    let mut h = stage::window(state);
    h.get_by_label_contains("These runs have:");
    h.query_all_by_label_contains("Ask 2026").next().unwrap().click();
    h.run_steps(stage::SETTLE);
    assert!(h.query_by_label_contains("These runs have:").is_none());
}

//! Playground: what is sent, what comes back, examples, the matrix, prompt sets.

use crate::{actors, stage};
use egui_kittest::kittest::Queryable;
use std::path::PathBuf;
use tunesmith::app::panels::playground::Action;
use tunesmith::app::{AppState, Place, UiAction};
use tunesmith::base::Failure;
use tunesmith::engine::command::GenerateRequest;
use tunesmith::engine::event::{EventKind, GenerationEvent};
use tunesmith::engine::{Command, Event, JobId};
use tunesmith::infer::generate::Finish;
use tunesmith::peft::compose::Source;

const JOB: u64 = 31;

pub fn adapter() -> PathBuf {
    PathBuf::from("/home/ada/Tunesmith/runs/2026-11-21-143000-lora-fruit-families/adapter")
}

/// The request that Generate asks for now.
pub fn generate(state: &mut AppState) -> GenerateRequest {
    let effects = state.act(UiAction::Playground(Action::Generate));
    for effect in effects {
        if let tunesmith::app::Effect::Submit(command) = effect
            && let Command::Generate(request) = *command
        {
            state.submitted(JobId(JOB), &Command::Generate(request.clone()));
            return request;
        }
    }
    panic!("nothing was asked of the engine")
}

pub fn type_prompt(state: &mut AppState, prompt: &str) {
    let mut draft = state.playground.draft();
    draft["prompt"] = prompt.into();
    set_draft(state, draft);
}

/// Drafts come back after a restart; here they are how a test types.
pub fn set_draft(state: &mut AppState, draft: serde_json::Value) {
    state.playground.restore(draft);
    state.apply(Event { job: JobId(0), kind: actors::voice() });
}

fn answer(state: &mut AppState, prompt: usize, column: usize, text: &str) {
    let mut say = |event| {
        let kind = EventKind::Generation { column, prompt, event };
        state.apply(Event { job: JobId(JOB), kind });
    };
    say(GenerationEvent::Began { prompt_tokens: 21 });
    say(GenerationEvent::Text(text.to_string()));
    say(GenerationEvent::Ended {
        finish: Finish::EndOfText,
        text: text.to_string(),
        num_tokens: text.split_whitespace().count() + 1,
        time_to_first_token_secs: 0.21,
        tokens_per_second: 18.4,
        is_match: None,
    });
}

/// Base and tuned have answered; also a scene of the screenshots.
pub fn answered() -> AppState {
    let mut state = actors::furnished(156);
    type_prompt(&mut state, "What type of fruit is a peach?");
    generate(&mut state);
    answer(&mut state, 0, 0, "A peach is a type of stone fruit that grows on trees.");
    answer(&mut state, 0, 1, "A peach is a drupe.");
    state.apply(Event { job: JobId(JOB), kind: EventKind::Done });
    state
}

/// Zero, one and three shots in both columns; also a scene of the screenshots.
pub fn matrix() -> AppState {
    let mut state = actors::furnished(156);
    type_prompt(&mut state, "peach");
    state.act(UiAction::Playground(Action::DrawShots(3)));
    let mut draft = state.playground.draft();
    draft["is_matrix"] = true.into();
    draft["is_chat"] = false.into();
    set_draft(&mut state, draft);
    let request = generate(&mut state);
    for prompt in 0..request.prompts.len() {
        answer(&mut state, prompt, 0, ["a fruit that grows on trees", "berry", "drupe"][prompt]);
        answer(&mut state, prompt, 1, "drupe");
    }
    state.apply(Event { job: JobId(JOB), kind: EventKind::Done });
    state
}

#[test]
fn base_stands_beside_the_newest_adapter_and_both_get_the_same_text() {
    let mut state = actors::furnished(40);
    type_prompt(&mut state, "What type of fruit is a peach?");
    let request = generate(&mut state);
    assert_eq!(request.model, actors::STARTER);
    let adapters: Vec<_> = request.columns.iter().map(|c| c.adapter.clone()).collect();
    assert_eq!(adapters, [None, Some(Source::Folder(adapter()))]);
    assert_eq!(request.columns[0].sampling, request.columns[1].sampling, "the same seed and settings");
    assert_eq!(request.prompts.len(), 1);
    assert!(request.prompts[0].rendered.text.contains("What type of fruit is a peach?"));
}

#[test]
fn nothing_is_asked_without_a_prompt() {
    let mut h = stage::window(actors::furnished(40));
    stage::effects(&mut h);
    stage::act(&mut h, UiAction::Go(Place::Playground));
    h.get_by_label("Type a prompt first.");
    stage::act(&mut h, UiAction::Playground(Action::Generate));
    assert!(stage::commands(&mut h).is_empty());
}

#[test]
fn the_matrix_asks_with_none_one_and_all_examples() {
    let mut state = actors::furnished(156);
    type_prompt(&mut state, "peach");
    state.act(UiAction::Playground(Action::DrawShots(3)));
    let mut draft = state.playground.draft();
    assert_eq!(draft["shots"].as_array().map(Vec::len), Some(3));
    draft["is_matrix"] = true.into();
    draft["is_chat"] = false.into();
    set_draft(&mut state, draft);
    let request = generate(&mut state);
    let lines: Vec<usize> = request.prompts.iter().map(|p| p.rendered.text.lines().count()).collect();
    assert_eq!(lines, [1, 2, 4], "{:?}", request.prompts);
    assert!(request.prompts[2].rendered.text.ends_with("peach:"), "{:?}", request.prompts[2].rendered.text);
    assert!(!request.stop.is_empty(), "a completion with examples ends at the end of its line");
}

#[test]
fn a_matrix_without_examples_says_what_it_lacks() {
    let mut state = actors::furnished(156);
    type_prompt(&mut state, "peach");
    let mut draft = state.playground.draft();
    draft["is_matrix"] = true.into();
    set_draft(&mut state, draft);
    let mut h = stage::window(state);
    stage::act(&mut h, UiAction::Go(Place::Playground));
    h.get_by_label("Without examples there is only zero-shot.");
    h.get_by_label("Add examples").click();
    h.run();
    h.get_by_label("Draw 3 from the data").click();
    h.run();
    assert!(h.query_by_label("Without examples there is only zero-shot.").is_none());
}

#[test]
fn answers_are_shown_with_their_speed_and_whether_they_differ() {
    let mut h = stage::window(answered());
    stage::act(&mut h, UiAction::Go(Place::Playground));
    h.get_by_label("A peach is a type of stone fruit that grows on trees.");
    h.get_by_label("A peach is a drupe.");
    assert!(h.query_all_by_label_contains("18.4 tokens/s").count() >= 2);
    h.get_all_by_label_contains("iffers from base").next().expect("the mark of a difference");
}

#[test]
fn the_test_rows_become_questions_with_known_answers() {
    let mut state = actors::furnished(156);
    state.act(UiAction::Playground(Action::AskTestRows));
    let effects = state.act(UiAction::Playground(Action::GenerateSet));
    let request = effects.into_iter().find_map(|e| match e {
        tunesmith::app::Effect::Submit(c) => match *c {
            Command::Generate(request) => Some(request),
            _ => None,
        },
        _ => None,
    });
    let request = request.expect("a request");
    assert!(request.prompts.len() > 5);
    assert!(request.prompts.iter().all(|p| p.expected.as_ref().is_some_and(|e| !e.is_empty())));
}

#[test]
fn columns_that_were_chosen_stay_when_the_runs_are_read_again() {
    let mut state = actors::furnished(40);
    state.act(UiAction::Playground(Action::RemoveColumn(1)));
    state.apply(Event { job: JobId(0), kind: actors::runs() });
    type_prompt(&mut state, "peach");
    assert_eq!(generate(&mut state).columns.len(), 1);
}

/// A job that failed half-way left "writing…" for good.
#[test]
fn an_answer_whose_job_is_over_says_so() {
    let failure = Failure::new("The device is gone", "it was unplugged", "Plug it in.");
    for (end, words) in
        [(EventKind::Failed(failure), "failed: The device is gone"), (EventKind::Stopped, "stopped")]
    {
        let mut state = actors::furnished(40);
        type_prompt(&mut state, "What is a peach?");
        generate(&mut state);
        answer(&mut state, 0, 0, "A fruit.");
        for event in [GenerationEvent::Began { prompt_tokens: 21 }, GenerationEvent::Text("A dru".into())] {
            state.apply(Event {
                job: JobId(JOB),
                kind: EventKind::Generation { column: 1, prompt: 0, event },
            });
        }
        let mut h = stage::window(state);
        stage::act(&mut h, UiAction::Go(Place::Playground));
        h.get_by_label("writing…");
        stage::say(&mut h, JOB, end);
        assert!(h.query_by_label("writing…").is_none());
        h.get_by_label(words);
        h.get_by_label_contains("A dru");
        h.get_by_label_contains("18.4 tokens/s");
    }
}

/// One prompt of a set that is too long for the context keeps its reason when the job is over.
#[test]
fn a_prompt_that_was_refused_says_why() {
    let mut state = actors::furnished(40);
    type_prompt(&mut state, "What is a peach?");
    generate(&mut state);
    let refused = GenerationEvent::Refused { why: "the prompt has 9000 tokens".into() };
    for event in [GenerationEvent::Began { prompt_tokens: 9000 }, refused] {
        state.apply(Event { job: JobId(JOB), kind: EventKind::Generation { column: 1, prompt: 0, event } });
    }
    let mut h = stage::window(state);
    stage::act(&mut h, UiAction::Go(Place::Playground));
    stage::say(&mut h, JOB, EventKind::Done);
    h.get_by_label("failed: the prompt has 9000 tokens");
}

/// After a restart the newest adapter stood there, whoever had been chosen.
#[test]
fn columns_that_were_chosen_come_back_after_a_restart() {
    let older = PathBuf::from(
        "/home/ada/Tunesmith/runs/2026-11-20-091200-lora-letters-to-the-editor-with-a-long-name/adapter",
    );
    let mut state = actors::furnished(40);
    state.act(UiAction::Playground(Action::SetColumn(1, Some(older.clone()), "letters".into())));
    let own = PathBuf::from("/srv/own/adapter");
    state.act(UiAction::Playground(Action::AddColumn));
    state.act(UiAction::Playground(Action::SetColumn(2, Some(own.clone()), "own".into())));
    let kept = state.playground.draft();

    let mut state = actors::furnished(40);
    state.playground.restore(kept);
    state.apply(Event { job: JobId(0), kind: actors::runs() });
    type_prompt(&mut state, "peach");
    let adapters: Vec<_> = generate(&mut state).columns.into_iter().map(|c| c.adapter).collect();
    assert_eq!(adapters, [None, Some(Source::Folder(older)), Some(Source::Folder(own))]);

    // Where nobody chose, the newest run stands beside the base, after a restart as well.
    let kept = actors::furnished(40).playground.draft();
    assert!(kept["columns"].is_null());
    let mut damaged = kept.clone();
    damaged["columns"] = serde_json::json!([{ "adapter": 7 }]);
    for draft in [kept, damaged] {
        let mut state = actors::furnished(40);
        state.playground.restore(draft);
        state.apply(Event { job: JobId(0), kind: actors::runs() });
        type_prompt(&mut state, "peach");
        let adapters: Vec<_> = generate(&mut state).columns.into_iter().map(|c| c.adapter).collect();
        assert_eq!(adapters, [None, Some(Source::Folder(adapter()))]);
    }
}

/// A line break was shown as `\\n` and kept as a backslash and an n; several strings did not fit at all.
#[test]
fn stop_strings_are_typed_one_a_line_with_escapes() {
    let mut state = actors::furnished(40);
    type_prompt(&mut state, "What is a peach?");
    let mut h = stage::window(state);
    stage::act(&mut h, UiAction::Go(Place::Playground));
    h.get_by_label("Stop strings").focus();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Stop strings").type_text("\\n");
    h.run_steps(stage::SETTLE);
    h.key_press(eframe::egui::Key::Enter);
    h.run_steps(stage::SETTLE);
    h.get_by_label("Stop strings").type_text("END");
    h.run_steps(stage::SETTLE);
    let draft = h.state().state.playground.draft();
    assert_eq!(draft["stop"], "\\n\nEND", "what was typed stays as it was typed");
    assert_eq!(generate(&mut h.state_mut().state).stop, ["\n", "END"]);
}

/// The runs of the actors, and one of another model.
fn with_a_run_of_another_model() -> (AppState, PathBuf) {
    let mut state = actors::furnished(40);
    let mut runs = state.shared.runs.clone();
    let mut other = runs[1].clone();
    other.name = "2026-11-19-080000-lora-other".into();
    other.folder = PathBuf::from("/home/ada/Tunesmith/runs").join(&other.name);
    other.adapter = Some(other.folder.join("adapter"));
    other.recipe.model.source = "/models/other-llama".into();
    let folder = other.folder.clone();
    runs.insert(0, other);
    actors::feed(&mut state, EventKind::Runs(runs));
    (state, folder)
}

/// The adapter was put on whatever model was chosen, and answered nonsense.
#[test]
fn comparing_a_run_chooses_the_model_of_that_run() {
    let (mut state, folder) = with_a_run_of_another_model();
    let effects = state.act(UiAction::Runs(tunesmith::app::panels::runs::Action::Compare(folder)));
    assert_eq!(state.shared.model_source, "/models/other-llama");
    assert_eq!(state.place, Place::Playground);
    let asks = |e: &tunesmith::app::Effect| match e {
        tunesmith::app::Effect::Submit(c) => {
            matches!(&**c, Command::InspectModel { source } if source == "/models/other-llama")
        }
        _ => false,
    };
    assert!(effects.iter().any(asks), "{effects:?}");
    // The run's own model is not chosen again.
    let mut state = actors::furnished(40);
    let folder = adapter().parent().unwrap().to_path_buf();
    state.act(UiAction::Runs(tunesmith::app::panels::runs::Action::Compare(folder)));
    assert!(state.shared.model.is_some());
}

#[test]
fn an_adapter_of_another_model_is_marked_in_the_list_and_warned_of_in_its_column() {
    let (mut state, folder) = with_a_run_of_another_model();
    let mut h = stage::window({
        type_prompt(&mut state, "peach");
        state
    });
    stage::act(&mut h, UiAction::Go(Place::Playground));
    assert!(h.query_by_label_contains("ade for another model").is_none());
    h.get_by_label_contains("Column 2: ").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Made for another model");
    let y = |h: &egui_kittest::Harness<'_, tunesmith::app::App>, label: &str| {
        h.get_all_by_label(label).map(|n| n.rect().top()).fold(f32::MIN, f32::max)
    };
    let own = "2026-11-20-091200-lora-letters-to-the-editor-with-a-long-name";
    assert!(y(&h, own) < y(&h, "Made for another model"));
    assert!(y(&h, "Made for another model") < y(&h, "2026-11-19-080000-lora-other"));
    let set = Action::SetColumn(1, Some(folder.join("adapter")), "other".into());
    stage::act(&mut h, UiAction::Playground(set));
    h.get_by_label("Made for another model: /models/other-llama");
}

/// Of an adapter in a folder only its own words are known.
#[test]
fn an_adapter_from_a_folder_is_asked_which_model_it_was_made_for() {
    let mut h = stage::window(actors::furnished(40));
    stage::act(&mut h, UiAction::Go(Place::Playground));
    stage::act(&mut h, UiAction::Playground(Action::PickAdapter(1)));
    stage::effects(&mut h);
    let folder = PathBuf::from("/srv/own");
    stage::act(&mut h, UiAction::Playground(Action::AdapterPicked(folder.clone())));
    let commands = stage::commands(&mut h);
    assert!(matches!(&commands[..], [Command::ReadAdapter { folder: f }] if *f == folder), "{commands:?}");
    for (model, is_other) in [
        ("meta-llama/Llama-3.2-1B", true),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", false),
        ("smollm2-135m-instruct", false),
    ] {
        let told = EventKind::AdapterModel { folder: folder.clone(), model: Some(model.into()) };
        stage::say(&mut h, 5, told);
        let warned = h.query_by_label(&format!("Made for another model: {model}")).is_some();
        assert_eq!(warned, is_other, "{model}");
        assert_eq!(h.query_by_label("It is for this model").is_some(), is_other);
        if is_other {
            h.get_by_label("It is for this model").click();
            h.run_ok();
            let commands = stage::commands(&mut h);
            let [Command::AdoptAdapter { folder: adopted, model: chosen }] = &commands[..] else {
                panic!("{commands:?}")
            };
            assert_eq!((adopted, chosen), (&folder, &h.state().state.shared.model_source));
        }
    }
}

/// "Saved" stood there before anything was written, and also when it failed.
#[test]
fn prompts_are_called_saved_once_they_are() {
    let failure = Failure::new("The prompts cannot be saved", "the disk is full", "Free some space.");
    for (end, is_saved) in [(EventKind::Done, true), (EventKind::Failed(failure), false)] {
        let mut state = actors::furnished(40);
        type_prompt(&mut state, "What is a peach?");
        let mut h = stage::window(state);
        stage::act(&mut h, UiAction::Playground(Action::SaveSet));
        let commands = stage::commands(&mut h);
        let [save @ Command::SavePromptSet { .. }] = &commands[..] else { panic!("{commands:?}") };
        let said = |h: &egui_kittest::Harness<'_, tunesmith::app::App>, words: &str| {
            h.state().state.notices.all().iter().any(|n| n.title == words)
        };
        stage::accept(&mut h, 8, save);
        assert!(!said(&h, "The prompts were saved"));
        stage::say(&mut h, 8, end);
        assert_eq!(said(&h, "The prompts were saved"), is_saved);
        assert_eq!(said(&h, "The prompts cannot be saved"), !is_saved);
    }
}

/// The first hundred in the order of the file were taken, and nobody was told.
#[test]
fn more_test_rows_than_are_asked_are_counted() {
    let mut state = actors::furnished(4_300);
    state.act(UiAction::Playground(Action::AskTestRows));
    let draft = state.playground.draft();
    assert_eq!(draft["questions"].as_array().map(Vec::len), Some(100));
    assert_eq!(draft["set_name"], "100 of 430 test rows of fruit-families.csv");
    let last = draft["questions"][99]["input"].as_str().unwrap_or_default().to_string();
    assert!(last.contains("no. 42"), "the last one is from the end of the file: {last}");
}

#[test]
fn answers_that_are_not_listed_are_counted() {
    let mut state = actors::furnished(40);
    let questions: Vec<_> = (0..230).map(|n| serde_json::json!({ "input": format!("peach {n}") })).collect();
    let mut draft = state.playground.draft();
    draft["questions"] = questions.into();
    set_draft(&mut state, draft);
    state.act(UiAction::Playground(Action::GenerateSet));
    let mut h = stage::window(state);
    stage::act(&mut h, UiAction::Go(Place::Playground));
    h.get_by_label("The first 200 of 230 questions are listed; the scores count all of them.");
}

/// Each tinted piece was ordered for itself, so that the words of the line ran the wrong way.
#[test]
fn an_answer_from_right_to_left_keeps_the_order_of_its_words_beside_the_base() {
    let mut state = actors::furnished(40);
    type_prompt(&mut state, "What is a peach?");
    generate(&mut state);
    answer(&mut state, 0, 0, "שלום רע");
    answer(&mut state, 0, 1, "שלום עולם טוב");
    actors::feed(&mut state, EventKind::Done);
    let mut h = stage::window(state);
    // The order counts here; no font of the tests has the letters.
    h.ctx.set_missing_glyph_policy(eframe::egui::MissingGlyphPolicy::Tofu);
    stage::act(&mut h, UiAction::Go(Place::Playground));
    h.get_by_label(&tunesmith::app::bidi::display("שלום עולם טוב"));
}

/// The table was wider than the window by its gaps.
#[test]
fn the_matrix_fits_the_window() {
    let mut h = stage::window(matrix());
    stage::act(&mut h, UiAction::Go(Place::Playground));
    let image = h.render().unwrap();
    // The scroll bar lies below the last row, in a tone of its own.
    let last = h.get_all_by_label("3-shot").map(|n| n.rect().bottom()).fold(f32::MIN, f32::max) as u32;
    let plain = *image.get_pixel(700, last + 60);
    for y in last + 8..last + 30 {
        assert_eq!(*image.get_pixel(700, y), plain, "a scroll bar at {y}");
    }
}

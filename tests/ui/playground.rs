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

const JOB: u64 = 31;

fn adapter() -> PathBuf {
    PathBuf::from("/home/ada/Tunesmith/runs/2026-11-21-143000-lora-fruit-families/adapter")
}

/// The request that Generate asks for now.
fn generate(state: &mut AppState) -> GenerateRequest {
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

fn type_prompt(state: &mut AppState, prompt: &str) {
    let mut draft = state.playground.draft();
    draft["prompt"] = prompt.into();
    set_draft(state, draft);
}

/// Drafts come back after a restart; here they are how a test types.
fn set_draft(state: &mut AppState, draft: serde_json::Value) {
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
    assert_eq!(adapters, [None, Some(adapter())]);
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
    assert_eq!(adapters, [None, Some(older), Some(own)]);

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
        assert_eq!(adapters, [None, Some(adapter())]);
    }
}

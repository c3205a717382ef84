//! Columns of the playground that answer with several runs as one: mixes of adapters, and whole models added and taken away.

use crate::playground::{adapter, generate, type_prompt};
use crate::{actors, stage};
use egui_kittest::kittest::{NodeT, Queryable};
use std::path::PathBuf;
use tunesmith::app::panels::playground::{Action, SavedAction};
use tunesmith::app::{AppState, Effect, Place, UiAction};
use tunesmith::base::Failure;
use tunesmith::engine::event::EventKind;
use tunesmith::engine::jobs::compose::Way;
use tunesmith::engine::{Command, Event, JobId};
use tunesmith::peft::Composition;
use tunesmith::peft::blend::Sign;
use tunesmith::peft::compose::{How, Part, Source};
use tunesmith::project::adapters::{self, SavedAdapter};
use tunesmith::recipe::load;
use tunesmith::recipe::recipe::{Freeze, Method};

/// A mix is chosen in the list of a column, changed under it, sent, kept, and gone with one of its runs.
#[test]
fn a_column_answers_with_a_mix_of_runs() {
    let mut h = stage::window(actors::furnished(40));
    stage::act(&mut h, UiAction::Go(Place::Playground));
    h.get_by_label_contains("Column 2: ").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Mix of runs…").click();
    h.run_steps(stage::SETTLE);
    for label in ["Weight, part 1 of column 2", "Run, part 2 of column 2", "How they become one, column 2"] {
        h.get_by_label(label);
    }
    assert!(h.query_by_label("Remove part 1 of column 2").is_none(), "two are the fewest");
    h.get_by_label("How they become one, column 2").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Agreed (TIES)").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Share that is kept, column 2");

    let kept = h.state_mut().state.playground.draft();
    let mut state = actors::furnished(40);
    state.playground.restore(kept);
    type_prompt(&mut state, "peach");
    let request = generate(&mut state);
    let Some(Source::Composed(mix)) = &request.columns[1].adapter else { panic!("{request:?}") };
    assert_eq!(mix.how, How::Ties { density: 0.5, sign: Sign::Total });
    assert_eq!(mix.parts.iter().map(|part| part.weight).collect::<Vec<_>>(), [0.5, 0.5]);
    assert_eq!(mix.parts[0].folder, adapter());
    mix.check().unwrap();

    let EventKind::Runs(mut runs) = actors::runs() else { panic!() };
    runs.truncate(1);
    state.apply(Event { job: JobId(0), kind: EventKind::Runs(runs) });
    type_prompt(&mut state, "peach");
    assert_eq!(generate(&mut state).columns.len(), 1);
}

/// A column of a mix, with its name being typed; also a scene of the screenshots.
pub fn naming() -> AppState {
    let mut state = actors::furnished(40);
    let EventKind::Runs(runs) = actors::runs() else { panic!() };
    let parts = runs.iter().take(2).map(|run| Part { folder: run.adapter.clone().unwrap(), weight: 0.5 });
    let mix = Composition { parts: parts.collect(), how: How::Concatenate };
    let name = "0.50 fruit + 0.50 letters".to_string();
    for action in [
        Action::SetMix(1, Box::new(Source::Composed(mix)), name),
        Action::Saved(SavedAction::Begin(1)),
        Action::Saved(SavedAction::Name("Fruit and letters".into())),
    ] {
        state.act(UiAction::Playground(action));
    }
    type_prompt(&mut state, "What type of fruit is a peach?");
    state
}

fn saved(name: &str, model: &str) -> SavedAdapter {
    let folder = adapters::path(&PathBuf::from("/home/ada/Tunesmith"), name);
    SavedAdapter { folder, name: name.into(), model: Some(model.into()) }
}

/// It is named, saved, told, and stands in the lists of all columns from then on.
#[test]
fn a_mix_is_saved_under_a_name_and_picked_as_a_column() {
    let mut h = stage::window(naming());
    stage::act(&mut h, UiAction::Go(Place::Playground));
    stage::effects(&mut h);
    h.get_by_label("Save the mix").click();
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    let [command @ Command::SaveMix { name, model, parts, way, .. }] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert_eq!((name.as_str(), model.as_str()), ("Fruit and letters", actors::STARTER));
    assert_eq!((parts[0].folder.clone(), parts.len(), *way), (adapter(), 2, Way::Adapters(How::Concatenate)));
    stage::accept(&mut h, 7, command);
    h.run_steps(stage::SETTLE);
    h.get_by_label("Saving…");
    assert!(h.get_by_label("Save the mix").accesskit_node().is_disabled(), "once is enough");

    // What failed can be tried again under the same name.
    let failure = Failure::new("Cannot write", "the disk is full", "Make room.");
    stage::say(&mut h, 7, EventKind::Failed(failure));
    assert!(!h.get_by_label("Save the mix").accesskit_node().is_disabled());
    stage::accept(&mut h, 8, command);
    let all = vec![saved("fruit-and-letters", actors::STARTER), saved("older", "another/model")];
    stage::say(&mut h, 8, EventKind::Adapters(all));
    stage::say(&mut h, 8, EventKind::Done);
    assert!(h.query_all_by_label_contains("The mix was saved as “Fruit and letters”").next().is_some());
    h.get_by_label("Save…");
    assert!(h.query_by_label("Save the mix").is_none());

    h.get_by_label_contains("Column 2: ").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Saved mixes");
    h.get_by_label("older");
    h.get_by_label("fruit-and-letters").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Column 2: fruit-and-letters");
    assert!(h.query_by_label_contains("Made for another model").is_none());
    let request = generate(&mut h.state_mut().state);
    let folder = saved("fruit-and-letters", "").folder;
    assert_eq!(request.columns[1].adapter, Some(Source::Folder(folder)));
}

#[test]
fn a_mix_that_cannot_be_saved_says_why() {
    let mut state = naming();
    actors::feed(&mut state, EventKind::Adapters(vec![saved("mix", actors::STARTER)]));
    let named = |state: &mut AppState, name: &str| {
        state.act(UiAction::Playground(Action::Saved(SavedAction::Name(name.into()))));
        state.act(UiAction::Playground(Action::Saved(SavedAction::Save)))
    };
    for name in ["Mix", " mix ", "", "…"] {
        assert!(named(&mut state, name).is_empty(), "{name:?}");
    }
    // The name that is offered is free.
    state.act(UiAction::Playground(Action::Saved(SavedAction::Begin(1))));
    let effects = state.act(UiAction::Playground(Action::Saved(SavedAction::Save)));
    let [Effect::Submit(command)] = &effects[..] else { panic!("{effects:?}") };
    assert!(matches!(command.as_ref(), Command::SaveMix { name, .. } if name == "mix 2"), "{command:?}");

    named(&mut state, "mix");
    let mut h = stage::window(state);
    stage::act(&mut h, UiAction::Go(Place::Playground));
    h.get_by_label("Save the mix").hover();
    h.run_steps(80);
    h.get_by_label("There is one called mix already: choose another name.");
    h.get_by_label("Cancel").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Save…");

    // While a run trains, the lane that would make it is taken.
    let mut state = naming();
    let folder = PathBuf::from("/home/ada/Tunesmith/runs/one");
    state.submitted(JobId(3), &Command::ResumeRun { folder });
    assert!(state.act(UiAction::Playground(Action::Saved(SavedAction::Save))).is_empty());
}

/// Runs of two methods that make whole models, one of LoRA, and no column but the base.
fn whole_models() -> AppState {
    let mut state = actors::furnished(40);
    let mut runs = state.shared.runs.clone();
    let mut third = runs[0].clone();
    third.name = "2026-11-19-080000-full-fruit-families".into();
    third.folder = third.folder.with_file_name(&third.name);
    third.adapter = Some(third.folder.join("adapter"));
    third.recipe.method = Method::Full {};
    runs[1].recipe.method = Method::Freeze(Freeze::default());
    runs.push(third);
    actors::feed(&mut state, EventKind::Runs(runs));
    state
}

fn full_run() -> PathBuf {
    PathBuf::from("/home/ada/Tunesmith/runs/2026-11-19-080000-full-fruit-families/adapter")
}

/// A column of two whole models, one of them taken away; also a scene of the screenshots.
pub fn task_vectors() -> AppState {
    let mut state = whole_models();
    let frozen = state.shared.runs[1].adapter.clone().unwrap();
    let parts = [(frozen, 1.0), (full_run(), -0.5)].map(|(folder, weight)| Part { folder, weight }).to_vec();
    let source = Source::TaskVectors { task_vectors: parts };
    let name = "Base + 1.00 letters − 0.50 fruit".to_string();
    state.act(UiAction::Playground(Action::SetMix(1, Box::new(source), name)));
    type_prompt(&mut state, "What type of fruit is a peach?");
    state
}

/// Whole models are added and subtracted; an adapter among them is refused with the reason.
#[test]
fn a_column_answers_with_whole_models_added_and_taken_away() {
    let mut h = stage::window(whole_models());
    stage::act(&mut h, UiAction::Go(Place::Playground));
    h.get_by_label_contains("Column 2: ").click();
    h.run_steps(stage::SETTLE);
    assert!(h.get_by_label("Mix of runs…").accesskit_node().is_disabled(), "there is one adapter only");
    h.get_by_label("Add or subtract tuned models…").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label_contains("so much of what each run changed");
    h.get_by_label_contains("Column 2: Base + 1.00 2026-11-20-091200");
    assert!(h.query_by_label("How they become one, column 2").is_none(), "there is one way only");
    h.get_by_label("Add a run").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Remove part 1 of column 2");
    h.get_by_label("Run, part 2 of column 2").click();
    h.run_steps(stage::SETTLE);
    let lora = h.get_all_by_label("2026-11-21-143000-lora-fruit-families").last().unwrap();
    assert!(lora.accesskit_node().is_disabled());
    lora.hover();
    h.run_steps(80);
    h.get_by_label_contains("made an adapter, and only whole models are added and subtracted");

    // It is kept, and sent as it was chosen.
    let kept = task_vectors().playground.draft();
    let mut state = whole_models();
    state.playground.restore(kept);
    type_prompt(&mut state, "peach");
    let request = generate(&mut state);
    let Some(Source::TaskVectors { task_vectors }) = &request.columns[1].adapter else {
        panic!("{request:?}")
    };
    assert_eq!(task_vectors.iter().map(|part| part.weight).collect::<Vec<_>>(), [1.0, -0.5]);
    assert_eq!(task_vectors[1].folder, full_run());
}

/// A mix begins with runs of one method; when another is chosen, it says why that comes to nothing.
#[test]
fn a_mix_of_unlike_methods_says_so_before_it_is_asked() {
    let mut state = whole_models();
    let mut runs = state.shared.runs.clone();
    runs[1].recipe.method = Method::Ia3(Default::default());
    let mut last = runs[0].clone();
    last.adapter = Some(PathBuf::from("/home/ada/Tunesmith/runs/older/adapter"));
    runs.push(last);
    actors::feed(&mut state, EventKind::Runs(runs.clone()));
    let mut h = stage::window(state);
    stage::act(&mut h, UiAction::Go(Place::Playground));
    h.get_by_label_contains("Column 2: ").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Mix of runs…").click();
    h.run_steps(stage::SETTLE);
    let chosen = h.state().state.playground.draft()["columns"][1]["adapter"].clone();
    let Ok(Source::Composed(mut mix)) = serde_json::from_value(chosen) else { panic!("no mix") };
    assert_eq!(mix.parts[1].folder, PathBuf::from("/home/ada/Tunesmith/runs/older/adapter"));
    mix.parts[1].folder = runs[1].adapter.clone().unwrap();
    let set = Action::SetMix(1, Box::new(Source::Composed(mix)), "mix".into());
    stage::act(&mut h, UiAction::Playground(set));
    h.get_by_label("LoRA and IA3 cannot be mixed: choose runs of one method.");
}

/// What cannot become one is told under the column, and what begins goes together.
#[test]
fn a_mix_says_what_of_its_recipes_cannot_become_one() {
    let begun = |settings: [&[&str]; 2]| {
        let mut state = whole_models();
        let mut runs = state.shared.runs.clone();
        for (run, changes) in runs.iter_mut().zip(settings) {
            run.recipe.method = Method::default();
            changes.iter().for_each(|change| load::set(&mut run.recipe, change).unwrap());
        }
        runs.truncate(2);
        actors::feed(&mut state, EventKind::Runs(runs));
        let mut h = stage::window(state);
        stage::act(&mut h, UiAction::Go(Place::Playground));
        h.get_by_label_contains("Column 2: ").click();
        h.run_steps(stage::SETTLE);
        h.get_by_label("Mix of runs…").click();
        h.run_steps(stage::SETTLE);
        let chosen = h.state().state.playground.draft()["columns"][1]["adapter"].clone();
        let Ok(Source::Composed(mix)) = serde_json::from_value(chosen) else { panic!("no mix") };
        (h, mix)
    };
    let (h, mix) = begun([&["method.kind=ia3"], &["method.kind=ia3"]]);
    assert_eq!(mix.how, How::Linear);
    assert!(h.query_by_label_contains("cannot be").is_none());
    for (own, why) in [("method.dora=true", "is a DoRA"), ("method.bias=\"all\"", "has trained weights")] {
        let (h, _) = begun([&[], &[own]]);
        h.get_by_label_contains(why);
        let name = &h.state().state.shared.runs[1].name;
        h.get_by_label_contains(&format!("This mix cannot be made: {name} {why}"));
    }
    let (h, _) = begun([&[], &["method.rank_pattern={ q_proj = 4 }"]]);
    assert!(h.query_by_label_contains("cannot be").is_none(), "each layer's rank is its own");
    let (mut h, mut mix) = begun([&[], &["method.rank=4"]]);
    assert_eq!(mix.how, How::Concatenate);
    assert!(h.query_by_label_contains("cannot be").is_none());
    mix.how = How::Linear;
    stage::act(
        &mut h,
        UiAction::Playground(Action::SetMix(1, Box::new(Source::Composed(mix)), "mix".into())),
    );
    h.get_by_label_contains("This mix cannot be made: their ranks differ");
}

/// It is asked for first; a column that answered with it is gone with it.
#[test]
fn a_saved_mix_is_deleted_when_that_was_asked_for() {
    let mut h = stage::window(actors::furnished(40));
    stage::act(&mut h, UiAction::Go(Place::Playground));
    let mix = saved("fruit-and-letters", actors::STARTER);
    stage::say(&mut h, 8, EventKind::Adapters(vec![mix.clone()]));
    assert!(h.query_by_label("Delete this mix…").is_none());
    let choose = Action::SetColumn(1, Some(mix.folder.clone()), mix.name.clone());
    stage::act(&mut h, UiAction::Playground(choose));
    h.run_steps(stage::SETTLE);
    stage::effects(&mut h);
    h.get_by_label("Delete this mix…").click();
    h.run_steps(stage::SETTLE);
    assert!(stage::commands(&mut h).is_empty());
    h.get_by_label("Delete the mix").click();
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    let [Command::DeleteAdapter { folder, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(*folder, mix.folder);
    stage::say(&mut h, 9, EventKind::Adapters(Vec::new()));
    assert!(h.query_by_label_contains("Column 2: fruit").is_none());
}

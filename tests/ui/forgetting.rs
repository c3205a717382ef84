//! Train: what is done against forgetting, in the form and in the run.

use crate::train::{at_train, feed};
use crate::{actors, stage, train};
use egui_kittest::kittest::{NodeT, Queryable};
use std::path::PathBuf;
use tunesmith::app::panels::train::{Action, Look, Tab};
use tunesmith::app::{AppState, Effect, Place, UiAction};
use tunesmith::project::RunEvent;
use tunesmith::project::event::Outcome;

fn measured(update: u64, perplexity: f64) -> RunEvent {
    RunEvent::GeneralText { update, loss: perplexity.ln(), perplexity }
}

/// A run that is held near what it was; also a scene of the screenshots.
pub fn running() -> AppState {
    let mut state = train::running();
    state.act(UiAction::Train(Action::ChooseText("/home/ada/articles.txt".into())));
    let mut recipe = state.train.recipe().clone();
    recipe.forgetting.replay_weight = 0.5;
    recipe.forgetting.l2_weight = 0.1;
    state.act(UiAction::Train(Action::Edit("forgetting.l2_weight", Box::new(recipe))));
    feed(&mut state, &[measured(0, 14.207), measured(113, 15.1), measured(188, 15.93)]);
    (189..230).for_each(|update| feed(&mut state, &[held(update)]));
    state
}

/// An update of a run that learns general text again and is held near the base.
fn held(number: u64) -> RunEvent {
    let mut event = train::update(number);
    let RunEvent::Update { replay_loss, divergence, .. } = &mut event else { panic!() };
    let x = number as f64;
    (*replay_loss, *divergence) = (Some(2.7 + 0.05 * (x * 1.3).sin()), Some(0.002 * x));
    event
}

/// What holds the model has its own charts, in runs that have it.
#[test]
fn what_holds_the_model_is_drawn_apart_from_the_loss() {
    for (state, is_held) in [(running(), true), (train::running(), false)] {
        let mut h = stage::window(state);
        stage::act(&mut h, UiAction::Go(Place::Train));
        for chart in ["Replay loss", "KL to the base"] {
            assert_eq!(h.query_all_by_label_contains(chart).next().is_some(), is_held, "{chart}");
        }
    }
}

#[test]
fn the_run_shows_the_perplexity_before_and_now() {
    let mut h = stage::window(running());
    stage::act(&mut h, UiAction::Go(Place::Train));
    assert!(
        h.query_all_by_label_contains("general text perplexity 14.21 before, 15.93 now").next().is_some()
    );
    // What the run leaves is its best state.
    let finished = RunEvent::Finished {
        outcome: Outcome::Done,
        update: 200,
        best_update: Some(113),
        best_loss: Some(0.62),
        secs: 131.0,
        adapter: Some("adapter".into()),
    };
    feed(&mut h.state_mut().state, &[finished]);
    stage::act(&mut h, UiAction::Train(Action::SetLook(Look { tab: Tab::Numbers, ..Look::default() })));
    assert!(
        h.query_all_by_label_contains("general text perplexity 14.21 before, 15.10 now").next().is_some()
    );
    assert!(h.query_all_by_label("14.21 before, 15.10 now").next().is_some());
}

/// Replay waits for a text, the pull for a method that trains the model's own weights; what counts for nothing is told.
#[test]
fn the_form_offers_what_counts() {
    let mut h = stage::window_of(
        actors::furnished(156),
        eframe::egui::vec2(1280.0, 1600.0),
        eframe::egui::Theme::Light,
    );
    stage::act(&mut h, UiAction::Go(Place::Train));
    stage::act(&mut h, UiAction::Train(Action::SetAdvanced(true)));
    let is_off = |h: &egui_kittest::Harness<'static, tunesmith::app::App>, label: &str| {
        h.get_all_by_label(label).any(|node| node.accesskit_node().is_disabled())
    };
    assert!(is_off(&h, "Learn it again (replay)") && is_off(&h, "Pull to the start (L2)"));
    assert!(!is_off(&h, "Stay near the base (KL)"));
    h.get_by_label("Choose a general text").click();
    h.run_steps(stage::SETTLE);
    let effects = stage::effects(&mut h);
    let pick = effects.iter().find_map(|effect| match effect {
        Effect::Pick(pick) => Some(pick),
        _ => None,
    });
    let chosen = (pick.unwrap().then)(PathBuf::from("/home/ada/articles.txt"));
    stage::act(&mut h, chosen);
    let recipe = h.state().state.train.recipe().clone();
    assert_eq!(recipe.forgetting.text, Some(PathBuf::from("/home/ada/articles.txt")));
    assert!(!is_off(&h, "Learn it again (replay)"));
    stage::act(&mut h, UiAction::Train(Action::ChooseMethod("full")));
    assert!(!is_off(&h, "Pull to the start (L2)"));
    train::edit(&mut h, |recipe| recipe.forgetting.l2_weight = 0.5);
    stage::act(&mut h, UiAction::Train(Action::ChooseMethod("lora")));
    h.get_by_label_contains("0.5 counts for nothing with LoRA");
    assert!(!is_off(&h, "Pull to the start (L2)"), "so that it can be taken back");
}

#[test]
fn choosing_a_text_is_a_step_that_can_be_undone() {
    let mut h = at_train();
    stage::act(&mut h, UiAction::Train(Action::ChooseText("/home/ada/articles.txt".into())));
    stage::act(&mut h, UiAction::Train(Action::Undo));
    assert_eq!(h.state().state.train.recipe().forgetting.text, None);
}

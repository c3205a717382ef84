//! Train: the list of methods, what is recommended, and the settings of each.

use crate::train::{at_train, rank};
use crate::{actors, stage};
use eframe::egui;
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use tunesmith::app::panels::train;
use tunesmith::app::{App, AppState, Place, UiAction};
use tunesmith::recipe::recipe::{Freeze, Method};

/// Freezing is a choice, which then has its rows and says where the way back ends.
#[test]
fn freezing_is_chosen_in_the_form() {
    let mut h = stage::window(with_method("freeze"));
    stage::act(&mut h, UiAction::Go(Place::Train));
    let recipe = h.state().state.train.recipe().clone();
    assert_eq!(recipe.method, Method::Freeze(Freeze::default()));
    assert_eq!(recipe.optimizer.learning_rate, 2e-4);
    assert!(h.query_all_by_label("Strength (rank)").next().is_none());
    h.get_by_label_contains("Backward stops at block");
}

/// A method is a choice of the form: its own settings come, the others' go, and the estimate and the rate follow.
#[test]
fn a_method_is_chosen_from_the_list() {
    let mut h = at_train();
    h.get_by_value("Small addition (LoRA)").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("How is the model to be changed?");
    for method in Method::all() {
        assert!(h.query_all_by_label(method.title()).next().is_some(), "{}", method.title());
        assert!(h.query_all_by_label(method.explain()).next().is_some(), "{}", method.title());
    }
    h.get_by_label_contains("trains all 135 million numbers · file\u{a0}538.");
    h.get_by_label_contains(
        "trains 57,600 of 135 million numbers (0.04 %) · file\u{a0}230\u{a0}kB · memory\u{a0}about",
    );
    h.get_by_label("Choose All weights (full)").click();
    h.run_steps(stage::SETTLE);
    let recipe = h.state().state.train.recipe().clone();
    assert_eq!(recipe.method, Method::Full {});
    assert!(recipe.optimizer.learning_rate < 1e-4);
    assert!(h.query_all_by_label("Strength (rank)").next().is_none());
    h.get_by_label_contains("trained parameters");
    h.get_by_label("Choose Some weights (freezing)").click();
    h.run_steps(stage::SETTLE);
    assert!(h.query_all_by_label("Top blocks").next().is_some());
    // Each choice is a step of its own.
    h.get_by_label("Undo").click();
    h.run_steps(stage::SETTLE);
    assert_eq!(h.state().state.train.recipe().method, Method::Full {});
    h.get_by_label("Undo").click();
    h.run_steps(stage::SETTLE);
    assert!(h.query_all_by_label("Strength (rank)").next().is_some());
    assert!(h.state().state.train.changed().is_empty());
    h.key_press(egui::Key::Escape);
    h.run_steps(stage::SETTLE);
    assert!(h.query_by_label("How is the model to be changed?").is_none());
}

/// Also a scene of the screenshots.
pub fn with_method(kind: &'static str) -> AppState {
    let mut state = actors::furnished(156);
    state.act(UiAction::Train(train::Action::ChooseMethod(kind)));
    state
}

#[test]
fn the_recommendation_is_taken_and_overruled() {
    let mut h = stage::window(with_method("full"));
    stage::act(&mut h, UiAction::Go(Place::Train));
    h.get_by_label("Recommended for this data: LoRA, rank 8.");
    h.get_by_label("Use it").click();
    h.run_steps(stage::SETTLE);
    let recipe = h.state().state.train.recipe().clone();
    assert_eq!((rank(&recipe), recipe.optimizer.learning_rate), (8, 5e-4));
    h.get_by_label("Recommended for this data");
    stage::act(&mut h, UiAction::Train(train::Action::ShowMethods(true)));
    h.get_by_label_contains("training rows suit a small addition of a low rank");
    let used = h.get_by_label("Use the recommendation");
    assert!(used.accesskit_node().is_disabled(), "it is what the recipe has");
    h.get_by_label("Choose Learnt factors (IA3)").click();
    h.run_steps(stage::SETTLE);
    assert_eq!(h.state().state.train.recipe().method.kind(), "ia3");
    assert_eq!(h.state().state.train.recipe().optimizer.learning_rate, 5e-3);
    h.get_by_label("Use the recommendation").click();
    h.run_steps(stage::SETTLE);
    assert_eq!(rank(h.state().state.train.recipe()), 8);
}

/// IA3's parts begin as the usual ones and are ticked by people's names for them.
#[test]
fn the_parts_of_ia3_are_ticked() {
    let mut h = stage::window(with_method("ia3"));
    stage::act(&mut h, UiAction::Go(Place::Train));
    stage::act(&mut h, UiAction::Train(train::Action::SetAdvanced(true)));
    h.get_by_value("the usual ones").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("attention out (o_proj)").click();
    h.run_steps(stage::SETTLE);
    let ia3 = |h: &Harness<'static, App>| match &h.state().state.train.recipe().method {
        Method::Ia3(ia3) => ia3.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(ia3(&h).target_modules, ["k_proj", "v_proj", "o_proj", "down_proj"]);
    assert_eq!(ia3(&h).feedforward_modules, ["down_proj"]);
    assert!(h.state().state.train.review.errors().next().is_none());
    h.get_by_label("attention out (o_proj)").click();
    h.run_steps(stage::SETTLE);
    assert_eq!(ia3(&h), Default::default(), "the usual choice made by hand");
}

//! All methods side by side, with what each would cost on the model and the data at hand.

use super::super::review::Review;
use super::super::{Action, State, compare};
use super::cost;
use crate::app::action::UiAction;
use crate::app::shared::Shared;
use crate::app::theme::{self, space};
use crate::app::widgets;
use crate::recipe::MethodOption;
use eframe::egui::{self, Align, Layout, RichText, ScrollArea};

pub fn picker(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    ui.horizontal(|ui| {
        ui.label(RichText::new("How is the model to be changed?").size(16.0).strong());
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if widgets::close_button(ui, "Close the list of methods").clicked() {
                out.push(UiAction::Train(Action::ShowMethods(false)));
            }
            let hint = "Train a little with several of them and see which did best on this data";
            if ui.button("Compare methods…").on_hover_text(hint).clicked() {
                out.push(UiAction::Train(Action::Compare(compare::Action::Open)));
            }
        });
    });
    ScrollArea::vertical().id_salt("methods").auto_shrink([false, false]).show(ui, |ui| {
        let review = &state.review;
        recommendation(ui, review, shared, out);
        for option in &review.options {
            ui.add_space(space::S);
            one(ui, option, review, out);
        }
    });
}

/// What suits the data, and why; a person may do otherwise.
fn recommendation(ui: &mut egui::Ui, review: &Review, shared: &Shared, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let Some(recommended) = &review.recommendation else {
        let words = match (shared.is_model_ready(), shared.is_data_ready()) {
            (false, _) => "Choose a model, and the numbers of each method stand here.",
            (true, false) => "Open a data file, and a recommendation for it stands here.",
            (true, true) => "There is no training row to recommend anything for.",
        };
        ui.label(RichText::new(words).color(t.weak));
        return;
    };
    ui.label(RichText::new(format!("Recommended for this data: {}", recommended.describe())).strong());
    ui.label(&recommended.reason);
    ui.add_space(space::XS);
    let why = review.is_recommended(&review.recipe).then_some("It is what the recipe has, or near enough.");
    if widgets::button_or_why(ui, "Use the recommendation", why).clicked() {
        out.push(UiAction::Train(Action::TakeRecommendation));
    }
}

fn one(ui: &mut egui::Ui, option: &MethodOption, review: &Review, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let method = &option.method;
    let is_chosen = method.kind() == review.recipe.method.kind();
    widgets::choice_card(ui, is_chosen, |ui| {
        ui.horizontal(|ui| {
            ui.label(RichText::new(method.title()).strong());
            let recommended = review.recommendation.as_ref();
            if let Some(recommended) = recommended.filter(|r| r.method.kind() == method.kind()) {
                widgets::chip(ui, "Recommended", t.green, t.surface).on_hover_text(&recommended.reason);
            }
            if option.is_too_large {
                let why = "It needs more memory than the run may take. What to change is said beside the \
                               settings once it is chosen.";
                widgets::chip(ui, "too large", t.red, t.red_soft).on_hover_text(why);
            }
        });
        ui.label(RichText::new(method.explain()).color(if is_chosen { t.text } else { t.weak }));
        cost::whole(ui, option, review.num_params);
        ui.add_space(space::XS);
        if is_chosen {
            ui.label(RichText::new("Chosen").color(t.accent).strong());
            return;
        }
        let choose = widgets::named(ui.button("Choose"), &format!("Choose {}", method.title()));
        if choose.clicked() {
            out.push(UiAction::Train(Action::ChooseMethod(method.kind())));
        }
    });
}

use super::{Action, Mode, State, columns_ui, prompt_ui, reading, results_ui};
use crate::app::action::{Place, UiAction};
use crate::app::shared::Shared;
use crate::app::theme::space;
use crate::app::widgets;
use eframe::egui::{self, CentralPanel, Frame, Margin, Panel, ScrollArea};
use egui_material_icons::icons;

pub fn ui(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    if shared.model.is_none() {
        let text = "Choose a model and ask it something. After a run, ask the base model and yours the same question.";
        if widgets::empty(ui, icons::ICON_FORUM, "No model yet", text, Some("Go to Model")) {
            out.push(UiAction::Go(Place::Model));
        }
        return;
    }
    if state.is_sets_open && state.mode(shared) == Mode::Write {
        Panel::left("prompt sets")
            .exact_size(264.0)
            .resizable(false)
            .frame(Frame::new().inner_margin(Margin { right: space::M as i8, ..Margin::ZERO }))
            .show(ui, |ui| {
                ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
                    results_ui::sets(ui, state, shared, out);
                });
            });
    }
    CentralPanel::default().frame(Frame::new()).show(ui, |ui| {
        ScrollArea::vertical().id_salt("playground").auto_shrink([false, false]).show(ui, |ui| {
            reading::modes(ui, state, shared, out);
            if state.mode(shared) != Mode::Write {
                reading::ui(ui, state, shared, out);
                return;
            }
            prompt_ui::prompt(ui, state, shared, out);
            ui.add_space(space::M);
            columns_ui::columns(ui, state, shared, out);
            let has_many = state.answers.as_ref().is_some_and(|a| a.asked.len() > 1);
            if has_many {
                ui.add_space(space::M);
                results_ui::many(ui, state);
            }
        });
    });
}

/// Sends the draft with one change.
pub(super) fn edit(state: &State, out: &mut Vec<UiAction>, change: impl FnOnce(&mut super::ask::Draft)) {
    let mut draft = state.draft.clone();
    change(&mut draft);
    out.push(UiAction::Playground(Action::Edit(Box::new(draft))));
}

use super::super::State;
use super::{Action, View, form_ui, result_ui};
use crate::app::action::UiAction;
use crate::app::panels::train;
use crate::app::shared::Shared;
use eframe::egui;

/// What Train shows while methods are chosen to be compared, are compared, or were.
pub fn ui(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    match &state.compare.view {
        View::Closed => {}
        View::Form => form_ui::form(ui, state, shared, out),
        View::Starting => result_ui::progress(ui, &state.compare, shared, out),
        View::Result(folder) => result_ui::result(ui, state, folder, shared, out),
    }
}

pub(super) fn push(out: &mut Vec<UiAction>, action: Action) {
    out.push(UiAction::Train(train::Action::Compare(action)));
}

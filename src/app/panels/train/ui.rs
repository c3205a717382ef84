use super::{Action, State, compare, form, live_ui, method, preview_ui};
use crate::app::action::{Place, UiAction};
use crate::app::shared::Shared;
use crate::app::theme::{self, space};
use crate::app::widgets;
use eframe::egui::{self, CentralPanel, Frame, Margin, Panel};
use egui_material_icons::icons;

pub fn ui(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    settle_when_at_rest(ui, state, out);
    // A table of all methods wants the whole width.
    if matches!(state.compare.view, compare::View::Starting | compare::View::Result(_)) {
        compare::ui(ui, state, shared, out);
        return;
    }
    let is_bare = shared.imported.is_none() && !shared.is_model_ready();
    if is_bare && state.live.is_none() && !state.compare.is_open() {
        nothing_yet(ui, out);
        return;
    }
    let t = theme::of(ui);
    let width = if ui.available_width() > 950.0 { 380.0 } else { 340.0 };
    Panel::left("recipe")
        .exact_size(width)
        .resizable(false)
        .show_separator_line(false)
        .frame(
            Frame::new()
                .fill(t.surface)
                .stroke(egui::Stroke::new(1.0, t.border))
                .corner_radius(theme::RADIUS)
                .inner_margin(Margin::same(space::S as i8)),
        )
        .show(ui, |ui| form::form(ui, state, shared, out));
    CentralPanel::default()
        .frame(Frame::new().inner_margin(Margin { left: space::M as i8, ..Margin::ZERO }))
        .show(ui, |ui| match &state.live {
            _ if state.compare.is_open() => compare::ui(ui, state, shared, out),
            _ if state.is_choosing_method => method::picker(ui, state, shared, out),
            Some(run) => live_ui::live(ui, state, run, shared, out),
            None => preview_ui::preview(ui, &state.review, shared),
        });
}

fn nothing_yet(ui: &mut egui::Ui, out: &mut Vec<UiAction>) {
    let text =
        "A run needs a model to start from and rows to learn from. Choose both; then the recipe stands here.";
    if widgets::empty(ui, icons::ICON_SCHOOL, "Nothing to train on yet", text, Some("Choose a model")) {
        out.push(UiAction::Go(Place::Model));
    }
}

/// The data is prepared again once the pointer lets go of the limit, not at every pixel.
fn settle_when_at_rest(ui: &egui::Ui, state: &State, out: &mut Vec<UiAction>) {
    let ctx = ui.ctx();
    if state.is_limit_moving && !ctx.egui_is_using_pointer() && !ctx.egui_wants_keyboard_input() {
        out.push(UiAction::Train(Action::Settle));
    }
}

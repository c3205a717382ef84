//! What is around every place: left bar, head, status bar, notices, palette, questions.

pub mod icon;
pub mod keys;
pub mod palette;
mod left_bar;
mod status_bar;
mod notices;
mod overlay;

use super::action::{Place, UiAction};
use super::panels;
use super::state::{AppState, Overlay};
use super::theme::{self, space};
use super::widgets;
use eframe::egui::{self, Align, CentralPanel, Frame, Layout, Margin, Panel, RichText};

/// The whole window.
pub fn ui(ui: &mut egui::Ui, state: &AppState, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    Panel::left("places")
        .exact_size(theme::LEFT_BAR_WIDTH)
        .resizable(false)
        .frame(Frame::new().fill(t.bar).inner_margin(Margin::same(space::S as i8)))
        .show(ui, |ui| left_bar::ui(ui, state, out));
    Panel::bottom("status")
        .exact_size(32.0)
        .resizable(false)
        .frame(Frame::new().fill(t.bar).inner_margin(Margin::symmetric(space::M as i8, 2)))
        .show(ui, |ui| status_bar::ui(ui, state, out));
    CentralPanel::default()
        .frame(Frame::new().fill(t.ground).inner_margin(Margin {
            left: space::L as i8,
            right: space::L as i8,
            top: space::M as i8,
            bottom: space::S as i8,
        }))
        .show(ui, |ui| {
            // Nothing under an overlay takes clicks or the keyboard.
            if !matches!(state.overlay, Overlay::None) {
                ui.disable();
            }
            head(ui, state, out);
            place(ui, state, out);
        });
    notices::ui(ui.ctx(), state, out);
    overlay::ui(ui.ctx(), state, out);
    overlay::drop_hint(ui.ctx());
}

/// Title, state in words, and the one primary action.
fn head(ui: &mut egui::Ui, state: &AppState, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let header = state.header(state.place);
    ui.horizontal(|ui| {
        ui.vertical(|ui| {
            let room = if header.primary.is_some() { 330.0 } else { 0.0 };
            ui.set_width((ui.available_width() - room).max(200.0));
            ui.heading(state.place.name());
            let line = egui::Label::new(RichText::new(&header.state).color(t.weak)).truncate();
            ui.add(line).on_hover_text(&header.state);
        });
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let Some(primary) = &header.primary else { return };
            let why = primary.why_not.as_deref();
            if widgets::primary_button(ui, &primary.label, why).clicked() {
                out.push(primary.action.clone());
            }
            if let Some(why) = why {
                let label = egui::Label::new(RichText::new(why).small().color(t.amber)).wrap();
                ui.add(label);
            }
        });
    });
    ui.add_space(space::S);
    ui.separator();
    ui.add_space(space::XS);
}

fn place(ui: &mut egui::Ui, state: &AppState, out: &mut Vec<UiAction>) {
    let shared = &state.shared;
    ui.push_id(state.place, |ui| match state.place {
        Place::Home => panels::home::ui(ui, &state.home, shared, out),
        Place::Model => panels::model::ui(ui, &state.model, shared, out),
        Place::Data => panels::data::ui(ui, &state.data, shared, out),
        Place::Train => panels::train::ui(ui, &state.train, shared, out),
        Place::Runs => panels::runs::ui(ui, &state.runs, shared, out),
        Place::Playground => panels::playground::ui(ui, &state.playground, shared, out),
    });
}

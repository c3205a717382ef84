//! Notices at the lower right, newest below.

use crate::app::action::{FrameAction, UiAction};
use crate::app::notices::{Notice, Tone};
use crate::app::state::AppState;
use crate::app::theme::{self, space};
use crate::app::widgets;
use eframe::egui::{self, Align, Align2, Area, Frame, Id, Layout, Margin, Order, RichText, vec2};
use egui_material_icons::icons;

/// At most so many are shown; older ones wait behind.
const MAX_SHOWN: usize = 4;

pub fn ui(ctx: &egui::Context, state: &AppState, out: &mut Vec<UiAction>) {
    let all = state.notices.all();
    if all.is_empty() {
        return;
    }
    Area::new(Id::unique("notices"))
        .order(Order::Foreground)
        .accessible_name("Notices")
        .anchor(Align2::RIGHT_BOTTOM, vec2(-space::M, -40.0))
        .show(ctx, |ui| {
            ui.set_max_width(380.0);
            for notice in &all[all.len().saturating_sub(MAX_SHOWN)..] {
                one(ui, notice, out);
                ui.add_space(space::XS);
            }
        });
}

fn one(ui: &mut egui::Ui, notice: &Notice, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let (icon, ink, fill) = match notice.tone {
        Tone::Info => (icons::ICON_INFO, t.accent, t.surface),
        Tone::Done => (icons::ICON_CHECK_CIRCLE, t.green, t.surface),
        Tone::Warning => (icons::ICON_WARNING, t.amber, t.amber_soft),
        Tone::Error => (icons::ICON_ERROR, t.red, t.red_soft),
    };
    let mut act = |action| out.push(UiAction::Frame(action));
    Frame::new()
        .fill(fill)
        .stroke(egui::Stroke::new(1.0, t.border))
        .corner_radius(theme::RADIUS)
        .inner_margin(Margin::same(10))
        .show(ui, |ui| {
            ui.set_width(360.0);
            ui.horizontal(|ui| {
                widgets::icon(ui, icon, ink);
                ui.with_layout(Layout::right_to_left(Align::Min), |ui| {
                    let close = egui::Button::new(icons::ICON_CLOSE.rich_text().size(14.0)).frame(false);
                    let close = widgets::named(ui.add(close), "Dismiss");
                    if close.on_hover_text("Dismiss").clicked() {
                        act(FrameAction::DismissNotice(notice.id));
                    }
                    ui.with_layout(Layout::left_to_right(Align::Min).with_main_wrap(true), |ui| {
                        ui.label(RichText::new(&notice.title).strong());
                    });
                });
            });
            if !notice.hint.is_empty() {
                ui.label(&notice.hint);
            }
            if notice.is_open && !notice.detail.is_empty() {
                ui.label(RichText::new(&notice.detail).small().monospace());
            }
            if notice.detail.is_empty() {
                return;
            }
            ui.horizontal(|ui| {
                let label = if notice.is_open { "Hide details" } else { "Details" };
                if ui.small_button(label).clicked() {
                    act(FrameAction::ToggleNoticeDetails(notice.id));
                }
                if ui.small_button("Copy").on_hover_text("Copy the whole message").clicked() {
                    act(FrameAction::Copy(notice.report()));
                }
            });
        });
}

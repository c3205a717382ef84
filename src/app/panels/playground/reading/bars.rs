//! A share of 1 as a bar between its name and its number.

use crate::app::bidi;
use crate::app::theme::{self, space};
use crate::app::widgets;
use eframe::egui::{self, Color32, Rect, RichText, Sense, vec2};

const VALUE: f32 = 52.0;
const HEIGHT: f32 = 12.0;

/// One of several under one another; the first of them stands out.
pub fn share(ui: &mut egui::Ui, name: &str, share: f32, ink: Color32, is_first: bool) {
    let t = theme::of(ui);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = space::S;
        let room = ui.available_width();
        let words = RichText::new(bidi::display(name).into_owned());
        let words = if is_first { words.strong() } else { words.color(t.weak) };
        widgets::in_column(ui, (room * 0.36).clamp(70.0, 190.0), words).on_hover_text(name);
        let width = (ui.available_width() - VALUE - space::S).max(30.0);
        let (rect, response) = ui.allocate_exact_size(vec2(width, HEIGHT), Sense::hover());
        let words = format!("{:.1} %", 100.0 * share);
        widgets::named(response, &format!("{name}: {words}"));
        ui.painter().rect_filled(rect, 3.0, t.bar);
        let filled = vec2(rect.width() * share.clamp(0.0, 1.0), rect.height());
        let ink = if is_first { ink } else { ink.gamma_multiply(0.5) };
        ui.painter().rect_filled(Rect::from_min_size(rect.min, filled), 3.0, ink);
        ui.label(RichText::new(words).small());
    });
}

//! Values of several things as bars under one another.

use super::{in_column, named};
use crate::app::theme::{self, space};
use eframe::egui::{self, Rect, RichText, Sense, vec2};

/// One bar.
#[derive(Debug, Clone)]
pub struct Bar<'a> {
    pub name: &'a str,
    /// Not below 0.
    pub value: f64,
    /// The same for people, with its unit.
    pub shown: String,
    pub is_best: bool,
}

/// Width of the names and of the values beside the bars.
const NAME: f32 = 210.0;
const VALUE: f32 = 130.0;
const HEIGHT: f32 = 14.0;

/// Bars from 0, the longest as wide as there is room; the best says so.
pub fn bars(ui: &mut egui::Ui, bars: &[Bar]) {
    let t = theme::of(ui);
    let largest = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    let width = (ui.available_width() - NAME - VALUE - 3.0 * space::S).clamp(60.0, 620.0);
    for bar in bars {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = space::S;
            in_column(ui, NAME, RichText::new(bar.name)).on_hover_text(bar.name);
            let share = if largest > 0.0 { (bar.value / largest).clamp(0.0, 1.0) as f32 } else { 0.0 };
            let (rect, response) = ui.allocate_exact_size(vec2(width, HEIGHT), Sense::hover());
            named(response, &format!("Bar of {}: {}", bar.name, bar.shown));
            let filled = Rect::from_min_size(rect.min, vec2((rect.width() * share).max(1.0), rect.height()));
            let ink = if bar.is_best { t.accent_fill } else { t.accent.gamma_multiply(0.35) };
            ui.painter().rect_filled(filled, 3.0, ink);
            let words = if bar.is_best { format!("{}, best", bar.shown) } else { bar.shown.clone() };
            let words = RichText::new(words).small();
            ui.label(if bar.is_best { words.strong() } else { words });
        });
    }
}

//! Classes with their probabilities, and scores on their scale, text by text.

use super::bars;
use super::rows::short;
use crate::app::theme::{self, space};
use crate::app::widgets::chart;
use crate::app::{bidi, widgets};
use crate::engine::event::Told;
use eframe::egui::{self, Color32, RichText, Sense, Stroke, pos2, vec2};

/// Classes of a text that are shown.
const MOST_CLASSES: usize = 6;
/// From which probability up one of several classes is said.
const SAID: f32 = 0.5;

pub(super) fn judged(ui: &mut egui::Ui, texts: &[String], told: &Told, ink: Color32) {
    match told {
        Told::Classes { task, labels, has_several, said, is_cut } => {
            name(ui, task);
            for (text, (said, is_cut)) in texts.iter().zip(said.iter().zip(is_cut)) {
                head(ui, text, *is_cut);
                classes(ui, labels, said, *has_several, ink);
                ui.add_space(space::S);
            }
        }
        Told::Scores { task, range, said, is_cut } => {
            name(ui, task);
            for (text, (said, is_cut)) in texts.iter().zip(said.iter().zip(is_cut)) {
                head(ui, text, *is_cut);
                score(ui, *range, *said, ink);
                ui.add_space(space::S);
            }
        }
        _ => {}
    }
}

/// Of several tasks, which one.
fn name(ui: &mut egui::Ui, task: &str) {
    if !task.is_empty() {
        widgets::section(ui, task);
    }
}

fn head(ui: &mut egui::Ui, text: &str, is_cut: bool) {
    let t = theme::of(ui);
    let shown = short(text, 160);
    let label = egui::Label::new(bidi::display(&shown).into_owned()).wrap();
    ui.add(label).on_hover_text(text);
    if is_cut {
        let words = "Longer than the model reads: only its beginning was judged.";
        ui.label(RichText::new(words).small().color(t.amber));
    }
}

fn classes(ui: &mut egui::Ui, labels: &[String], said: &[f32], has_several: bool, ink: Color32) {
    let t = theme::of(ui);
    let mut order: Vec<usize> = (0..said.len().min(labels.len())).collect();
    order.sort_by(|a, b| said[*b].total_cmp(&said[*a]));
    for (place, class) in order.iter().take(MOST_CLASSES).enumerate() {
        let is_said = if has_several { said[*class] >= SAID } else { place == 0 };
        bars::share(ui, &labels[*class], said[*class], ink, is_said);
    }
    let mut words = Vec::new();
    if order.len() > MOST_CLASSES {
        words.push(format!("{} more classes, less likely", order.len() - MOST_CLASSES));
    }
    if has_several {
        words.push("each class is a question of its own; those from 50 % up are said".into());
    }
    if !words.is_empty() {
        ui.label(RichText::new(words.join("; ")).small().color(t.weak));
    }
}

/// The number, and where it stands between the least and the greatest that were learnt, where these are known.
fn score(ui: &mut egui::Ui, [low, high]: [f64; 2], said: f32, ink: Color32) {
    let t = theme::of(ui);
    let is_known = low < high;
    ui.horizontal(|ui| {
        let number = widgets::in_column(ui, 64.0, RichText::new(format!("{said:.3}")).strong());
        if !is_known {
            return;
        }
        let words =
            format!("{said:.3}, of {} to {} in the training rows", chart::value(low), chart::value(high));
        number.on_hover_text(&words);
        let end = |x: f64| RichText::new(chart::value(x)).small().color(t.weak);
        ui.label(end(low));
        let width = (ui.available_width() - 60.0).clamp(40.0, 320.0);
        let (rect, response) = ui.allocate_exact_size(vec2(width, 14.0), Sense::hover());
        widgets::named(response, &words).on_hover_text(&words);
        let share = ((f64::from(said) - low) / (high - low)).clamp(0.0, 1.0) as f32;
        let painter = ui.painter();
        painter.hline(rect.x_range(), rect.center().y, Stroke::new(4.0, t.raised));
        painter.circle_filled(pos2(rect.left() + share * rect.width(), rect.center().y), 6.0, ink);
        ui.label(end(high));
    });
    if is_known && (f64::from(said) < low || f64::from(said) > high) {
        ui.label(RichText::new("Beyond the numbers that it learnt from.").small().color(t.amber));
    }
}

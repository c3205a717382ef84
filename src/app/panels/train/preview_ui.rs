//! Before the run: the course of the learning rate, and what goes in at once.

use super::review::Review;
use crate::app::shared::Shared;
use crate::app::theme::{self, space};
use crate::app::widgets::{self, chart};
use crate::base::human;
use eframe::egui::{self, Rect, RichText, ScrollArea, Sense, vec2};
use egui_plot::PlotPoint;

pub fn preview(ui: &mut egui::Ui, review: &Review, shared: &Shared) {
    let t = theme::of(ui);
    let Some(plan) = &review.plan else {
        widgets::section(ui, "Before the run");
        let words = if !shared.is_model_ready() {
            "Choose a model and open data; then the course of the run stands here."
        } else if shared.imported.is_none() {
            "Open a data file; then the course of the run stands here."
        } else if !shared.is_data_ready() {
            "The data is being prepared."
        } else {
            "Change what is marked in red at the left; then the course of the run stands here."
        };
        ui.label(RichText::new(words).color(t.weak));
        return;
    };
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        widgets::section(ui, "Course of the learning rate (schedule)");
        let points = review.schedule().into_iter().map(|(x, y)| PlotPoint::new(x, y)).collect();
        let height = (ui.available_height() * 0.45).clamp(140.0, 260.0);
        chart::preview_chart(ui, "Learning rate over the run", height, points, chart::rate);
        ui.add_space(space::S);
        widgets::section(ui, "One micro-batch");
        batch(ui, review);
        ui.add_space(space::S);
        widgets::section(ui, "The run in numbers");
        let per_pass = plan.updates_per_epoch();
        let passes = plan.num_updates() as f64 / per_pass;
        widgets::fact(ui, "Updates", &format!("{} in {passes:.1} passes", human::count(plan.num_updates())));
        let every = match plan.validation_every() {
            u64::MAX => "never: there are no validation rows".to_string(),
            n => format!("every {}", human::plural(n, "update")),
        };
        widgets::fact(ui, "Checked (validation)", &every);
        widgets::fact(
            ui,
            "Saved (checkpoint)",
            &format!("every {}", human::plural(plan.checkpoint_every(), "update")),
        );
    });
}

/// The examples of the first micro-batch end to end; what is trained on is tinted.
fn batch(ui: &mut egui::Ui, review: &Review) {
    let t = theme::of(ui);
    let budget = review.recipe.batch.micro_batch_tokens;
    let used: usize = review.first_batch.iter().map(|b| b.0).sum();
    let trained: usize = review.first_batch.iter().map(|b| b.1).sum();
    let examples = human::plural(review.first_batch.len() as u64, "example");
    let is_of_tokens = review.recipe.objective.is_of_tokens();
    let (used_words, budget_words) = (human::count(used as u64), human::count(budget as u64));
    let learnt = match is_of_tokens {
        true => format!(", {} of them trained", human::count(trained as u64)),
        false => String::new(),
    };
    ui.label(format!("{examples} in {used_words} of {budget_words} tokens{learnt}"));
    let (rect, response) =
        ui.allocate_exact_size(vec2(ui.available_width().min(720.0), 26.0), Sense::hover());
    widgets::named(response, "One micro-batch: examples end to end");
    ui.painter().rect_filled(rect, 3.0, t.raised);
    let scale = rect.width() / budget.max(used).max(1) as f32;
    let mut left = rect.left();
    for (tokens, trained) in &review.first_batch {
        let width = *tokens as f32 * scale;
        let tinted = if is_of_tokens { *trained as f32 * scale } else { 0.0 };
        let whole =
            Rect::from_min_size(egui::pos2(left, rect.top()), vec2((width - 1.5).max(1.0), rect.height()));
        ui.painter().rect_filled(whole, 2.0, t.base.gamma_multiply(0.45));
        let answer = Rect::from_min_max(
            egui::pos2((whole.right() - tinted).max(whole.left()), whole.top()),
            whole.max,
        );
        ui.painter().rect_filled(answer, 2.0, t.accent);
        left += width;
    }
    let legend = match is_of_tokens {
        true => "Bright: what the model learns to write. Dim: what it reads. Empty: room that is left.",
        false => "Each block is a row, of which the model learns one thing. Empty: room that is left.",
    };
    ui.label(RichText::new(legend).small().color(t.weak));
}

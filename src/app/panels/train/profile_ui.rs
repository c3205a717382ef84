//! Where the time of an update goes: each operation with a bar, forward and backward apart.

use super::live::{Profile, RunView};
use crate::app::theme::{self, space};
use crate::app::widgets;
use crate::base::human;
use eframe::egui::{self, Grid, Rect, RichText, ScrollArea, Sense, vec2};

/// What the other columns take of the width.
const BESIDE_BAR: f32 = 400.0;

pub fn profile(ui: &mut egui::Ui, run: &RunView) {
    let t = theme::of(ui);
    let Some(profile) = &run.profile else {
        let words = "Where the time of an update goes stands here from the second update on.";
        ui.label(RichText::new(words).color(t.weak));
        return;
    };
    ui.label(format!(
        "Update {} took {}. The model's operations, forward and back:",
        human::count(profile.update),
        human::secs(profile.update_secs)
    ));
    let bar_width = (ui.available_width() - BESIDE_BAR).clamp(40.0, 240.0);
    ScrollArea::vertical().id_salt("profile").auto_shrink([false, false]).show(ui, |ui| {
        Grid::new("operations").num_columns(5).striped(true).spacing([space::L, space::XS]).show(ui, |ui| {
            for head in ["Operation", "Share", "", "Forward", "Backward"] {
                ui.label(RichText::new(head).small().color(t.weak));
            }
            ui.end_row();
            rows(ui, profile, bar_width);
        });
        let help = "Measured at every tenth update (every hundredth after the thousandth), which costs next to nothing. The rest is the \
                    optimizer, clipping, and dealing out the rows.";
        ui.label(RichText::new(help).small().color(t.weak));
    });
}

fn rows(ui: &mut egui::Ui, profile: &Profile, bar_width: f32) {
    let whole = profile.update_secs.max(f64::MIN_POSITIVE);
    let most = profile.operations.first().map_or(whole, |o| o.secs());
    let mut rest = profile.update_secs;
    for cost in &profile.operations {
        rest -= cost.secs();
        let name = cost.operation.replace('_', " ");
        ui.label(&name).on_hover_text(format!("{} in an update", human::plural(cost.calls, "call")));
        share(ui, cost.secs() / whole);
        bar(ui, &name, bar_width, [cost.forward_secs / most, cost.backward_secs / most]);
        millis(ui, cost.forward_secs);
        millis(ui, cost.backward_secs);
        ui.end_row();
    }
    ui.label("the rest");
    share(ui, rest.max(0.0) / whole);
    bar(ui, "the rest", bar_width, [rest.max(0.0) / most, 0.0]);
    ui.end_row();
}

fn share(ui: &mut egui::Ui, share: f64) {
    ui.monospace(format!("{:4.1} %", 100.0 * share));
}

fn millis(ui: &mut egui::Ui, secs: f64) {
    ui.monospace(format!("{:7.1} ms", 1e3 * secs));
}

/// Forward, then backward, as shares of the longest bar.
fn bar(ui: &mut egui::Ui, name: &str, width: f32, [forward, backward]: [f64; 2]) {
    let t = theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(width, 12.0), Sense::hover());
    widgets::named(response, &format!("Time of {name}: dim forward, bright backward"));
    let width = |share: f64| (share.clamp(0.0, 1.0) as f32) * rect.width();
    let middle = rect.left() + width(forward);
    let right = rect.left() + width(forward + backward);
    let part = |left: f32, right: f32| {
        Rect::from_min_max(egui::pos2(left, rect.top()), egui::pos2(right, rect.bottom()))
    };
    ui.painter().rect_filled(part(rect.left(), middle), 2.0, t.base.gamma_multiply(0.6));
    ui.painter().rect_filled(part(middle, right), 2.0, t.accent_fill);
}

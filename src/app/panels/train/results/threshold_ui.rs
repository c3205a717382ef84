//! From which probability up a class is said, and what that costs: found, missed and false alarms, live.

use super::ResultsLook;
use crate::app::theme::{self, space};
use crate::app::widgets::{self, chart};
use crate::base::human;
use crate::eval::thresholds::ThresholdRow;
use eframe::egui::{self, RichText, Slider};
use egui_plot::{Line, LineStyle, Plot, PlotPoint, PlotPoints, VLine};

const HEIGHT: f32 = 180.0;

/// What is decided.
pub(super) struct Decisions<'a> {
    /// The one class that is said or not; `None` where there are several.
    pub name: Option<&'a str>,
    /// Decisions where yes is right, and all of them.
    pub support: usize,
    pub num: usize,
}

/// The row of a threshold: the nearest hundredth.
pub(super) fn at(rows: &[ThresholdRow], threshold: f64) -> Option<&ThresholdRow> {
    rows.iter().min_by(|a, b| (a.threshold - threshold).abs().total_cmp(&(b.threshold - threshold).abs()))
}

pub(super) fn threshold(
    ui: &mut egui::Ui,
    rows: &[ThresholdRow],
    best: Option<ThresholdRow>,
    of: Decisions,
    look: &mut ResultsLook,
) {
    let t = theme::of(ui);
    let what =
        of.name.map_or("Say a class from".to_string(), |name| format!("Say {} from", human::elide(name, 24)));
    widgets::section(ui, &format!("{what} which probability up? (threshold)"));
    let Some(first) = best.or_else(|| at(rows, 0.5).copied()) else {
        ui.label(RichText::new("There is nothing to decide: no test row has a right class.").color(t.weak));
        return;
    };
    let mut threshold = look.threshold.unwrap_or(0.5);
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().slider_width = (ui.available_width() - 220.0).clamp(120.0, 300.0);
        let slider = Slider::new(&mut threshold, 0.0..=1.0).step_by(0.01).fixed_decimals(2);
        let response = widgets::named(ui.add(slider), "Threshold");
        if response
            .on_hover_text("Higher: fewer false alarms, more that is missed. Lower: the other way.")
            .changed()
        {
            look.threshold = Some(threshold);
        }
        if best.is_some() {
            let hint = format!("{:.2}: the highest F1 on these rows", first.threshold);
            if ui.button("Best F1").on_hover_text(hint).clicked() {
                look.threshold = Some(first.threshold);
            }
        }
    });
    if let Some(row) = at(rows, look.threshold.unwrap_or(0.5)) {
        told(ui, row, &of);
        curves(ui, rows, row.threshold);
    }
}

/// What the threshold does, in numbers and words.
fn told(ui: &mut egui::Ui, row: &ThresholdRow, of: &Decisions) {
    let t = theme::of(ui);
    let line = format!("Precision {:.3}   Recall {:.3}   F1 {:.3}", row.precision, row.recall, row.f1);
    ui.label(RichText::new(line).strong());
    // Reports of before have no counts.
    if row.predicted == 0 && row.recall > 0.0 {
        return;
    }
    let (found, missed) = (row.hits, of.support.saturating_sub(row.hits));
    let alarms = row.predicted.saturating_sub(row.hits);
    let passed = of.num.saturating_sub(of.support).saturating_sub(alarms);
    let count = |n: usize| human::count(n as u64);
    let words = format!(
        "{} found, {} missed, {} false alarms, {} rightly passed over, of {}",
        count(found),
        count(missed),
        count(alarms),
        count(passed),
        human::plural(of.num as u64, if of.name.is_some() { "row" } else { "decision" })
    );
    ui.label(RichText::new(words).color(t.weak));
}

fn curves(ui: &mut egui::Ui, rows: &[ThresholdRow], now: f64) {
    type Of = fn(&ThresholdRow) -> f64;
    let t = theme::of(ui);
    let lines: [(&str, Of, egui::Color32, LineStyle); 3] = [
        ("precision", |r| r.precision, t.base, LineStyle::dashed_dense()),
        ("recall", |r| r.recall, t.amber, LineStyle::dotted_dense()),
        ("F1", |r| r.f1, t.accent, LineStyle::Solid),
    ];
    ui.horizontal(|ui| {
        for (name, _, ink, style) in lines {
            chart::line_sample(ui, ink, style);
            ui.label(RichText::new(name).small());
            ui.add_space(space::S);
        }
    });
    let plot = Plot::new("thresholds")
        .height(HEIGHT)
        .include_y(0.0)
        .include_y(1.0)
        .include_x(0.0)
        .include_x(1.0)
        .x_axis_label("threshold")
        .y_axis_min_width(40.0)
        .grid_color(t.border)
        .allow_scroll(false)
        .allow_zoom(false)
        .allow_drag(false)
        .allow_boxed_zoom(false)
        .label_formatter(|at| {
            let egui_plot::HoverPosition::NearDataPoint { plot_name, position, .. } = at else { return None };
            Some(format!("{plot_name} {} at {:.2}", chart::value(position.y), position.x))
        });
    let response = plot.show(ui, |plot| {
        for (name, of, ink, style) in lines {
            let points = rows.iter().map(|row| PlotPoint::new(row.threshold, of(row))).collect();
            plot.line(Line::new(name, PlotPoints::Owned(points)).color(ink).style(style).width(2.0));
        }
        plot.vline(VLine::new("threshold", now).color(t.text).width(1.0).allow_hover(false));
    });
    widgets::named(response.response, "Chart of precision, recall and F1 by threshold");
}

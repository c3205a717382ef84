//! Numbers: how far off they are, and each test row as a point.

use super::{figure, figures, is_broken, rows};
use crate::app::theme::{self, space};
use crate::app::widgets::{self, chart};
use crate::base::human;
use crate::eval::regression::RegressionReport;
use eframe::egui::{self, RichText};
use egui_plot::{HoverPosition, Line, LineStyle, Plot, PlotPoint, PlotPoints, Points};

const HEIGHT: f32 = 360.0;
/// Rows that are listed.
const MOST_LISTED: usize = 10;

pub(super) const SPEARMAN: &str =
    "Whether the order is right, whatever the distances: 1 is the same order, 0 none, -1 the reverse.";
const PEARSON: &str =
    "Whether predictions rise as the right numbers do, in a straight line: 1 is perfectly, 0 not at all.";
const R2: &str = "Share of what makes the numbers differ that the model explains: 1 is all of it, 0 is no better than always saying the mean.";
const MAE: &str = "How far off a prediction is on average, in the unit of the numbers (mean absolute error).";
const RMSE: &str = "As the mean error, but large errors weigh more (root of the mean squared error).";

pub(super) fn scores(ui: &mut egui::Ui, of: &RegressionReport) {
    if is_broken(ui, of.num_not_finite, of.num) {
        return;
    }
    figures(
        ui,
        &[
            rows(of.num),
            figure("Explained (R²)", of.r2.map(chart::value), R2),
            figure("In a line (Pearson)", of.pearson.map(chart::value), PEARSON),
            figure("In order (Spearman)", of.spearman.map(chart::value), SPEARMAN),
            figure("Mean error (MAE)", of.mae.map(chart::value), MAE),
            figure("Large errors weigh more (RMSE)", of.rmse.map(chart::value), RMSE),
        ],
    );
    scatter(ui, of);
    furthest(ui, of);
}

fn scatter(ui: &mut egui::Ui, of: &RegressionReport) {
    let t = theme::of(ui);
    widgets::section(ui, "What the model said, by what is right");
    let shown = match of.points.len() {
        n if n < of.num => {
            format!(" {} of {} are shown.", human::count(n as u64), human::plural(of.num as u64, "row"))
        }
        _ => String::new(),
    };
    let words = format!(
        "Each point is a test row. On the dashed line the model is right; above it, it says too much, below it too little.{shown}"
    );
    ui.label(RichText::new(words).small().color(t.weak));
    let ends = of.points.iter().flat_map(|(a, b)| [*a, *b]);
    let (low, high) = ends.fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(x), high.max(x)));
    if low > high {
        return;
    }
    let plot = Plot::new("scores")
        .height(HEIGHT)
        .width(ui.available_width().min(640.0))
        .x_axis_label("right number")
        .y_axis_label("what the model said")
        .y_axis_min_width(48.0)
        .grid_color(t.border)
        .allow_scroll(false)
        .label_formatter(|at| match at {
            HoverPosition::NearDataPoint { plot_name, position, .. } if *plot_name == "rows" => {
                Some(format!("right {}\nsaid {}", chart::value(position.x), chart::value(position.y)))
            }
            _ => None,
        });
    let response = plot.show(ui, |plot| {
        let ideal = vec![PlotPoint::new(low, low), PlotPoint::new(high, high)];
        let ideal = Line::new("right", PlotPoints::Owned(ideal)).color(t.text).width(1.0);
        plot.line(ideal.style(LineStyle::dashed_dense()).allow_hover(false));
        let points = of.points.iter().map(|(right, said)| PlotPoint::new(*right, *said)).collect();
        plot.points(
            Points::new("rows", PlotPoints::Owned(points)).radius(2.5).color(t.accent.gamma_multiply(0.75)),
        );
    });
    let words =
        format!("Chart of {} predictions against the right numbers", human::count(of.points.len() as u64));
    widgets::named(response.response, &words);
}

fn furthest(ui: &mut egui::Ui, of: &RegressionReport) {
    if of.rows.is_empty() {
        return;
    }
    let t = theme::of(ui);
    widgets::section(ui, "The rows that are furthest off");
    for row in of.rows.iter().take(MOST_LISTED) {
        ui.horizontal_top(|ui| {
            let line = format!("line {}", human::count(row.row.line));
            widgets::in_column(ui, 76.0, RichText::new(line).small().color(t.weak));
            let words = format!("right {}, said {}", chart::value(row.right), chart::value(row.predicted));
            widgets::in_column(ui, 150.0, RichText::new(words).small());
            ui.vertical(|ui| widgets::shown(ui, &row.row.text));
        });
    }
    ui.add_space(space::S);
}

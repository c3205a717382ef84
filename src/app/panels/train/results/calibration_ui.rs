//! Whether the model is right as often as it says: a reliability diagram.

use crate::app::theme;
use crate::app::widgets::{self, chart};
use crate::base::human;
use crate::eval::calibration::CalibrationBin;
use crate::eval::classification::ClassReport;
use eframe::egui::{self, RichText, Stroke};
use egui_plot::{
    Bar, BarChart, HoverPosition, Line, LineStyle, MarkerShape, Plot, PlotPoint, PlotPoints, Points,
};

const HEIGHT: f32 = 220.0;

pub(super) fn calibration(ui: &mut egui::Ui, of: &ClassReport) {
    let t = theme::of(ui);
    let error = of.expected_calibration_error;
    let words = format!(
        "When it says 80 %, it should be right in 80 of 100 rows. The bars are how often it is right; the dashed line is where they should \
         end. On the whole it is off by {} (expected calibration error).",
        error.map_or("nothing that is known".into(), human::percent)
    );
    ui.label(RichText::new(words).small().color(t.weak));
    let bins = of.calibration.clone();
    let percent =
        |mark: egui_plot::GridMark, _: &std::ops::RangeInclusive<f64>| format!("{:.0} %", 100.0 * mark.value);
    let plot = Plot::new("calibration")
        .height(HEIGHT)
        .width(ui.available_width().min(460.0))
        .include_x(0.0)
        .include_x(1.0)
        .include_y(0.0)
        .include_y(1.0)
        .x_axis_label("how sure it is")
        .y_axis_label("how often it is right")
        .x_axis_formatter(percent)
        .y_axis_formatter(percent)
        .y_axis_min_width(48.0)
        .grid_color(t.border)
        .allow_scroll(false)
        .allow_zoom(false)
        .allow_drag(false)
        .allow_boxed_zoom(false)
        .label_formatter(move |at| {
            let (HoverPosition::NearDataPoint { position, .. } | HoverPosition::Elsewhere { position }) = at;
            let x = position.x;
            bins.iter().find(|bin| bin.low < x && x <= bin.high).map(told)
        });
    let response = plot.show(ui, |plot| {
        let filled = |bin: &&CalibrationBin| bin.count > 0;
        let bar = |bin: &CalibrationBin| {
            Bar::new((bin.low + bin.high) / 2.0, bin.accuracy.unwrap_or(0.0))
                .width((bin.high - bin.low) * 0.94)
                .fill(t.accent.gamma_multiply(0.45))
                .stroke(Stroke::new(1.0, t.accent))
        };
        let bars = of.calibration.iter().filter(filled).map(bar).collect();
        plot.bar_chart(BarChart::new("right", bars).allow_hover(false));
        let ideal = vec![PlotPoint::new(0.0, 0.0), PlotPoint::new(1.0, 1.0)];
        let ideal = Line::new("as sure as right", PlotPoints::Owned(ideal)).color(t.text).width(1.0);
        plot.line(ideal.style(LineStyle::dashed_dense()).allow_hover(false));
        let point = |bin: &CalibrationBin| Some(PlotPoint::new(bin.mean_confidence?, bin.accuracy?));
        let points: Vec<PlotPoint> = of.calibration.iter().filter_map(point).collect();
        let points = Points::new("bins", PlotPoints::Owned(points)).shape(MarkerShape::Diamond);
        plot.points(points.radius(4.0).color(t.text).allow_hover(false));
    });
    let error = error.map_or(String::new(), |e| format!(", expected calibration error {}", chart::value(e)));
    widgets::named(response.response, &format!("Chart of how often it is right by how sure it is{error}"));
}

/// One bar in words.
fn told(bin: &CalibrationBin) -> String {
    let of = format!(
        "{:.0} to {:.0} % sure: {}",
        100.0 * bin.low,
        100.0 * bin.high,
        human::plural(bin.count as u64, "row")
    );
    match (bin.mean_confidence, bin.accuracy) {
        (Some(sure), Some(right)) => {
            format!("{of}\n{} sure on average\n{} right", human::percent(sure), human::percent(right))
        }
        _ => of,
    }
}

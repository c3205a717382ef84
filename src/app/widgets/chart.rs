//! Charts of a run: the loss with its validation points, small ones beside it, several runs over one another.

use super::chart_series::{Series, Thinned, logarithmic};
use crate::app::theme::{self, space};
use crate::base::human;
use eframe::egui::{self, Color32, RichText, Shape, Stroke, vec2};
use egui_plot::{
    Axis, Corner, HoverPosition, Legend, Line, LineStyle, MarkerShape, Plot, PlotBounds, PlotPoint,
    PlotPoints, Points, Span,
};

/// Points of one line that are drawn at most.
const BUDGET: usize = 1_500;

/// A validation on the chart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ValidPoint {
    pub update: u64,
    pub loss: f64,
    pub is_best: bool,
}

/// What the loss chart shows.
#[derive(Debug, Clone, Copy)]
pub struct LossChart<'a> {
    pub loss: &'a Series,
    pub valid: &'a [ValidPoint],
    /// Updates in which no gain was seen, up to where the run would stop early.
    pub patience: Option<(f64, f64)>,
    pub is_log: bool,
    /// Back to the whole picture.
    pub is_reset: bool,
    /// Why there is nothing to see.
    pub empty: &'a str,
}

/// A line of a chart that compares.
#[derive(Debug, Clone, Copy)]
pub struct Curve<'a> {
    pub name: &'a str,
    pub points: &'a Thinned,
    pub ink: Color32,
    /// Tells lines apart without their colour.
    pub style: LineStyle,
}

/// The large chart of a run.
pub fn loss_chart(ui: &mut egui::Ui, id: &str, height: f32, chart: LossChart) {
    if chart.loss.raw.is_empty() && chart.valid.is_empty() {
        return nothing(ui, height, chart.empty);
    }
    let t = theme::of(ui);
    let is_log = chart.is_log;
    let plot = base_plot(ui, id, height, is_log, chart.is_reset)
        .x_axis_label("update")
        .y_axis_label(if is_log { "loss (powers of ten)" } else { "loss" })
        .legend(
            Legend::default().position(Corner::RightTop).background_alpha(0.85).follow_insertion_order(true),
        );
    let response = plot.show(ui, |plot| {
        let (from, to) = visible(plot);
        if let Some((start, end)) = chart.patience {
            plot.span(
                Span::new("no gain", start..=end)
                    .axis(Axis::X)
                    .fill(t.amber.gamma_multiply(0.13))
                    .border(Stroke::new(1.0, t.amber.gamma_multiply(0.5)))
                    .label_align(egui::Align2::LEFT_BOTTOM),
            );
        }
        let heights = |points: Vec<PlotPoint>| if is_log { logarithmic(points) } else { points };
        let raw = heights(chart.loss.raw.between(from, to, BUDGET));
        plot.line(Line::new("loss", PlotPoints::Owned(raw)).color(t.accent.gamma_multiply(0.3)).width(1.0));
        let smooth = heights(chart.loss.smooth.between(from, to, BUDGET));
        plot.line(Line::new("loss, smoothed", PlotPoints::Owned(smooth)).color(t.accent).width(2.0));
        let point = |v: &ValidPoint| PlotPoint::new(v.update as f64, v.loss);
        let valid = heights(chart.valid.iter().map(point).filter(|p| p.y.is_finite()).collect());
        if !valid.is_empty() {
            let name = "validation loss";
            plot.line(Line::new(name, PlotPoints::Owned(valid.clone())).color(t.amber).width(1.5));
            let diamonds = Points::new(name, PlotPoints::Owned(valid)).shape(MarkerShape::Diamond);
            plot.points(diamonds.radius(4.0).color(t.amber).allow_hover(false));
        }
        let best = chart.valid.iter().rfind(|v| v.is_best).map(point);
        let best = heights(best.into_iter().collect());
        if !best.is_empty() {
            let ring = Points::new("best so far", PlotPoints::Owned(best)).shape(MarkerShape::Circle);
            plot.points(ring.radius(8.0).filled(false).color(t.text).allow_hover(false));
        }
    });
    let last = chart.loss.smooth.last().map_or(String::new(), |p| format!(", now {}", value(p.y)));
    super::named(response.response, &format!("Chart of the loss over the updates{last}"));
}

/// A piece of a curve's line, to stand beside its name.
pub fn line_sample(ui: &mut egui::Ui, ink: Color32, style: LineStyle) {
    let (rect, _) = ui.allocate_exact_size(vec2(26.0, 18.0), egui::Sense::hover());
    let ends = [rect.left_center(), rect.right_center()];
    let stroke = Stroke::new(2.0, ink);
    let shapes = match style {
        LineStyle::Solid => vec![Shape::line_segment(ends, stroke)],
        LineStyle::Dashed { length } => Shape::dashed_line(&ends, stroke, length, length * 0.6),
        LineStyle::Dotted { spacing } => Shape::dotted_line(&ends, ink, spacing, 1.5),
    };
    ui.painter().extend(shapes);
}

/// Several runs over one another, at most six; their names stand outside, where they can be long.
pub fn overlay_chart(
    ui: &mut egui::Ui,
    id: &str,
    height: f32,
    curves: &[Curve],
    is_log: bool,
    is_reset: bool,
) {
    if curves.iter().all(|c| c.points.is_empty()) {
        return nothing(ui, height, "These runs have reported no loss yet.");
    }
    let plot =
        base_plot(ui, id, height, is_log, is_reset).x_axis_label("update").y_axis_label("loss, smoothed");
    let response = plot.show(ui, |plot| {
        let (from, to) = visible(plot);
        for curve in curves.iter().take(6) {
            let points = curve.points.between(from, to, BUDGET);
            let points = if is_log { logarithmic(points) } else { points };
            let line = Line::new(curve.name, PlotPoints::Owned(points)).color(curve.ink).width(2.0);
            plot.line(line.style(curve.style));
        }
    });
    super::named(response.response, "Chart of the losses of the chosen runs");
}

/// A small chart with a title and the newest value.
#[derive(Clone, Copy)]
pub struct SmallChart<'a> {
    pub title: &'a str,
    pub points: &'a Thinned,
    /// What was measured at validations, as diamonds.
    pub checks: &'a [PlotPoint],
    /// How a value is written.
    pub show: fn(f64) -> String,
}

pub fn small_chart(ui: &mut egui::Ui, chart: SmallChart, height: f32) {
    let SmallChart { title, points, checks, show } = chart;
    let t = theme::of(ui);
    ui.vertical(|ui| {
        let now = points.last().map_or("no value yet".to_string(), |p| show(p.y));
        ui.horizontal(|ui| {
            ui.label(RichText::new(title).small().color(t.weak));
            ui.label(RichText::new(&now).small().strong());
        });
        // Around a level line the scale would be made up; from zero it says something.
        let shown = points.between(f64::NEG_INFINITY, f64::INFINITY, BUDGET / 3);
        let is_level = shown.windows(2).all(|w| w[0].y == w[1].y);
        let floor = shown.last().map_or(0.0, |p| if is_level { 0.0 } else { p.y });
        let plot = Plot::new(title)
            .height(height)
            .include_y(floor)
            .show_axes([false, true])
            .y_axis_min_width(44.0)
            .grid_color(t.border)
            .y_axis_formatter(move |mark, _| show(mark.value))
            .grid_spacing(24.0..=100.0)
            .allow_scroll(false)
            .allow_zoom(false)
            .allow_drag(false)
            .allow_boxed_zoom(false)
            .set_margin_fraction(vec2(0.01, 0.12))
            .label_formatter(move |at| match at {
                HoverPosition::NearDataPoint { position, .. } => {
                    Some(format!("update {}\n{}", human::count(position.x.max(0.0) as u64), show(position.y)))
                }
                HoverPosition::Elsewhere { .. } => None,
            });
        let response = plot.show(ui, |plot| {
            plot.line(Line::new(title, PlotPoints::Owned(shown)).color(t.accent).width(1.5));
            let diamonds =
                Points::new("validation", PlotPoints::Borrowed(checks)).shape(MarkerShape::Diamond);
            plot.points(diamonds.radius(3.0).color(t.amber));
        });
        super::named(response.response, &format!("Chart: {title}, {now}"));
    });
}

/// A course that is known before the run, such as the learning rate.
pub fn preview_chart(
    ui: &mut egui::Ui,
    title: &str,
    height: f32,
    points: Vec<PlotPoint>,
    show: fn(f64) -> String,
) {
    let t = theme::of(ui);
    let plot = Plot::new(title)
        .height(height)
        .x_axis_label("update")
        .include_y(0.0)
        .allow_scroll(false)
        .allow_zoom(false)
        .allow_drag(false)
        .allow_boxed_zoom(false)
        .y_axis_min_width(56.0)
        .grid_color(t.border)
        .y_axis_formatter(move |mark, _| show(mark.value))
        .label_formatter(move |at| match at {
            HoverPosition::NearDataPoint { position, .. } => {
                Some(format!("update {}\n{}", human::count(position.x.max(0.0) as u64), show(position.y)))
            }
            HoverPosition::Elsewhere { .. } => None,
        });
    let response = plot.show(ui, |plot| {
        plot.line(Line::new(title, PlotPoints::Owned(points)).color(t.accent).width(2.0));
    });
    super::named(response.response, &format!("Chart: {title}"));
}

fn base_plot<'a>(ui: &egui::Ui, id: &str, height: f32, is_log: bool, is_reset: bool) -> Plot<'a> {
    let show = move |y: f64| value(if is_log { 10_f64.powf(y) } else { y });
    let plot = Plot::new((id, is_log))
        .height(height)
        .set_margin_fraction(vec2(0.02, 0.08))
        .y_axis_min_width(48.0)
        .grid_color(theme::of(ui).border)
        .y_axis_formatter(move |mark, _| trimmed(show(mark.value)))
        .label_formatter(move |at| match at {
            HoverPosition::NearDataPoint { plot_name, position, .. } => {
                let update = human::count(position.x.max(0.0).round() as u64);
                Some(format!("{plot_name}\nupdate {update}\n{}", show(position.y)))
            }
            HoverPosition::Elsewhere { .. } => None,
        });
    if is_reset { plot.reset() } else { plot }
}

/// The updates that are in sight; everything while the picture follows the run.
fn visible(plot: &egui_plot::PlotUi) -> (f64, f64) {
    let bounds: PlotBounds = plot.plot_bounds();
    if plot.auto_bounds().x || !bounds.is_valid_x() {
        return (f64::NEG_INFINITY, f64::INFINITY);
    }
    (bounds.min()[0], bounds.max()[0])
}

/// An empty chart says why.
fn nothing(ui: &mut egui::Ui, height: f32, why: &str) {
    let t = theme::of(ui);
    let size = vec2(ui.available_width(), height);
    let (rect, _) = ui.allocate_exact_size(size, egui::Sense::hover());
    ui.painter().rect_stroke(rect, theme::RADIUS, Stroke::new(1.0, t.border), egui::StrokeKind::Inside);
    ui.put(rect.shrink(space::L), egui::Label::new(RichText::new(why).color(t.weak)).wrap());
}

/// A loss with as many digits as say something.
pub fn value(y: f64) -> String {
    match y.abs() {
        a if a >= 1_000.0 => format!("{y:.0}"),
        a if a >= 10.0 => format!("{y:.1}"),
        a if a >= 0.01 || a == 0.0 => format!("{y:.3}"),
        _ => format!("{y:.1e}"),
    }
}

/// `0.0005`, `5e-6`: a learning rate as people write it.
pub fn rate(y: f64) -> String {
    if y == 0.0 || y.abs() >= 1e-4 { trimmed(format!("{y:.6}")) } else { format!("{y:.1e}") }
}

/// Without the zeros at the end.
fn trimmed(number: String) -> String {
    if !number.contains('.') || number.contains('e') {
        return number;
    }
    number.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_on_charts_have_as_many_digits_as_say_something() {
        assert_eq!(value(0.4127), "0.413");
        assert_eq!(value(12.34), "12.3");
        assert_eq!(value(0.00042), "4.2e-4");
        assert_eq!(rate(5e-4), "0.0005");
        assert_eq!(rate(5e-6), "5.0e-6");
        assert_eq!(rate(0.0), "0");
    }
}

//! All rows as points of a plane, each class with a colour and a shape of its own.

use super::rows::{Rows, short};
use super::walk;
use crate::app::theme::{self, Tokens};
use crate::app::{bidi, widgets};
use crate::base::human;
use eframe::egui::{self, Color32, Pos2, RichText, Sense, Shape, Stroke, StrokeKind, UiBuilder, vec2};
use egui_plot::{HoverPosition, MarkerShape, Plot, PlotPoint, PlotPoints, PlotUi, Points};

const HEIGHT: f32 = 300.0;
/// So near to a point a press means it, in points of the screen.
const NEAR: f32 = 14.0;
const SHAPES: [MarkerShape; 4] =
    [MarkerShape::Circle, MarkerShape::Diamond, MarkerShape::Square, MarkerShape::Up];

/// What a map shows.
pub(super) struct Map<'a> {
    pub column: usize,
    pub points: &'a [[f32; 2]],
    pub rows: &'a Rows,
    /// Rows that are ringed: the nearest ones.
    pub marked: &'a [(usize, f32)],
    pub picked: Option<usize>,
}

/// Colour and shape of a class: no two differ in colour alone.
fn look(name: usize, t: &Tokens) -> (Color32, MarkerShape) {
    let inks = [t.accent, t.amber, t.base, t.green, t.red, t.text];
    (inks[name % inks.len()], SHAPES[(name + name / inks.len()) % SHAPES.len()])
}

/// The rows of each class, and those of none.
fn series(rows: &Rows, num: usize) -> Vec<(&str, Option<usize>, Vec<usize>)> {
    let is_of = |row: usize, name| rows.all.get(row).is_some_and(|row| row.name == name);
    let of = |name: Option<usize>| -> Vec<usize> { (0..num).filter(|row| is_of(*row, name)).collect() };
    let named = rows.names.iter().enumerate().map(|(i, name)| (name.as_str(), Some(i), of(Some(i))));
    let rest = if rows.names.is_empty() { "rows" } else { "other" };
    let rest = (rest, None, of(None));
    named.chain([rest]).filter(|(_, _, rows)| !rows.is_empty()).collect()
}

/// Returns the row that was pressed, or that an arrow key led to.
pub(super) fn map(ui: &mut egui::Ui, map: Map) -> Option<usize> {
    let t = theme::of(ui);
    if map.points.is_empty() {
        ui.label(RichText::new("There are no rows to lay out.").color(t.weak));
        return None;
    }
    let all = series(map.rows, map.points.len());
    let told = all.clone();
    let plot = Plot::new(("map", map.column))
        .height(HEIGHT)
        .data_aspect(1.0)
        .show_axes([false, false])
        .show_x(false)
        .show_y(false)
        .grid_color(t.border)
        .allow_scroll(false)
        .label_formatter(move |at| {
            let HoverPosition::NearDataPoint { plot_name, index, .. } = at else { return None };
            let (_, _, rows) = told.iter().find(|(name, _, _)| name == plot_name)?;
            let row = map.rows.all.get(*rows.get(*index)?)?;
            let besides = row.besides.as_ref().map(|b| format!("\n{}", short(b, 60))).unwrap_or_default();
            Some(bidi::display(&format!("{}{besides}", short(&row.text, 60))).into_owned())
        });
    let at = |row: usize| map.points.get(row).map(|[x, y]| PlotPoint::new(f64::from(*x), f64::from(*y)));
    let draw = |plot: &mut PlotUi| {
        for (name, number, rows) in &all {
            let (ink, shape) = number.map_or((t.weak, MarkerShape::Circle), |number| look(number, t));
            let ink = if map.rows.names.is_empty() { t.accent } else { ink };
            let points: Vec<PlotPoint> = rows.iter().filter_map(|row| at(*row)).collect();
            let points = Points::new(*name, PlotPoints::Owned(points)).shape(shape).radius(3.0);
            plot.points(points.color(ink.gamma_multiply(0.8)));
        }
        let ring = |name: &str, rows: Vec<PlotPoint>, radius: f32| {
            let points = Points::new(name.to_string(), PlotPoints::Owned(rows)).shape(MarkerShape::Circle);
            points.radius(radius).filled(false).color(t.text).allow_hover(false)
        };
        plot.points(ring("nearest", map.marked.iter().filter_map(|(row, _)| at(*row)).collect(), 6.0));
        plot.points(ring("chosen", map.picked.and_then(at).into_iter().collect(), 9.0));
    };
    // What stands above it changes with the chosen row, and the map shall stay the one that has the focus.
    let own = UiBuilder::new().scope_id(egui::Id::unique(("map of rows", map.column)));
    let response = ui.scope_builder(own, |ui| plot.show(ui, draw)).inner;
    let words = format!("Map of {}", human::plural(map.points.len() as u64, "row"));
    let inner = widgets::named(response.response, &words);
    if let Some(row) = map.picked.and_then(|row| map.rows.all.get(row)) {
        let told = format!("Line {}: {}", human::count(row.line), short(&row.text, 200));
        inner.ctx.accesskit_node_builder(inner.id, |node| node.set_value(told));
    }
    if inner.clicked() {
        inner.request_focus();
    }
    if inner.has_focus() {
        ui.painter().rect_stroke(inner.rect, theme::RADIUS, Stroke::new(2.0, t.accent), StrokeKind::Inside);
        let first = map.marked.first().map(|(row, _)| *row);
        if let Some(row) =
            walk::pressed(ui, inner.id).map(|way| walk::next(map.points, map.picked, first, way))
        {
            return row;
        }
    }
    let pressed = inner.interact_pointer_pos().filter(|_| inner.clicked())?;
    let away = |row: &usize| at(*row).map(|p| response.transform.position_from_point(&p).distance(pressed));
    let nearest = (0..map.points.len()).filter_map(|row| Some((row, away(&row)?)));
    nearest.min_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, away)| *away <= NEAR).map(|(row, _)| row)
}

/// Which class is drawn how.
pub(super) fn legend(ui: &mut egui::Ui, rows: &Rows) {
    let t = theme::of(ui);
    ui.horizontal_wrapped(|ui| {
        for (number, name) in rows.names.iter().enumerate() {
            let (ink, shape) = look(number, t);
            let (rect, _) = ui.allocate_exact_size(vec2(12.0, 18.0), Sense::hover());
            ui.painter().add(sample(shape, rect.center(), ink));
            widgets::elided(ui, name, 24);
        }
        if rows.all.iter().any(|row| row.name.is_none()) && !rows.names.is_empty() {
            let (rect, _) = ui.allocate_exact_size(vec2(12.0, 18.0), Sense::hover());
            ui.painter().circle_filled(rect.center(), 4.0, t.weak);
            ui.label("other");
        }
    });
}

fn sample(shape: MarkerShape, at: Pos2, ink: Color32) -> Shape {
    let polygon = |corners: &[[f32; 2]]| {
        let points = corners.iter().map(|[x, y]| at + vec2(*x, *y)).collect();
        Shape::convex_polygon(points, ink, Stroke::NONE)
    };
    match shape {
        MarkerShape::Diamond => polygon(&[[0.0, -5.0], [5.0, 0.0], [0.0, 5.0], [-5.0, 0.0]]),
        MarkerShape::Square => polygon(&[[-4.0, -4.0], [4.0, -4.0], [4.0, 4.0], [-4.0, 4.0]]),
        MarkerShape::Up => polygon(&[[0.0, -5.0], [5.0, 4.0], [-5.0, 4.0]]),
        _ => Shape::circle_filled(at, 4.0, ink),
    }
}

//! What is taken for what: a heat map of right and predicted classes, and rows of the chosen cell.

use super::ResultsLook;
use crate::app::theme::{self, space};
use crate::app::{bidi, widgets};
use crate::base::human;
use crate::eval::classification::ClassReport;
use eframe::egui::{
    self, Align2, EventFilter, Key, Pos2, Rect, RichText, ScrollArea, Sense, Shape, Stroke, TextStyle, Vec2,
    epaint::TextShape, pos2, vec2,
};

/// Height of a cell, and its width between these.
const CELL: Vec2 = vec2(46.0, 26.0);
const WIDEST: f32 = 96.0;
/// Names of the right classes, at the left.
const LEFT: f32 = 128.0;
/// Names of the predicted ones, above: lying, or standing where they are many.
const LYING: f32 = 24.0;
const STANDING: f32 = 96.0;
const MOST_HEIGHT: f32 = 420.0;
/// From this width on, names lie.
const WIDE: f32 = 72.0;

pub(super) fn confusion(ui: &mut egui::Ui, of: &ClassReport, look: &mut ResultsLook) {
    widgets::section(ui, "What is taken for what (confusion matrix)");
    let t = theme::of(ui);
    let num = of.confusion.len();
    if num == 0 {
        let words = "There are too many classes for a picture of them; see the table.";
        ui.label(RichText::new(words).color(t.weak));
        return;
    }
    let words = "A row is what is right, a column what the model said: the way down from the upper left is right, all else are mistakes. \
                 Press a cell, or use the arrow keys, to see some of its rows.";
    ui.label(RichText::new(words).small().color(t.weak));
    let grid = Grid::new(of, ui.available_width());
    let size = grid.size();
    ScrollArea::both().id_salt("confusion").auto_shrink([true, true]).max_height(MOST_HEIGHT).show(
        ui,
        |ui| {
            let (rect, response) = ui.allocate_exact_size(size, Sense::click());
            let grid = Grid { origin: rect.min, ..grid };
            let clip = ui.clip_rect().intersect(rect);
            if response.clicked() {
                response.request_focus();
                look.cell = response.interact_pointer_pos().and_then(|at| grid.at(at, clip)).or(look.cell);
            }
            if response.has_focus() {
                let arrows =
                    EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
                ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, arrows));
                if let Some(cell) = moved(ui, look.cell, num) {
                    look.cell = Some(cell);
                    ui.scroll_to_rect(grid.cell(cell).expand2(vec2(LEFT, grid.top)), None);
                }
            }
            grid.paint(ui, clip, look.cell, response.has_focus());
            let names = |(row, column)| format!("; right {}, said {}", grid.name(row), grid.name(column));
            let chosen = look.cell.map_or_else(String::new, names);
            let hovered = response.hover_pos().and_then(|at| grid.at(at, clip));
            let response = widgets::named(response, &format!("Confusion matrix of {num} classes{chosen}"));
            if let Some(cell) = hovered {
                response.on_hover_text_at_pointer(grid.words(cell));
            }
        },
    );
}

/// The cell beside the chosen one, where an arrow key was pressed.
fn moved(ui: &egui::Ui, from: Option<(usize, usize)>, num: usize) -> Option<(usize, usize)> {
    let pressed = |key| ui.input(|input| usize::from(input.key_pressed(key)));
    let [left, right, up, down] =
        [Key::ArrowLeft, Key::ArrowRight, Key::ArrowUp, Key::ArrowDown].map(pressed);
    if left + right + up + down == 0 {
        return None;
    }
    let Some((row, column)) = from else { return Some((0, 0)) };
    let step = |at: usize, back: usize, on: usize| (at + on).saturating_sub(back).min(num - 1);
    Some((step(row, up, down), step(column, left, right)))
}

/// Where the cells lie.
#[derive(Clone, Copy)]
struct Grid<'a> {
    of: &'a ClassReport,
    origin: Pos2,
    width: f32,
    top: f32,
}

impl<'a> Grid<'a> {
    fn new(of: &'a ClassReport, room: f32) -> Self {
        let room = room - LEFT - space::L;
        let width = (room / of.confusion.len() as f32).clamp(CELL.x, WIDEST);
        let top = if width >= WIDE { LYING } else { STANDING };
        Self { of, origin: Pos2::ZERO, width, top }
    }

    fn num(&self) -> usize {
        self.of.confusion.len()
    }

    fn size(&self) -> Vec2 {
        let num = self.num() as f32;
        vec2(LEFT + num * self.width, self.top + num * CELL.y)
    }

    fn cell(&self, (row, column): (usize, usize)) -> Rect {
        let min = self.origin + vec2(LEFT + column as f32 * self.width, self.top + row as f32 * CELL.y);
        Rect::from_min_size(min, vec2(self.width, CELL.y))
    }

    /// Names stay in sight while the cells are scrolled: where they begin.
    fn corner(&self, clip: Rect) -> Pos2 {
        pos2(clip.left().max(self.origin.x) + LEFT, clip.top().max(self.origin.y) + self.top)
    }

    fn at(&self, at: Pos2, clip: Rect) -> Option<(usize, usize)> {
        let (corner, from) = (self.corner(clip), at - self.origin - vec2(LEFT, self.top));
        if at.x < corner.x || at.y < corner.y {
            return None;
        }
        let (row, column) = ((from.y / CELL.y) as usize, (from.x / self.width) as usize);
        (row < self.num() && column < self.num()).then_some((row, column))
    }

    fn name(&self, class: usize) -> &'a str {
        self.of.classes.get(class).map_or("", |c| &c.label)
    }

    /// What a cell says, in a sentence.
    fn words(&self, (row, column): (usize, usize)) -> String {
        let (count, total) = (self.of.confusion[row][column], self.of.confusion[row].iter().sum::<usize>());
        let share = if total > 0 { count as f64 / total as f64 } else { 0.0 };
        let (right, said) = (self.name(row), self.name(column));
        let what =
            if row == column { "were said to be so".to_string() } else { format!("were said to be {said}") };
        format!(
            "{} of {} that are {right} {what} ({})",
            human::count(count as u64),
            human::plural(total as u64, "row"),
            human::percent(share)
        )
    }

    /// The cells that are in sight, then the names over them.
    fn paint(&self, ui: &egui::Ui, clip: Rect, chosen: Option<(usize, usize)>, has_focus: bool) {
        let t = theme::of(ui);
        let painter = ui.painter().with_clip_rect(clip);
        let font = TextStyle::Small.resolve(ui.style());
        let seen = |from: f32, to: f32, step: f32| {
            let first = (from / step).max(0.0) as usize;
            first..((to / step).max(0.0).ceil() as usize).min(self.num())
        };
        let start = self.origin + vec2(LEFT, self.top);
        let rows = seen(clip.top() - start.y, clip.bottom() - start.y, CELL.y);
        let columns = seen(clip.left() - start.x, clip.right() - start.x, self.width);
        for row in rows.clone() {
            let total = self.of.confusion[row].iter().sum::<usize>().max(1) as f32;
            for column in columns.clone() {
                let count = self.of.confusion[row][column];
                let rect = self.cell((row, column)).shrink(1.0);
                let hue = if row == column { t.accent_fill } else { t.amber };
                let share = if count == 0 { 0.0 } else { 0.12 + 0.88 * count as f32 / total };
                let fill = theme::mixed(t.surface, hue, share);
                painter.rect_filled(rect, 2.0, fill);
                let ink = if count == 0 { t.weak } else { theme::ink_on(fill) };
                let words = human::count(count as u64);
                painter.text(rect.center(), Align2::CENTER_CENTER, words, font.clone(), ink);
                if chosen == Some((row, column)) {
                    let stroke = Stroke::new(if has_focus { 3.0 } else { 2.0 }, t.text);
                    painter.rect_stroke(rect, 2.0, stroke, egui::StrokeKind::Inside);
                }
            }
        }
        let corner = self.corner(clip);
        let left = Rect::from_min_max(pos2(corner.x - LEFT, clip.top()), pos2(corner.x, clip.bottom()));
        let above = Rect::from_min_max(pos2(clip.left(), corner.y - self.top), pos2(clip.right(), corner.y));
        painter.rect_filled(left, 0.0, t.ground);
        painter.rect_filled(above, 0.0, t.ground);
        let below = painter.with_clip_rect(clip.intersect(Rect::everything_below(corner.y)));
        let (chosen_row, chosen_column) = (chosen.map(|c| c.0), chosen.map(|c| c.1));
        for row in rows {
            let ink = if chosen_row == Some(row) { t.text } else { t.weak };
            let at = pos2(corner.x - space::S, self.cell((row, 0)).center().y);
            let words = bidi::display(&human::elide(self.name(row), 18)).into_owned();
            below.text(at, Align2::RIGHT_CENTER, words, font.clone(), ink);
        }
        let beside = painter.with_clip_rect(clip.intersect(Rect::everything_right_of(corner.x)));
        for column in columns {
            let ink = if chosen_column == Some(column) { t.text } else { t.weak };
            let x = self.cell((0, column)).center().x;
            let chars = if self.top == LYING { (self.width / 6.4) as usize } else { 14 };
            let words = bidi::display(&human::elide(self.name(column), chars)).into_owned();
            if self.top == LYING {
                beside.text(pos2(x, corner.y - LYING / 2.0), Align2::CENTER_CENTER, words, font.clone(), ink);
                continue;
            }
            let galley = beside.layout_no_wrap(words, font.clone(), ink);
            let at = pos2(x - galley.size().y / 2.0, corner.y - space::XS);
            let standing = TextShape::new(at, galley, ink).with_angle(-std::f32::consts::FRAC_PI_2);
            beside.add(Shape::Text(standing));
        }
        painter.rect_filled(Rect::from_min_max(left.min.min(above.min), corner), 0.0, t.ground);
        let at = corner - vec2(space::S, 0.0);
        painter.text(at - vec2(0.0, 4.0), Align2::RIGHT_BOTTOM, "right \\ said", font, t.weak);
    }
}

/// Some rows of the chosen cell, below.
pub(super) fn rows_of_cell(ui: &mut egui::Ui, of: &ClassReport, look: &mut ResultsLook) {
    let Some((row, column)) = look.cell.filter(|(row, column)| row.max(column) < &of.confusion.len()) else {
        return;
    };
    let t = theme::of(ui);
    let rows: Vec<_> = of.rows.iter().filter(|r| (r.right, r.predicted) == (row, column)).collect();
    ui.add_space(space::S);
    widgets::card(ui, |ui| {
        ui.set_min_width(ui.available_width());
        ui.horizontal(|ui| {
            let words = Grid::new(of, 0.0).words((row, column));
            ui.add(egui::Label::new(RichText::new(bidi::display(&words)).strong()).wrap());
            if widgets::close_button(ui, "Close the rows of this cell").clicked() {
                look.cell = None;
            }
        });
        let count = of.confusion[row][column];
        let words = match rows.len() {
            _ if count == 0 => "No row is in this cell.".to_string(),
            0 => "The report keeps no rows of this cell.".into(),
            shown if shown < count => format!("{shown} of them, the surest first:"),
            _ => "The surest first:".into(),
        };
        ui.label(RichText::new(words).small().color(t.weak));
        for row in rows {
            ui.horizontal_top(|ui| {
                let line = format!("line {}", human::count(row.row.line));
                widgets::in_column(ui, 76.0, RichText::new(line).small().color(t.weak));
                let sure = format!("{} sure", human::percent(f64::from(row.probability)));
                widgets::in_column(ui, 76.0, RichText::new(sure).small().color(t.weak));
                ui.vertical(|ui| widgets::shown(ui, &row.row.text));
            });
        }
    });
}

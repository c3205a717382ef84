//! The table: a row a method, a column a measure, the best of each marked.

use super::state::sorted;
use super::ui::push;
use super::{Action, State};
use crate::app::action::UiAction;
use crate::app::theme::{self, space};
use crate::app::widgets::{self, chart};
use crate::base::human;
use crate::project::method_comparison::{MethodComparison, MethodRow, TaskFigure};
use eframe::egui::{self, Align, Button, Label, Layout, RichText, vec2};
use egui_material_icons::icons;

/// Head of each column of numbers, and what it means.
const HEADS: [(&str, &str); 7] = [
    ("Trained", "Numbers of the model, or beside it, that the method trains (parameters)"),
    ("File", "Size of what the run leaves, to be kept and passed on"),
    ("Memory", "The most memory the program had while it made updates, this window included"),
    ("Update", "Seconds that an update takes (median)"),
    (
        "Validation loss",
        "Best loss on the validation rows: how surprised the model is by right answers; lower is better",
    ),
    ("Exact match", "Share of the test rows that are answered word for word; higher is better"),
    ("Test loss", "Loss on the test rows, which were kept apart from all training; lower is better"),
];
/// Width of a column of numbers in a window with room for a row in one line.
const COLUMN: f32 = 94.0;
const BUTTON: f32 = 128.0;
const NAME: f32 = 210.0;
const LINE: f32 = 26.0;

/// Where things stand in a row.
#[derive(Clone, Copy)]
struct Widths {
    name: f32,
    column: f32,
    is_one_line: bool,
}

impl Widths {
    fn of(available: f32, num_columns: usize) -> Self {
        let numbers = num_columns as f32;
        let is_one_line = available > NAME + BUTTON + numbers * COLUMN;
        if is_one_line {
            let name = (available - BUTTON - numbers * COLUMN).min(360.0);
            return Self { name, column: COLUMN, is_one_line };
        }
        Self { name: available - BUTTON - space::M, column: (available - space::M) / numbers, is_one_line }
    }
}

pub(super) fn table(
    ui: &mut egui::Ui,
    state: &State,
    found: &MethodComparison,
    is_running: bool,
    out: &mut Vec<UiAction>,
) {
    let t = theme::of(ui);
    ui.spacing_mut().item_spacing.x = 0.0;
    let columns = columns(found);
    let widths = Widths::of(ui.available_width(), columns.len());
    heads(ui, state, &columns, widths, out);
    for row in sorted(found, state.sort) {
        ui.separator();
        one(ui, row, found, &columns, widths, out);
    }
    for method in found.missing() {
        ui.separator();
        let words = match (is_running, state.turn == Some(method.key())) {
            (true, true) if state.is_testing => "testing",
            (true, true) => "training",
            (true, false) => "waits for its turn",
            (false, _) => "not done yet: Go on does it",
        };
        ui.horizontal(|ui| {
            cell(ui, widths.name, |ui| ui.add(Label::new(method.describe()).truncate()));
            ui.label(RichText::new(words).small().color(t.weak));
        });
    }
    ui.separator();
    ui.spacing_mut().item_spacing.x = space::S;
    if !found.best.is_empty() {
        let words = "Underlined on a tint: the best of its column.";
        ui.label(RichText::new(words).small().color(t.weak));
    }
}

/// Head of each column of numbers, and what it means: those of all comparisons, then one a task.
fn columns(found: &MethodComparison) -> Vec<(String, String)> {
    let fixed = HEADS.iter().map(|(head, help)| (head.to_string(), help.to_string()));
    let of_task = |task: &TaskFigure| {
        let better = if task.is_better_high { "higher" } else { "lower" };
        let help = format!("{} on the test rows of the task {}; {better} is better", task.figure, task.task);
        (format!("{} {}", task.task, task.figure), help)
    };
    fixed.chain(found.task_figures().iter().map(of_task)).collect()
}

/// A piece of a row that is `width` wide whatever is in it.
fn cell<R>(ui: &mut egui::Ui, width: f32, contents: impl FnOnce(&mut egui::Ui) -> R) -> R {
    let layout = Layout::left_to_right(Align::Center);
    let sized = |ui: &mut egui::Ui| {
        ui.set_min_width(width);
        ui.set_max_width(width);
        contents(ui)
    };
    ui.allocate_ui_with_layout(vec2(width, LINE), layout, sized).inner
}

/// Each head sorts by its column; pressed again, the other way round.
fn heads(
    ui: &mut egui::Ui,
    state: &State,
    columns: &[(String, String)],
    widths: Widths,
    out: &mut Vec<UiAction>,
) {
    let mut head = |ui: &mut egui::Ui, width: f32, column: usize, name: &str, hint: &str| {
        cell(ui, width, |ui| {
            // A head stands where its numbers begin.
            ui.spacing_mut().button_padding.x = 0.0;
            let words = RichText::new(name).small().color(theme::of(ui).weak);
            let arrow = state.sort.filter(|sort| sort.0 == column).map(|(_, is_falling)| {
                if is_falling { icons::ICON_ARROW_DOWNWARD } else { icons::ICON_ARROW_UPWARD }
            });
            let button = match arrow {
                Some(arrow) => Button::new((words, arrow.rich_text().size(12.0))),
                None => Button::new(words),
            };
            let response =
                widgets::named(ui.add(button.frame_when_inactive(false)), &format!("Sort by {name}"));
            if response.on_hover_text(hint).clicked() {
                push(out, Action::SortBy(column));
            }
        });
    };
    let name = |ui: &mut egui::Ui, head: &mut dyn FnMut(&mut egui::Ui, f32, usize, &str, &str)| {
        head(ui, widths.name, 0, "Method", "Press a head to sort by its column");
    };
    if !widths.is_one_line {
        name(ui, &mut head);
    }
    ui.horizontal(|ui| {
        if widths.is_one_line {
            name(ui, &mut head);
        }
        for (column, (words, hint)) in (1..).zip(columns) {
            head(ui, widths.column, column, words, hint);
        }
    });
}

fn one(
    ui: &mut egui::Ui,
    row: &MethodRow,
    found: &MethodComparison,
    columns: &[(String, String)],
    widths: Widths,
    out: &mut Vec<UiAction>,
) {
    ui.horizontal(|ui| {
        cell(ui, widths.name, |ui| {
            let hint = format!(
                "Learning rate {}, {}; {} test rows",
                chart::rate(row.learning_rate),
                human::plural(row.num_updates, "update"),
                row.num_tested
            );
            ui.add(Label::new(RichText::new(&row.name).strong()).truncate()).on_hover_text(hint);
        });
        if widths.is_one_line {
            numbers(ui, row, found, columns, widths.column);
        }
        if let Some(method) = found.planned.iter().find(|method| method.key() == row.method) {
            let hint = "Put it into the recipe, with the settings and the learning rate that it had here";
            let use_it = widgets::named(ui.button("Use this method"), &format!("Use {}", method.describe()));
            if use_it.on_hover_text(hint).clicked() {
                push(out, Action::Use(Box::new(method.clone()), row.learning_rate));
            }
        }
    });
    if let Some(problem) = &row.problem {
        let words = RichText::new(format!("No result. {problem}")).small().color(theme::of(ui).red);
        ui.add(Label::new(words).wrap());
    }
    if !widths.is_one_line && row.problem.is_none() {
        ui.horizontal(|ui| numbers(ui, row, found, columns, widths.column));
    }
}

fn numbers(
    ui: &mut egui::Ui,
    row: &MethodRow,
    found: &MethodComparison,
    columns: &[(String, String)],
    width: f32,
) {
    let t = theme::of(ui);
    let cells = found.cells(row);
    for (column, words) in cells.iter().enumerate().skip(1) {
        let best = found.best.iter().find(|best| best.column == column && best.method == row.method);
        cell(ui, width, |ui| {
            let text = RichText::new(words);
            let Some(best) = best else {
                let is_missing = row.number(column).is_none();
                let told = columns.get(column - 1).filter(|_| !is_missing);
                let hint = told.map_or("Not measured", |(_, help)| help);
                let ink = if is_missing { t.weak } else { t.text };
                ui.add(Label::new(text.color(ink)).truncate()).on_hover_text(hint);
                return;
            };
            let text = text.strong().underline().background_color(t.accent_soft);
            let response = ui.add(Label::new(text).truncate());
            let name = format!("{words}, best by {}", best.by);
            ui.ctx().accesskit_node_builder(response.id, |node| node.set_value(name));
            response.on_hover_text(format!("Best by {}", best.by));
        });
    }
}

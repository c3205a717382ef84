//! A line for each class, sorted by any column.

use super::ResultsLook;
use crate::app::theme::{self, space};
use crate::app::{bidi, widgets};
use crate::base::human;
use crate::eval::classes::ClassRow;
use eframe::egui::{self, Button, Label, RichText};
use egui_extras::{Column, TableBuilder};
use egui_material_icons::icons;
use std::cmp::Ordering;

const ROW: f32 = 24.0;
const MOST_HEIGHT: f32 = 280.0;

/// What the classes are sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClassColumn {
    /// As the model has them.
    #[default]
    Label,
    Precision,
    Recall,
    F1,
    Support,
    Predicted,
}

/// Column, heading, width, and what it means.
const COLUMNS: [(ClassColumn, &str, f32, &str); 6] = [
    (ClassColumn::Label, "Class", 0.0, "In the model's own order"),
    (ClassColumn::Precision, "Precision", 76.0, "Of the rows that were called so, the share that is so"),
    (ClassColumn::Recall, "Recall", 62.0, "Of the rows that are so, the share that was found"),
    (ClassColumn::F1, "F1", 54.0, "High only where precision and recall both are: their harmonic mean"),
    (ClassColumn::Support, "Rows", 54.0, "Rows that are so (support)"),
    (ClassColumn::Predicted, "Said", 54.0, "Rows that were called so"),
];

fn value(row: &ClassRow, column: ClassColumn) -> f64 {
    match column {
        ClassColumn::Label => 0.0,
        ClassColumn::Precision => row.precision,
        ClassColumn::Recall => row.recall,
        ClassColumn::F1 => row.f1,
        ClassColumn::Support => row.support as f64,
        ClassColumn::Predicted => row.predicted as f64,
    }
}

/// The places of the classes in the order that is asked for; equal ones stay as they are.
pub(super) fn sorted(rows: &[ClassRow], (column, is_falling): (ClassColumn, bool)) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let by = |a: &usize, b: &usize| match column {
        ClassColumn::Label => a.cmp(b),
        _ => value(&rows[*a], column).total_cmp(&value(&rows[*b], column)),
    };
    order.sort_by(|a, b| {
        let order: Ordering = by(a, b);
        if is_falling { order.reverse() } else { order }
    });
    order
}

pub(super) fn table(ui: &mut egui::Ui, rows: &[ClassRow], look: &mut ResultsLook) {
    widgets::section(ui, "Class by class");
    let t = theme::of(ui);
    let fixed: f32 = COLUMNS.iter().map(|c| c.2 + space::S).sum();
    let name = (ui.available_width() - fixed - space::XL).clamp(90.0, 320.0);
    let order = sorted(rows, look.sort);
    let mut builder = TableBuilder::new(ui)
        .id_salt("classes")
        .striped(true)
        .cell_layout(egui::Layout::left_to_right(egui::Align::Center))
        .auto_shrink([false, true])
        .max_scroll_height(MOST_HEIGHT);
    for (_, _, width, _) in COLUMNS {
        builder = builder.column(Column::exact(if width == 0.0 { name } else { width }).clip(true));
    }
    builder
        .header(26.0, |mut header| {
            for (column, words, _, help) in COLUMNS {
                header.col(|ui| heading(ui, column, words, help, look));
            }
        })
        .body(|body| {
            body.rows(ROW, order.len(), |mut row| {
                let class = &rows[order[row.index()]];
                row.col(|ui| {
                    ui.add(Label::new(bidi::display(&class.label).into_owned()).truncate())
                        .on_hover_text(&class.label);
                });
                for (column, ..) in &COLUMNS[1..] {
                    row.col(|ui| {
                        let words = match column {
                            ClassColumn::Support | ClassColumn::Predicted => {
                                human::count(value(class, *column) as u64)
                            }
                            _ => format!("{:.3}", value(class, *column)),
                        };
                        let is_chosen = *column == look.sort.0;
                        ui.label(RichText::new(words).color(if is_chosen { t.text } else { t.weak }));
                    });
                }
            });
        });
}

/// A press sorts by the column, from the greatest down; another one turns it round.
fn heading(ui: &mut egui::Ui, column: ClassColumn, words: &str, help: &str, look: &mut ResultsLook) {
    let t = theme::of(ui);
    let (now, is_falling) = look.sort;
    let text = RichText::new(words).small().color(if now == column { t.accent } else { t.weak });
    let button = match (now == column, is_falling) {
        (true, true) => Button::new((text, icons::ICON_ARROW_DOWNWARD.rich_text().size(12.0))),
        (true, false) => Button::new((text, icons::ICON_ARROW_UPWARD.rich_text().size(12.0))),
        (false, _) => Button::new(text),
    };
    ui.spacing_mut().button_padding = egui::vec2(0.0, 2.0);
    let response = widgets::named(ui.add(button.frame(false)), &format!("Sort by {words}"));
    if response.on_hover_text(format!("{help}. Press to sort.")).clicked() {
        let falls_first = column != ClassColumn::Label;
        look.sort = if now == column { (column, !is_falling) } else { (column, falls_first) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_sorted_by_any_column_and_back() {
        let row = |f1: f64, support: usize| ClassRow { f1, support, ..ClassRow::default() };
        let rows = [row(0.5, 3), row(0.9, 1), row(0.5, 2)];
        assert_eq!(sorted(&rows, (ClassColumn::Label, false)), [0, 1, 2]);
        assert_eq!(sorted(&rows, (ClassColumn::F1, true)), [1, 0, 2]);
        assert_eq!(sorted(&rows, (ClassColumn::F1, false)), [0, 2, 1]);
        assert_eq!(sorted(&rows, (ClassColumn::Support, false)), [1, 2, 0]);
    }
}

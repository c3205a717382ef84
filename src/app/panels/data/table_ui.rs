//! The rows: only those in sight are drawn, whatever the file's size.

use super::edit::{ROLES, role_name};
use super::rows::Shown;
use super::{Action, Edit, State};
use crate::app::action::UiAction;
use crate::app::bidi;
use crate::app::shared::Shared;
use crate::app::theme::{self, space};
use crate::app::widgets;
use crate::base::human;
use crate::data::Role;
use crate::data::import::Imported;
use eframe::egui::{self, Color32, Label, RichText, ScrollArea, Sense};
use egui_extras::{Column, TableBuilder};

/// Wider files show their first columns only.
const MAX_COLUMNS: usize = 60;
/// Longest text of a cell on screen, and on hover.
const CELL_CHARS: usize = 160;
const HOVER_CHARS: usize = 1_500;
const ROW_HEIGHT: f32 = 24.0;

pub fn table(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let Some(imported) = shared.imported.as_deref() else { return };
    if state.rows.is_empty() {
        let what = state.filter.name();
        ui.add_space(space::L);
        ui.label(RichText::new(format!("No rows are {what}.")).color(theme::of(ui).weak));
        return;
    }
    let num_columns = imported.table.columns.len().min(MAX_COLUMNS);
    let first = 96.0;
    let room = (ui.available_width() - first - 16.0) / num_columns.max(1) as f32 - 8.0;
    ScrollArea::horizontal().id_salt("columns").auto_shrink([false, false]).show(ui, |ui| {
        let mut builder = TableBuilder::new(ui)
            .id_salt("rows")
            .striped(true)
            .resizable(true)
            .sense(Sense::click())
            .cell_layout(egui::Layout::left_to_right(egui::Align::Center))
            .auto_shrink([false, false])
            .column(Column::initial(first).at_least(60.0).clip(true));
        for _ in 0..num_columns {
            builder = builder.column(Column::initial(room.max(130.0)).at_least(90.0).clip(true));
        }
        builder
            .header(54.0, |mut header| {
                header.col(|ui| {
                    ui.add_space(space::XS);
                    ui.label(RichText::new("Line").small());
                });
                for column in 0..num_columns {
                    header.col(|ui| column_head(ui, state, imported, column, out));
                }
            })
            .body(|body| {
                let table = &imported.table;
                body.rows(ROW_HEIGHT, state.rows.len(), |mut row| {
                    let shown = state.rows.get(table, row.index());
                    row.set_selected(shown.row.is_some() && shown.row == state.chosen_row);
                    row.col(|ui| line_cell(ui, shown, state, shared));
                    for column in 0..num_columns {
                        row.col(|ui| match shown.row {
                            Some(at) => cell(ui, table.cell(at, column), shown, column),
                            None if column == 0 => reason(ui, shown, state, shared),
                            None => {}
                        });
                    }
                    if let (Some(at), true) = (shown.row, row.response().clicked()) {
                        out.push(UiAction::Data(Action::ChooseRow(at)));
                    }
                });
            });
    });
}

fn column_head(
    ui: &mut egui::Ui,
    state: &State,
    imported: &Imported,
    column: usize,
    out: &mut Vec<UiAction>,
) {
    let t = theme::of(ui);
    let name = &imported.table.columns[column].name;
    let role = state.options().and_then(|o| o.schema.roles.get(column)).copied().unwrap_or(Role::Ignore);
    ui.add_space(space::XS);
    ui.vertical(|ui| {
        let shown = bidi::display(&human::elide(name, 40)).into_owned();
        ui.add(Label::new(RichText::new(shown).strong()).truncate()).on_hover_text(name);
        let ink = if role == Role::Ignore { t.weak } else { t.accent };
        let (word, help) = role_name(role);
        let combo = egui::ComboBox::from_id_salt(("role", column))
            .width((ui.available_width() - 8.0).min(150.0))
            .height(480.0)
            .selected_text(RichText::new(word).small().color(ink))
            .show_ui(ui, |ui| {
                for other in ROLES {
                    let (word, help) = role_name(other);
                    if ui.selectable_label(other == role, word).on_hover_text(help).clicked() {
                        out.push(UiAction::Data(Action::Edit(Edit::Role { column, role: other })));
                    }
                }
            });
        let named = widgets::named(combo.response, &format!("Role of {name}: {word}"));
        named.on_hover_text(format!("What this column is for. {help}"));
    });
}

fn line_cell(ui: &mut egui::Ui, shown: Shown, state: &State, shared: &Shared) {
    let t = theme::of(ui);
    ui.add_space(space::XS);
    let line = human::count(shown.line);
    let Some(words) = fate(shown, state, shared) else {
        ui.label(RichText::new(line).small().color(t.weak));
        return;
    };
    let short = words.split([':', ' ']).next().unwrap_or_default().to_string();
    let text = RichText::new(format!("{line} {short}")).small().color(t.amber);
    ui.add(Label::new(text).truncate()).on_hover_text(words);
}

fn fate(shown: Shown, _state: &State, shared: &Shared) -> Option<String> {
    let entry = shown.entry?;
    let ledger = match &shared.dataset {
        Some(dataset) => &dataset.ledger,
        None => &shared.imported.as_ref()?.ledger,
    };
    ledger.entries.get(entry).map(|e| e.fate.to_string())
}

fn reason(ui: &mut egui::Ui, shown: Shown, state: &State, shared: &Shared) {
    let words = fate(shown, state, shared).unwrap_or_default();
    let ink = theme::of(ui).amber;
    ui.add(Label::new(RichText::new(&words).color(ink)).truncate()).on_hover_text(words);
}

fn cell(ui: &mut egui::Ui, text: &str, shown: Shown, _column: usize) {
    if text.is_empty() {
        return;
    }
    ui.add_space(space::XS);
    let ink = if shown.entry.is_some() { theme::of(ui).weak } else { Color32::PLACEHOLDER };
    let short = one_line(text, CELL_CHARS);
    let label = Label::new(RichText::new(bidi::display(&short).into_owned()).color(ink));
    let response = ui.add(label.truncate().show_tooltip_when_elided(false).selectable(false));
    response.on_hover_ui(|ui| {
        ui.set_max_width(480.0);
        let more: String = text.chars().take(HOVER_CHARS).collect();
        let mark = if more.len() < text.len() { "…" } else { "" };
        ui.label(format!("{}{mark}", bidi::display(&more)));
    });
}

/// The beginning of a cell on one line.
fn one_line(text: &str, max: usize) -> String {
    let mut out: String = text.chars().take(max).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.len() > out.len() && text.chars().nth(max).is_some() {
        out.push('…');
    }
    out
}

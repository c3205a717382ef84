//! Rows that are like a text: the nearest of them, and all of them as a map.

use super::map_ui::{self, Map};
use super::rows::{Rows, ShownRow, short};
use super::state::{Action, Draft, State};
use crate::app::action::UiAction;
use crate::app::panels::playground;
use crate::app::shared::Shared;
use crate::app::theme::{self, space};
use crate::app::{bidi, widgets};
use crate::base::human;
use crate::engine::event::Told;
use eframe::egui::{self, Button, DragValue, RichText, ScrollArea, TextEdit};

/// Height of a row among the nearest, and of one in full at most.
const ROW: f32 = 18.0;
const WHOLE: f32 = 120.0;

fn edit(state: &State, out: &mut Vec<UiAction>, change: impl FnOnce(&mut Draft)) {
    let mut draft = state.draft.clone();
    change(&mut draft);
    push(out, Action::Edit(Box::new(draft)));
}

fn push(out: &mut Vec<UiAction>, action: Action) {
    out.push(UiAction::Playground(playground::Action::Reading(action)));
}

/// The text that rows are to be like.
pub(super) fn text(ui: &mut egui::Ui, state: &State, out: &mut Vec<UiAction>) {
    let mut text = state.draft.query.clone();
    let hint = "A text: the rows that mean much the same are found. Left empty, only the map is made.";
    let field = TextEdit::multiline(&mut text).desired_rows(2).desired_width(f32::INFINITY).hint_text(hint);
    if widgets::named(ui.add(field), "Text that rows are to be like").changed() {
        edit(state, out, |draft| draft.query = text);
    }
}

/// How many rows are looked through.
pub(super) fn num_rows(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    ui.label("Rows to look through");
    let mut num = state.draft.num_rows;
    let help = "Each is read once by each model, and held: the next question is answered at once.";
    let field = DragValue::new(&mut num)
        .range(10..=100_000)
        .speed(10.0)
        .custom_formatter(|n, _| human::count(n as u64))
        .custom_parser(|text| text.replace([',', ' '], "").parse().ok());
    if widgets::named(ui.add(field), "Rows to look through").on_hover_text(help).changed() {
        edit(state, out, |draft| draft.num_rows = num);
    }
    if let Some(dataset) = &shared.dataset {
        let words = format!("of {}, evenly spread", human::count(dataset.rows.len() as u64));
        ui.label(RichText::new(words).small().color(theme::of(ui).weak));
    }
}

/// The nearest rows of one column, then its map.
pub(super) fn told(
    ui: &mut egui::Ui,
    column: usize,
    told: &[Told],
    rows: &Rows,
    state: &State,
    out: &mut Vec<UiAction>,
) {
    let nearest =
        told.iter().find_map(|told| if let Told::Nearest(found) = told { Some(found) } else { None });
    ui.scope(|ui| {
        ui.spacing_mut().interact_size.y = ROW;
        ui.spacing_mut().button_padding.y = 0.0;
        for (row, cosine) in nearest.into_iter().flatten() {
            if let Some(shown) = rows.all.get(*row) {
                near(ui, *row, shown, *cosine, out);
            }
        }
    });
    let points = told.iter().find_map(|told| if let Told::Map(points) = told { Some(points) } else { None });
    let Some(points) = points else { return };
    ui.add_space(space::XS);
    let marked = nearest.map_or(&[][..], Vec::as_slice);
    let map = Map { column, points, rows, marked, picked: state.picked };
    if let Some(row) = map_ui::map(ui, map) {
        push(out, Action::Pick(Some(row)));
    }
}

/// One of the nearest: how near, and its beginning.
fn near(ui: &mut egui::Ui, row: usize, shown: &ShownRow, cosine: f32, out: &mut Vec<UiAction>) {
    ui.horizontal(|ui| {
        let help = "Cosine: 1 is the same direction, 0 has nothing in common";
        widgets::in_column(ui, 44.0, RichText::new(format!("{cosine:.3}")).strong()).on_hover_text(help);
        let words = bidi::display(&short(&shown.text, 90)).into_owned();
        let button = Button::new(words).frame(false).truncate();
        if ui.add(button).on_hover_text(format!("Line {}: show it in full", shown.line)).clicked() {
            push(out, Action::Pick(Some(row)));
        }
    });
}

/// The row that was chosen, in full.
pub(super) fn picked(ui: &mut egui::Ui, rows: &Rows, state: &State, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let Some((place, row)) = state.picked.and_then(|place| Some((place, rows.all.get(place)?))) else {
        let words = "Press a row or a point to read the row in full. On the map, rows that mean much the same lie near each other, as far as a plane can show it (principal components, PCA).";
        ui.label(RichText::new(words).small().color(t.weak));
        return;
    };
    widgets::card(ui, |ui| {
        ui.set_min_width(ui.available_width());
        ui.horizontal(|ui| {
            ui.label(RichText::new(format!("Line {}", human::count(row.line))).strong());
            let last = rows.all.len() - 1;
            let none = "There is none.";
            if widgets::button_or_why(ui, "Previous row", (place == 0).then_some(none)).clicked() {
                push(out, Action::Pick(Some(place - 1)));
            }
            if widgets::button_or_why(ui, "Next row", (place == last).then_some(none)).clicked() {
                push(out, Action::Pick(Some(place + 1)));
            }
            if widgets::close_button(ui, "Close the row").clicked() {
                push(out, Action::Pick(None));
            }
        });
        ScrollArea::vertical().id_salt("whole row").max_height(WHOLE).show(ui, |ui| {
            ui.set_min_width(ui.available_width());
            widgets::shown(ui, &row.text);
            if let Some(besides) = &row.besides {
                ui.label(RichText::new(bidi::display(besides).into_owned()).color(t.weak));
            }
        });
    });
}

//! Several runs over one another: their losses, and only what differs in their recipes.

use super::ui::back;
use super::{Action, State};
use crate::app::action::UiAction;
use crate::app::panels::train;
use crate::app::shared::Shared;
use crate::app::theme::{self, space};
use crate::app::widgets::{self, chart};
use crate::project::runs::RunSummary;
use crate::recipe::load;
use eframe::egui::{self, Color32, RichText, ScrollArea};
use egui_plot::LineStyle;
use std::collections::{BTreeMap, BTreeSet};

/// Characters of a name that are shown; the whole stands on hover.
const NAME_CHARS: usize = 26;
const LEGEND_WIDTH: f32 = 280.0;

/// Colour and pattern of the n-th line: no two differ in colour alone.
fn look(n: usize, t: &theme::Tokens) -> (Color32, LineStyle) {
    let inks = [t.accent, t.base, t.amber, t.green, t.red, t.text];
    let style = match n % 3 {
        0 => LineStyle::Solid,
        1 => LineStyle::dashed_dense(),
        _ => LineStyle::dotted_dense(),
    };
    (inks[n % inks.len()], style)
}

pub(super) fn compare(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let runs = state.compared(shared);
    let mut look = state.look;
    let switches = ui.horizontal(|ui| {
        back(ui, out);
        ui.add_space(space::S);
        train::chart_switches(ui, &mut look)
    });
    let height = (ui.available_height() * 0.55).clamp(180.0, 360.0);
    ScrollArea::vertical().id_salt("compared").auto_shrink([false, false]).show(ui, |ui| {
        legend(ui, &runs, out);
        curves(ui, state, &runs, height, switches.inner);
        ui.add_space(space::S);
        widgets::section(ui, "What differs in their recipes");
        differences(ui, &runs);
    });
    if look != state.look {
        out.push(UiAction::Runs(Action::SetLook(look)));
    }
}

/// Whose line is which, each with a way to leave it out.
fn legend(ui: &mut egui::Ui, runs: &[&RunSummary], out: &mut Vec<UiAction>) {
    let numbered: Vec<(usize, &&RunSummary)> = runs.iter().enumerate().collect();
    let per_row = ((ui.available_width() / LEGEND_WIDTH) as usize).max(1);
    for row in numbered.chunks(per_row) {
        ui.columns(per_row, |columns| {
            for (ui, (n, run)) in columns.iter_mut().zip(row) {
                ui.horizontal(|ui| {
                    ui.spacing_mut().item_spacing.x = space::XS;
                    whose(ui, *n, run);
                    if widgets::close_button(ui, &format!("Leave out {}", run.name)).clicked() {
                        out.push(UiAction::Runs(Action::Tick(run.folder.clone(), false)));
                    }
                });
            }
        });
    }
}

/// A piece of the n-th line and the run's name.
fn whose(ui: &mut egui::Ui, n: usize, run: &RunSummary) {
    let (ink, style) = look(n, theme::of(ui));
    chart::line_sample(ui, ink, style);
    widgets::elided(ui, &run.name, NAME_CHARS);
}

/// The losses of the runs in one chart.
fn curves(ui: &mut egui::Ui, state: &State, runs: &[&RunSummary], height: f32, is_reset: bool) {
    let t = theme::of(ui);
    let curves: Vec<chart::Curve> = runs
        .iter()
        .enumerate()
        .filter_map(|(n, run)| {
            let (ink, style) = look(n, t);
            let points = &state.views.get(&run.folder)?.loss.smooth;
            Some(chart::Curve { name: &run.name, points, ink, style })
        })
        .collect();
    chart::overlay_chart(ui, "runs", height, &curves, state.look.is_log, is_reset);
}

fn differences(ui: &mut egui::Ui, runs: &[&RunSummary]) {
    let t = theme::of(ui);
    let Some((first, rest)) = runs.split_first() else { return };
    let mut fields: BTreeSet<String> = BTreeSet::new();
    let mut values: Vec<BTreeMap<String, (String, String)>> = Vec::new();
    for run in rest {
        let differs = load::difference(&first.recipe, &run.recipe);
        fields.extend(differs.iter().map(|(field, ..)| field.clone()));
        values.push(differs.into_iter().map(|(field, a, b)| (field, (a, b))).collect());
    }
    if fields.is_empty() {
        ui.label(RichText::new("Nothing: they follow the same recipe.").color(t.weak));
        return;
    }
    let in_first = |field: &String| values.iter().find_map(|v| v.get(field)).map_or("", |(a, _)| a.as_str());
    ScrollArea::horizontal().id_salt("differences").auto_shrink([false, true]).show(ui, |ui| {
        egui::Grid::new("differences").striped(true).spacing([space::L, space::XS]).show(ui, |ui| {
            ui.label(RichText::new("Setting").small().color(t.weak));
            for (n, run) in runs.iter().enumerate() {
                ui.horizontal(|ui| whose(ui, n, run));
            }
            ui.end_row();
            for field in &fields {
                ui.label(field);
                ui.monospace(shown(in_first(field)));
                for value in &values {
                    ui.monospace(shown(value.get(field).map_or_else(|| in_first(field), |(_, b)| b)));
                }
                ui.end_row();
            }
        });
    });
}

fn shown(value: &str) -> String {
    if value.is_empty() { "(not set)".into() } else { crate::base::human::elide(value, 48) }
}

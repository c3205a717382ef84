//! Several runs over one another: their losses, and only what differs in their recipes.

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
    let is_reset = train::chart_switches(ui, &mut look);
    let height = (ui.available_height() * 0.55).clamp(140.0, 360.0);
    curves(ui, state, &runs, height, is_reset);
    if look != state.look {
        out.push(UiAction::Runs(Action::SetLook(look)));
    }
    ui.add_space(space::S);
    widgets::section(ui, "What differs in their recipes");
    differences(ui, &runs);
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
    ScrollArea::both().id_salt("differences").auto_shrink([false, true]).show(ui, |ui| {
        egui::Grid::new("differences").striped(true).spacing([space::L, space::XS]).show(ui, |ui| {
            ui.label(RichText::new("Setting").small().color(t.weak));
            for run in runs {
                ui.label(RichText::new(crate::base::human::elide(&run.name, 28)).small().color(t.weak))
                    .on_hover_text(&run.name);
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

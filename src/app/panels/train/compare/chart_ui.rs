//! One measure of all methods as bars.

use super::state::sorted;
use super::ui::push;
use super::{Action, State};
use crate::app::action::UiAction;
use crate::app::theme::{self, space};
use crate::app::widgets::{self, Bar};
use crate::project::method_comparison::{Measure, MethodComparison};
use eframe::egui::{self, RichText};

/// Measures that at least two methods have a number of.
fn told(found: &MethodComparison) -> Vec<Measure> {
    let num = |measure: &Measure| {
        found.rows.iter().filter(|row| row.problem.is_none() && row.number(measure.column).is_some()).count()
    };
    found.measures().into_iter().filter(|measure| num(measure) >= 2).collect()
}

pub(super) fn chart(ui: &mut egui::Ui, state: &State, found: &MethodComparison, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let measures = told(found);
    // The first that tells them apart, or else the first.
    let usual = found.best.first().map(|best| best.column).or(measures.first().map(|m| m.column));
    let column = state.charted.or(usual);
    let Some(shown) = measures.iter().find(|m| Some(m.column) == column).or(measures.first()) else {
        let words = "The chart comes with the second method that has a result.";
        ui.label(RichText::new(words).color(t.weak));
        return;
    };
    ui.horizontal_wrapped(|ui| {
        ui.label(RichText::new("Chart of").strong());
        for measure in &measures {
            if ui.selectable_label(measure.column == shown.column, &measure.name).clicked() {
                push(out, Action::ChartOf(measure.column));
            }
        }
        let better = if shown.is_better_high { "longer is better" } else { "shorter is better" };
        ui.label(RichText::new(better).small().color(t.weak));
    });
    ui.add_space(space::XS);
    let best = found.best.iter().find(|best| best.column == shown.column);
    let rows = sorted(found, state.sort);
    let bars: Vec<Bar> = rows
        .iter()
        .filter(|row| row.problem.is_none())
        .filter_map(|row| {
            Some(Bar {
                name: &row.name,
                value: row.number(shown.column)?,
                shown: row.cells()[shown.column].clone(),
                is_best: best.is_some_and(|best| best.method == row.method),
            })
        })
        .collect();
    widgets::bars(ui, &bars);
}

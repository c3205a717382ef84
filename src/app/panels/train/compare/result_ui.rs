//! One comparison: how far it is, its table and its chart.

use super::super::{State as Train, live_ui};
use super::ui::push;
use super::{Action, State, chart_ui, table_ui};
use crate::app::action::UiAction;
use crate::app::shared::{Shared, last_part};
use crate::app::theme::{self, space};
use crate::app::widgets;
use crate::base::human;
use eframe::egui::{self, RichText, ScrollArea};
use egui_material_icons::icons;
use std::path::Path;

pub(super) fn result(
    ui: &mut egui::Ui,
    train: &Train,
    folder: &Path,
    shared: &Shared,
    out: &mut Vec<UiAction>,
) {
    let t = theme::of(ui);
    let state = &train.compare;
    let is_running = state.is_running(folder);
    let has_failed = state.get(folder).is_some_and(|comparison| {
        comparison.found.as_ref().is_ok_and(|found| found.rows.iter().any(|row| row.problem.is_some()))
    });
    ui.horizontal_wrapped(|ui| {
        buttons(ui, folder, is_running, out);
        let busy = shared.jobs.training().map(|_| "A run is in progress: stop it or wait for it first.");
        if has_failed && widgets::button_or_why(ui, "Try again what failed", busy).clicked() {
            push(out, Action::Resume(folder.to_path_buf()));
        }
        widgets::elided(ui, &last_part(&folder.to_string_lossy()), 44);
    });
    if is_running {
        progress(ui, state, shared, out);
    }
    let Some(comparison) = state.get(folder) else {
        ui.label(RichText::new("This comparison is no longer there.").color(t.weak));
        return;
    };
    let found = match &comparison.found {
        Ok(found) => found,
        Err(why) => {
            ui.label(RichText::new(format!("This comparison cannot be read: {why}")).color(t.red));
            ui.label("Its runs are as they were: look at them in its folder, delete it, or compare again.");
            return;
        }
    };
    ScrollArea::vertical().id_salt("compared methods").auto_shrink([false, false]).show(ui, |ui| {
        let about = format!("{} on {}", last_part(&found.model), found.data);
        ui.label(RichText::new(about).small().color(t.weak));
        table_ui::table(ui, state, found, is_running, out);
        ui.add_space(space::M);
        chart_ui::chart(ui, state, found, out);
    });
}

fn buttons(ui: &mut egui::Ui, folder: &Path, is_running: bool, out: &mut Vec<UiAction>) {
    if widgets::tool_button(ui, icons::ICON_ARROW_BACK, "All comparisons").clicked() {
        push(out, Action::ShowForm);
    }
    if widgets::tool_button(ui, icons::ICON_CLOSE, "Back to the recipe").on_hover_text("Esc").clicked() {
        push(out, Action::Close);
    }
    let hint = "comparison.md is the table as text; the runs of the methods lie beside it";
    if ui.button("Open folder").on_hover_text(hint).clicked() {
        push(out, Action::OpenFolder(folder.to_path_buf()));
    }
    let why = is_running.then_some("It is running: stop it first.");
    if widgets::button_or_why(ui, "Delete…", why).clicked() {
        push(out, Action::AskDelete(folder.to_path_buf()));
    }
}

/// How far the job is: which method, and where in it; and what can be done to it.
pub(super) fn progress(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let Some(job) = state.job().and_then(|job| shared.jobs.get(job)) else { return };
    ui.horizontal_wrapped(|ui| {
        if !job.is_stopping {
            live_ui::pause_or_resume(ui, job.is_paused, out);
        }
        widgets::progress(ui, "Progress of the method", job.fraction(), 110.0);
        ui.label(RichText::new(job.detail()).strong());
        let so_far = human::secs((shared.now_secs - job.since_secs).max(0.0));
        ui.label(RichText::new(format!("{so_far} so far")).color(t.weak));
    });
}

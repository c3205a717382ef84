//! The run in progress: phase line and switches above, what it reported below.

use super::live::RunView;
use super::{Action, State, run_ui};
use crate::app::action::{FrameAction, UiAction};
use crate::app::shared::Shared;
use crate::app::theme;
use crate::app::widgets;
use crate::base::human;
use crate::project::event::Phase;
use eframe::egui::{self, RichText};
use egui_material_icons::icons;

pub fn live(ui: &mut egui::Ui, state: &State, run: &RunView, shared: &Shared, out: &mut Vec<UiAction>) {
    phase_line(ui, state, run, shared);
    switches(ui, state, run, shared, out);
    let look = run_ui::run(ui, "run", run, &state.look, out);
    if look != state.look {
        out.push(UiAction::Train(Action::SetLook(look)));
    }
}

fn phase_line(ui: &mut egui::Ui, state: &State, run: &RunView, shared: &Shared) {
    let t = theme::of(ui);
    let job = state.job().and_then(|j| shared.jobs.get(j));
    ui.horizontal_wrapped(|ui| {
        if run.fraction().is_some() || job.is_some() {
            let fraction = if run.start.is_some() { run.fraction() } else { None };
            widgets::progress(ui, "Progress of the run", fraction, 110.0);
        }
        ui.label(RichText::new(run.phase_words()).strong());
        let mut parts = Vec::new();
        let elapsed = match (&run.end, job) {
            (Some(end), _) => end.secs,
            (None, Some(job)) => shared.now_secs - job.since_secs,
            (None, None) => run.update_secs,
        };
        parts.push(format!("{} so far", human::secs(elapsed.max(0.0))));
        if let (Some(left), Some(_)) = (run.secs_left(), job) {
            parts.push(format!("about {} left", human::secs(left)));
        }
        if run.last.update > 0 {
            parts.push(format!("{} tokens/s", human::count(run.last.tokens_per_second.max(0.0) as u64)));
        }
        if run.last.memory_bytes > 0 {
            let expected = run.start.as_ref().map_or(0, |s| s.estimated_memory_bytes);
            parts.push(format!(
                "memory {} (estimate {})",
                human::bytes(run.last.memory_bytes),
                human::bytes(expected)
            ));
        }
        if let Some(course) = run.general_text.describe() {
            parts.push(format!("general text perplexity {course}"));
        }
        ui.label(RichText::new(parts.join(" · ")).color(t.weak));
    });
}

fn switches(ui: &mut egui::Ui, state: &State, run: &RunView, shared: &Shared, out: &mut Vec<UiAction>) {
    let job = state.job().and_then(|j| shared.jobs.get(j));
    ui.horizontal(|ui| {
        let Some(job) = job else {
            if widgets::tool_button(ui, icons::ICON_CLOSE, "Prepare the next run").clicked() {
                out.push(UiAction::Train(Action::CloseRun));
            }
            let summary = shared.runs.iter().find(|r| Some(&r.folder) == run.folder.as_ref());
            if let Some((adapter, summary)) = summary.and_then(|s| s.adapter.clone().map(|a| (a, s)))
                && widgets::tool_button(ui, icons::ICON_FORUM, "Compare in Playground").clicked()
            {
                let (name, model) = (summary.name.clone(), summary.recipe.model.source.clone());
                let compare = crate::app::panels::playground::Action::CompareWith { adapter, name, model };
                out.push(UiAction::Playground(compare));
                out.push(UiAction::Go(crate::app::Place::Playground));
            }
            return;
        };
        if job.is_stopping {
            ui.label("Stopping after the step in progress; what it has is being put away.");
            return;
        }
        let is_paused = job.is_paused || run.phase == Some(Phase::Paused);
        pause_or_resume(ui, is_paused, out);
        if widgets::tool_button(ui, icons::ICON_SAVE, "Save now")
            .on_hover_text("Writes a checkpoint after the update in progress.")
            .clicked()
        {
            out.push(UiAction::Train(Action::SaveNow));
        }
        if widgets::tool_button(ui, icons::ICON_STOP, "Stop…").on_hover_text("Esc").clicked() {
            out.push(UiAction::Frame(FrameAction::AskStop));
        }
    });
}

/// Of the run or the comparison in progress.
pub(super) fn pause_or_resume(ui: &mut egui::Ui, is_paused: bool, out: &mut Vec<UiAction>) {
    if is_paused {
        if widgets::tool_button(ui, icons::ICON_PLAY_ARROW, "Resume").clicked() {
            out.push(UiAction::Train(Action::Resume));
        }
    } else if widgets::tool_button(ui, icons::ICON_PAUSE, "Pause")
        .on_hover_text("Waits after the step in progress; nothing is lost.")
        .clicked()
    {
        out.push(UiAction::Train(Action::Pause));
    }
}

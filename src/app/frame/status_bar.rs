//! Always there, always true: device, memory, what runs, the last message.

use crate::app::action::{FrameAction, UiAction};
use crate::app::jobs::{JobSwitch, JobView};
use crate::app::notices::Tone;
use crate::app::state::AppState;
use crate::app::theme::{self, space};
use crate::app::widgets;
use crate::base::{DeviceChoice, human};
use eframe::egui::{self, Align, Layout, RichText};
use egui_material_icons::icons;

/// Of the button that stops what runs, and the gaps around it.
const STOP_WIDTH: f32 = 90.0;

pub fn ui(ui: &mut egui::Ui, state: &AppState, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    ui.horizontal_centered(|ui| {
        ui.spacing_mut().item_spacing.x = space::S;
        device(ui, state);
        ui.separator();
        memory(ui, state);
        ui.separator();
        match state.shared.jobs.foremost() {
            Some(job) => running(ui, job, out),
            None => {
                ui.label(RichText::new("Nothing is running").small().color(t.weak));
            }
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| last_message(ui, state));
    });
}

/// What the run computes on, or what the next one will.
fn device(ui: &mut egui::Ui, state: &AppState) {
    let t = theme::of(ui);
    let (shared, choice) = (&state.shared, state.train.recipe().run.device);
    let chosen = choice.resolved(shared.facts.has_cuda, shared.facts.has_metal);
    let is_here = match chosen {
        DeviceChoice::Cuda => shared.facts.has_cuda,
        DeviceChoice::Metal => shared.facts.has_metal,
        DeviceChoice::Auto | DeviceChoice::Cpu => true,
    };
    let words = chosen.describe(shared.machine.num_threads.max(1));
    let (words, ink, why) = match shared.jobs.training().and_then(|job| job.device.as_ref()) {
        Some(used) => (used.clone(), t.text, "The run in progress computes on it."),
        None if !is_here => {
            (format!("{words}: not here"), t.amber, "The recipe in Train names a device that cannot be used.")
        }
        None if choice == DeviceChoice::Auto => {
            (words, t.text, "The best device that is here; Train can name another.")
        }
        None => (words, t.text, "The device that the recipe in Train names."),
    };
    widgets::icon(ui, icons::ICON_MEMORY, if ink == t.text { t.weak } else { ink });
    ui.label(RichText::new(words).small().color(ink)).on_hover_text(why);
}

fn memory(ui: &mut egui::Ui, state: &AppState) {
    let memory = &state.shared.machine.memory;
    let used = memory.total_bytes.saturating_sub(memory.available_bytes);
    let gb = |n: u64| n as f64 / 1e9;
    let text = format!("Memory {:.1} of {:.0} GB", gb(used), gb(memory.total_bytes));
    let own = human::bytes(state.shared.machine.resident_bytes);
    ui.label(RichText::new(text).small()).on_hover_text(format!("Tunesmith itself uses {own}."));
}

fn running(ui: &mut egui::Ui, job: &JobView, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    widgets::progress(ui, &format!("Progress: {}", job.title), job.fraction(), 90.0);
    let detail = job.detail();
    let text = if detail.is_empty() { job.title.clone() } else { format!("{}: {detail}", job.title) };
    // The button behind it is always in reach.
    let room = ((ui.available_width() - STOP_WIDTH) / 6.5) as usize;
    ui.label(RichText::new(human::elide(&text, room.clamp(16, 72))).small())
        .on_hover_text(format!("{text}\n{}", job.phase));
    let label = if job.is_stopping { "Stopping…" } else { "Stop" };
    let button =
        egui::Button::new(RichText::new(label).small().color(t.text)).min_size(egui::vec2(0.0, 22.0));
    if ui.add_enabled(!job.is_stopping, button).on_hover_text("Stop this (Esc)").clicked() {
        out.push(if job.is_training {
            UiAction::Frame(FrameAction::AskStop)
        } else {
            UiAction::Frame(FrameAction::Job(job.id, JobSwitch::Stop))
        });
    }
}

fn last_message(ui: &mut egui::Ui, state: &AppState) {
    let t = theme::of(ui);
    let Some((tone, text)) = &state.notices.last else { return };
    let ink = match tone {
        Tone::Error => t.red,
        Tone::Warning => t.amber,
        Tone::Info | Tone::Done => t.weak,
    };
    ui.add(egui::Label::new(RichText::new(text).small().color(ink)).truncate()).on_hover_text(text);
}

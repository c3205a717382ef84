//! The window on a stage: no engine behind it, effects are collected, events are fed in by hand.

use crate::cpu_renderer::CpuRenderer;
use eframe::egui::{self, Vec2, vec2};
use egui_kittest::Harness;
use tunesmith::app::state::Settings;
use tunesmith::app::{App, AppState, Effect, UiAction, theme};
use tunesmith::engine::event::{Event, EventKind};
use tunesmith::engine::{Command, JobId};

/// Frames until menus, notices and tables have found their size.
pub const SETTLE: usize = 5;

pub const WINDOW: Vec2 = vec2(1280.0, 800.0);
pub const LARGE: Vec2 = vec2(1440.0, 900.0);
pub const SMALLEST: Vec2 = vec2(1024.0, 640.0);
/// The smallest window at 120 %: a place is 640 points wide.
pub const NARROW: Vec2 = vec2(864.0, 540.0);

pub fn window(state: AppState) -> Harness<'static, App> {
    window_of(state, WINDOW, egui::Theme::Light)
}

pub fn window_of(state: AppState, size: Vec2, theme: egui::Theme) -> Harness<'static, App> {
    let mut harness = Harness::builder()
        .with_size(size)
        .with_max_steps(12)
        .with_theme(theme)
        .with_render_cursor(false)
        .renderer(CpuRenderer::default())
        .build_eframe(move |cc| {
            theme::install(&cc.egui_ctx);
            App::new(state, None)
        });
    harness.run_steps(SETTLE);
    harness
}

pub fn empty() -> AppState {
    let mut state = AppState::new(Settings::default());
    state.shared.machine = crate::actors::machine();
    state
}

/// Feeds an event in, as the engine would, and keeps the effects with the others.
pub fn say(harness: &mut Harness<'static, App>, job: u64, kind: EventKind) {
    let effects = harness.state_mut().state.apply(Event { job: JobId(job), kind });
    harness.state_mut().pending.extend(effects);
    harness.run_steps(SETTLE);
}

/// Tells the state that the engine took the command.
pub fn accept(harness: &mut Harness<'static, App>, job: u64, command: &Command) {
    harness.state_mut().state.submitted(JobId(job), command);
    harness.run_steps(SETTLE);
}

pub fn act(harness: &mut Harness<'static, App>, action: UiAction) {
    let effects = harness.state_mut().state.act(action);
    harness.state_mut().pending.extend(effects);
    harness.run_steps(SETTLE);
}

/// The effects since the last call.
pub fn effects(harness: &mut Harness<'static, App>) -> Vec<Effect> {
    std::mem::take(&mut harness.state_mut().pending)
}

/// The commands among them.
pub fn commands(harness: &mut Harness<'static, App>) -> Vec<Command> {
    let commands = effects(harness).into_iter().filter_map(|e| match e {
        Effect::Submit(c) => Some(*c),
        _ => None,
    });
    commands.collect()
}

//! Between eframe and the state: events in, frames out.

use super::action::{Effect, FrameAction, UiAction};
use super::effects::{self, Dialogs, Done, EngineHandle};
use super::frame;
use super::keep::REST_SECS;
use super::live::{COURSE, Live};
use super::notices::LINGER_SECS;
use super::shared::Machine;
use super::state::{AppState, Settings};
use super::theme;
use crate::base::places::default_project_folder;
use crate::base::{Failure, hardware};
use eframe::egui;
use std::time::{Duration, Instant};

/// Longest time a frame spends on events of the engine.
const DRAIN: Duration = Duration::from_millis(4);

/// The window. `state` is all it shows.
pub struct App {
    pub state: AppState,
    /// What was asked of the world and not carried out, because there is no engine (tests).
    pub pending: Vec<Effect>,
    engine: Option<Box<dyn EngineHandle>>,
    dialogs: Dialogs,
    opened: Instant,
    sampled: Option<Instant>,
    may_close: bool,
}

impl App {
    /// With no engine, effects gather in `pending`.
    pub fn new(state: AppState, engine: Option<Box<dyn EngineHandle>>) -> Self {
        Self {
            state,
            pending: Vec::new(),
            engine,
            dialogs: Dialogs::default(),
            opened: Instant::now(),
            sampled: None,
            may_close: false,
        }
    }

    /// Carries out `effects`, and what follows from them.
    pub fn perform(&mut self, effects: Vec<Effect>, ctx: &egui::Context) {
        for effect in effects {
            let Some(engine) = self.engine.as_deref_mut() else {
                self.pending.push(effect);
                continue;
            };
            match effects::carry_out(effect, ctx, engine, &mut self.dialogs) {
                Done::Quietly => {}
                Done::Submitted(job, command) => self.state.submitted(job, &command),
                Done::Say(notice) => self.state.notices.add(notice, self.state.shared.now_secs),
                Done::Quit => {
                    self.may_close = true;
                    ctx.send_viewport_cmd(egui::ViewportCommand::Close);
                }
            }
        }
    }

    /// Does what a person asked for.
    pub fn act(&mut self, action: UiAction, ctx: &egui::Context) {
        let effects = self.state.act(action);
        self.perform(effects, ctx);
    }

    fn drain_events(&mut self, ctx: &egui::Context) {
        let began = Instant::now();
        while let Some(event) = self.engine.as_deref_mut().and_then(EngineHandle::next_event) {
            let effects = self.state.apply(event);
            self.perform(effects, ctx);
            if began.elapsed() > DRAIN {
                ctx.request_repaint();
                break;
            }
        }
    }

    /// Memory of the machine, at most once a second and only in the real window.
    fn sample(&mut self) -> Option<Machine> {
        self.engine.as_ref()?;
        if self.sampled.is_some_and(|t| t.elapsed() < Duration::from_secs(1)) {
            return None;
        }
        self.sampled = Some(Instant::now());
        Some(Machine {
            num_threads: hardware::num_threads(),
            memory: hardware::memory(),
            resident_bytes: hardware::resident_bytes(),
        })
    }

    fn guard_close(&mut self, ctx: &egui::Context) {
        if !ctx.input(|i| i.viewport().close_requested()) || self.may_close {
            return;
        }
        // It closes when the run has ended and what was typed is written.
        ctx.send_viewport_cmd(egui::ViewportCommand::CancelClose);
        self.act(UiAction::Frame(FrameAction::CloseRequested), ctx);
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        let machine = self.sample();
        let now_secs = if self.engine.is_some() {
            self.opened.elapsed().as_secs_f64()
        } else {
            self.state.shared.now_secs
        };
        let due = self.state.tick(now_secs, machine);
        self.perform(due, ctx);
        self.drain_events(ctx);
        for action in self.dialogs.poll(ctx) {
            self.act(action, ctx);
        }
        self.guard_close(ctx);
        if self.engine.is_some() {
            let jobs = &self.state.shared.jobs;
            if jobs.training().is_some_and(|run| run.is_running) {
                ctx.request_repaint_after(COURSE);
            } else if !jobs.all().is_empty() {
                ctx.request_repaint_after(Duration::from_secs(1));
            } else if self.state.keeper.is_waiting() {
                ctx.request_repaint_after(Duration::from_secs_f64(REST_SECS));
            } else if self.state.notices.any_fading() {
                ctx.request_repaint_after(Duration::from_secs_f64(LINGER_SECS));
            }
        }
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        let mut actions = Vec::new();
        frame::keys::read(ui, &self.state, &mut actions);
        frame::ui(ui, &self.state, &mut actions);
        if !actions.is_empty() {
            let ctx = ui.ctx().clone();
            for action in actions {
                self.act(action, &ctx);
            }
            ctx.request_repaint();
        }
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        eframe::set_value(storage, eframe::APP_KEY, &self.state.settings_to_keep());
    }

    fn persist_egui_memory(&self) -> bool {
        false
    }
}

/// Opens the window; see [`super::run`].
pub fn run() -> Result<(), Failure> {
    let viewport = egui::ViewportBuilder::default()
        .with_title("Tunesmith")
        .with_app_id("tunesmith")
        .with_icon(frame::icon::window_icon())
        .with_inner_size([1280.0, 800.0])
        .with_min_inner_size([1024.0, 640.0])
        .with_drag_and_drop(true);
    let options = eframe::NativeOptions { viewport, ..Default::default() };
    let result = eframe::run_native(
        "tunesmith",
        options,
        Box::new(|cc| {
            theme::install(&cc.egui_ctx);
            let settings: Settings =
                cc.storage.and_then(|s| eframe::get_value(s, eframe::APP_KEY)).unwrap_or_default();
            cc.egui_ctx.set_theme(settings.theme);
            Ok(Box::new(open_app(&cc.egui_ctx, settings)))
        }),
    );
    result.map_err(|error| {
        Failure::new(
            "The window could not be opened",
            error.to_string(),
            "On a machine without a screen, run `tunesmith quickstart`: it does the whole job on the command \
             line. `tunesmith --help` lists the other commands.",
        )
    })
}

/// The window with its engine; the project that was open, or else the usual one, is opened first.
fn open_app(ctx: &egui::Context, mut settings: Settings) -> App {
    settings.recent_projects.retain(|folder| folder.is_dir());
    let project = settings.project.clone().filter(|p| p.exists()).unwrap_or_else(default_project_folder);
    let state = AppState::new(settings);
    let first = state.open(project);
    let mut app = App::new(state, Some(Box::new(Live::start(ctx))));
    app.perform(first, ctx);
    app
}

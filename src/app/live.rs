//! The real engine behind the window.

use super::effects::EngineHandle;
use super::jobs::JobSwitch;
use crate::engine::{Command, Engine, Event, Events, JobId};
use eframe::egui;
use std::sync::Arc;
use std::time::Duration;

/// Events come at most so often as frames; several in that time share one.
const FRAME: Duration = Duration::from_millis(16);

/// An engine and the end of its channel. Fields are dropped in this order: nobody reads any more, then the engine
/// stops its jobs (a run saves) and joins its threads.
pub struct Live {
    events: Events,
    engine: Engine,
}

impl Live {
    pub fn start(ctx: &egui::Context) -> Self {
        let ctx = ctx.clone();
        let (engine, events) = Engine::new(Arc::new(move || ctx.request_repaint_after(FRAME)));
        Self { events, engine }
    }
}

impl EngineHandle for Live {
    fn submit(&mut self, command: Command) -> JobId {
        self.engine.submit(command)
    }

    fn switch(&mut self, job: JobId, switch: JobSwitch) {
        if switch == JobSwitch::Stop {
            self.engine.stop(job);
            return;
        }
        let Some(control) = self.engine.control(job) else { return };
        match switch {
            JobSwitch::Stop => {}
            JobSwitch::Discard => {
                control.discard();
                self.engine.stop(job);
            }
            JobSwitch::Pause => control.pause(),
            JobSwitch::Resume => control.resume(),
            JobSwitch::SaveNow => control.save_now(),
        }
    }

    fn next_event(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }
}

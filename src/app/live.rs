//! The real engine behind the window.

use super::effects::EngineHandle;
use super::jobs::JobSwitch;
use crate::engine::{Command, Engine, Event, Events, JobId, Urgency, Waker};
use eframe::egui;
use std::sync::Arc;
use std::time::Duration;

/// Events come at most so often as frames; several in that time share one.
const FRAME: Duration = Duration::from_millis(16);
/// Between frames that only move a bar on.
const PROGRESS: Duration = Duration::from_millis(100);
/// Between frames that only show how a run goes, when nobody moves the mouse or types. Where no graphics card paints, the
/// processor does, and the run waits for it.
pub const COURSE: Duration = Duration::from_secs(2);

/// Asks for a frame when an event wants to be seen. One that is asked for already is not put off.
pub fn waker(ctx: &egui::Context) -> Waker {
    let ctx = ctx.clone();
    Arc::new(move |urgency| {
        ctx.request_repaint_after(match urgency {
            Urgency::Now => FRAME,
            Urgency::Soon => PROGRESS,
            Urgency::Later => COURSE,
        });
    })
}

/// An engine and the end of its channel. Fields are dropped in this order: nobody reads any more, then the engine
/// stops its jobs (a run saves) and joins its threads.
pub struct Live {
    events: Events,
    engine: Engine,
}

impl Live {
    pub fn start(ctx: &egui::Context) -> Self {
        let (engine, events) = Engine::new(waker(ctx));
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

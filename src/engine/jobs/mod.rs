//! What the lanes do, as functions of a control and a sink: the command line calls the same ones.

pub mod adopt;
pub mod answer;
pub mod ask;
pub mod compose;
pub mod data;
pub mod embed;
pub mod judge;
pub mod last_read;
pub mod measure;
pub mod merge;
pub mod methods;
pub mod model;
pub mod reader;
pub mod speed;
pub mod train;

pub use embed::Embedded;
pub use last_read::LastRead;
pub use model::BaseModel;

use super::event::EventKind;
use super::lane::Sink;
use crate::base::{Progress, Unit};
use std::time::{Duration, Instant};

/// Progress of one phase is passed on at most so often.
const REPORT_EVERY: Duration = Duration::from_millis(40);

/// Turns progress of the layers below into events.
pub struct Report<'a, 'b> {
    sink: &'a mut Sink<'b>,
    phase: String,
    last: Option<Instant>,
}

impl<'a, 'b> Report<'a, 'b> {
    pub fn to(sink: &'a mut Sink<'b>) -> Self {
        Self { sink, phase: String::new(), last: None }
    }

    /// Passes on what is no progress.
    pub fn send(&mut self, kind: EventKind) {
        (self.sink)(kind);
    }
}

impl Progress for Report<'_, '_> {
    fn report(&mut self, phase: &str, done: u64, total: Option<u64>, unit: Unit) {
        let is_new = self.phase != phase;
        let is_last = total == Some(done);
        if !is_new && !is_last && self.last.is_some_and(|at| at.elapsed() < REPORT_EVERY) {
            return;
        }
        if is_new {
            self.phase = phase.to_string();
        }
        self.last = Some(Instant::now());
        (self.sink)(EventKind::Progress { phase: phase.to_string(), done, total, unit });
    }
}

//! The job of the engine that answers what was asked.

use crate::app::action::Effect;
use crate::app::jobs::JobSwitch;
use crate::engine::{Event, JobId};

/// Asked for, and known by its number once the engine has taken it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnswerJob {
    pub id: Option<JobId>,
    pub is_running: bool,
}

impl AnswerJob {
    pub fn asked() -> Self {
        Self { id: None, is_running: true }
    }

    /// The engine calls it `id`.
    pub fn taken(&mut self, id: JobId) {
        self.id.get_or_insert(id);
    }

    /// What stops it, while it runs.
    pub fn stop(&self) -> Option<Effect> {
        self.id.filter(|_| self.is_running).map(|id| Effect::Job(id, JobSwitch::Stop))
    }

    pub fn is_of(&self, event: &Event) -> bool {
        self.id == Some(event.job)
    }
}

//! What was chosen and typed is kept in the project's folder: written soon after it changed, put back when the
//! project opens.

use super::action::Effect;
use super::panels::{data, home, model, playground, runs, train};
use super::state::AppState;
use crate::engine::event::{Event, EventKind};
use crate::engine::{Command, JobId};
use crate::project::folder::{ProjectView, Remembered};
use std::path::{Path, PathBuf};

/// Seconds from the first change until it is written; those that follow in that time go with it.
pub const REST_SECS: f64 = 2.0;
/// Projects that Home lists.
const MOST_RECENT: usize = 8;

#[derive(Debug, Default)]
pub struct Keeper {
    /// What the folder holds, as far as it is known.
    kept: Remembered,
    /// Since when something may differ from it.
    since_secs: Option<f64>,
    job: Option<JobId>,
}

impl Keeper {
    /// Something was done that may have changed what is to be kept.
    pub fn touch(&mut self, now_secs: f64) {
        self.since_secs.get_or_insert(now_secs);
    }

    /// Whether a frame is needed soon, to write.
    pub fn is_waiting(&self) -> bool {
        self.since_secs.is_some()
    }

    pub fn is_writing(&self) -> bool {
        self.job.is_some()
    }

    pub fn submitted(&mut self, job: JobId, command: &Command) {
        if matches!(command, Command::Remember { .. }) {
            self.job = Some(job);
        }
    }

    pub fn apply(&mut self, event: &Event) {
        let has_ended = matches!(event.kind, EventKind::Done | EventKind::Stopped | EventKind::Failed(_));
        if has_ended && self.job == Some(event.job) {
            self.job = None;
            if !matches!(event.kind, EventKind::Done) {
                // It is not on disk: the next change writes all of it.
                self.kept = Remembered::default();
            }
        }
    }
}

impl AppState {
    /// What is to be kept, as it is now.
    pub fn memory(&self) -> Remembered {
        let drafts = [
            ("home", self.home.draft()),
            ("model", self.model.draft()),
            ("data", self.data.draft()),
            ("train", self.train.draft()),
            ("playground", self.playground.draft()),
        ];
        Remembered {
            model: Some(self.shared.model_source.clone()),
            data: self.data.file().cloned(),
            drafts: drafts.map(|(place, draft)| (place.to_string(), draft)).into(),
        }
    }

    /// Writes what changed a while ago.
    pub(super) fn autosave(&mut self) -> Option<Effect> {
        let is_due = self.keeper.since_secs.is_some_and(|t| self.shared.now_secs - t >= REST_SECS);
        if is_due { self.remember() } else { None }
    }

    /// Writes what changed.
    pub(super) fn remember(&mut self) -> Option<Effect> {
        self.keeper.since_secs.take()?;
        let project = self.shared.project.as_ref()?.folder.clone();
        let memory = self.memory();
        if memory == self.keeper.kept {
            return None;
        }
        self.keeper.kept = memory.clone();
        Some(Effect::submit(Command::Remember { project, memory: Box::new(memory) }))
    }

    /// Puts back what the project that opens remembers, in place of what belongs to another one.
    pub(super) fn recall(&mut self, project: &ProjectView) -> Vec<Effect> {
        if self.shared.project.as_ref().is_some_and(|open| open.folder == project.folder) {
            return Vec::new();
        }
        self.home = home::State::default();
        self.model = model::State::default();
        self.data = data::State::default();
        self.train = train::State::default();
        self.runs = runs::State::default();
        self.playground = playground::State::default();
        let shared = &mut self.shared;
        (shared.imported, shared.dataset) = (None, None);
        shared.runs.clear();
        let Remembered { model, data, drafts } = &project.memory;
        if let Some(model) = model.as_ref().filter(|source| **source != shared.model_source) {
            shared.model_source.clone_from(model);
            (shared.model, shared.tokeniser) = (None, None);
        }
        for (place, draft) in drafts.clone() {
            match place.as_str() {
                "home" => self.home.restore(draft),
                "model" => self.model.restore(draft),
                "data" => self.data.restore(draft),
                "train" => self.train.restore(draft),
                "playground" => self.playground.restore(draft),
                _ => {}
            }
        }
        self.keeper.kept.clone_from(&project.memory);
        self.keeper.since_secs = None;
        add_recent(&mut self.shared.recent_projects, &project.folder);
        data.iter().map(|path| self.data.reopen(path)).collect()
    }
}

/// Newest first.
fn add_recent(recent: &mut Vec<PathBuf>, folder: &Path) {
    recent.retain(|other| other != folder);
    recent.insert(0, folder.to_path_buf());
    recent.truncate(MOST_RECENT);
}

//! Mixes that are kept: as an adapter, or as a model where whole models were added up.

use super::made_for::MadeFor;
use super::state::ColumnState;
use crate::app::action::{Effect, Question, UiAction};
use crate::app::notices::Notice;
use crate::app::panels::playground;
use crate::app::shared::Shared;
use crate::engine::event::EventKind;
use crate::engine::jobs::compose::Way;
use crate::engine::{Command, Event, JobId};
use crate::project::adapters::{SavedAdapter, path};
use std::path::{Path, PathBuf};

#[derive(Debug, Default)]
pub struct Saved {
    /// Those of the project, by name.
    pub all: Vec<SavedAdapter>,
    /// The column whose mix is being named, and its name so far.
    pub naming: Option<(usize, String)>,
    job: Option<JobId>,
}

#[derive(Debug, Clone)]
pub enum Action {
    /// Ask for a name for the mix of a column.
    Begin(usize),
    Name(String),
    Cancel,
    Save,
    AskDelete(PathBuf),
    Delete(PathBuf),
}

impl Saved {
    pub fn act(&mut self, action: Action, columns: &[ColumnState], shared: &Shared) -> Vec<Effect> {
        match action {
            Action::Begin(column) => self.naming = Some((column, self.free_name(shared))),
            Action::Name(name) => {
                if let Some(naming) = &mut self.naming {
                    naming.1 = name;
                }
            }
            Action::Cancel => self.naming = None,
            Action::Save => return self.save(columns, shared).into_iter().collect(),
            Action::AskDelete(folder) => {
                let name = self.get(&folder).map_or_else(String::new, |saved| saved.name.clone());
                return vec![Effect::Ask(Question {
                    title: format!("Delete the mix {name}?"),
                    text: "It will be gone for good. The runs that it was made of stay.".into(),
                    yes: "Delete the mix".into(),
                    then: Box::new(UiAction::Playground(playground::Action::Saved(Action::Delete(folder)))),
                })];
            }
            Action::Delete(folder) => {
                let Some(project) = &shared.project else { return Vec::new() };
                let project = project.folder.clone();
                return vec![Effect::submit(Command::DeleteAdapter { project, folder })];
            }
        }
        Vec::new()
    }

    fn save(&self, columns: &[ColumnState], shared: &Shared) -> Option<Effect> {
        let (column, name) = self.naming.as_ref()?;
        let project = shared.project.as_ref()?.folder.clone();
        let (parts, way) = Way::of(columns.get(*column)?.adapter.as_ref()?)?;
        if self.why_not(shared).is_some() {
            return None;
        }
        let (name, model) = (name.trim().to_string(), shared.model_source.clone());
        Some(Effect::submit(Command::SaveMix { project, name, model, parts, way }))
    }

    /// Why it cannot be saved under its name now.
    pub fn why_not(&self, shared: &Shared) -> Option<String> {
        let (_, name) = self.naming.as_ref()?;
        let Some(project) = &shared.project else { return Some("No project is open yet.".into()) };
        if self.is_saving() {
            return Some("It is being saved.".into());
        }
        if shared.jobs.training().is_some() {
            return Some("A run is training: a mix can be saved when it has ended or was stopped.".into());
        }
        if !name.contains(char::is_alphanumeric) {
            return Some("Give it a name first.".into());
        }
        let folder = path(&project.folder, name);
        let taken = self.all.iter().find(|saved| saved.folder == folder)?;
        Some(format!("There is one called {} already: choose another name.", taken.name))
    }

    fn free_name(&self, shared: &Shared) -> String {
        let folder = |name: &str| shared.project.as_ref().map(|project| path(&project.folder, name));
        let is_taken = |name: &str| self.all.iter().any(|saved| Some(&saved.folder) == folder(name).as_ref());
        let mut names = (1..).map(|n| if n == 1 { "mix".to_string() } else { format!("mix {n}") });
        names.find(|name| !is_taken(name)).unwrap_or_default()
    }

    /// The saved mix in a folder.
    pub fn get(&self, folder: &Path) -> Option<&SavedAdapter> {
        self.all.iter().find(|saved| saved.folder == folder)
    }

    pub fn is_saving(&self) -> bool {
        self.job.is_some()
    }

    pub fn apply(&mut self, event: &Event, made_for: &mut MadeFor) -> Vec<Effect> {
        match &event.kind {
            EventKind::Adapters(all) => {
                all.iter().for_each(|saved| made_for.told(&saved.folder, saved.model.as_ref()));
                self.all.clone_from(all);
            }
            EventKind::Done if self.job == Some(event.job) => {
                self.job = None;
                let name = self.naming.take().map(|(_, name)| name).unwrap_or_default();
                let mut notice = Notice::done(format!("The mix was saved as “{}”", name.trim()));
                notice.detail = "Every column's list has it now, under Saved mixes.".into();
                return vec![Effect::Say(notice)];
            }
            // That it failed is told for every job; the name stays, to try again.
            EventKind::Stopped | EventKind::Failed(_) if self.job == Some(event.job) => self.job = None,
            _ => {}
        }
        Vec::new()
    }

    /// A command of any place was given to the engine.
    pub fn submitted(&mut self, job: JobId, command: &Command) {
        if matches!(command, Command::SaveMix { .. }) {
            self.job = Some(job);
        }
    }
}

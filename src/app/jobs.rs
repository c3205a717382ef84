//! What is running, as the status bar shows it.

use super::action::Place;
use crate::base::{Unit, human};
use crate::engine::event::{Event, EventKind};
use crate::engine::{Command, JobId};
use crate::project::RunEvent;
use crate::project::event::Phase;
use std::path::PathBuf;

/// What a person may do to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobSwitch {
    /// End it, keep what it has.
    Stop,
    /// End it, throw its work away.
    Discard,
    Pause,
    Resume,
    SaveNow,
}

/// A job that was submitted and has not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct JobView {
    pub id: JobId,
    /// "Importing fruit.csv".
    pub title: String,
    /// The place that shows its result.
    pub place: Place,
    pub is_training: bool,
    /// It trains with several methods, one after the other.
    pub is_comparison: bool,
    /// Which of them: "2 of 8: LoRA, rank 8".
    pub turn: Option<String>,
    pub is_running: bool,
    pub is_paused: bool,
    /// A stop was asked for and has not happened yet.
    pub is_stopping: bool,
    /// Quick jobs that nobody needs to see unless they take long.
    pub is_quiet: bool,
    pub phase: String,
    pub done: u64,
    pub total: Option<u64>,
    pub unit: Option<Unit>,
    /// Of a run, as it told at its beginning.
    num_updates: Option<u64>,
    /// `AppState` time when it was submitted.
    pub since_secs: f64,
    /// Seconds an update takes, of a run.
    pub update_secs: f64,
    /// Folder of a run, once it is known.
    pub run_folder: Option<PathBuf>,
    /// What a run computes on, once it is known.
    pub device: Option<String>,
}

impl JobView {
    /// 0..1, when it is known.
    pub fn fraction(&self) -> Option<f32> {
        self.total.filter(|t| *t > 0).map(|t| (self.done as f64 / t as f64).clamp(0.0, 1.0) as f32)
    }

    /// "update 84/300, 1 m 40 s left", "31.2 of 93.0 MB".
    pub fn detail(&self) -> String {
        if self.is_stopping {
            return "stopping…".into();
        }
        if !self.is_running {
            return "waiting for its turn".into();
        }
        match &self.turn {
            Some(turn) => format!("{turn} · {}", self.step()),
            None => self.step(),
        }
    }

    fn step(&self) -> String {
        // What is counted while a model is loaded or tested is no updates.
        if self.is_training && self.unit.is_none() {
            let Some(total) = self.total else { return self.phase.clone() };
            if self.is_paused {
                return format!("paused at update {}/{}", human::count(self.done), human::count(total));
            }
            let left = total.saturating_sub(self.done) as f64 * self.update_secs;
            let left =
                if self.update_secs > 0.0 { format!(", {} left", human::secs(left)) } else { String::new() };
            let meanwhile = match self.phase.as_str() {
                phase @ ("validating" | "saving") => format!(", {phase}"),
                _ => left,
            };
            return format!("update {}/{}{meanwhile}", human::count(self.done), human::count(total));
        }
        let show = |n: u64| match self.unit {
            Some(Unit::Bytes) => human::bytes(n),
            _ => human::count(n),
        };
        let unit = match self.unit {
            Some(Unit::Rows) => " rows",
            Some(Unit::Tensors) => " tensors",
            Some(Unit::Examples) => " examples",
            Some(Unit::Tokens) => " tokens",
            Some(Unit::Bytes) | None => "",
        };
        let counted = match (self.unit, self.total) {
            (None, _) => String::new(),
            (_, Some(total)) => format!("{} of {}{unit}", show(self.done), show(total)),
            (_, None) => format!("{}{unit}", show(self.done)),
        };
        let paused = if self.is_paused { "paused, " } else { "" };
        if self.is_training { format!("{paused}{}: {counted}", self.phase.to_lowercase()) } else { counted }
    }
}

/// All jobs that have not ended, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Jobs {
    list: Vec<JobView>,
}

impl Jobs {
    pub fn submitted(&mut self, id: JobId, command: &Command, now_secs: f64) {
        let (title, place, is_quiet) = describe(command);
        let is_comparison =
            matches!(command, Command::CompareMethods { .. } | Command::ResumeComparison { .. });
        self.list.push(JobView {
            id,
            title,
            place,
            is_training: is_comparison
                || matches!(command, Command::Train { .. } | Command::ResumeRun { .. }),
            is_comparison,
            turn: None,
            is_running: false,
            is_paused: false,
            is_stopping: false,
            is_quiet,
            phase: String::new(),
            done: 0,
            total: None,
            unit: None,
            since_secs: now_secs,
            update_secs: 0.0,
            num_updates: None,
            run_folder: None,
            device: None,
        });
    }

    /// The job belongs to another place than its kind usually does.
    pub fn moved(&mut self, id: JobId, place: Place) {
        if let Some(job) = self.list.iter_mut().find(|j| j.id == id) {
            job.place = place;
        }
    }

    pub fn switched(&mut self, id: JobId, switch: JobSwitch) {
        let Some(job) = self.list.iter_mut().find(|j| j.id == id) else { return };
        match switch {
            JobSwitch::Stop | JobSwitch::Discard => job.is_stopping = true,
            JobSwitch::Pause => job.is_paused = true,
            JobSwitch::Resume => job.is_paused = false,
            JobSwitch::SaveNow => {}
        }
    }

    pub fn apply(&mut self, event: &Event) {
        if matches!(event.kind, EventKind::Done | EventKind::Stopped | EventKind::Failed(_)) {
            self.list.retain(|j| j.id != event.job);
            return;
        }
        let Some(job) = self.list.iter_mut().find(|j| j.id == event.job) else { return };
        match &event.kind {
            EventKind::Started => job.is_running = true,
            EventKind::Progress { phase, done, total, unit } => {
                job.is_running = true;
                job.phase.clone_from(phase);
                (job.done, job.total, job.unit) = (*done, *total, Some(*unit));
            }
            EventKind::MethodTurn { name, index, total, .. } => {
                job.turn = Some(format!("{} of {total}: {name}", index + 1));
                (job.done, job.total, job.unit, job.update_secs) = (0, None, None, 0.0);
            }
            EventKind::Run { folder, event } if job.is_training => {
                job.is_running = true;
                job.run_folder = Some(folder.clone());
                job.apply_run(event);
            }
            _ => {}
        }
    }

    pub fn all(&self) -> &[JobView] {
        &self.list
    }

    pub fn get(&self, id: JobId) -> Option<&JobView> {
        self.list.iter().find(|j| j.id == id)
    }

    /// The run that trains now.
    pub fn training(&self) -> Option<&JobView> {
        self.list.iter().find(|j| j.is_training)
    }

    /// The one the status bar shows: a run before all else.
    pub fn foremost(&self) -> Option<&JobView> {
        self.training().or_else(|| self.list.iter().rfind(|j| !j.is_quiet))
    }

    pub fn any_in(&self, place: Place) -> bool {
        self.list.iter().any(|j| j.place == place && !j.is_quiet)
    }
}

impl JobView {
    /// What is measured in between counts rows.
    fn count_updates(&mut self, done: u64) {
        (self.done, self.total, self.unit) = (done, self.num_updates, None);
    }

    fn apply_run(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Started { num_updates, from_update, device, .. } => {
                self.device = Some(device.clone());
                self.num_updates = Some(*num_updates);
                self.count_updates(*from_update);
            }
            RunEvent::Update { update, update_secs, .. } => {
                self.count_updates(*update);
                // A moving mean, so that the time left does not jump about.
                let old = if self.update_secs > 0.0 { self.update_secs } else { *update_secs };
                self.update_secs = old * 0.9 + update_secs * 0.1;
            }
            RunEvent::Phase { phase } => {
                self.is_paused = *phase == Phase::Paused;
                self.phase = phase.words().into();
            }
            _ => {}
        }
    }
}

fn describe(command: &Command) -> (String, Place, bool) {
    let name = |p: &std::path::Path| {
        p.file_name().map_or_else(|| p.display().to_string(), |n| n.to_string_lossy().into_owned())
    };
    match command {
        Command::OpenProject { folder } => (format!("Opening {}", name(folder)), Place::Home, true),
        Command::Remember { project, .. } => (format!("Keeping {}", name(project)), Place::Home, true),
        Command::LookAtMachine { .. } => ("Looking at the machine".into(), Place::Train, true),
        Command::MeasureSpeed => ("Measuring the machine".into(), Place::Train, true),
        Command::ListModels => ("Looking for models".into(), Place::Model, true),
        Command::InspectModel { source } => (format!("Reading {source}"), Place::Model, true),
        Command::DownloadModel { name } => (format!("Downloading {name}"), Place::Model, false),
        Command::Import { path, .. } => (format!("Importing {}", name(path)), Place::Data, false),
        Command::Prepare { .. } => ("Preparing the data".into(), Place::Data, false),
        Command::ReadRecipe { path } => (format!("Reading {}", name(path)), Place::Train, true),
        Command::ListRuns { .. } => ("Looking for runs".into(), Place::Runs, true),
        Command::ReadRun { folder } => (format!("Reading {}", name(folder)), Place::Runs, true),
        Command::DeleteRun { folder } => (format!("Deleting {}", name(folder)), Place::Runs, false),
        Command::ListPromptSets { .. } => ("Looking for prompts".into(), Place::Playground, true),
        Command::SavePromptSet { set, .. } => (format!("Saving {}", set.name), Place::Playground, true),
        Command::ListAdapters { .. } => ("Looking for saved mixes".into(), Place::Playground, true),
        Command::SaveMix { name, .. } => (format!("Saving {name}"), Place::Playground, false),
        Command::ReadAdapter { folder } => (format!("Reading {}", name(folder)), Place::Playground, true),
        Command::DeleteAdapter { folder, .. } => {
            (format!("Deleting {}", name(folder)), Place::Playground, false)
        }
        Command::AdoptAdapter { folder, .. } => {
            (format!("Noting what {} is for", name(folder)), Place::Playground, true)
        }
        Command::ExportAdapter { run, .. } => (format!("Exporting {}", name(run)), Place::Runs, false),
        Command::Train { .. } => ("Training".into(), Place::Train, false),
        Command::ResumeRun { folder } => (format!("Resuming {}", name(folder)), Place::Train, false),
        Command::CompareMethods { .. } | Command::ResumeComparison { .. } => {
            ("Comparing methods".into(), Place::Train, false)
        }
        Command::ListComparisons { .. } => ("Looking for comparisons".into(), Place::Train, true),
        Command::DeleteComparison { folder, .. } => {
            (format!("Deleting {}", name(folder)), Place::Train, false)
        }
        Command::MergeAdapter { run, .. } => (format!("Merging {}", name(run)), Place::Runs, false),
        Command::Generate(_) => ("Answering".into(), Place::Playground, false),
        Command::Ask(_) => ("Reading".into(), Place::Playground, false),
    }
}

//! The runs of a project as they are on disk, also after a crash.

use super::{Outcome, ProjectError, RunEvent, RunFolder, TextCourse};
use crate::recipe::Recipe;
use std::fs;
use std::path::{Path, PathBuf};

/// Points of a sparkline.
const SPARKLINE: usize = 64;

/// One run, read from its folder: also one that was cut off by a crash.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    pub folder: PathBuf,
    /// Folder name: `2026-11-21-143000-fruit-families`.
    pub name: String,
    /// RFC 3339; empty if the run never began.
    pub started: String,
    pub recipe: Recipe,
    /// `None` while it runs or when it was cut off.
    pub outcome: Option<Outcome>,
    pub last_update: u64,
    pub num_updates: u64,
    pub best_loss: Option<f64>,
    pub last_loss: Option<f64>,
    pub general_text: TextCourse,
    pub secs: f64,
    /// Mean losses of equal stretches, at most 64, for the sparkline.
    pub sparkline: Vec<f32>,
    /// Folder of the adapter, if one was saved.
    pub adapter: Option<PathBuf>,
    /// The update of the checkpoint to go on from, or why there is none.
    pub resumable: Result<u64, String>,
    /// Whether a process holds the run's lock now.
    pub is_running: bool,
}

/// All runs below `runs`, newest first. Folders that are no runs are passed over; a run whose files are damaged is
/// listed, with what is wrong with it in `resumable`.
pub fn list(runs: &Path) -> Result<Vec<RunSummary>, ProjectError> {
    if !runs.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(runs).map_err(ProjectError::read(runs))?;
    let paths = entries.flatten().map(|entry| entry.path()).filter(|path| RunFolder::is_one(path));
    let mut found: Vec<RunSummary> = paths.map(|path| as_it_is(&path)).collect();
    found.sort_by(|a, b| b.name.cmp(&a.name));
    Ok(found)
}

/// One run from its folder.
///
/// # Errors
/// A recipe or metrics that cannot be read.
pub fn summary(path: &Path) -> Result<RunSummary, ProjectError> {
    let folder = RunFolder::open(path)?;
    let mut run = nothing_known(path);
    run.recipe = folder.recipe()?;
    run.take_in_all(folder.events()?, &folder);
    Ok(run)
}

/// As [`summary`], with what can be read.
fn as_it_is(path: &Path) -> RunSummary {
    let mut run = nothing_known(path);
    let mut damage = None;
    match RunFolder::open(path) {
        Ok(folder) => {
            match folder.recipe() {
                Ok(recipe) => run.recipe = recipe,
                Err(error) => damage = Some(error),
            }
            match folder.events() {
                Ok(events) => run.take_in_all(events, &folder),
                Err(error) => damage = damage.or(Some(error)),
            }
        }
        Err(error) => damage = Some(error),
    }
    if let Some(error) = damage {
        run.resumable = Err(format!("It is damaged: {error}"));
    }
    run
}

fn nothing_known(path: &Path) -> RunSummary {
    RunSummary {
        name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        folder: path.to_path_buf(),
        started: String::new(),
        recipe: Recipe::default(),
        outcome: None,
        last_update: 0,
        num_updates: 0,
        best_loss: None,
        last_loss: None,
        general_text: TextCourse::default(),
        secs: 0.0,
        sparkline: Vec::new(),
        adapter: None,
        resumable: Err(String::new()),
        is_running: false,
    }
}

impl RunSummary {
    fn take_in_all(&mut self, events: Vec<RunEvent>, folder: &RunFolder) {
        let mut losses = Vec::new();
        self.outcome = outcome(&events);
        for event in events {
            self.take_in(event, &mut losses);
        }
        self.sparkline = sparkline(&losses);
        let adapter = folder.adapter_dir();
        self.adapter = adapter.is_dir().then_some(adapter);
        // A run that said it ended has ended, even while its process still holds the lock.
        self.is_running = self.outcome.is_none() && RunFolder::is_locked(&self.folder);
        self.resumable = resumable(self, folder);
    }

    fn take_in(&mut self, event: RunEvent, losses: &mut Vec<f32>) {
        self.general_text.take_in(&event);
        match event {
            RunEvent::Started { time, num_updates, from_update, .. } => {
                if from_update == 0 || self.started.is_empty() {
                    self.started = time;
                }
                self.num_updates = num_updates;
            }
            RunEvent::Update { update, loss, update_secs, .. } => {
                self.last_update = update;
                self.secs += if update_secs.is_finite() { update_secs } else { 0.0 };
                if loss.is_finite() {
                    self.last_loss = Some(loss);
                    losses.push(loss as f32);
                }
            }
            RunEvent::Validation { loss, best: true, .. } if loss.is_finite() => self.best_loss = Some(loss),
            RunEvent::Finished { secs, .. } => {
                self.secs = if secs.is_finite() { secs } else { self.secs };
            }
            RunEvent::Phase { .. }
            | RunEvent::Profile { .. }
            | RunEvent::Failed { .. }
            | RunEvent::Validation { .. }
            | RunEvent::TaskLosses { .. }
            | RunEvent::TaskValidation { .. }
            | RunEvent::Tested { .. }
            | RunEvent::GeneralText { .. }
            | RunEvent::Answers { .. }
            | RunEvent::Checkpoint { .. }
            | RunEvent::Notice { .. } => {}
        }
    }
}

fn resumable(run: &RunSummary, folder: &RunFolder) -> Result<u64, String> {
    if run.is_running {
        return Err("It is running.".into());
    }
    if let Some(why) = run.outcome.and_then(why_over) {
        return Err(why.into());
    }
    folder.checkpoints().last().copied().ok_or_else(|| "It has no checkpoint: use Rerun.".into())
}

/// How the run that reported `events` ended; `None` while it runs or when it was cut off.
pub fn outcome(events: &[RunEvent]) -> Option<Outcome> {
    let ends = events.iter().rev().find_map(|event| match event {
        RunEvent::Started { .. } => Some(None),
        RunEvent::Failed { .. } => Some(Some(Outcome::Failed)),
        RunEvent::Finished { outcome, .. } => Some(Some(*outcome)),
        _ => None,
    });
    ends.flatten()
}

/// Why a run that ended so does not go on; `None` when it can.
pub fn why_over(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Done => Some("It has done all its updates."),
        Outcome::StoppedEarly => Some("It ended because nothing got better."),
        Outcome::Discarded => Some("It was thrown away."),
        Outcome::Stopped | Outcome::Failed => None,
    }
}

fn sparkline(losses: &[f32]) -> Vec<f32> {
    let points = losses.len().min(SPARKLINE);
    (0..points)
        .map(|i| {
            let stretch = &losses[i * losses.len() / points..(i + 1) * losses.len() / points];
            stretch.iter().sum::<f32>() / stretch.len() as f32
        })
        .collect()
}

/// Deletes a run with everything in it. Refuses a folder that does not look like a run of a project; what links in
/// it point to stays.
pub fn delete(path: &Path) -> Result<(), ProjectError> {
    let is_link = fs::symlink_metadata(path).map_err(ProjectError::read(path))?.file_type().is_symlink();
    let is_among_runs = path.file_name().is_some() && path.parent().is_some_and(|p| p.ends_with("runs"));
    if is_link || !is_among_runs || !RunFolder::is_one(path) {
        return Err(ProjectError::NotARun { path: path.to_path_buf() });
    }
    if RunFolder::is_locked(path) {
        return Err(ProjectError::InUse { path: path.to_path_buf() });
    }
    fs::remove_dir_all(path).map_err(ProjectError::write(path))
}

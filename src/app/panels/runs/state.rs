use crate::app::action::{Effect, Pick, PickWhat, Place, Question, UiAction};
use crate::app::notices::Notice;
use crate::app::panels::playground;
use crate::app::panels::train::{self, Look, RunView};
use crate::app::shared::{Dot, Header, PaletteItem, Primary, Shared, last_part};
use crate::base::human;
use crate::engine::event::EventKind;
use crate::engine::{Command, Event, JobId};
use crate::project::Outcome;
use crate::project::runs::RunSummary;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Runs that can be laid over one another.
pub(super) const MOST_TICKED: usize = 6;

#[derive(Debug, Default)]
pub struct State {
    /// The run that is shown instead of the list.
    pub(super) open: Option<PathBuf>,
    /// The ticked runs are shown over one another instead of the list.
    pub(super) is_comparing: bool,
    /// Runs to compare, in the order in which they were ticked.
    pub(super) ticked: Vec<PathBuf>,
    /// Runs that were read from disk.
    pub(super) views: BTreeMap<PathBuf, RunView>,
    pub(super) look: Look,
    /// The run whose adapter is being exported, while the folder is asked for.
    exporting: Option<PathBuf>,
    /// The run that is being merged, while the folder is asked for.
    merging: Option<PathBuf>,
    /// What came of the last merge.
    pub(super) merged: Option<Merged>,
}

/// A run that was merged.
#[derive(Debug)]
pub(super) struct Merged {
    pub run: PathBuf,
    /// The model's folder.
    pub to: PathBuf,
    /// How it compares with the unmerged model.
    pub words: String,
}

#[derive(Debug, Clone)]
pub enum Action {
    /// Show this run.
    Open(PathBuf),
    Tick(PathBuf, bool),
    /// Show the ticked runs over one another.
    CompareTicked,
    /// Back to the list.
    ShowList,
    SetLook(Look),
    Resume(PathBuf),
    Rerun(PathBuf),
    /// Put the settings of this run into the form in Train.
    UseSettings(PathBuf),
    Compare(PathBuf),
    Export(PathBuf),
    ExportTo(PathBuf),
    /// Works what the run trained into its model, in a folder that is asked for.
    Merge(PathBuf),
    MergeTo(PathBuf),
    /// Put away what came of the last merge.
    CloseMerged,
    OpenFolder(PathBuf),
    /// Asks, then deletes.
    AskDelete(PathBuf),
    Delete(PathBuf),
    /// Read the list again.
    Refresh,
}

impl State {
    pub fn act(&mut self, action: Action, shared: &Shared) -> Vec<Effect> {
        match action {
            Action::Open(folder) => {
                self.open = Some(folder.clone());
                self.look = self.look.afresh();
                return self.read(folder);
            }
            Action::Tick(folder, is_ticked) => {
                self.ticked.retain(|f| *f != folder);
                if is_ticked {
                    self.ticked.push(folder.clone());
                    self.ticked.truncate(MOST_TICKED);
                    return self.read(folder);
                }
            }
            Action::CompareTicked => {
                self.open = None;
                self.is_comparing = true;
            }
            Action::ShowList => (self.open, self.is_comparing) = (None, false),
            Action::SetLook(look) => {
                if look.smoothing != self.look.smoothing {
                    self.views.values_mut().for_each(|view| view.loss.set_smoothing(look.smoothing));
                }
                self.look = look;
            }
            Action::Resume(folder) => {
                return vec![
                    Effect::submit(Command::ResumeRun { folder: folder.clone() }),
                    // What it did so far, for the charts.
                    Effect::submit(Command::ReadRun { folder }),
                    Effect::Act(UiAction::Go(Place::Train)),
                ];
            }
            Action::Rerun(folder) => return rerun(&folder, shared),
            Action::UseSettings(folder) => {
                let run = shared.runs.iter().find(|run| run.folder == folder);
                return run.map(use_settings).unwrap_or_default();
            }
            Action::Compare(folder) => return compare(&folder, shared),
            Action::Export(folder) => {
                self.exporting = Some(folder);
                return vec![Effect::Pick(Pick {
                    title: "Where what was trained goes".into(),
                    what: PickWhat::Folder,
                    filters: Vec::new(),
                    then: |path| UiAction::Runs(Action::ExportTo(path)),
                })];
            }
            Action::ExportTo(to) => {
                let Some(run) = self.exporting.take() else { return Vec::new() };
                let name = last_part(&run.to_string_lossy());
                return vec![Effect::submit(Command::ExportAdapter { run, to: to.join(name) })];
            }
            Action::Merge(folder) => {
                self.merging = Some(folder);
                return vec![Effect::Pick(Pick {
                    title: "Where the model goes that needs no adapter".into(),
                    what: PickWhat::Folder,
                    filters: Vec::new(),
                    then: |path| UiAction::Runs(Action::MergeTo(path)),
                })];
            }
            Action::MergeTo(to) => {
                let Some(run) = self.merging.take() else { return Vec::new() };
                let name = format!("{}-merged", last_part(&run.to_string_lossy()));
                self.merged = None;
                return vec![Effect::submit(Command::MergeAdapter { run, to: to.join(name) })];
            }
            Action::CloseMerged => self.merged = None,
            Action::OpenFolder(folder) => return vec![Effect::OpenFolder(folder)],
            Action::AskDelete(folder) => return vec![Effect::Ask(delete_question(&folder, shared))],
            Action::Delete(folder) => {
                self.forget(&folder);
                return vec![Effect::submit(Command::DeleteRun { folder })];
            }
            Action::Refresh => {
                let project = shared.project.as_ref().map(|p| p.folder.clone());
                return project
                    .map(|project| Effect::submit(Command::ListRuns { project }))
                    .into_iter()
                    .collect();
            }
        }
        Vec::new()
    }

    /// What a run that is looked at has reported.
    fn read(&self, folder: PathBuf) -> Vec<Effect> {
        vec![Effect::submit(Command::ReadRun { folder })]
    }

    fn forget(&mut self, folder: &Path) {
        self.ticked.retain(|f| f != folder);
        self.views.remove(folder);
        if self.open.as_deref() == Some(folder) {
            self.open = None;
        }
    }

    pub fn apply(&mut self, event: &Event, shared: &Shared) -> Vec<Effect> {
        match &event.kind {
            EventKind::Runs(runs) => {
                let is_there = |folder: &PathBuf| runs.iter().any(|r| r.folder == *folder);
                self.ticked.retain(is_there);
                self.open = self.open.take().filter(is_there);
                self.views.retain(|folder, _| is_there(folder));
            }
            EventKind::RunRead { folder, events } => {
                let recipe = shared.runs.iter().find(|run| run.folder == *folder).map(|r| r.recipe.clone());
                let view = RunView::from_events(folder.clone(), recipe, events, self.look.smoothing);
                self.views.insert(folder.clone(), view);
            }
            EventKind::Run { folder, event } => {
                if let Some(view) = self.views.get_mut(folder) {
                    view.apply(event);
                }
            }
            EventKind::Report { folder, report } => {
                if let Some(view) = self.views.get_mut(folder) {
                    view.report = Some(Arc::clone(report));
                }
            }
            EventKind::Exported { to } => {
                let mut notice = Notice::done("What the run trained was exported");
                notice.detail = to.display().to_string();
                return vec![Effect::Say(notice)];
            }
            EventKind::Merged { run, to, merged } => {
                let words = merged.describe();
                let mut notice = Notice::done("The run is a model of its own now");
                notice.detail = format!("{}\n{words}", to.display());
                self.merged = Some(Merged { run: run.clone(), to: to.clone(), words });
                return vec![Effect::Say(notice)];
            }
            _ => {}
        }
        Vec::new()
    }

    /// A command of any place was given to the engine.
    pub fn submitted(&mut self, _job: JobId, _command: &Command) {}

    pub fn header(&self, shared: &Shared) -> Header {
        let state = match shared.runs.len() as u64 {
            0 => "No runs yet".to_string(),
            _ if self.open_run(shared).is_some() => self.open_run(shared).map(in_words).unwrap_or_default(),
            _ if self.is_comparing(shared) => {
                "Their losses over one another, and below only what differs in their recipes".to_string()
            }
            n => format!("{}, newest first; tick two or more to compare them", human::plural(n, "run")),
        };
        let ticked = self.ticked.len();
        let primary = match self.open_run(shared) {
            Some(run) => Some(Primary {
                label: "Compare in Playground".into(),
                action: UiAction::Runs(Action::Compare(run.folder.clone())),
                why_not: no_adapter(run).map(String::from),
            }),
            None if self.is_inside(shared) || ticked < 2 => None,
            None => Some(Primary {
                label: format!("Compare {ticked} runs"),
                action: UiAction::Runs(Action::CompareTicked),
                why_not: None,
            }),
        };
        Header { state, primary }
    }

    /// Whether something is shown instead of the list.
    pub fn is_inside(&self, shared: &Shared) -> bool {
        self.open_run(shared).is_some() || self.is_comparing(shared)
    }

    pub(super) fn is_comparing(&self, shared: &Shared) -> bool {
        self.is_comparing && self.compared(shared).len() >= 2
    }

    /// The ticked runs, in the order in which they were ticked.
    pub(super) fn compared<'a>(&self, shared: &'a Shared) -> Vec<&'a RunSummary> {
        self.ticked.iter().filter_map(|f| shared.runs.iter().find(|run| run.folder == *f)).collect()
    }

    pub(super) fn open_run<'a>(&self, shared: &'a Shared) -> Option<&'a RunSummary> {
        let open = self.open.as_ref()?;
        shared.runs.iter().find(|run| run.folder == *open)
    }

    pub fn dot(&self, _shared: &Shared) -> Dot {
        Dot::None
    }

    pub fn commands(&self, shared: &Shared) -> Vec<PaletteItem> {
        let mut items =
            vec![PaletteItem::new("Read the list of runs again", "", UiAction::Runs(Action::Refresh))];
        if let Some(run) = shared.runs.iter().find(|run| run.adapter.is_some()) {
            let action = UiAction::Runs(Action::Compare(run.folder.clone()));
            items.push(PaletteItem::new("Compare base and newest run in Playground", "", action));
        }
        for run in shared.runs.iter().take(20) {
            let label = format!("Show the run {}", run.name);
            items.push(PaletteItem::new(label, "", UiAction::Runs(Action::Open(run.folder.clone()))));
        }
        items
    }
}

fn rerun(folder: &Path, shared: &Shared) -> Vec<Effect> {
    let run = shared.runs.iter().find(|run| run.folder == folder);
    let (Some(run), Some(project)) = (run, &shared.project) else { return Vec::new() };
    let recipe = Box::new(run.recipe.clone());
    let train = Command::Train { project: project.folder.clone(), recipe };
    vec![Effect::submit(train), Effect::Act(UiAction::Go(Place::Train))]
}

fn use_settings(run: &RunSummary) -> Vec<Effect> {
    let load = train::Action::LoadRecipe(Box::new(run.recipe.clone()), run.name.clone());
    vec![Effect::Act(UiAction::Go(Place::Train)), Effect::Act(UiAction::Train(load))]
}

fn compare(folder: &Path, shared: &Shared) -> Vec<Effect> {
    let run = shared.runs.iter().find(|run| run.folder == folder);
    let Some((run, adapter)) = run.and_then(|run| Some((run, run.adapter.clone()?))) else {
        return Vec::new();
    };
    let action = playground::Action::CompareWith {
        adapter,
        name: run.name.clone(),
        model: run.recipe.model.source.clone(),
    };
    vec![Effect::Act(UiAction::Playground(action)), Effect::Act(UiAction::Go(Place::Playground))]
}

fn delete_question(folder: &Path, shared: &Shared) -> Question {
    let run = shared.runs.iter().find(|run| run.folder == folder);
    let name = last_part(&folder.to_string_lossy());
    let lost = run.map_or(String::new(), |run| {
        let adapter = if run.adapter.is_some() { ", what it trained" } else { "" };
        format!("Its {}, checkpoints{adapter} and log", human::plural(run.last_update, "update"))
    });
    Question {
        title: format!("Delete {name}?"),
        text: format!("{lost} will be gone for good. What you exported stays."),
        yes: "Delete the run".into(),
        then: Box::new(UiAction::Runs(Action::Delete(folder.to_path_buf()))),
    }
}

/// The state of a run in a word or two.
pub(super) fn state_words(run: &RunSummary) -> &'static str {
    match run.outcome {
        _ if run.is_running => "running",
        Some(Outcome::Done) => "done",
        Some(Outcome::StoppedEarly) => "stopped early",
        Some(Outcome::Stopped) => "stopped",
        Some(Outcome::Discarded) => "discarded",
        Some(Outcome::Failed) => "failed",
        None => "cut off",
    }
}

/// One line on a run.
fn in_words(run: &RunSummary) -> String {
    let updates = format!("{} of {} updates", human::count(run.last_update), human::count(run.num_updates));
    let loss = run.best_loss.map_or(String::new(), |loss| format!(", best validation loss {loss:.3}"));
    format!("{}: {updates} in {}{loss}", state_words(run), human::secs(run.secs))
}

/// Why a run has no adapter to compare or export.
pub(super) fn no_adapter(run: &RunSummary) -> Option<&'static str> {
    run.adapter.is_none().then_some("This run has saved nothing to export yet.")
}

/// Why what a run trained cannot be worked into the weights of its model.
pub(super) fn no_merge(run: &RunSummary) -> Option<String> {
    let method = &run.recipe.method;
    if method.makes_model() {
        return Some("It is a whole model already: Export copies it.".into());
    }
    let why = method.cannot_merge().map(|why| format!("It cannot be merged: {why}. Export it instead."));
    why.or_else(|| no_adapter(run).map(String::from))
}

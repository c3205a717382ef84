use super::trial::Trial;
use crate::app::action::{Effect, Pick, PickWhat, Place, UiAction};
use crate::app::jobs::JobSwitch;
use crate::app::panels::data;
use crate::app::shared::{Dot, Header, PaletteItem, Primary, Shared};
use crate::base::{Explain, human};
use crate::engine::event::{Event, EventKind};
use crate::engine::{Command, JobId};
use crate::hub::HubError;
use crate::hub::catalogue::ModelEntry;
use crate::recipe::Recipe;
use crate::recipe::estimate::num_trainable;
use crate::recipe::plan::ModelFacts;
use crate::recipe::recipe::Method;

#[derive(Debug, Default)]
pub struct State {
    /// What is typed in the path field.
    pub path_text: String,
    /// The path field takes the keyboard in the next frame.
    pub wants_path_focus: bool,
    /// Chosen since `AppState` last looked.
    chosen: Option<String>,
    inspect_job: Option<JobId>,
    download: Option<(JobId, String)>,
    /// Why the chosen model cannot be used.
    pub problem: Option<String>,
    /// The chosen model, when it is a hub id that is not on this machine yet.
    pub missing: Option<String>,
    /// What each method would train of the model that was read last, with its usual settings: its name and how many numbers.
    pub trained: Vec<(String, u64)>,
    pub trial: Trial,
}

#[derive(Debug, Clone)]
pub enum Action {
    /// A catalogue name, a folder or a .gguf file.
    Choose(String),
    /// Fetch a model of the catalogue.
    Download(String),
    CancelDownload,
    PickFolder,
    PickFile,
    SetPathText(String),
    /// Ctrl+L: the path field takes the keyboard.
    FocusPath(bool),
    /// Choose the folder or file whose path was typed.
    UseTyped,
    SetTrialText(String),
    /// Answer what was typed in the box, with the model as it is.
    Ask,
    StopTrial,
    /// Look again what lies on this machine.
    Refresh,
}

impl State {
    pub fn act(&mut self, action: Action, shared: &Shared) -> Vec<Effect> {
        match action {
            Action::Choose(source) => return self.choose(source, shared),
            Action::Download(name) => {
                let mut effects = Vec::new();
                if name != shared.model_source {
                    effects.extend(self.choose(name.clone(), shared));
                }
                effects.push(Effect::submit(Command::DownloadModel { name }));
                return effects;
            }
            Action::CancelDownload => {
                return self.download.iter().map(|(job, _)| Effect::Job(*job, JobSwitch::Stop)).collect();
            }
            Action::PickFolder => {
                return vec![Effect::Pick(Pick {
                    title: "Choose a model folder".into(),
                    what: PickWhat::Folder,
                    filters: Vec::new(),
                    then: |path| UiAction::Model(Action::Choose(path.display().to_string())),
                })];
            }
            Action::PickFile => {
                return vec![Effect::Pick(Pick {
                    title: "Choose a .gguf file".into(),
                    what: PickWhat::File,
                    filters: vec![("GGUF models".into(), vec!["gguf".into()])],
                    then: |path| UiAction::Model(Action::Choose(path.display().to_string())),
                })];
            }
            Action::SetPathText(text) => self.path_text = text,
            Action::FocusPath(wanted) => self.wants_path_focus = wanted,
            Action::UseTyped => {
                let typed = self.path_text.trim().trim_matches('"').to_string();
                if !typed.is_empty() {
                    let source = data::expand_home(&typed).display().to_string();
                    return self.choose(source, shared);
                }
            }
            Action::SetTrialText(text) => self.trial.text = text,
            Action::Ask => return self.trial.ask(shared),
            Action::StopTrial => return self.trial.stop().into_iter().collect(),
            Action::Refresh => return vec![Effect::submit(Command::ListModels)],
        }
        Vec::new()
    }

    fn choose(&mut self, source: String, shared: &Shared) -> Vec<Effect> {
        (self.problem, self.missing) = (None, None);
        self.chosen = Some(source.clone());
        let mut effects = vec![Effect::Act(UiAction::Go(Place::Model))];
        // What another model said says nothing about this one.
        effects.extend(self.trial.stop());
        self.trial.answers = None;
        // A model of the catalogue that is not here has nothing to read yet.
        let entry = shared.models.iter().find(|m| m.name == source);
        if entry.is_none_or(|m| m.path.is_some()) {
            effects.push(Effect::submit(Command::InspectModel { source }));
        }
        effects
    }

    pub fn apply(&mut self, event: &Event, shared: &Shared) -> Vec<Effect> {
        if let Some(answers) = &mut self.trial.answers {
            answers.apply(event);
        }
        let is_inspection = self.inspect_job == Some(event.job);
        let is_download = self.download.as_ref().is_some_and(|d| d.0 == event.job);
        match &event.kind {
            // At the start, and after a download: read the chosen one if it is here.
            EventKind::Models(models) if shared.model.is_none() && self.inspect_job.is_none() => {
                let source = &shared.model_source;
                let entry = models.iter().find(|m| m.name == *source);
                let is_elsewhere = entry.is_none() && source.contains(['/', std::path::MAIN_SEPARATOR]);
                if is_elsewhere || entry.is_some_and(|m| m.path.is_some()) {
                    return vec![Effect::submit(Command::InspectModel { source: source.clone() })];
                }
            }
            EventKind::Model(info) => {
                (self.problem, self.missing) = (None, None);
                let facts = ModelFacts::from(info);
                let num = |method: Method| {
                    let mut name = method.name().to_string();
                    if let Some(first) = name.get_mut(..1) {
                        first.make_ascii_uppercase();
                    }
                    (name, num_trainable(&Recipe { method, ..Recipe::default() }, &facts))
                };
                self.trained = Method::all().into_iter().map(num).collect();
            }
            EventKind::Failed(failure) if is_inspection => {
                let source = &shared.model_source;
                let absent = HubError::NotDownloaded { name: source.clone() };
                if failure.title == absent.title() && failure.detail == absent.to_string() {
                    self.missing = Some(source.clone());
                } else {
                    self.problem = Some(format!("{}: {} {}", failure.title, failure.detail, failure.hint));
                }
                self.inspect_job = None;
            }
            EventKind::Done | EventKind::Stopped if is_inspection => self.inspect_job = None,
            EventKind::Done if is_download => {
                self.download = None;
                return vec![Effect::submit(Command::ListModels)];
            }
            EventKind::Stopped | EventKind::Failed(_) if is_download => self.download = None,
            _ => {}
        }
        Vec::new()
    }

    /// A command of any place was given to the engine.
    pub fn submitted(&mut self, job: JobId, command: &Command) {
        match command {
            Command::InspectModel { .. } => self.inspect_job = Some(job),
            Command::DownloadModel { name } => self.download = Some((job, name.clone())),
            _ => {}
        }
        if let Some(answers) = &mut self.trial.answers {
            answers.submitted(job, command);
        }
    }

    /// Whether the job answers what was typed here.
    pub fn is_trying(&self, job: JobId) -> bool {
        self.trial.answers.as_ref().is_some_and(|a| a.job.id == Some(job))
    }

    /// The job that fetches `name`, if one does.
    pub fn downloading(&self, name: &str) -> Option<JobId> {
        self.download.as_ref().filter(|d| d.1 == name).map(|d| d.0)
    }

    pub fn is_inspecting(&self) -> bool {
        self.inspect_job.is_some()
    }

    /// The model that was chosen since the last call.
    pub fn take_chosen(&mut self) -> Option<String> {
        self.chosen.take()
    }

    pub fn header(&self, shared: &Shared) -> Header {
        let title = shared.model_title();
        if let Some(info) = &shared.model {
            let params = params(info.num_params);
            let action = UiAction::Go(Place::Data);
            return Header {
                state: format!("{title}, {params} parameters, is ready"),
                primary: Some(Primary { label: "Next: data".into(), action, why_not: None }),
            };
        }
        if self.downloading(&shared.model_source).is_some() {
            return Header { state: format!("{title} is being downloaded"), primary: None };
        }
        match shared.model_entry().filter(|m| m.path.is_none()) {
            Some(entry) => Header {
                state: format!("{title} is not on this machine yet"),
                primary: Some(Primary {
                    label: format!("Download {}", human::bytes(entry.download_bytes)),
                    action: UiAction::Model(Action::Download(entry.name.clone())),
                    why_not: None,
                }),
            },
            None if self.missing.is_some() => Header {
                state: format!("{title} is not on this machine yet"),
                primary: Some(Primary {
                    label: "Download".into(),
                    action: UiAction::Model(Action::Download(shared.model_source.clone())),
                    why_not: None,
                }),
            },
            None if self.is_inspecting() => Header { state: format!("Reading {title}…"), primary: None },
            None => Header { state: "The model you start from; it is never changed".into(), primary: None },
        }
    }

    pub fn dot(&self, shared: &Shared) -> Dot {
        if shared.model.is_none() && !self.is_inspecting() { Dot::Needs } else { Dot::None }
    }

    /// What was typed here and is on no disk yet.
    pub fn draft(&self) -> serde_json::Value {
        serde_json::json!({ "path": self.path_text, "prompt": self.trial.text })
    }

    pub fn restore(&mut self, draft: serde_json::Value) {
        let text = |key: &str| draft[key].as_str().unwrap_or_default().to_string();
        (self.path_text, self.trial.text) = (text("path"), text("prompt"));
    }

    pub fn commands(&self, shared: &Shared) -> Vec<PaletteItem> {
        let item = |label: String, action| PaletteItem::new(label, "", UiAction::Model(action));
        let mut items = vec![
            item("Choose a model folder…".into(), Action::PickFolder),
            item("Choose a .gguf file…".into(), Action::PickFile),
            item("Look for models again".into(), Action::Refresh),
        ];
        for model in &shared.models {
            items.push(item(format!("Use the model {}", model.title), Action::Choose(model.name.clone())));
        }
        items
    }
}

/// `134.5 M`, `7.24 B`.
pub fn params(n: u64) -> String {
    match n {
        0 => "an unknown number of".into(),
        1..1_000_000 => human::count(n),
        1_000_000..1_000_000_000 => format!("{:.0} M", n as f64 / 1e6),
        _ => format!("{:.2} B", n as f64 / 1e9),
    }
}

/// Whether a model can be tuned in the memory of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    Fits,
    Tight,
    TooLarge,
    Unknown,
}

/// Weights in 32 bits, and as much again as a run of modest length needs beside them.
pub fn needed_bytes(num_params: u64) -> u64 {
    num_params * 4 + num_params + 600_000_000
}

pub fn fit(entry: &ModelEntry, available_bytes: u64) -> Fit {
    if entry.num_params == 0 || available_bytes == 0 {
        return Fit::Unknown;
    }
    let share = needed_bytes(entry.num_params) as f64 / available_bytes as f64;
    match share {
        s if s < 0.7 => Fit::Fits,
        s if s < 1.0 => Fit::Tight,
        _ => Fit::TooLarge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_fits_is_tight_or_too_large() {
        let entry = |num_params| ModelEntry {
            name: String::new(),
            title: String::new(),
            about: String::new(),
            licence: String::new(),
            num_params,
            download_bytes: 0,
            path: None,
        };
        assert_eq!(fit(&entry(135_000_000), 8_000_000_000), Fit::Fits);
        assert_eq!(fit(&entry(1_300_000_000), 8_000_000_000), Fit::Tight);
        assert_eq!(fit(&entry(7_000_000_000), 8_000_000_000), Fit::TooLarge);
        assert_eq!(fit(&entry(0), 8_000_000_000), Fit::Unknown);
    }
}

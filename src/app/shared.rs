//! What every place may read: the chosen model, the data, the runs, the jobs, the machine.

use super::action::UiAction;
use super::jobs::Jobs;
use crate::base::hardware::Memory;
use crate::data::Tokeniser;
use crate::data::import::{ImportOptions, Imported};
use crate::data::prepare::{Dataset, PrepareOptions};
use crate::data::template::Template;
use crate::hub::catalogue::ModelEntry;
use crate::model::info::ModelInfo;
use crate::project::folder::ProjectView;
use crate::project::runs::RunSummary;
use crate::recipe::plan::Facts;
use std::path::PathBuf;
use std::sync::Arc;

/// The machine as the status bar shows it; sampled at most once a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Machine {
    pub num_threads: usize,
    pub memory: Memory,
    /// Memory of this process.
    pub resident_bytes: u64,
}

/// State that more than one place reads. Written by `AppState` only.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    pub project: Option<ProjectView>,
    /// Folders of projects that were opened, newest first.
    pub recent_projects: Vec<PathBuf>,
    /// Catalogue and local models.
    pub models: Vec<ModelEntry>,
    /// What the user chose in Model: a catalogue name, a folder or a .gguf file.
    pub model_source: String,
    /// The chosen model, once its headers were read.
    pub model: Option<Arc<ModelInfo>>,
    /// Its tokenizer and template, to show the exact text that is sent.
    pub tokeniser: Option<(Arc<Tokeniser>, Arc<Template>)>,
    /// The file that is open in Data.
    pub imported: Option<Arc<Imported>>,
    /// How it was read.
    pub import_options: ImportOptions,
    /// What Data asks of `Prepare` now; `dataset.options` may be older.
    pub prepare_options: Option<PrepareOptions>,
    pub dataset: Option<Arc<Dataset>>,
    pub runs: Vec<RunSummary>,
    pub jobs: Jobs,
    pub machine: Machine,
    /// Devices and free disk, as the engine found them.
    pub facts: Facts,
    /// Seconds since the window opened.
    pub now_secs: f64,
}

impl Shared {
    /// The entry of the chosen model, if it is in the list.
    pub fn model_entry(&self) -> Option<&ModelEntry> {
        self.models.iter().find(|m| m.name == self.model_source)
    }

    /// Whether the chosen model is on this machine and was read.
    pub fn is_model_ready(&self) -> bool {
        self.model.is_some()
    }

    /// A short name of the chosen model for people.
    pub fn model_title(&self) -> String {
        self.model_entry().map_or_else(|| last_part(&self.model_source), |m| m.title.clone())
    }

    /// Whether the prepared data is the one that Data asks for now.
    pub fn is_data_ready(&self) -> bool {
        match (&self.dataset, &self.prepare_options) {
            (Some(dataset), Some(options)) => dataset.options == *options,
            (dataset, None) => dataset.is_some(),
            (None, Some(_)) => false,
        }
    }
}

/// The file name of a path, or the whole text.
pub fn last_part(path: &str) -> String {
    let name = std::path::Path::new(path).file_name();
    name.map_or_else(|| path.to_string(), |n| n.to_string_lossy().into_owned())
}

/// The head of a place: its state in one line, and the one primary action.
#[derive(Debug, Clone, Default)]
pub struct Header {
    pub state: String,
    pub primary: Option<Primary>,
}

#[derive(Debug, Clone)]
pub struct Primary {
    pub label: String,
    pub action: UiAction,
    /// Why it cannot be done now; shown beside the button.
    pub why_not: Option<String>,
}

/// The mark beside a place in the left bar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dot {
    #[default]
    None,
    /// The place needs something from the user.
    Needs,
    Working,
}

/// An entry of the command palette.
#[derive(Debug, Clone)]
pub struct PaletteItem {
    pub label: String,
    /// "Ctrl+O", or empty.
    pub keys: &'static str,
    pub action: UiAction,
}

impl PaletteItem {
    pub fn new(label: impl Into<String>, keys: &'static str, action: UiAction) -> Self {
        Self { label: label.into(), keys, action }
    }
}

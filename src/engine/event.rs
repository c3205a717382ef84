//! What the engine says.

use super::JobId;
use crate::base::{Failure, Unit};
use crate::data::import::Imported;
use crate::data::prepare::Dataset;
use crate::data::template::Template;
use crate::data::{Ledger, Tokeniser};
use crate::eval::reports::RunReport;
use crate::hub::catalogue::ModelEntry;
use crate::infer::fill_mask::Guess;
use crate::infer::generate::Finish;
use crate::model::info::ModelInfo;
use crate::peft::merge::Merged;
use crate::project::RunEvent;
use crate::project::adapters::SavedAdapter;
use crate::project::comparisons::Comparison;
use crate::project::event::Phase;
use crate::project::folder::ProjectView;
use crate::project::method_comparison::MethodComparison;
use crate::project::prompt_set::PromptSet;
use crate::project::runs::RunSummary;
use crate::recipe::Recipe;
use crate::recipe::plan::{Facts, Speed};
use std::path::PathBuf;
use std::sync::Arc;

/// Phase of `EventKind::Progress` while a method that is compared is tested.
pub const TESTING: &str = "Testing";

#[derive(Debug, Clone)]
pub struct Event {
    pub job: JobId,
    pub kind: EventKind,
}

#[derive(Debug, Clone)]
pub enum EventKind {
    /// The job left the queue.
    Started,
    Progress {
        phase: String,
        done: u64,
        total: Option<u64>,
        unit: Unit,
    },
    /// The job ended well; its result came before.
    Done,
    /// The job was stopped by a person.
    Stopped,
    Failed(Failure),

    Project(ProjectView),
    /// What the machine has; of model and data it says nothing.
    Machine(Facts),
    /// How fast its best device is.
    Speed(Speed),
    Models(Vec<ModelEntry>),
    Model(ModelInfo),
    /// Tokenizer and template of a model that was inspected.
    Tokeniser {
        source: String,
        tokeniser: Arc<Tokeniser>,
        template: Arc<Template>,
    },
    Imported(Arc<Imported>),
    Prepared(Arc<Dataset>),
    /// A recipe file that was read.
    Recipe {
        path: PathBuf,
        recipe: Box<Recipe>,
    },
    /// What became of the rows that a run is about to begin with.
    Rows {
        ledger: Arc<Ledger>,
        num_train: usize,
        num_valid: usize,
        num_test: usize,
    },
    Runs(Vec<RunSummary>),
    /// Something a run reported; `folder` says which run. Also sent for each line of `ReadRun`.
    Run {
        folder: PathBuf,
        event: RunEvent,
    },
    /// All lines of a run that was read.
    RunRead {
        folder: PathBuf,
        events: Vec<RunEvent>,
    },
    /// What came of the test rows of a run that was read, or has just ended.
    Report {
        folder: PathBuf,
        report: Arc<RunReport>,
    },
    /// The comparisons of methods of a project.
    Comparisons(Vec<Comparison>),
    /// A comparison turns to one of its methods; `index` counts from 0.
    MethodTurn {
        /// Which one.
        key: String,
        /// As people call it, with its settings.
        name: String,
        index: usize,
        total: usize,
    },
    /// A comparison so far, as it is on disk.
    Compared {
        folder: PathBuf,
        comparison: MethodComparison,
    },
    PromptSets(Vec<PromptSet>),
    /// The adapters and models of a project that are no runs.
    Adapters(Vec<SavedAdapter>),
    Generation {
        column: usize,
        prompt: usize,
        event: GenerationEvent,
    },
    /// What a column says of what it was asked to read.
    Told {
        column: usize,
        told: Told,
    },
    Exported {
        to: PathBuf,
    },
    /// What `run` trained is worked into a model at `to`.
    Merged {
        run: PathBuf,
        to: PathBuf,
        merged: Merged,
    },
    /// Something that a person should know, and that hinders nothing.
    Notice(String),
    /// Which model the adapter in `folder` says that it was made for.
    AdapterModel {
        folder: PathBuf,
        model: Option<String>,
    },
}

/// How soon an event wants to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// A state changed.
    Now,
    /// A number moves on while somebody waits for it.
    Soon,
    /// One more of the many that a run reports; looking at it takes the run's time.
    Later,
}

impl EventKind {
    pub fn urgency(&self) -> Urgency {
        match self {
            Self::Progress { .. } => Urgency::Soon,
            Self::Run { event, .. } => match event {
                RunEvent::Started { .. }
                | RunEvent::Notice { .. }
                | RunEvent::Failed { .. }
                | RunEvent::Finished { .. }
                | RunEvent::Phase { phase: Phase::Paused } => Urgency::Now,
                _ => Urgency::Later,
            },
            _ => Urgency::Now,
        }
    }
}

/// One column's answer to [`super::command::Ask`].
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// The probability of each class, text by text.
    Classes {
        /// Of several tasks, which one.
        task: String,
        labels: Vec<String>,
        /// Each class is a question of its own.
        has_several: bool,
        said: Vec<Vec<f32>>,
        /// Texts that are longer than the model reads; their beginning was judged.
        is_cut: Vec<bool>,
    },
    Scores {
        task: String,
        /// The least and the greatest score that it learnt from.
        range: [f64; 2],
        said: Vec<f32>,
        is_cut: Vec<bool>,
    },
    /// For each hidden place its likeliest tokens.
    Filled(Vec<Vec<Guess>>),
    /// Rows with their cosine, the nearest first.
    Nearest(Vec<(usize, f32)>),
    /// Each row as a point of a plane.
    Map(Arc<Vec<[f32; 2]>>),
    /// It cannot; others may.
    Refused(Failure),
}

/// One column answering one prompt.
#[derive(Debug, Clone, PartialEq)]
pub enum GenerationEvent {
    Began {
        prompt_tokens: usize,
    },
    /// Text that came since the last one.
    Text(String),
    /// This prompt cannot be answered; the others of the set can.
    Refused {
        why: String,
    },
    Ended {
        finish: Finish,
        /// The whole answer, trimmed at the stop string.
        text: String,
        num_tokens: usize,
        time_to_first_token_secs: f64,
        tokens_per_second: f64,
        /// Whether it equals the expected answer; `None` when none is known.
        is_match: Option<bool>,
    },
}

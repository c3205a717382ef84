//! What the engine can be asked to do.

use super::jobs::compose::Way;
use crate::data::import::{ImportOptions, Imported};
use crate::data::prepare::PrepareOptions;
use crate::data::template::Rendered;
use crate::infer::sampler::Sampling;
use crate::peft::compose::{Part, Source};
use crate::project::folder::Remembered;
use crate::project::prompt_set::PromptSet;
use crate::recipe::Recipe;
use crate::recipe::variants::Contender;
use std::path::PathBuf;
use std::sync::Arc;

/// One unit of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// A prompt for one column of the playground.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateRequest {
    /// Catalogue name, folder or .gguf file.
    pub model: String,
    pub columns: Vec<ColumnRequest>,
    pub prompts: Vec<Prompt>,
    pub max_tokens: usize,
    pub stop: Vec<String>,
}

/// One column: which adapter (none is the base) and how to sample.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnRequest {
    pub adapter: Option<Source>,
    pub sampling: Sampling,
}

/// What to send, rendered already so that the window can show the exact text.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    pub rendered: Rendered,
    /// The right answer, if known: scored by exact match.
    pub expected: Option<String>,
}

/// Texts for models that read them.
#[derive(Debug, Clone, PartialEq)]
pub struct AskRequest {
    /// Catalogue name, folder or .gguf file.
    pub model: String,
    /// Folders of what was trained, side by side; none is the base model.
    pub columns: Vec<Option<PathBuf>>,
    pub ask: Ask,
}

/// What is asked of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// The classes or the score of each text.
    Judge { texts: Vec<ReadText> },
    /// The likeliest tokens of each hidden place.
    FillMask { text: String, top: usize },
    /// The rows nearest to a text, where there is one, and all of them in a plane.
    Nearest { text: String, rows: Arc<Vec<String>>, top: usize },
}

/// A text, or two that are judged together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadText {
    pub first: String,
    pub second: Option<String>,
}

#[derive(Debug, Clone)]
pub enum Command {
    // io lane
    OpenProject {
        folder: PathBuf,
    },
    /// Keeps what was chosen and typed in the open project.
    Remember {
        project: PathBuf,
        memory: Box<Remembered>,
    },
    /// Which devices there are, and how much is free for a run in `folder`.
    LookAtMachine {
        folder: PathBuf,
    },
    ListModels,
    /// Reads headers only: parameters, context, template, files.
    InspectModel {
        source: String,
    },
    DownloadModel {
        name: String,
    },
    Import {
        path: PathBuf,
        options: ImportOptions,
    },
    /// Ledger, split, token statistics and samples for the chosen model's tokenizer.
    Prepare {
        imported: Arc<Imported>,
        model: String,
        options: PrepareOptions,
    },
    /// Reads a recipe file of the user's.
    ReadRecipe {
        path: PathBuf,
    },
    ListRuns {
        project: PathBuf,
    },
    /// Reads `metrics.jsonl` of a run and sends what it holds as `Event::Run`s.
    ReadRun {
        folder: PathBuf,
    },
    DeleteRun {
        folder: PathBuf,
    },
    ListComparisons {
        project: PathBuf,
    },
    /// Deletes a comparison with its runs and lists those that are left.
    DeleteComparison {
        project: PathBuf,
        folder: PathBuf,
    },
    ListPromptSets {
        project: PathBuf,
    },
    SavePromptSet {
        project: PathBuf,
        set: PromptSet,
    },
    /// What the project keeps to answer with besides its runs.
    ListAdapters {
        project: PathBuf,
    },
    /// Deletes one of them and lists those that are left.
    DeleteAdapter {
        project: PathBuf,
        folder: PathBuf,
    },
    /// Which model an adapter says that it was made for.
    ReadAdapter {
        folder: PathBuf,
    },
    /// Says once that the adapter of another program is for `model`, whatever its files call it.
    AdoptAdapter {
        folder: PathBuf,
        model: String,
    },
    /// Copies a run's adapter (PEFT format) to a folder of the user's choice.
    ExportAdapter {
        run: PathBuf,
        to: PathBuf,
    },
    // compute lane
    /// Finds out how fast the machine is, unless that is known already.
    MeasureSpeed,
    /// Trains into a new folder under the project's `runs`.
    Train {
        project: PathBuf,
        recipe: Box<Recipe>,
    },
    ResumeRun {
        folder: PathBuf,
    },
    /// Trains with each of these methods, and orders of the rows, one after the other, in a new folder among the project's comparisons.
    CompareMethods {
        project: PathBuf,
        recipe: Box<Recipe>,
        methods: Vec<Contender>,
    },
    ResumeComparison {
        folder: PathBuf,
    },
    /// Works what a run trained into its model's weights and writes that to a folder of the user's choice.
    MergeAdapter {
        run: PathBuf,
        to: PathBuf,
    },
    Generate(GenerateRequest),
    Ask(AskRequest),
    /// Several runs of `model` as one, among the project's adapters.
    SaveMix {
        project: PathBuf,
        name: String,
        model: String,
        parts: Vec<Part>,
        way: Way,
    },
}

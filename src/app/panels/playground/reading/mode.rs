//! What a model can be asked, and what it was made for.

use crate::app::panels::playground::ColumnState;
use crate::app::shared::Shared;
use crate::peft::compose::Source;
use crate::project::runs::RunSummary;
use crate::recipe::recipe::Objective;
use serde::{Deserialize, Serialize};

/// What is done with a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The model goes on with it, or answers.
    #[default]
    Write,
    /// It says a class or a number.
    Judge,
    /// It guesses what is hidden.
    FillMask,
    /// It finds rows that are like it.
    Like,
}

impl Mode {
    pub const ALL: [Self; 4] = [Self::Write, Self::Judge, Self::FillMask, Self::Like];

    pub fn title(self) -> &'static str {
        match self {
            Self::Write => "Write",
            Self::Judge => "Classes and scores",
            Self::FillMask => "Hidden words (fill-mask)",
            Self::Like => "Likeness (embeddings)",
        }
    }

    pub(super) fn explain(self) -> &'static str {
        match self {
            Self::Write => "The model answers, or goes on with a text.",
            Self::Judge => {
                "The model says to which class each text belongs, or which number: what such a run has learnt."
            }
            Self::FillMask => "Words of a text are hidden, and the model guesses what stands there.",
            Self::Like => {
                "The rows of your data that mean much the same as a text, and all of them as a map."
            }
        }
    }

    /// The usual one of what was learnt.
    fn of(objective: &Objective) -> Self {
        match objective {
            Objective::Supervised { .. } | Objective::Pretraining(_) | Objective::SpanCorruption(_) => {
                Self::Write
            }
            Objective::Masked(_) => Self::FillMask,
            Objective::Contrastive(_) => Self::Like,
            _ => Self::Judge,
        }
    }

    /// What the columns were made for: the last that is tuned, or else the model.
    pub fn suited(columns: &[ColumnState], shared: &Shared) -> Self {
        if let Some(run) = columns.iter().rev().find_map(|column| run_of(column, shared)) {
            let mut tasks = run.recipe.tasks.iter().map(|task| Self::of(&task.objective));
            let first = tasks.clone().next().unwrap_or_else(|| Self::of(&run.recipe.objective));
            return tasks.find(|mode| *mode == Self::Judge).unwrap_or(first);
        }
        match shared.model.as_ref().map(|info| &info.config) {
            Some(config) if config.has_masked_head() => Self::FillMask,
            Some(config) if config.check_writes().is_err() => match config.native_head() {
                Some(_) => Self::Judge,
                None => Self::Like,
            },
            _ => Self::Write,
        }
    }

    /// Why the chosen model cannot; what only a run knows is left to the engine.
    pub fn why_not(self, columns: &[ColumnState], shared: &Shared) -> Option<&'static str> {
        let config = &shared.model.as_ref()?.config;
        match self {
            Self::Write if config.check_writes().is_err() => {
                Some("This model reads texts and writes none. Choose one that answers, in Model.")
            }
            Self::Like if config.encoder.is_some() => Some(
                "This model reads with one stack and writes with another: nothing in it stands for a whole text. Choose an encoder, in Model.",
            ),
            Self::FillMask if config.is_causal() => Some(
                "This model writes from left to right and guesses no hidden words. Choose one that reads both ways, such as a BERT, in Model.",
            ),
            Self::FillMask if !config.has_masked_head() && !learnt(columns, shared, Self::FillMask) => Some(
                "This model's files hold no part that guesses words. A run that learns hidden words (masked) makes one, or choose a model that has it.",
            ),
            _ => None,
        }
    }
}

/// The run whose adapter answers in a column.
pub(super) fn run_of<'a>(column: &ColumnState, shared: &'a Shared) -> Option<&'a RunSummary> {
    let Some(Source::Folder(folder)) = &column.adapter else { return None };
    shared.runs.iter().find(|run| run.adapter.as_ref() == Some(folder))
}

/// Whether a column was tuned for this.
pub(super) fn learnt(columns: &[ColumnState], shared: &Shared, mode: Mode) -> bool {
    columns.iter().filter_map(|column| run_of(column, shared)).any(|run| has_learnt(run, mode))
}

/// Whether a run, or one of its tasks, was for this.
fn has_learnt(run: &RunSummary, mode: Mode) -> bool {
    match &run.recipe.tasks[..] {
        [] => Mode::of(&run.recipe.objective) == mode,
        tasks => tasks.iter().any(|task| Mode::of(&task.objective) == mode),
    }
}

/// Runs of the chosen model that were tuned for this, the newest first.
pub(super) fn runs_for(shared: &Shared, mode: Mode) -> impl Iterator<Item = &RunSummary> {
    let is_fit = move |run: &&RunSummary| {
        run.adapter.is_some() && run.recipe.model.source == shared.model_source && has_learnt(run, mode)
    };
    shared.runs.iter().filter(is_fit)
}

//! What a run reports: one JSON object a line in `metrics.jsonl`, the same on the command line and in the
//! window. It stands in `project` because it is a file format: what is read back must not need the trainer.

use crate::base::human;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All updates were done.
    Done,
    /// The validation loss no longer fell.
    StoppedEarly,
    /// A person stopped it; it can be resumed.
    Stopped,
    /// A person threw it away.
    Discarded,
    /// It failed; `RunEvent::Failed` says why.
    Failed,
}

/// What the run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    LoadingModel,
    PreparingData,
    /// Measuring how hard each row is.
    Grading,
    Training,
    Validating,
    /// Measuring the test rows.
    Testing,
    Saving,
    Paused,
    Ended,
}

impl Phase {
    pub fn words(self) -> &'static str {
        match self {
            Self::LoadingModel => "loading the model",
            Self::PreparingData => "preparing the data",
            Self::Grading => "measuring how hard each row is",
            Self::Training => "training",
            Self::Validating => "validating",
            Self::Testing => "measuring the test rows",
            Self::Saving => "saving",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }
}

/// An answer to a validation row, to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub prompt: String,
    pub expected: String,
    pub base: String,
    pub tuned: String,
}

/// Seconds of one operation in one update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationCost {
    pub operation: String,
    #[serde(deserialize_with = "null_is_nan")]
    pub forward_secs: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub backward_secs: f64,
    pub calls: u64,
}

impl OperationCost {
    /// Both ways.
    pub fn secs(&self) -> f64 {
        self.forward_secs + self.backward_secs
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    Started {
        /// RFC 3339.
        time: String,
        num_updates: u64,
        #[serde(deserialize_with = "null_is_nan")]
        updates_per_epoch: f64,
        num_train: usize,
        /// Validation rows that are measured.
        num_valid: usize,
        num_trainable_params: u64,
        estimated_memory_bytes: u64,
        /// Of all updates, without validation; 0 in runs of before.
        #[serde(default)]
        estimated_secs: f64,
        device: String,
        /// The update that the run goes on from; 0 for a new one.
        from_update: u64,
    },
    Phase {
        phase: Phase,
    },
    Update {
        update: u64,
        #[serde(deserialize_with = "null_is_nan")]
        epoch: f64,
        #[serde(deserialize_with = "null_is_nan")]
        loss: f64,
        #[serde(deserialize_with = "null_is_nan")]
        learning_rate: f64,
        #[serde(deserialize_with = "null_is_nan")]
        grad_norm: f64,
        num_tokens: u64,
        #[serde(deserialize_with = "null_is_nan")]
        tokens_per_second: f64,
        #[serde(deserialize_with = "null_is_nan")]
        update_secs: f64,
        memory_bytes: u64,
        /// Mean loss on the general text that is learnt again beside the data, unweighted; not in `loss`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replay_loss: Option<f64>,
        /// Mean divergence from the base model's predictions, unweighted; not in `loss`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        divergence: Option<f64>,
    },
    /// Where the time of an update went; of some updates only.
    Profile {
        update: u64,
        #[serde(deserialize_with = "null_is_nan")]
        update_secs: f64,
        /// The costliest first.
        operations: Vec<OperationCost>,
    },
    Validation {
        update: u64,
        /// Of several tasks the mean by their weights.
        #[serde(deserialize_with = "null_is_nan")]
        loss: f64,
        /// Whether this is the best one so far.
        best: bool,
        /// Validations in a row without gain.
        without_gain: u32,
        /// What the best one is known by, where that is not the loss: of several tasks, the mean of their losses beside those of the first
        /// validation.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beside_first: Option<f64>,
        /// What is measured of the objective besides, by name.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        metrics: BTreeMap<String, f64>,
    },
    /// The mean loss of each of several tasks in the update just told, of those that it had micro-batches of.
    TaskLosses {
        update: u64,
        losses: BTreeMap<String, f64>,
    },
    /// One of several tasks at a validation, before the mean of them all.
    TaskValidation {
        update: u64,
        task: String,
        #[serde(deserialize_with = "null_is_nan")]
        loss: f64,
        #[serde(default)]
        metrics: BTreeMap<String, f64>,
    },
    /// Rows that nobody trained on, by the model before the run or as the run leaves it.
    Tested {
        update: u64,
        is_base: bool,
        #[serde(deserialize_with = "null_is_nan")]
        loss: f64,
        num_rows: usize,
        #[serde(default)]
        metrics: BTreeMap<String, f64>,
        /// Of several tasks, which one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<String>,
    },
    /// How well the held-out general text is known: at update 0 by the base model.
    GeneralText {
        update: u64,
        #[serde(deserialize_with = "null_is_nan")]
        loss: f64,
        #[serde(deserialize_with = "null_is_nan")]
        perplexity: f64,
    },
    Answers {
        update: u64,
        answers: Vec<Answer>,
    },
    Checkpoint {
        update: u64,
        /// Folder name inside the run's `checkpoints`.
        name: String,
        best: bool,
    },
    Notice {
        text: String,
    },
    Failed {
        update: u64,
        failure: crate::base::Failure,
    },
    Finished {
        outcome: Outcome,
        update: u64,
        best_update: Option<u64>,
        best_loss: Option<f64>,
        #[serde(deserialize_with = "null_is_nan")]
        secs: f64,
        /// Folder of the adapter, relative to the run folder; absent when nothing was saved.
        adapter: Option<String>,
    },
}

impl RunEvent {
    /// The update that the event speaks of, if it speaks of one.
    pub fn update(&self) -> Option<u64> {
        match self {
            Self::Update { update, .. }
            | Self::Profile { update, .. }
            | Self::Validation { update, .. }
            | Self::TaskLosses { update, .. }
            | Self::TaskValidation { update, .. }
            | Self::Tested { update, .. }
            | Self::GeneralText { update, .. }
            | Self::Answers { update, .. }
            | Self::Checkpoint { update, .. }
            | Self::Failed { update, .. }
            | Self::Finished { update, .. } => Some(*update),
            Self::Started { from_update, .. } => Some(*from_update),
            Self::Phase { .. } | Self::Notice { .. } => None,
        }
    }
}

/// JSON has no NaN and no infinity: they are written as null, and null is read as NaN rather than losing the line.
fn null_is_nan<'de, D: Deserializer<'de>>(source: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(source)?.unwrap_or(f64::NAN))
}

/// The name of the figure of losses of tokens.
pub const PERPLEXITY: &str = "perplexity";

/// Figures by name behind a loss: ", accuracy 0.9120, macro F1 0.9050"; nothing where there are none.
fn figures(metrics: &BTreeMap<String, f64>) -> String {
    let one = |(name, value): (&String, &f64)| match name.as_str() {
        PERPLEXITY => format!(", {name} {value:.2}"),
        _ => format!(", {name} {value:.4}"),
    };
    metrics.iter().map(one).collect()
}

/// What an event of a validation says, in a sentence.
pub fn validation_words(
    update: u64,
    loss: f64,
    beside_first: Option<f64>,
    metrics: &BTreeMap<String, f64>,
    is_best: bool,
) -> String {
    let (update, figures) = (human::count(update), figures(metrics));
    let best = if is_best { ", the best so far" } else { "" };
    let tasks = beside_first
        .map_or(String::new(), |mean| format!(", {mean:.3} of the first in the mean of the tasks"));
    format!("update {update}: validation loss {loss:.4}{figures}{tasks}{best}")
}

/// What an event of a test says, in a sentence.
pub fn tested_words(
    task: Option<&str>,
    is_base: bool,
    loss: f64,
    num_rows: usize,
    metrics: &BTreeMap<String, f64>,
) -> String {
    let who = if is_base { "before the run" } else { "after the run" };
    let figures = figures(metrics);
    let rows = human::plural(num_rows as u64, "test row");
    let of = task.map_or(String::new(), |task| format!("{task}: "));
    format!("{of}{rows} {who}: loss {loss:.4}{figures}")
}

/// What an event of one of several tasks says, in a sentence.
pub fn task_words(update: u64, task: &str, loss: f64, metrics: &BTreeMap<String, f64>) -> String {
    let figures = figures(metrics);
    format!("update {}: {task}: validation loss {loss:.4}{figures}", human::count(update))
}

//! Why a run failed.

use super::memory::Shortage;
use crate::base::{Explain, human};
use crate::model::ModelError;
use crate::peft::PeftError;
use crate::project::ProjectError;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("the {what} became {value} at update {update}")]
    NotFinite { what: &'static str, value: f64, update: u64 },
    #[error("{0}")]
    Model(#[from] ModelError),
    #[error("{0}")]
    Peft(#[from] PeftError),
    #[error("{0}")]
    Project(#[from] ProjectError),
    #[error("the checkpoint cannot be used: {why} ({})", path.display())]
    Checkpoint { path: PathBuf, why: String },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("the model's vocabulary has no token that hides others")]
    NoMask,
    #[error("the model's vocabulary has no tokens that stand for pieces of a text, such as <extra_id_0>")]
    NoSentinels,
    #[error("no training row has a token to learn from")]
    NothingToLearn,
    /// Nothing of the run has changed by the step that found it.
    #[error("{0}")]
    OutOfMemory(Shortage),
    /// In the words of the device's library.
    #[error("the graphics card stopped working ({})", human::elide(.0, 160))]
    DeviceLost(String),
    #[error("{operation}: {source}")]
    Compute { operation: &'static str, source: candle_core::Error },
}

impl Explain for TrainError {
    fn title(&self) -> String {
        match self {
            Self::NotFinite { .. } => "The run went out of bounds and was stopped".into(),
            Self::Checkpoint { .. } => "Cannot go on with the run".into(),
            Self::Write { .. } => "Cannot save the run".into(),
            Self::NoMask => "Nothing can be hidden from this model".into(),
            Self::NoSentinels => "Nothing can be taken out of texts for this model".into(),
            Self::NothingToLearn => "There is nothing to learn from".into(),
            Self::OutOfMemory(_) => "There is not enough memory for the run".into(),
            Self::DeviceLost(_) => "The graphics card was lost".into(),
            Self::Compute { .. } => "The computation failed".into(),
            Self::Model(e) => e.title(),
            Self::Peft(e) => e.title(),
            Self::Project(e) => e.title(),
        }
    }

    fn hint(&self) -> String {
        match self {
            // Nothing has been learnt yet, so no setting of the optimizer can be at fault.
            Self::NotFinite { what: "loss", update: 1, .. } => {
                "The model itself computes no numbers on this data, before anything is learnt. Download the model again, or keep its weights in f32."
                    .into()
            }
            Self::NotFinite { .. } => {
                "Try a learning rate ten times smaller, a longer warm-up, or clipping at 1.".into()
            }
            Self::Checkpoint { .. } => {
                "Begin a new run with the same recipe: Rerun in the window, or train with another --out."
                    .into()
            }
            Self::Write { .. } => "Make room on the disk, or see that you may write there.".into(),
            Self::NoMask => "Choose a model that was made to guess hidden words, such as BERT, or continued pretraining.".into(),
            Self::NoSentinels => "Choose a T5 with its own tokenizer, or supervised tuning.".into(),
            Self::NothingToLearn => "Train on everything, or raise the longest example.".into(),
            Self::OutOfMemory(_) => "Close other programs and go on; or begin a new run with run.checkpointing = \"all\", a smaller \
                 batch.micro_batch_tokens or batch.max_tokens, model.precision = \"q8_0\", or a higher run.memory_limit."
                .into(),
            Self::DeviceLost(_) => "Close Tunesmith and start it again: until then nothing can be computed on the card. If it happens again, \
                 restart the machine and look at the card's driver, heat and power supply."
                .into(),
            Self::Compute { .. } => "Try a smaller micro-batch or another device.".into(),
            Self::Model(e) => e.hint(),
            Self::Peft(e) => e.hint(),
            Self::Project(e) => e.hint(),
        }
    }
}

/// A run that ended in an error, and the update of the newest checkpoint it leaves.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failed {
    pub error: Box<TrainError>,
    pub kept: Option<u64>,
}

impl Explain for Failed {
    fn title(&self) -> String {
        self.error.title()
    }

    fn hint(&self) -> String {
        let hint = self.error.hint();
        match (&*self.error, self.kept) {
            (TrainError::Checkpoint { .. } | TrainError::NothingToLearn, _) => hint,
            (_, Some(update)) => {
                format!("{hint} The checkpoint of update {update} is kept, and the run can go on from it.")
            }
            (_, None) => format!("{hint} No checkpoint had been saved yet."),
        }
    }
}

/// Names the operation that a candle error came from.
pub trait During<T> {
    fn during(self, operation: &'static str) -> Result<T, TrainError>;
}

impl<T> During<T> for candle_core::Result<T> {
    fn during(self, operation: &'static str) -> Result<T, TrainError> {
        self.map_err(|source| TrainError::Compute { operation, source })
    }
}

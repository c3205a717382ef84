//! Why a run failed.

use crate::base::Explain;
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
    #[error("no training row has a token to learn from")]
    NothingToLearn,
    #[error("{operation}: {source}")]
    Compute { operation: &'static str, source: candle_core::Error },
}

impl Explain for TrainError {
    fn title(&self) -> String {
        match self {
            Self::NotFinite { .. } => "The run went out of bounds and was stopped".into(),
            Self::Checkpoint { .. } => "Cannot go on with the run".into(),
            Self::Write { .. } => "Cannot save the run".into(),
            Self::NothingToLearn => "There is nothing to learn from".into(),
            Self::Compute { .. } => "The computation failed".into(),
            Self::Model(e) => e.title(),
            Self::Peft(e) => e.title(),
            Self::Project(e) => e.title(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::NotFinite { .. } => {
                "The last good checkpoint is kept. Try a learning rate ten times smaller, a longer warm-up, or clipping at 1."
                    .into()
            }
            Self::Checkpoint { .. } => "Start the run again from the beginning with Rerun.".into(),
            Self::Write { .. } => {
                "The last good checkpoint is intact. Make room on the disk or choose another folder, then resume.".into()
            }
            Self::NothingToLearn => "Train on everything, or raise the longest example.".into(),
            Self::Compute { .. } => "Try a smaller micro-batch or another device.".into(),
            Self::Model(e) => e.hint(),
            Self::Peft(e) => e.hint(),
            Self::Project(e) => e.hint(),
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

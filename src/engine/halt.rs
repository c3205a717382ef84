//! How a job ends before its time.

use crate::base::{Explain, Failure};
use crate::data::DataError;
use crate::export::ExportError;
use crate::hub::HubError;
use crate::model::ModelError;
use crate::peft::PeftError;
use crate::project::ProjectError;
use crate::train::{self, TrainError};

/// A job was stopped by a person, or it failed.
#[derive(Debug)]
pub enum Halt {
    Stopped,
    Failed(Failure),
    /// It ended badly and has said so already.
    Reported,
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn halt<E: Explain>(error: E, is_stop: bool) -> Halt {
    if is_stop { Halt::Stopped } else { Halt::Failed(error.into()) }
}

impl From<DataError> for Halt {
    fn from(error: DataError) -> Self {
        let is_stop = matches!(error, DataError::Stopped);
        halt(error, is_stop)
    }
}

impl From<ModelError> for Halt {
    fn from(error: ModelError) -> Self {
        let is_stop = matches!(error, ModelError::Stopped);
        halt(error, is_stop)
    }
}

impl From<HubError> for Halt {
    fn from(error: HubError) -> Self {
        let is_stop = matches!(error, HubError::Stopped);
        halt(error, is_stop)
    }
}

impl From<TrainError> for Halt {
    fn from(error: TrainError) -> Self {
        let is_stop = matches!(error, TrainError::Model(ModelError::Stopped));
        halt(error, is_stop)
    }
}

impl From<train::Failed> for Halt {
    fn from(failed: train::Failed) -> Self {
        let is_stop = matches!(*failed.error, TrainError::Model(ModelError::Stopped));
        halt(failed, is_stop)
    }
}

impl From<PeftError> for Halt {
    fn from(error: PeftError) -> Self {
        let is_stop = matches!(&error, PeftError::Model(model) if matches!(**model, ModelError::Stopped));
        halt(error, is_stop)
    }
}

impl From<ProjectError> for Halt {
    fn from(error: ProjectError) -> Self {
        halt(error, false)
    }
}

impl From<ExportError> for Halt {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Merge(error) => error.into(),
            error => halt(error, false),
        }
    }
}

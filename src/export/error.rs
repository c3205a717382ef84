//! Why something could not leave the project.

use crate::base::Explain;
use crate::peft::PeftError;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("the run has no adapter yet ({})", path.display())]
    NoAdapter { path: PathBuf },
    #[error("something of that name is there already ({})", path.display())]
    Exists { path: PathBuf },
    #[error("{0}")]
    Merge(PeftError),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

impl Explain for ExportError {
    fn title(&self) -> String {
        match self {
            Self::Merge(error) => error.title(),
            Self::Exists { .. } => "The folder cannot be used".into(),
            _ => "Cannot export the adapter".into(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::NoAdapter { .. } => "Let the run finish, or stop and save it.".into(),
            Self::Merge(error) => error.hint(),
            Self::Exists { .. } => "Choose a new or an empty folder.".into(),
            Self::Write { .. } => "Check that the disk has room and that you may write there.".into(),
        }
    }
}

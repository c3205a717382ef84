//! Why something could not leave the project.

use crate::base::Explain;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("the run has no adapter yet ({})", path.display())]
    NoAdapter { path: PathBuf },
    #[error("something of that name is there already ({})", path.display())]
    Exists { path: PathBuf },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

impl Explain for ExportError {
    fn title(&self) -> String {
        match self {
            Self::Exists { .. } => "The folder cannot be used",
            _ => "Cannot export the adapter",
        }
        .into()
    }

    fn hint(&self) -> String {
        match self {
            Self::NoAdapter { .. } => "Let the run finish, or stop and save it.".into(),
            Self::Exists { .. } => "Choose a new or an empty folder.".into(),
            Self::Write { .. } => "Check that the disk has room and that you may write there.".into(),
        }
    }
}

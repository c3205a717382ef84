//! Why something of the project could not be read or written.

use crate::base::Explain;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{why} ({})", path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("the project was made by a newer Tunesmith: its format is {found}, this one knows {known} ({})", path.display())]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error("{} ({})", if *is_run { "the folder holds a run already" } else { "the folder is not empty" }, path.display())]
    Occupied { path: PathBuf, is_run: bool },
    #[error("this is not the folder of a run, so it is left alone ({})", path.display())]
    NotARun { path: PathBuf },
    #[error("this is not the folder of a comparison, so it is left alone ({})", path.display())]
    NotAComparison { path: PathBuf },
    #[error("this is not the folder of a saved mix, so it is left alone ({})", path.display())]
    NotAMix { path: PathBuf },
    #[error("another window or command is using it ({})", path.display())]
    InUse { path: PathBuf },
}

impl ProjectError {
    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { path: path.to_path_buf(), source }
    }

    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write { path: path.to_path_buf(), source }
    }
}

impl Explain for ProjectError {
    fn title(&self) -> String {
        match self {
            Self::Read { .. } | Self::Damaged { .. } => "Cannot read from the project".into(),
            Self::Write { .. } => "Cannot write to the project".into(),
            Self::Occupied { .. } => "Cannot start the run".into(),
            Self::NotARun { .. } => "Cannot delete the run".into(),
            Self::NotAComparison { .. } => "Cannot delete the comparison".into(),
            Self::NotAMix { .. } => "Cannot delete the mix".into(),
            Self::Newer { .. } | Self::InUse { .. } => "Cannot open the project".into(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "Ask whoever owns it for the permission to read, or choose another folder.".into()
            }
            Self::Read { .. } => "Check that the folder exists and that you may read it.".into(),
            Self::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "The disk is full: make room, then try again. What was saved before is intact.".into()
            }
            Self::Write { .. } => {
                "Check that the disk has room and that you may write there, or choose another folder.".into()
            }
            Self::Damaged { .. } => "Restore the file from a copy, or delete it and start again.".into(),
            Self::Occupied { is_run: true, .. } => {
                "Go on with that run by --resume, or name another folder for a new one with --out.".into()
            }
            Self::Occupied { is_run: false, .. } => "Name a folder that is new or empty with --out.".into(),
            Self::NotARun { .. } => "Choose a run in the folder \"runs\" of a project.".into(),
            Self::NotAMix { .. } => "Choose a mix in the folder \"adapters\" of a project.".into(),
            Self::NotAComparison { .. } => {
                "Choose a comparison in the folder \"comparisons\" of a project.".into()
            }
            Self::Newer { .. } => "Update Tunesmith, or open another project.".into(),
            Self::InUse { .. } => {
                "Close the other window or wait for the other command first, or choose another folder.".into()
            }
        }
    }
}

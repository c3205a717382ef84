//! Why a model cannot be loaded. Every variant names the file, and the tensor where there is one.

use super::families::Family;
use crate::base::{Explain, human};
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("{why} ({})", path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("you have no permission to read it ({})", path.display())]
    NoPermission { path: PathBuf },
    #[error("{what} is missing ({})", path.display())]
    Missing { path: PathBuf, what: String },
    #[error("the file is damaged: {why} ({})", path.display())]
    Corrupt { path: PathBuf, why: String },
    #[error("the architecture \"{architecture}\" is not supported ({})", path.display())]
    Unsupported {
        path: PathBuf,
        architecture: String,
        /// Settings of it that supported ones have, too.
        familiar: Vec<&'static str>,
    },
    #[error("{what} is not supported ({})", path.display())]
    Refused { path: PathBuf, what: String },
    #[error("{file} is a pickle, which executes whatever code it holds when it is opened; it is not ({})", path.display())]
    Pickle { path: PathBuf, file: String },
    #[error("the setting {key} {why} ({})", path.display())]
    Setting { path: PathBuf, key: String, why: String },
    #[error("tensor {tensor} has the shape {got:?} where {expected:?} is needed ({})", path.display())]
    Shape { path: PathBuf, tensor: String, expected: Vec<usize>, got: Vec<usize> },
    #[error("tensor {tensor}: {why} ({})", path.display())]
    Tensor { path: PathBuf, tensor: String, why: String },
    #[error("{title} {}", if *is_causal { "comes without the part that predicts tokens" } else { "is an encoder: it reads whole texts and writes none" })]
    CannotWrite { title: &'static str, is_causal: bool },
    #[error("the model does not predict masked tokens: its files hold no head for it")]
    NoMaskedHead,
    #[error("the heads of tasks {0}")]
    Heads(String),
    #[error("the prompt is empty")]
    EmptyPrompt,
    #[error("the prompt has {prompt_tokens} tokens, but the model's context holds {context_tokens}")]
    PromptTooLong { prompt_tokens: usize, context_tokens: usize },
    #[error("at position {position} the model gave no number for any token (NaN or infinite)")]
    NoLikelyToken { position: usize },
    #[error("a sample has {tokens} tokens, but the model's context holds {context_tokens}")]
    SampleTooLong { tokens: usize, context_tokens: usize },
    #[error(
        "token {token} is outside the model's vocabulary of {vocabulary}: the tokenizer and the model do not belong together"
    )]
    ForeignToken { token: u32, vocabulary: usize },
    #[error("{0}")]
    Device(String),
    #[error("{operation}: {source}")]
    Compute { operation: &'static str, source: candle_core::Error },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("stopped")]
    Stopped,
}

impl ModelError {
    /// Why a file cannot be read; a lack of permission is told apart.
    pub fn of_file(path: &Path, e: &std::io::Error) -> Self {
        match e.kind() {
            std::io::ErrorKind::PermissionDenied => Self::NoPermission { path: path.into() },
            _ => Self::Unreadable { path: path.into(), why: e.to_string() },
        }
    }
}

impl Explain for ModelError {
    fn title(&self) -> String {
        match self {
            Self::Device(_) => "The device cannot be used".into(),
            Self::Compute { .. } => "The computation failed".into(),
            Self::EmptyPrompt | Self::PromptTooLong { .. } | Self::NoLikelyToken { .. } => {
                "The prompt cannot be answered".into()
            }
            Self::SampleTooLong { .. } => "A sample is too long for the model".into(),
            Self::ForeignToken { .. } => "The model does not know a token".into(),
            Self::CannotWrite { .. } => "This model writes no text".into(),
            Self::NoMaskedHead => "This model fills no gaps".into(),
            Self::Heads(_) => "The tasks cannot be set up".into(),
            Self::Stopped => "Stopped".into(),
            Self::Write { .. } => "Cannot save the model".into(),
            _ => "Cannot load the model".into(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Unreadable { .. } | Self::Missing { .. } => {
                "Choose the folder that holds config.json, the .safetensors files and tokenizer.json, or a .gguf file."
                    .into()
            }
            Self::NoPermission { .. } => {
                "Ask whoever owns it for the permission to read the folder and the files in it (chmod, chown), or copy them to a folder of yours."
                    .into()
            }
            Self::Corrupt { .. } | Self::Tensor { .. } => "Download the file again.".into(),
            Self::Unsupported { familiar, .. } => {
                let known = if familiar.is_empty() {
                    String::new()
                } else {
                    format!(" Of its settings, {} look familiar.", human::listed(familiar))
                };
                format!("Supported are {}.{known}", Family::listed())
            }
            Self::Pickle { path, .. } => {
                let folder = path.display();
                format!(
                    "Look for a version of the model with .safetensors files. Or, if you trust where it comes from, make one with two \
                     lines of Python, copy the tokenizer's files there, and choose that folder:\n\
                     from transformers import AutoModelForCausalLM\n\
                     AutoModelForCausalLM.from_pretrained(r\"{folder}\").save_pretrained(r\"{folder}-safetensors\")"
                )
            }
            Self::Refused { .. } => "Choose another model, or another version of this one.".into(),
            Self::Setting { .. } => "Download the model again, or correct the setting.".into(),
            Self::Shape { .. } => "config.json and the weights do not belong together: download both again.".into(),
            Self::CannotWrite { is_causal: false, .. } => {
                "Choose a model that answers, such as smollm2-135m-instruct; or use this one for masked words, labels, scores or \
                 embeddings."
                    .into()
            }
            Self::CannotWrite { .. } => "Choose the model that it was made from, or one that answers.".into(),
            Self::NoMaskedHead => {
                "Choose a checkpoint made for masked language modelling, or train one on that first.".into()
            }
            Self::Heads(_) => "Give every task a name of its own and at least one label.".into(),
            Self::EmptyPrompt => "Write a prompt first.".into(),
            Self::PromptTooLong { .. } => "Shorten the prompt, or show fewer examples.".into(),
            Self::NoLikelyToken { .. } => {
                "Weights or adapter are damaged: train again with a lower learning rate, or download the model again."
                    .into()
            }
            Self::SampleTooLong { context_tokens, .. } => {
                format!("Set the longest example to {context_tokens} tokens or less.")
            }
            Self::ForeignToken { .. } => "Use the tokenizer.json that came with the weights.".into(),
            Self::Device(_) => "Choose CPU as the device.".into(),
            Self::Compute { .. } => "Try a smaller batch or another device.".into(),
            Self::Stopped => String::new(),
            Self::Write { .. } => "Check that the disk has room and that you may write there.".into(),
        }
    }
}

/// Names the operation that a candle error came from.
pub trait During<T> {
    fn during(self, operation: &'static str) -> Result<T, ModelError>;
}

impl<T> During<T> for candle_core::Result<T> {
    fn during(self, operation: &'static str) -> Result<T, ModelError> {
        self.map_err(|source| ModelError::Compute { operation, source })
    }
}

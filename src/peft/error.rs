//! Why an adapter cannot be made or loaded.

use super::{base_model, bottleneck_files, format as files};
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
    #[error("it is a pickle, which executes whatever code it holds when it is opened; it is not ({})", path.display())]
    Pickle { path: PathBuf },
    #[error("tensor {tensor}: {why} ({})", path.display())]
    Tensor { path: PathBuf, tensor: String, why: String },
    #[error("tensor {tensor} holds values that are not finite numbers ({})", path.display())]
    NotFinite { path: PathBuf, tensor: String },
    #[error("no linear layer is called {name}")]
    NoTarget { name: String, family: Family },
    #[error("the prompt's text cannot be used: {0}")]
    Text(String),
    #[error(
        "the inputs of {0} cannot be scaled: it shares them with other layers, or is none of the targets"
    )]
    NotByInput(String),
    #[error("no module but linear layers is called {name}")]
    NoModule { name: String, known: Vec<String> },
    #[error("{named} is one with {other} in this model")]
    OneOfTied { named: &'static str, other: &'static str },
    #[error("only some of {} are tuned, and their biases are computed as one", .0.join(", "))]
    SomeBiases(Vec<String>),
    #[error("the rank must be at least 1")]
    ZeroRank,
    #[error("there is no block {block}: the model has {num_blocks}, counted from 0")]
    NoSuchBlock { block: usize, num_blocks: usize },
    #[error("nothing of the model is chosen to be trained")]
    NothingToTrain,
    #[error("a rank of {rank} is above the size of {module}, {outputs} x {inputs}")]
    RankTooHigh { rank: usize, module: String, outputs: usize, inputs: usize },
    #[error("\"{0}\" is no pattern of layer names")]
    Pattern(String),
    #[error("{0}")]
    CannotMerge(&'static str),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("it was made for {made_for}, and the model here is {chosen}: {why} ({})", folder.display())]
    OtherBase { folder: PathBuf, made_for: String, chosen: String, why: String },
    #[error("{why}")]
    Compose { why: String, hint: String },
    #[error("{0}")]
    Model(Box<ModelError>),
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
            Self::OtherBase { .. } => "The adapter is for another model".into(),
            Self::Compose { .. } => "Cannot compose these adapters".into(),
            Self::CannotMerge(_) => "The adapter cannot be merged into the model".into(),
            Self::NoTarget { .. }
            | Self::NoModule { .. }
            | Self::OneOfTied { .. }
            | Self::SomeBiases(_)
            | Self::NotByInput(_)
            | Self::ZeroRank
            | Self::NoSuchBlock { .. }
            | Self::NothingToTrain
            | Self::Pattern(_)
            | Self::Text(_)
            | Self::RankTooHigh { .. } => "Cannot make the adapter".into(),
            Self::Model(e) => e.title(),
            _ => "Cannot load the adapter".into(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Unreadable { path, .. } if path.ends_with(base_model::FILE) => {
                "Take the adapter from where it was made; without this file it is not known what model it is for.".into()
            }
            Self::Unreadable { path, .. } => {
                let is_bottleneck = path.ends_with(bottleneck_files::WEIGHTS_FILE);
                let weights = if is_bottleneck { bottleneck_files::WEIGHTS_FILE } else { files::WEIGHTS_FILE };
                format!("Choose a folder that holds {} and {weights}.", files::CONFIG_FILE)
            }
            Self::Unsupported { key, .. } if key == "init_lora_weights" => {
                "Adapters that began so need base weights that were changed with them. Let PEFT make a plain LoRA of it: save_pretrained with \
                 path_initial_model_for_weight_conversion, which its documentation describes for PiSSA and OLoRA.".into()
            }
            Self::Unsupported { key, .. } if key != "peft_type" => {
                format!("What {key} says changes the answers, and is not known here. Choose an adapter without it, or with another value.")
            }
            Self::Pickle { path } => {
                let folder = path.parent().unwrap_or(path).display();
                format!(
                    "Look for a version of the adapter with {}. Or, if you trust where it comes from, make one with three lines of \
                     Python and copy it there:\n\
                     import torch, safetensors.torch\n\
                     tensors = torch.load(r\"{}\", weights_only=True)\n\
                     safetensors.torch.save_file({{n: t.contiguous() for n, t in tensors.items()}}, r\"{folder}/{}\")",
                    files::WEIGHTS_FILE,
                    path.display(),
                    files::WEIGHTS_FILE,
                )
            }
            Self::Unsupported { .. } => {
                "LoRA and DoRA adapters of linear layers, IA3, bottlenecks, prefixes and prompts can be loaded.".into()
            }
            Self::NotFinite { .. } => {
                "The training that made it went astray, or its file is damaged: take another checkpoint of it.".into()
            }
            Self::Tensor { .. } => "The adapter belongs to another model, or its file is damaged.".into(),
            Self::NoTarget { family, .. } => {
                format!("Choose among {}.", human::listed(&family.table().target_names()))
            }
            Self::NoModule { known, .. } => {
                format!("Choose among {}. Linear layers are trained whole by freezing.", human::some_of(known.iter().map(String::as_str), 12))
            }
            Self::OneOfTied { named, other } => format!("Train both, {named} and {other}, or neither."),
            Self::SomeBiases(_) => "Tune all of them or none, or train all biases.".into(),
            Self::NotByInput(_) => {
                "Choose the layer that ends the feed-forward, or the attention: nothing else reads their inputs.".into()
            }
            Self::ZeroRank => "Use 8.".into(),
            Self::NoSuchBlock { num_blocks, .. } => format!("Choose blocks from 0 to {}.", num_blocks.saturating_sub(1)),
            Self::NothingToTrain => "Choose at least one block and something of it, the head or the embeddings.".into(),
            Self::RankTooHigh { outputs, inputs, .. } => format!("Use a rank of at most {}.", outputs.min(inputs)),
            Self::Pattern(_) => "Use the end of a layer's name, such as q_proj or layers.0.mlp.up_proj.".into(),
            Self::CannotMerge(_) => "Use it as an adapter beside the model.".into(),
            Self::Text(_) => "Type a few words on what the model is to do.".into(),
            Self::Write { .. } => "Check that the disk has room and that you may write there.".into(),
            Self::OtherBase { made_for, chosen, .. } if made_for == chosen => {
                "The weights under that name have changed since: put the model back as it was, or tune again.".into()
            }
            Self::OtherBase { made_for, .. } => format!("Choose {made_for} as the model, or an adapter that was made for this one."),
            Self::Compose { hint, .. } => hint.clone(),
            Self::Model(e) => e.hint(),
        }
    }
}

//! What a model is, read from its headers alone.

use super::config::DecoderConfig;
use super::families::Module;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Numbers and files of a model, without its weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// What the user calls it: the catalogue name or the path.
    pub source: String,
    /// Where it lies.
    pub path: PathBuf,
    /// `llama`, `qwen3`…
    pub family: String,
    pub num_params: u64,
    pub num_layers: usize,
    pub width: usize,
    pub num_heads: usize,
    pub num_kv_heads: usize,
    pub head_width: usize,
    pub ffn_width: usize,
    pub vocabulary: usize,
    pub context_tokens: usize,
    pub tied_embeddings: bool,
    /// The linear layers of every block.
    #[serde(default)]
    pub modules: Vec<ModuleInfo>,
    /// `BF16`, `F32`, `Q4_1`…: how most of the weights are stored.
    pub dtype: String,
    pub has_chat_template: bool,
    /// Name and size in bytes.
    pub files: Vec<(String, u64)>,
}

/// A linear layer that every block has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModuleInfo {
    /// `q_proj`: what a recipe's targets are called by.
    pub name: String,
    pub inputs: usize,
    pub outputs: usize,
}

impl ModelInfo {
    /// What the config alone says.
    pub fn of(source: &str, path: &Path, config: &DecoderConfig) -> Self {
        Self {
            source: source.into(),
            path: path.into(),
            family: config.family.name().into(),
            num_params: config.num_params(),
            num_layers: config.num_layers,
            width: config.width,
            num_heads: config.num_heads,
            num_kv_heads: config.num_kv_heads,
            head_width: config.head_width,
            ffn_width: config.ffn_width,
            vocabulary: config.vocabulary,
            context_tokens: config.context_tokens,
            tied_embeddings: config.has_tied_embeddings,
            modules: modules(config),
            ..Self::default()
        }
    }
}

/// What a recipe's targets may be called, each once.
pub fn target_names(modules: &[ModuleInfo]) -> Vec<&str> {
    let mut seen = std::collections::BTreeSet::new();
    modules.iter().map(|module| module.name.as_str()).filter(|name| seen.insert(*name)).collect()
}

fn modules(config: &DecoderConfig) -> Vec<ModuleInfo> {
    let info = |module: Module| {
        let (outputs, inputs) = config.linear_shape(module.linear);
        ModuleInfo { name: module.name().into(), inputs, outputs }
    };
    config.family.table().all_modules().map(info).collect()
}

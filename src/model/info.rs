//! What a model is, read from its headers alone.

use super::config::{DecoderConfig, Pooling};
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
    /// `BF16`, `F32`, `Q4_1`…: how most of the weights are stored.
    pub dtype: String,
    pub has_chat_template: bool,
    /// As its own files say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// What stands for a text where texts are compared, as a folder of sentence-transformers says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// Name and size in bytes.
    pub files: Vec<(String, u64)>,
    /// All of its numbers.
    #[serde(skip)]
    pub config: DecoderConfig,
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
            config: config.clone(),
            ..Self::default()
        }
    }
}

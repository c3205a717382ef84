//! What a model is, read from its headers alone.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Numbers and files of a model, without its weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// What the user calls it: the catalogue name or the path.
    pub source: String,
    /// Where it lies.
    pub path: PathBuf,
    /// `llama`, `mistral`, `qwen2`, `qwen3`.
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
    /// Name and size in bytes.
    pub files: Vec<(String, u64)>,
}

//! Llama (Touvron et al. 2023, arXiv:2302.13971) and Mistral (Jiang et al. 2023, arXiv:2310.06825).

use super::*;
use crate::model::config::{DecoderConfig, Layers};
use serde_json::json;

pub const LLAMA: Table = Table {
    title: "Llama",
    architecture: "LlamaForCausalLM",
    model_type: "llama",
    gguf: Some(GgufTable { is_permuted: true, ..GgufTable::plain("llama") }),
    keys: USUAL_KEYS,
    names: USUAL_NAMES,
    modules: USUAL_MODULES,
    encoder: None,
    norm: NormKind::Rms,
    norms: USUAL_NORMS,
    qk_norm: None,
    scales_prompts: false,
    has_local_rope: false,
    lacks_first_norm: false,
    is_causal: true,
    stem: None,
    scores: Scores {
        pooler: None,
        dense: None,
        norm: None,
        out: "score",
        has_bias: false,
        poolings: &[Pooling::Last],
    },
    read: read_biases,
    write: write_biases,
};

/// Mistral's GGUF files say `llama`, too: the two differ in nothing that the file doesn't say.
pub const MISTRAL: Table = Table {
    title: "Mistral",
    architecture: "MistralForCausalLM",
    model_type: "mistral",
    gguf: None,
    read: |fields, config| {
        config.num_kv_heads = fields.size_or("num_key_value_heads", 8)?;
        config.sliding_window = window(fields, Some(4_096))?;
        config.windowed = Layers::All;
        Ok(())
    },
    write: |config, json| {
        json.insert("sliding_window".into(), json!(config.sliding_window));
    },
    ..LLAMA
};

/// The sliding window; `absent` is transformers' own default where the key is absent altogether, and null means none.
pub(super) fn window(fields: &Fields, absent: Option<usize>) -> Result<Option<usize>, ModelError> {
    match fields.map.get("sliding_window") {
        None => Ok(absent),
        Some(Value::Null) => Ok(None),
        Some(_) => fields.size("sliding_window").map(Some),
    }
}

/// `attention_bias` and `mlp_bias`.
pub(super) fn read_biases(fields: &Fields, config: &mut DecoderConfig) -> Result<(), ModelError> {
    let has_bias = fields.flag("attention_bias", false)?;
    (config.has_qkv_bias, config.has_o_bias) = (has_bias, has_bias);
    config.has_mlp_bias = fields.flag("mlp_bias", false)?;
    Ok(())
}

pub(super) fn write_biases(config: &DecoderConfig, json: &mut Map<String, Value>) {
    json.insert("attention_bias".into(), json!(config.has_qkv_bias));
    json.insert("mlp_bias".into(), json!(config.has_mlp_bias));
}

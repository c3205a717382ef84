//! Qwen2 (Yang et al. 2024, arXiv:2407.10671) and Qwen3 (Yang et al. 2025, arXiv:2505.09388).

use super::llama::{LLAMA, window};
use super::*;
use crate::model::config::{DecoderConfig, Layers};
use serde_json::json;

const KEYS: Keys = Keys { context: ("max_position_embeddings", 32_768), ..USUAL_KEYS };

pub const QWEN2: Table = Table {
    title: "Qwen2",
    architecture: "Qwen2ForCausalLM",
    model_type: "qwen2",
    gguf: Some(GgufTable::plain("qwen2")),
    keys: KEYS,
    read: |fields, config| {
        config.has_qkv_bias = true;
        read_windows(fields, config)
    },
    write: write_windows,
    ..LLAMA
};

pub const QWEN3: Table = Table {
    title: "Qwen3",
    architecture: "Qwen3ForCausalLM",
    model_type: "qwen3",
    gguf: Some(GgufTable::plain("qwen3")),
    keys: Keys { head_width: Some(128), ..KEYS },
    qk_norm: Some(QkNorm::EachHead),
    read: |fields, config| {
        let has_bias = fields.flag("attention_bias", false)?;
        (config.has_qkv_bias, config.has_o_bias) = (has_bias, has_bias);
        read_windows(fields, config)
    },
    write: |config, json| {
        json.insert("attention_bias".into(), json!(config.has_qkv_bias));
        write_windows(config, json);
    },
    ..LLAMA
};

fn read_windows(fields: &Fields, config: &mut DecoderConfig) -> Result<(), ModelError> {
    config.num_kv_heads = fields.size_or("num_key_value_heads", 32)?;
    if !fields.flag("use_sliding_window", false)? {
        return Ok(());
    }
    config.sliding_window = window(fields, Some(4_096))?;
    config.windowed = match fields.layer_kinds("sliding_attention")? {
        Some(listed) => listed,
        None => Layers::From(fields.size_or("max_window_layers", 28)?),
    };
    Ok(())
}

fn write_windows(config: &DecoderConfig, json: &mut Map<String, Value>) {
    json.insert("use_sliding_window".into(), json!(config.sliding_window.is_some()));
    json.insert("sliding_window".into(), json!(config.sliding_window));
    // transformers makes the list of layers from it; a list of one's own goes before
    if let Layers::From(first) = config.windowed {
        json.insert("max_window_layers".into(), json!(first));
    } else {
        json.insert("layer_types".into(), config.layer_types());
    }
}

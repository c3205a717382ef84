//! Gemma (Gemma Team 2024, arXiv:2403.08295), Gemma 2 (arXiv:2408.00118) and the text models of Gemma 3 (2025, arXiv:2503.19786).

use super::llama::{LLAMA, window};
use super::*;
use crate::model::config::{DecoderConfig, Layers};
use crate::nn::ops::Activation;
use serde_json::json;

const KEYS: Keys = Keys {
    head_width: Some(256),
    context: ("max_position_embeddings", 8_192),
    ties_embeddings: true,
    ..USUAL_KEYS
};

pub const GEMMA: Table = Table {
    title: "Gemma",
    architecture: "GemmaForCausalLM",
    model_type: "gemma",
    gguf: Some(GgufTable { read: |_, config| of_gguf(config), ..GgufTable::plain("gemma") }),
    keys: KEYS,
    norm: NormKind::RmsPlusOne,
    read: |fields, config| {
        // Files say "gelu" and mean the other one.
        config.activation = Activation::GeluTanh;
        read_usual(fields, config)
    },
    write: |config, json| {
        json.insert("attention_bias".into(), json!(config.has_qkv_bias));
    },
    ..LLAMA
};

pub const GEMMA2: Table = Table {
    title: "Gemma 2",
    architecture: "Gemma2ForCausalLM",
    model_type: "gemma2",
    gguf: Some(GgufTable {
        read: |fields, config| {
            config.attention_cap = Some(fields.number("attn_logit_softcapping")?.unwrap_or(50.0));
            config.logit_cap = Some(fields.number("final_logit_softcapping")?.unwrap_or(30.0));
            // The one with 27 billion weights.
            windows_of_gguf(config, 2, 46)
        },
        ..GgufTable::plain("gemma2")
    }),
    keys: Keys { activation: "hidden_activation", ..KEYS },
    norms: &[
        (NormAt::BeforeAttention, "input_layernorm"),
        (NormAt::AfterAttention, "post_attention_layernorm"),
        (NormAt::BeforeFeedForward, "pre_feedforward_layernorm"),
        (NormAt::AfterFeedForward, "post_feedforward_layernorm"),
    ],
    read: |fields, config| {
        read_windows(fields, config, 2)?;
        config.attention_cap = cap(fields, "attn_logit_softcapping", Some(50.0))?;
        config.logit_cap = cap(fields, "final_logit_softcapping", Some(30.0))?;
        Ok(())
    },
    write: write_windows,
    ..GEMMA
};

pub const GEMMA3: Table = Table {
    title: "Gemma 3 (text)",
    architecture: "Gemma3ForCausalLM",
    model_type: "gemma3_text",
    stem: Some("Gemma3Text"),
    gguf: Some(GgufTable { read: |_, config| windows_of_gguf(config, 6, 62), ..GgufTable::plain("gemma3") }),
    keys: Keys {
        context: ("max_position_embeddings", 131_072),
        theta: ("rope_theta", 1_000_000.0),
        ..GEMMA2.keys
    },
    qk_norm: Some(QkNorm::EachHead),
    has_local_rope: true,
    read: |fields, config| {
        read_windows(fields, config, fields.size_or("sliding_window_pattern", 6)?)?;
        config.attention_cap = cap(fields, "attn_logit_softcapping", None)?;
        config.logit_cap = cap(fields, "final_logit_softcapping", None)?;
        config.local_rope_theta = fields.local_theta()?.unwrap_or(10_000.0);
        Ok(())
    },
    write: |config, json| {
        write_windows(config, json);
        json.insert("rope_local_base_freq".into(), json!(config.local_rope_theta));
    },
    ..GEMMA2
};

/// The root as transformers has it: in the type of the model, here f32.
fn embedding_scale(width: usize) -> f64 {
    f64::from((width as f32).sqrt())
}

fn of_gguf(config: &mut DecoderConfig) -> Result<(), ModelError> {
    config.activation = Activation::GeluTanh;
    config.embedding_scale = embedding_scale(config.width);
    Ok(())
}

/// llama.cpp keeps neither the pattern of the windows nor what scores are scaled by: one size of each generation divides by the width's
/// share of a head, the others by the head's.
fn windows_of_gguf(config: &mut DecoderConfig, period: usize, large: usize) -> Result<(), ModelError> {
    config.windowed = Layers::AllButEvery(period);
    if config.num_layers == large {
        config.attention_scale = 1.0 / ((config.width / config.num_heads) as f64).sqrt();
    }
    of_gguf(config)
}

fn read_usual(fields: &Fields, config: &mut DecoderConfig) -> Result<(), ModelError> {
    config.embedding_scale = embedding_scale(config.width);
    let has_bias = fields.flag("attention_bias", false)?;
    (config.has_qkv_bias, config.has_o_bias) = (has_bias, has_bias);
    match fields.flag("use_bidirectional_attention", false)? {
        true => Err(fields.refused("attention in both directions".into())),
        false => Ok(()),
    }
}

/// The windows, which all but the last of every `period` layers have.
fn read_windows(fields: &Fields, config: &mut DecoderConfig, period: usize) -> Result<(), ModelError> {
    read_usual(fields, config)?;
    if fields.get("hidden_activation").is_none() {
        config.activation = Activation::GeluTanh;
    }
    let scalar = fields.number("query_pre_attn_scalar")?.unwrap_or(256.0);
    config.attention_scale = 1.0 / scalar.sqrt();
    config.sliding_window = window(fields, Some(4_096))?;
    config.windowed = fields.layer_kinds("sliding_attention")?.unwrap_or(Layers::AllButEvery(period));
    Ok(())
}

/// A soft cap; `absent` where the key is absent altogether, and null means none.
fn cap(fields: &Fields, key: &str, absent: Option<f64>) -> Result<Option<f64>, ModelError> {
    if fields.map.contains_key(key) { fields.number(key) } else { Ok(absent) }
}

fn write_windows(config: &DecoderConfig, json: &mut Map<String, Value>) {
    json.insert("attention_bias".into(), json!(config.has_qkv_bias));
    // A whole number, which the root came from.
    json.insert("query_pre_attn_scalar".into(), json!(config.attention_scale.powi(-2).round() as u64));
    json.insert("sliding_window".into(), json!(config.sliding_window));
    json.insert("layer_types".into(), config.layer_types());
    json.insert("attn_logit_softcapping".into(), json!(config.attention_cap));
    json.insert("final_logit_softcapping".into(), json!(config.logit_cap));
}

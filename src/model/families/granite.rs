//! Granite (IBM 2024, github.com/ibm-granite/granite-3.0-language-models): Llama with multipliers (Yang et al. 2022, arXiv:2203.03466).

use super::llama::{LLAMA, read_biases, write_biases};
use super::*;
use serde_json::json;

pub const GRANITE: Table = Table {
    title: "Granite",
    architecture: "GraniteForCausalLM",
    model_type: "granite",
    gguf: Some(GgufTable {
        architecture: "granite",
        is_permuted: true,
        read: |fields, config| {
            let multiplier = |key, usual: f64| Ok(fields.number(key)?.unwrap_or(usual));
            config.embedding_scale = multiplier("embedding_scale", 1.0)?;
            config.residual_scale = multiplier("residual_scale", 1.0)?;
            config.attention_scale = multiplier("attention.scale", config.attention_scale)?;
            config.logit_scale = 1.0 / multiplier("logit_scale", 1.0)?;
            Ok(())
        },
    }),
    scales_prompts: true,
    read: |fields, config| {
        read_biases(fields, config)?;
        let multiplier = |key| Ok(fields.number(key)?.unwrap_or(1.0));
        config.embedding_scale = multiplier("embedding_multiplier")?;
        config.residual_scale = multiplier("residual_multiplier")?;
        config.attention_scale = multiplier("attention_multiplier")?;
        config.logit_scale = 1.0 / multiplier("logits_scaling")?;
        Ok(())
    },
    write: |config, json| {
        write_biases(config, json);
        json.insert("embedding_multiplier".into(), json!(config.embedding_scale));
        json.insert("residual_multiplier".into(), json!(config.residual_scale));
        json.insert("attention_multiplier".into(), json!(config.attention_scale));
        json.insert("logits_scaling".into(), json!(1.0 / config.logit_scale));
    },
    ..LLAMA
};

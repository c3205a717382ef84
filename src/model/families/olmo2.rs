//! OLMo 2 (Walsh et al. 2025, arXiv:2501.00656): norms after attention and feed-forward, and of all queries and keys.

use super::llama::LLAMA;
use super::*;
use serde_json::json;

pub const OLMO2: Table = Table {
    title: "OLMo 2",
    architecture: "Olmo2ForCausalLM",
    model_type: "olmo2",
    gguf: Some(GgufTable::plain("olmo2")),
    keys: Keys { epsilon: ("rms_norm_eps", 1e-5), ..USUAL_KEYS },
    norms: &[
        (NormAt::AfterAttention, "post_attention_layernorm"),
        (NormAt::AfterFeedForward, "post_feedforward_layernorm"),
    ],
    qk_norm: Some(QkNorm::Whole),
    read: |fields, config| {
        let has_bias = fields.flag("attention_bias", false)?;
        (config.has_qkv_bias, config.has_o_bias) = (has_bias, has_bias);
        Ok(())
    },
    write: |config, json| {
        json.insert("attention_bias".into(), json!(config.has_qkv_bias));
    },
    ..LLAMA
};

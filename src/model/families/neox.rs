//! GPT-NeoX (Black et al. 2022, arXiv:2204.06745) and Pythia (Biderman et al. 2023, arXiv:2304.01373): attention and
//! feed-forward side by side, a part of each head turned, q, k and v of a head together.

use super::llama::LLAMA;
use super::*;
use crate::nn::ops::Activation;
use serde_json::json;

pub const NEOX: Table = Table {
    title: "GPT-NeoX/Pythia",
    architecture: "GPTNeoXForCausalLM",
    model_type: "gpt_neox",
    gguf: Some(GgufTable {
        read: |fields, config| {
            config.rotary_width = fields.size("rope.dimension_count")?.unwrap_or(config.head_width);
            config.is_parallel = fields.flag("use_parallel_residual", true)?;
            // The file does not say: Pythia's, and what transformers takes where config.json does not say.
            config.activation = Activation::Gelu;
            Ok(())
        },
        ..GgufTable::plain("gptneox")
    }),
    keys: Keys { epsilon: ("layer_norm_eps", 1e-5), theta: ("rotary_emb_base", 10_000.0), ..USUAL_KEYS },
    names: Names {
        layers: "gpt_neox.layers.",
        body: "gpt_neox.",
        embedding: "gpt_neox.embed_in",
        final_norm: Some("gpt_neox.final_layer_norm"),
        head: "embed_out",
        ..USUAL_NAMES
    },
    modules: [
        &[Module { linear: Linear::Qkv, path: "attention.query_key_value", stored: Stored::HeadByHead }],
        &[Module::new(Linear::O, "attention.dense")],
        &[Module::new(Linear::Up, "mlp.dense_h_to_4h")],
        &[Module::new(Linear::Down, "mlp.dense_4h_to_h")],
    ],
    norm: NormKind::Layer,
    read: |fields, config| {
        let share = match fields.rope_number("partial_rotary_factor")? {
            Some(share) => share,
            None => fields.number("rotary_pct")?.unwrap_or(0.25),
        };
        config.turn_share(share);
        config.is_parallel = fields.flag("use_parallel_residual", true)?;
        let has_bias = fields.flag("attention_bias", true)?;
        (config.has_qkv_bias, config.has_o_bias, config.has_mlp_bias) = (has_bias, has_bias, true);
        Ok(())
    },
    write: |config, json| {
        json.insert("rotary_pct".into(), json!(config.turned_share()));
        json.insert("use_parallel_residual".into(), json!(config.is_parallel));
        json.insert("attention_bias".into(), json!(config.has_qkv_bias));
    },
    ..LLAMA
};

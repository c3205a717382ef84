//! Phi-3 and Phi-4 (Abdin et al. 2024, arXiv:2404.14219, arXiv:2412.08905): q, k and v in one matrix, gate and up in another.

use super::llama::{LLAMA, window};
use super::*;
use crate::model::config::Layers;
use serde_json::json;

pub const PHI3: Table = Table {
    title: "Phi-3/Phi-4",
    architecture: "Phi3ForCausalLM",
    model_type: "phi3",
    gguf: Some(GgufTable {
        read: |fields, config| {
            config.rotary_width = fields.size("rope.dimension_count")?.unwrap_or(config.head_width);
            match fields.has_tensor("rope_factors_long.weight") {
                true => Err(fields.refused("the rope scaling \"longrope\" of a GGUF file".into())),
                false => Ok(()),
            }
        },
        ..GgufTable::plain("phi3")
    }),
    keys: Keys { context: ("max_position_embeddings", 4_096), epsilon: ("rms_norm_eps", 1e-5), ..USUAL_KEYS },
    modules: [
        &[Module::new(Linear::Qkv, "self_attn.qkv_proj")],
        USUAL_O,
        &[Module::new(Linear::GateUp, "mlp.gate_up_proj")],
        USUAL_DOWN,
    ],
    read: |fields, config| {
        config.sliding_window = window(fields, None)?;
        config.windowed = Layers::All;
        config.turn_share(fields.rope_number("partial_rotary_factor")?.unwrap_or(1.0));
        Ok(())
    },
    write: |config, json| {
        json.insert("sliding_window".into(), json!(config.sliding_window));
        json.insert("partial_rotary_factor".into(), json!(config.turned_share()));
    },
    ..LLAMA
};

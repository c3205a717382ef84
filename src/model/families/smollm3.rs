//! SmolLM3 (Hugging Face 2025, huggingface.co/blog/smollm3): Llama, of whose layers some turn nothing (Yang et al. 2025, arXiv:2501.18795).

use super::llama::{LLAMA, read_biases, window, write_biases};
use super::*;
use crate::model::config::Layers;
use serde_json::json;

pub const SMOLLM3: Table = Table {
    title: "SmolLM3",
    architecture: "SmolLM3ForCausalLM",
    model_type: "smollm3",
    gguf: Some(GgufTable {
        architecture: "smollm3",
        is_permuted: true,
        // llama.cpp takes it so, whatever the file.
        read: |_, config| {
            config.rotated = Layers::AllButEvery(4);
            Ok(())
        },
    }),
    keys: Keys {
        context: ("max_position_embeddings", 32_768),
        theta: ("rope_theta", 2_000_000.0),
        ties_embeddings: true,
        ..USUAL_KEYS
    },
    read: |fields, config| {
        read_biases(fields, config)?;
        config.rotated = rotated(fields)?;
        if fields.flag("use_sliding_window", false)? {
            config.sliding_window = window(fields, None)?;
            config.windowed = fields.layer_kinds("sliding_attention")?.unwrap_or(Layers::None);
        }
        Ok(())
    },
    write: |config, json| {
        write_biases(config, json);
        let is_turned = (0..config.num_layers).map(|layer| u8::from(config.rotated.contains(layer)));
        json.insert("no_rope_layers".into(), json!(is_turned.collect::<Vec<_>>()));
        json.insert("use_sliding_window".into(), json!(config.sliding_window.is_some()));
        json.insert("sliding_window".into(), json!(config.sliding_window));
        json.insert("layer_types".into(), config.layer_types());
    },
    ..LLAMA
};

/// `no_rope_layers`, in which 1 is a layer that is turned, or every so many without.
fn rotated(fields: &Fields) -> Result<Layers, ModelError> {
    let Some(value) = fields.get("no_rope_layers") else {
        return Ok(Layers::AllButEvery(fields.size_or("no_rope_layer_interval", 4)?));
    };
    let listed: Option<Vec<bool>> =
        value.as_array().and_then(|all| all.iter().map(|one| one.as_u64().map(|one| one != 0)).collect());
    listed.map(Layers::Listed).ok_or_else(|| fields.wrong("no_rope_layers", "must be a list of 0 and 1"))
}

//! GPT-2 (Radford et al. 2019): learned positions, layer norms, biases everywhere, matrices stored as [in, out].

use super::llama::LLAMA;
use super::*;
use crate::model::config::Layers;
use crate::nn::ops::Activation;

const fn conv1d(linear: Linear, path: &'static str) -> Module {
    Module { linear, path, stored: Stored::Transposed }
}

pub const GPT2: Table = Table {
    title: "GPT-2",
    architecture: "GPT2LMHeadModel",
    model_type: "gpt2",
    gguf: Some(GgufTable {
        read: |_, config| {
            config.rotated = Layers::None;
            config.activation = Activation::GeluTanh;
            Ok(())
        },
        ..GgufTable::plain("gpt2")
    }),
    keys: Keys {
        width: "n_embd",
        ffn_width: ("n_inner", Some(4)),
        num_layers: "n_layer",
        num_heads: "n_head",
        context: ("n_positions", 1_024),
        epsilon: ("layer_norm_epsilon", 1e-5),
        activation: "activation_function",
        ties_embeddings: true,
        ..USUAL_KEYS
    },
    names: Names {
        layers: "transformer.h.",
        body: "transformer.",
        embedding: "transformer.wte",
        positions: Some("transformer.wpe"),
        final_norm: Some("transformer.ln_f"),
        ..USUAL_NAMES
    },
    modules: [
        &[conv1d(Linear::Qkv, "attn.c_attn")],
        &[conv1d(Linear::O, "attn.c_proj")],
        &[conv1d(Linear::Up, "mlp.c_fc")],
        &[conv1d(Linear::Down, "mlp.c_proj")],
    ],
    norm: NormKind::Layer,
    norms: &[(NormAt::BeforeAttention, "ln_1"), (NormAt::BeforeFeedForward, "ln_2")],
    read: |fields, config| {
        for (key, usual) in [
            ("scale_attn_weights", true),
            ("scale_attn_by_inverse_layer_idx", false),
            ("add_cross_attention", false),
        ] {
            if fields.flag(key, usual)? != usual {
                return Err(fields.refused(format!("{key} = {}", !usual)));
            }
        }
        config.rotated = Layers::None;
        (config.has_qkv_bias, config.has_o_bias, config.has_mlp_bias) = (true, true, true);
        Ok(())
    },
    write: |_, _| {},
    ..LLAMA
};

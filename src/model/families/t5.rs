//! T5 (Raffel et al. 2020, arXiv:1910.10683), its version 1.1 with a gate (Shazeer 2020, arXiv:2002.05202) and Flan-T5 (Chung et al. 2022,
//! arXiv:2210.11416): a stack that reads and one that writes, with biases by distance instead of positions.

use super::llama::LLAMA;
use super::*;
use crate::model::config::{Encoder, Layers};
use crate::nn::ops::Activation;
use serde_json::json;

pub const T5: Table = Table {
    title: "T5",
    architecture: "T5ForConditionalGeneration",
    stem: Some("T5"),
    model_type: "t5",
    gguf: None,
    keys: Keys {
        width: "d_model",
        ffn_width: ("d_ff", None),
        num_layers: "num_layers",
        num_heads: "num_heads",
        context: ("n_positions", 512),
        epsilon: ("layer_norm_epsilon", 1e-6),
        activation: "dense_act_fn",
        ties_embeddings: true,
        dropout: Some([("dropout_rate", 0.1), ("dropout_rate", 0.1)]),
        ..USUAL_KEYS
    },
    names: Names {
        layers: "decoder.block.",
        body: "",
        embedding: "shared",
        final_norm: Some("decoder.final_layer_norm"),
        ..USUAL_NAMES
    },
    modules: [ATTENTION, ATTENTION_O, &[UP[1]], &[DOWN[1]]],
    norms: &[
        (NormAt::BeforeAttention, "layer.0.layer_norm"),
        (NormAt::BeforeCross, "layer.1.layer_norm"),
        (NormAt::BeforeFeedForward, "layer.2.layer_norm"),
    ],
    encoder: Some(&ENCODER),
    read,
    write,
    ..LLAMA
};

pub const T5_GATED: Table = Table {
    title: "Flan-T5/T5 1.1",
    modules: [ATTENTION, ATTENTION_O, &[GATE[1], GATED_UP[1]], &[DOWN[1]]],
    encoder: Some(&EncoderTable {
        modules: [ATTENTION, ATTENTION_O, &[GATE[0], GATED_UP[0]], &[DOWN[0]]],
        ..ENCODER
    }),
    ..T5
};

const ATTENTION: &[Module] = &[
    Module::new(Linear::Q, "layer.0.SelfAttention.q"),
    Module::new(Linear::K, "layer.0.SelfAttention.k"),
    Module::new(Linear::V, "layer.0.SelfAttention.v"),
];
const ATTENTION_O: &[Module] = &[Module::new(Linear::O, "layer.0.SelfAttention.o")];

/// Of feed-forwards, in the stack that reads and in the other.
const UP: [Module; 2] = both(Linear::Up, ["layer.1.DenseReluDense.wi", "layer.2.DenseReluDense.wi"]);
const GATE: [Module; 2] = both(Linear::Gate, ["layer.1.DenseReluDense.wi_0", "layer.2.DenseReluDense.wi_0"]);
const GATED_UP: [Module; 2] =
    both(Linear::Up, ["layer.1.DenseReluDense.wi_1", "layer.2.DenseReluDense.wi_1"]);
const DOWN: [Module; 2] = both(Linear::Down, ["layer.1.DenseReluDense.wo", "layer.2.DenseReluDense.wo"]);

const fn both(linear: Linear, paths: [&'static str; 2]) -> [Module; 2] {
    [Module::new(linear, paths[0]), Module::new(linear, paths[1])]
}

const ENCODER: EncoderTable = EncoderTable {
    layers: "encoder.block.",
    modules: [ATTENTION, ATTENTION_O, &[UP[0]], &[DOWN[0]]],
    norms: &[
        (NormAt::BeforeAttention, "layer.0.layer_norm"),
        (NormAt::BeforeFeedForward, "layer.1.layer_norm"),
    ],
    final_norm: "encoder.final_layer_norm",
    cross: [
        &[Module::new(Linear::CrossQ, "layer.1.EncDecAttention.q")],
        &[
            Module::new(Linear::CrossK, "layer.1.EncDecAttention.k"),
            Module::new(Linear::CrossV, "layer.1.EncDecAttention.v"),
        ],
        &[Module::new(Linear::CrossO, "layer.1.EncDecAttention.o")],
    ],
    position_bias: "layer.0.SelfAttention.relative_attention_bias",
};

fn read(fields: &Fields, config: &mut DecoderConfig) -> Result<(), ModelError> {
    let class = fields.get("architectures").and_then(|all| all.get(0)).and_then(Value::as_str);
    if let Some(other) = class.filter(|class| *class != T5.architecture) {
        return Err(fields.refused(format!("{other}, which is not all of a T5")));
    }
    (config.family, config.activation) = match fields.get("feed_forward_proj").map(|kind| kind.as_str()) {
        None | Some(Some("relu")) => (Family::T5, Activation::Relu),
        Some(Some("gated-gelu")) => (Family::T5Gated, Activation::GeluTanh),
        Some(other) => return Err(fields.refused(format!("the feed_forward_proj {other:?}"))),
    };
    let (num_layers, pad) = (config.num_layers, fields.size_or("pad_token_id", 0)?);
    config.encoder = Some(Encoder {
        num_layers,
        start: fields.size_or("decoder_start_token_id", pad)? as u32,
        pad: pad as u32,
        num_buckets: fields.size_or("relative_attention_num_buckets", 32)?,
        furthest: fields.size_or("relative_attention_max_distance", 128)?,
    });
    config.num_layers = num_layers.saturating_add(fields.size_or("num_decoder_layers", num_layers)?);
    config.head_width = fields.size_or("d_kv", 64)?;
    config.rotary_width = config.head_width;
    config.rotated = Layers::None;
    config.attention_scale = 1.0;
    // Of what is read, and as much again of what is written: only memory sets a limit.
    config.context_tokens = config.context_tokens.saturating_mul(2);
    // Of files of transformers 5, which says of all that they are tied, it says which are not.
    let is_scaled = fields.flag("scale_decoder_outputs", config.has_tied_embeddings)?;
    config.has_tied_embeddings = is_scaled;
    if is_scaled {
        config.logit_scale = 1.0 / (config.width.max(1) as f64).sqrt();
    }
    Ok(())
}

fn write(config: &DecoderConfig, json: &mut Map<String, Value>) {
    let Some(encoder) = config.encoder else { return };
    let mut put = |key: &str, value: Value| json.insert(key.into(), value);
    put("is_encoder_decoder", json!(true));
    put("num_layers", json!(encoder.num_layers));
    put("num_decoder_layers", json!(config.num_layers - encoder.num_layers));
    put("d_kv", json!(config.head_width));
    put("n_positions", json!(config.context_tokens / 2));
    put("relative_attention_num_buckets", json!(encoder.num_buckets));
    put("relative_attention_max_distance", json!(encoder.furthest));
    put("decoder_start_token_id", json!(encoder.start));
    put("pad_token_id", json!(encoder.pad));
    let is_gated = config.family == Family::T5Gated;
    put("feed_forward_proj", json!(if is_gated { "gated-gelu" } else { "relu" }));
    put("dense_act_fn", json!(if is_gated { "gelu_new" } else { "relu" }));
    put("scale_decoder_outputs", json!(config.logit_scale != 1.0));
    put("tie_word_embeddings", json!(config.logit_scale != 1.0));
}

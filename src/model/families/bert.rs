//! BERT (Devlin et al. 2018, arXiv:1810.04805) and the small models made like it, MiniLM (Wang et al. 2020, arXiv:2002.10957) among them.

use super::llama::LLAMA;
use super::*;
use crate::model::config::Layers;
use crate::nn::ops::Activation;
use serde_json::json;

pub const BERT: Table = Table {
    title: "BERT/MiniLM",
    architecture: "BertForMaskedLM",
    model_type: "bert",
    gguf: None,
    keys: Keys {
        context: ("max_position_embeddings", 512),
        epsilon: ("layer_norm_eps", 1e-12),
        ties_embeddings: true,
        dropout: Some([("hidden_dropout_prob", 0.1), ("attention_probs_dropout_prob", 0.1)]),
        ..USUAL_KEYS
    },
    names: Names {
        layers: "bert.encoder.layer.",
        body: "bert.",
        embedding: "bert.embeddings.word_embeddings",
        positions: Some("bert.embeddings.position_embeddings"),
        types: Some("bert.embeddings.token_type_embeddings"),
        embedding_norm: Some("bert.embeddings.LayerNorm"),
        final_norm: None,
        head: "cls.predictions.decoder",
        transform: Some(Transform {
            dense: "cls.predictions.transform.dense",
            norm: "cls.predictions.transform.LayerNorm",
            bias: "cls.predictions.bias",
        }),
    },
    modules: MODULES,
    norm: NormKind::Layer,
    norms: NORMS,
    is_causal: false,
    scores: Scores {
        pooler: Some("bert.pooler.dense"),
        dense: None,
        norm: None,
        out: "classifier",
        has_bias: true,
        poolings: &[Pooling::First],
    },
    read: |fields, config| {
        config.num_types = fields.size_or("type_vocab_size", 2)?;
        read_encoder(fields, config)
    },
    write: |config, json| {
        json.insert("type_vocab_size".into(), json!(config.num_types));
    },
    ..LLAMA
};

pub(super) const MODULES: [&[Module]; 4] = [
    &[
        Module::new(Linear::Q, "attention.self.query"),
        Module::new(Linear::K, "attention.self.key"),
        Module::new(Linear::V, "attention.self.value"),
    ],
    &[Module::new(Linear::O, "attention.output.dense")],
    &[Module::new(Linear::Up, "intermediate.dense")],
    &[Module::new(Linear::Down, "output.dense")],
];

pub(super) const NORMS: &[(NormAt, &str)] =
    &[(NormAt::OfAttentionSum, "attention.output.LayerNorm"), (NormAt::OfFeedForwardSum, "output.LayerNorm")];

/// What encoders with learned positions share.
pub(super) fn read_encoder(fields: &Fields, config: &mut DecoderConfig) -> Result<(), ModelError> {
    for key in ["is_decoder", "add_cross_attention"] {
        if fields.flag(key, false)? {
            return Err(fields.refused(format!("{key} = true")));
        }
    }
    match fields.get("position_embedding_type").map(|kind| kind.as_str().unwrap_or_default()) {
        None | Some("absolute") => {}
        Some(other) => return Err(fields.refused(format!("the position_embedding_type \"{other}\""))),
    }
    if fields.get(config.family.table().keys.activation).is_none() {
        config.activation = Activation::Gelu;
    }
    config.rotated = Layers::None;
    (config.has_qkv_bias, config.has_o_bias, config.has_mlp_bias) = (true, true, true);
    config.has_head_bias = true;
    config.transform_activation = config.activation;
    Ok(())
}

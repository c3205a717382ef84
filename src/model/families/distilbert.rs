//! DistilBERT (Sanh et al. 2019, arXiv:1910.01108): a BERT of half the layers, without token types.

use super::bert::{BERT, read_encoder};
use super::*;

pub const DISTILBERT: Table = Table {
    title: "DistilBERT",
    architecture: "DistilBertForMaskedLM",
    model_type: "distilbert",
    keys: Keys {
        width: "dim",
        ffn_width: ("hidden_dim", None),
        num_layers: "n_layers",
        num_heads: "n_heads",
        activation: "activation",
        dropout: Some([("dropout", 0.1), ("attention_dropout", 0.1)]),
        ..BERT.keys
    },
    names: Names {
        layers: "distilbert.transformer.layer.",
        body: "distilbert.",
        embedding: "distilbert.embeddings.word_embeddings",
        positions: Some("distilbert.embeddings.position_embeddings"),
        types: None,
        embedding_norm: Some("distilbert.embeddings.LayerNorm"),
        final_norm: None,
        head: "vocab_projector",
        transform: Some(Transform {
            dense: "vocab_transform",
            norm: "vocab_layer_norm",
            bias: "vocab_projector.bias",
        }),
    },
    modules: [
        &[
            Module::new(Linear::Q, "attention.q_lin"),
            Module::new(Linear::K, "attention.k_lin"),
            Module::new(Linear::V, "attention.v_lin"),
        ],
        &[Module::new(Linear::O, "attention.out_lin")],
        &[Module::new(Linear::Up, "ffn.lin1")],
        &[Module::new(Linear::Down, "ffn.lin2")],
    ],
    norms: &[(NormAt::OfAttentionSum, "sa_layer_norm"), (NormAt::OfFeedForwardSum, "output_layer_norm")],
    scores: Scores { pooler: None, dense: Some(("pre_classifier", Bend::Relu)), ..BERT.scores },
    read: |fields, config| {
        // The same in all of them, whatever a config says.
        config.norm_epsilon = 1e-12;
        read_encoder(fields, config)
    },
    write: |_, _| {},
    ..BERT
};

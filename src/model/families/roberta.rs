//! RoBERTa (Liu et al. 2019, arXiv:1907.11692) and XLM-RoBERTa (Conneau et al. 2019, arXiv:1911.02116): BERTs whose positions begin
//! after the padding token's number.

use super::bert::{BERT, read_encoder};
use super::*;
use crate::nn::ops::Activation;
use serde_json::json;

pub const ROBERTA: Table = Table {
    title: "RoBERTa",
    architecture: "RobertaForMaskedLM",
    model_type: "roberta",
    names: Names {
        layers: "roberta.encoder.layer.",
        body: "roberta.",
        embedding: "roberta.embeddings.word_embeddings",
        positions: Some("roberta.embeddings.position_embeddings"),
        types: Some("roberta.embeddings.token_type_embeddings"),
        embedding_norm: Some("roberta.embeddings.LayerNorm"),
        final_norm: None,
        head: "lm_head.decoder",
        transform: Some(Transform {
            dense: "lm_head.dense",
            norm: "lm_head.layer_norm",
            bias: "lm_head.bias",
        }),
    },
    scores: Scores {
        pooler: None,
        dense: Some(("classifier.dense", Bend::Tanh)),
        out: "classifier.out_proj",
        ..BERT.scores
    },
    read: |fields, config| {
        config.num_types = fields.size_or("type_vocab_size", 2)?;
        config.position_offset = fields.size_or("pad_token_id", 1)?.saturating_add(1);
        config.context_tokens = config.context_tokens.saturating_sub(config.position_offset);
        read_encoder(fields, config)?;
        config.transform_activation = Activation::Gelu;
        Ok(())
    },
    write: |config, json| {
        json.insert("type_vocab_size".into(), json!(config.num_types));
        json.insert("pad_token_id".into(), json!(config.position_offset.saturating_sub(1)));
        json.insert("max_position_embeddings".into(), json!(config.context_tokens + config.position_offset));
    },
    ..BERT
};

/// The same with other words.
pub const XLM_ROBERTA: Table = Table {
    title: "XLM-RoBERTa",
    architecture: "XLMRobertaForMaskedLM",
    model_type: "xlm-roberta",
    ..ROBERTA
};

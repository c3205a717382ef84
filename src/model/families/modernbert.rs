//! ModernBERT (Warner et al. 2024, arXiv:2412.13663): turned positions, gates, norms before each half of a block, and most layers with a
//! window that reaches both ways.

use super::bert::BERT;
use super::*;
use crate::model::config::Layers;
use crate::nn::ops::Activation;
use serde_json::json;

pub const MODERNBERT: Table = Table {
    title: "ModernBERT",
    architecture: "ModernBertForMaskedLM",
    model_type: "modernbert",
    keys: Keys {
        context: ("max_position_embeddings", 8_192),
        epsilon: ("norm_eps", 1e-5),
        theta: ("global_rope_theta", 160_000.0),
        activation: "hidden_activation",
        dropout: Some([("embedding_dropout", 0.0), ("attention_dropout", 0.0)]),
        ..BERT.keys
    },
    names: Names {
        layers: "model.layers.",
        body: "model.",
        embedding: "model.embeddings.tok_embeddings",
        positions: None,
        types: None,
        embedding_norm: Some("model.embeddings.norm"),
        final_norm: Some("model.final_norm"),
        head: "decoder",
        transform: Some(Transform { dense: "head.dense", norm: "head.norm", bias: "decoder.bias" }),
    },
    modules: [
        &[Module::new(Linear::Qkv, "attn.Wqkv")],
        &[Module::new(Linear::O, "attn.Wo")],
        &[Module::new(Linear::GateUp, "mlp.Wi")],
        &[Module::new(Linear::Down, "mlp.Wo")],
    ],
    norms: &[(NormAt::BeforeAttention, "attn_norm"), (NormAt::BeforeFeedForward, "mlp_norm")],
    has_local_rope: true,
    lacks_first_norm: true,
    scores: Scores {
        pooler: None,
        dense: Some(("head.dense", Bend::Own)),
        norm: Some("head.norm"),
        poolings: &[Pooling::First, Pooling::Mean],
        ..BERT.scores
    },
    read,
    write: |config, json| {
        json.insert("norm_bias".into(), json!(config.has_norm_bias));
        json.insert("attention_bias".into(), json!(config.has_qkv_bias));
        json.insert("mlp_bias".into(), json!(config.has_mlp_bias));
        json.insert("decoder_bias".into(), json!(config.has_head_bias));
        json.insert("classifier_bias".into(), json!(config.has_transform_bias));
        let bend = crate::model::config::activation_name(config.transform_activation);
        json.insert("classifier_activation".into(), json!(bend));
        json.insert("local_rope_theta".into(), json!(config.local_rope_theta));
        json.insert("layer_types".into(), config.layer_types());
        let reach = config.sliding_window.unwrap_or(1) - 1;
        json.insert("local_attention".into(), json!(2 * reach));
    },
    ..BERT
};

fn read(fields: &Fields, config: &mut DecoderConfig) -> Result<(), ModelError> {
    if fields.get("hidden_activation").is_none() {
        config.activation = Activation::Gelu;
    }
    config.has_norm_bias = fields.flag("norm_bias", false)?;
    let has_bias = fields.flag("attention_bias", false)?;
    (config.has_qkv_bias, config.has_o_bias) = (has_bias, has_bias);
    config.has_mlp_bias = fields.flag("mlp_bias", false)?;
    config.has_head_bias = fields.flag("decoder_bias", true)?;
    config.has_transform_bias = fields.flag("classifier_bias", false)?;
    if fields.get("classifier_activation").is_some() {
        config.transform_activation = fields.activation("classifier_activation")?;
    }
    let local = fields.local_theta()?;
    config.local_rope_theta = local.or(fields.number("local_rope_theta")?).unwrap_or(10_000.0);
    // So many to each side, besides the position itself.
    config.sliding_window = Some(fields.size_or("local_attention", 128)? / 2 + 1);
    let period = fields.size_or("global_attn_every_n_layers", 3)?.max(1);
    let usual = || Layers::Listed((0..config.num_layers).map(|layer| layer % period != 0).collect());
    config.windowed = fields.layer_kinds("sliding_attention")?.unwrap_or_else(usual);
    Ok(())
}

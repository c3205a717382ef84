//! [`DecoderConfig`] -> Hugging Face's `config.json`, in the form that transformers 4 and 5 both read.

use super::{DecoderConfig, Layers, RopeScaling};
use crate::nn::ops::Activation;
use serde_json::{Map, Value, json};

impl DecoderConfig {
    /// A `config.json` of a model with these numbers, in f32.
    pub fn to_json(&self) -> Value {
        let table = self.family.table();
        let keys = &table.keys;
        let mut json = Map::new();
        let mut put = |key: &str, value: Value| json.insert(key.into(), value);
        put("architectures", json!([self.architecture()]));
        put("model_type", json!(table.model_type));
        put("vocab_size", json!(self.vocabulary));
        put(keys.width, json!(self.width));
        put(keys.ffn_width.0, json!(self.ffn_width));
        put(keys.num_layers, json!(self.num_layers));
        put(keys.num_heads, json!(self.num_heads));
        if table.is_causal {
            put("num_key_value_heads", json!(self.num_kv_heads));
            put("head_dim", json!(self.head_width));
        }
        put(keys.activation, json!(activation_name(self.activation)));
        put(keys.epsilon.0, json!(self.norm_epsilon));
        let context = match self.rope_scaling {
            RopeScaling::LongRope { context, .. } => context,
            _ => self.context_tokens,
        };
        put(keys.context.0, json!(context));
        put("tie_word_embeddings", json!(self.has_tied_embeddings));
        // transformers' own of some families lies beyond a small vocabulary.
        put("pad_token_id", Value::Null);
        put("torch_dtype", json!("float32"));
        if self.rotated != Layers::None {
            put(keys.theta.0, json!(self.rope_theta));
        }
        if let Some([hidden, attention]) = keys.dropout {
            put(hidden.0, json!(self.dropout.hidden));
            put(attention.0, json!(self.dropout.attention));
        }
        if let Some(scaling) = self.rope_scaling.to_json() {
            put("rope_scaling", scaling);
        }
        if let RopeScaling::LongRope { original_context, .. } = self.rope_scaling {
            put("original_max_position_embeddings", json!(original_context));
        }
        (table.write)(self, &mut json);
        self.write_heads(&mut json);
        Value::Object(json)
    }
}

/// As transformers calls it.
pub fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::Silu => "silu",
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_pytorch_tanh",
        Activation::Relu => "relu",
    }
}

impl RopeScaling {
    fn to_json(&self) -> Option<Value> {
        match self {
            Self::None => None,
            Self::Linear { factor } => Some(json!({ "rope_type": "linear", "factor": factor })),
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => Some(json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor,
                "original_max_position_embeddings": original_context,
            })),
            Self::LongRope {
                short_factors,
                long_factors,
                stretch,
                attention_factor,
                original_context,
                ..
            } => Some(json!({
                "rope_type": "longrope",
                "short_factor": short_factors,
                "long_factor": long_factors,
                "factor": stretch,
                "attention_factor": attention_factor,
                "original_max_position_embeddings": original_context,
            })),
        }
    }
}

//! [`DecoderConfig`] -> Hugging Face's `config.json`, in the form that transformers 4 and 5 both read.

use super::{DecoderConfig, Family, RopeScaling};
use serde_json::{Value, json};

impl DecoderConfig {
    /// A `config.json` of a model with these numbers, in f32.
    pub fn to_json(&self) -> Value {
        let mut json = json!({
            "architectures": [self.architecture()],
            "model_type": self.family.name(),
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "intermediate_size": self.ffn_width,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "head_dim": self.head_width,
            "hidden_act": "silu",
            "rms_norm_eps": self.norm_epsilon,
            "rope_theta": self.rope_theta,
            "max_position_embeddings": self.context_tokens,
            "tie_word_embeddings": self.has_tied_embeddings,
            "torch_dtype": "float32",
        });
        if let Some(scaling) = self.rope_scaling.to_json() {
            json["rope_scaling"] = scaling;
        }
        match self.family {
            Family::Llama => {
                json["attention_bias"] = json!(self.has_qkv_bias);
                json["mlp_bias"] = json!(self.has_mlp_bias);
            }
            Family::Mistral => json["sliding_window"] = json!(self.sliding_window),
            Family::Qwen2 | Family::Qwen3 => {
                if self.family == Family::Qwen3 {
                    json["attention_bias"] = json!(self.has_qkv_bias);
                }
                json["use_sliding_window"] = json!(self.sliding_window.is_some());
                json["sliding_window"] = json!(self.sliding_window);
                json["max_window_layers"] = json!(self.first_windowed_layer);
            }
        }
        json
    }

    fn architecture(&self) -> &'static str {
        match self.family {
            Family::Llama => "LlamaForCausalLM",
            Family::Mistral => "MistralForCausalLM",
            Family::Qwen2 => "Qwen2ForCausalLM",
            Family::Qwen3 => "Qwen3ForCausalLM",
        }
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
        }
    }
}

//! The numbers of a decoder: what the families differ in, and nothing else.

mod gguf;
mod json;
mod write;

use super::ModelError;
use super::hooks::{Part, Projection, Site};
use serde::{Deserialize, Serialize};
use std::path::Path;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    #[default]
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
}

impl Family {
    /// `llama`, `mistral`, `qwen2`, `qwen3`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }
}

/// A pre-norm decoder with rotary positions, grouped-query attention and a gated feed-forward.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DecoderConfig {
    pub family: Family,
    pub vocabulary: usize,
    /// `d`
    pub width: usize,
    pub ffn_width: usize,
    pub num_layers: usize,
    /// `h`
    pub num_heads: usize,
    /// `k`
    pub num_kv_heads: usize,
    /// `e`
    pub head_width: usize,
    pub norm_epsilon: f64,
    pub rope_theta: f64,
    pub rope_scaling: RopeScaling,
    /// Biases of the q, k and v projections (Qwen2; Llama with `attention_bias`).
    pub has_qkv_bias: bool,
    /// Bias of the attention's output projection (Llama with `attention_bias`).
    pub has_o_bias: bool,
    /// Biases of gate, up and down (Llama with `mlp_bias`).
    pub has_mlp_bias: bool,
    /// RMS norm of each head's query and key (Qwen3).
    pub has_qk_norm: bool,
    pub has_tied_embeddings: bool,
    pub context_tokens: usize,
    /// Each position sees at most so many positions back, itself included.
    pub sliding_window: Option<usize>,
    /// Layers below this one see everything even with a sliding window (Qwen2 `max_window_layers`).
    pub first_windowed_layer: usize,
}

/// How rotary frequencies are stretched for longer contexts.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum RopeScaling {
    #[default]
    None,
    /// Positions divided by `factor`.
    Linear { factor: f64 },
    /// Llama 3.1: low frequencies divided, high ones kept, a ramp between.
    Llama3 { factor: f64, low_freq_factor: f64, high_freq_factor: f64, original_context: usize },
}

/// A tensor that a model needs: its Hugging Face name and its shape.
pub type Needed = (String, Vec<usize>);

/// What the forward pass reads as one, and the tensors of a checkpoint that it is made of, one above the other.
#[derive(Debug)]
pub struct Group {
    pub part: Part,
    pub tensors: Vec<Needed>,
}

impl DecoderConfig {
    /// Every tensor of the model with its shape, matrices as [out, in].
    pub fn tensors(&self) -> Vec<Needed> {
        self.groups().into_iter().flat_map(|group| group.tensors).collect()
    }

    /// The same, by what the forward pass reads as one.
    pub fn groups(&self) -> Vec<Group> {
        let (d, e) = (self.width, self.head_width);
        let one = |part, name: String, shape| Group { part, tensors: vec![(name, shape)] };
        let table = || vec![self.vocabulary, d];
        let mut all = vec![one(Part::Embedding, "model.embed_tokens.weight".into(), table())];
        for layer in 0..self.num_layers {
            let norm = |part, name: &str, width| {
                one(part, format!("model.layers.{layer}.{name}.weight"), vec![width])
            };
            all.push(norm(Part::InputNorm(layer), "input_layernorm", d));
            all.push(norm(Part::PostAttentionNorm(layer), "post_attention_layernorm", d));
            if self.has_qk_norm {
                all.push(norm(Part::QueryNorm(layer), "self_attn.q_norm", e));
                all.push(norm(Part::KeyNorm(layer), "self_attn.k_norm", e));
            }
            for projection in Projection::ALL {
                all.extend(self.projection_groups(layer, projection));
            }
        }
        all.push(one(Part::FinalNorm, "model.norm.weight".into(), vec![d]));
        if !self.has_tied_embeddings {
            all.push(one(Part::Head, "lm_head.weight".into(), table()));
        }
        all
    }

    /// The weights of a projection, and its biases if it has any.
    fn projection_groups(&self, layer: usize, projection: Projection) -> impl Iterator<Item = Group> {
        let linears = projection.linears();
        let tensors = |kind: &str, shape: &dyn Fn((usize, usize)) -> Vec<usize>| {
            let name = |linear| format!("{}.{kind}", Site { layer, linear });
            linears.iter().map(|l| (name(*l), shape(self.linear_shape(*l)))).collect()
        };
        let weights = tensors("weight", &|(o, i)| vec![o, i]);
        let biases = self.has_bias(linears[0]).then(|| tensors("bias", &|(o, _)| vec![o]));
        let biases = biases.map(|tensors| Group { part: Part::Bias(layer, projection), tensors });
        std::iter::once(Group { part: Part::Weight(layer, projection), tensors: weights }).chain(biases)
    }

    /// Number of weights, tied embeddings counted once.
    pub fn num_params(&self) -> u64 {
        self.tensors().iter().map(|(_, shape)| shape.iter().map(|n| *n as u64).product::<u64>()).sum()
    }

    /// Refuses sizes that no real model has, before anything is allocated by them.
    fn bounded(self, path: &Path) -> Result<Self, ModelError> {
        let wrong = |key: &str, why: String| ModelError::Setting { path: path.into(), key: key.into(), why };
        let sizes = [
            ("vocabulary size", self.vocabulary, 1 << 22),
            ("hidden size", self.width, 1 << 17),
            ("intermediate size", self.ffn_width, 1 << 20),
            ("number of layers", self.num_layers, 1 << 10),
            ("number of heads", self.num_heads, 1 << 10),
            ("number of key/value heads", self.num_kv_heads, 1 << 10),
            ("head size", self.head_width, 1 << 10),
            ("context length", self.context_tokens, 1 << 30),
        ];
        for (key, value, most) in sizes {
            if value == 0 || value > most {
                return Err(wrong(key, format!("is {value}; it must be between 1 and {most}")));
            }
        }
        if !self.num_heads.is_multiple_of(self.num_kv_heads) {
            let why = format!("is {}, which does not divide the {} heads", self.num_kv_heads, self.num_heads);
            return Err(wrong("number of key/value heads", why));
        }
        if !self.head_width.is_multiple_of(2) {
            return Err(wrong("head size", format!("is {}; it must be even", self.head_width)));
        }
        if !(self.norm_epsilon > 0.0 && self.norm_epsilon < 1.0) {
            return Err(wrong(
                "norm epsilon",
                format!("is {}; it must be between 0 and 1", self.norm_epsilon),
            ));
        }
        if !(self.rope_theta.is_finite() && self.rope_theta > 1.0) {
            return Err(wrong("rope theta", format!("is {}; it must be above 1", self.rope_theta)));
        }
        if self.sliding_window == Some(0) {
            return Err(wrong("sliding window", "is 0; it must be at least 1".into()));
        }
        let is_sound = match self.rope_scaling {
            RopeScaling::None => true,
            RopeScaling::Linear { factor } => factor.is_finite() && factor > 0.0,
            RopeScaling::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_context,
            } => {
                [factor, low, high].iter().all(|x| x.is_finite() && *x > 0.0)
                    && high > low
                    && original_context > 0
            }
        };
        if is_sound {
            Ok(self)
        } else {
            Err(wrong("rope scaling", "has a factor that makes no sense".into()))
        }
    }
}

//! The numbers of a model: what the families differ in, and nothing else.

pub(super) mod gguf;
mod heads;
pub(super) mod json;
mod tensors;
mod write;

pub use super::families::Family;
pub use heads::{Pooling, Problem, TaskHead};
pub use tensors::{Form, Group, Needed};
pub(super) use write::activation_name;

use super::ModelError;
use super::families::NormKind;
use super::hooks::{Linear, Projection, Site};
use crate::nn::ops::Activation;
use serde_json::{Value, json};
use std::path::Path;

/// A decoder with grouped-query attention, or an encoder. What only its family decides is in the family's table.
#[derive(Debug, Clone, PartialEq)]
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
    /// Of layers with a sliding window, without scaling, where they have one of their own (Gemma 3).
    pub local_rope_theta: f64,
    /// So many numbers of a head are turned, the rest passes.
    pub rotary_width: usize,
    /// Which layers turn queries and keys by position.
    pub rotated: Layers,
    /// Biases of the q, k and v projections (Qwen2; Llama with `attention_bias`).
    pub has_qkv_bias: bool,
    /// Bias of the attention's output projection (Llama with `attention_bias`).
    pub has_o_bias: bool,
    /// Biases of gate, up and down (Llama with `mlp_bias`).
    pub has_mlp_bias: bool,
    /// Biases of layer norms.
    pub has_norm_bias: bool,
    pub has_tied_embeddings: bool,
    pub context_tokens: usize,
    /// Rows of learned positions before the one of the first token (RoBERTa).
    pub position_offset: usize,
    /// Rows of the table of token types; 0 where the family has none.
    pub num_types: usize,
    /// Whether there is a vocabulary projection.
    pub predicts_tokens: bool,
    /// Whether that has a bias.
    pub has_head_bias: bool,
    /// Biases of the dense layer before it, or of that of a task's head.
    pub has_transform_bias: bool,
    /// Of that layer.
    pub transform_activation: Activation,
    /// What the model makes of whole texts.
    pub heads: Vec<TaskHead>,
    /// Each position sees at most so many positions back, itself included; in an encoder as many ahead.
    pub sliding_window: Option<usize>,
    /// Which layers have it; the others see everything.
    pub windowed: Layers,
    /// Attention and feed-forward read the same stream and are added to it together (GPT-NeoX).
    pub is_parallel: bool,
    pub activation: Activation,
    /// The stack that reads, of a model with two. Its layers are the first of all.
    pub encoder: Option<Encoder>,
    /// Multiplies the embedding's rows.
    pub embedding_scale: f64,
    /// Multiplies what attention and feed-forward add to the stream.
    pub residual_scale: f64,
    /// Multiplies the scores of attention.
    pub attention_scale: f64,
    /// Scores are bent so that they stay below this.
    pub attention_cap: Option<f64>,
    /// Multiplies the logits.
    pub logit_scale: f64,
    /// Logits are bent so that they stay below this.
    pub logit_cap: Option<f64>,
    /// What it was trained with itself; 0 where the family says nothing of it.
    pub dropout: OwnDropout,
}

/// Shares of a model's inner numbers that its makers dropped while it learnt.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OwnDropout {
    /// Of the embedding's and the sub-layers' outputs.
    pub hidden: f64,
    /// Of the shares that queries give to keys.
    pub attention: f64,
}

/// The numbers of a model that reads with one stack and writes with another (T5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoder {
    /// Of all layers, so many are the encoder's.
    pub num_layers: usize,
    /// The token that what is written begins with: what stands before it is read.
    pub start: u32,
    /// The token that fills up short texts of a batch: transformers' business, and kept for it.
    pub pad: u32,
    /// Rows of the tables of position biases.
    pub num_buckets: usize,
    /// From this distance on all have the same.
    pub furthest: usize,
}

/// Some of the layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layers {
    None,
    All,
    /// This one and those above it.
    From(usize),
    /// All but the last of every so many.
    AllButEvery(usize),
    Listed(Vec<bool>),
}

impl Layers {
    pub fn contains(&self, layer: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::From(first) => layer >= *first,
            Self::AllButEvery(period) => !(layer + 1).is_multiple_of(*period),
            Self::Listed(listed) => listed.get(layer).copied().unwrap_or(false),
        }
    }
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
    /// Each frequency divided by a factor of its own, and queries and keys multiplied (Ding et al. 2024, arXiv:2402.13753). Beyond the
    /// original context other factors hold for all positions; contexts end there.
    LongRope {
        short_factors: Vec<f64>,
        long_factors: Vec<f64>,
        /// How many times as long the context was made.
        stretch: f64,
        /// What they are multiplied by, where the model says so itself.
        attention_factor: Option<f64>,
        context: usize,
        original_context: usize,
    },
}

impl RopeScaling {
    /// What turned numbers are multiplied by.
    pub fn attention_factor(&self) -> f64 {
        match self {
            Self::LongRope { attention_factor: Some(own), .. } => *own,
            Self::LongRope { stretch, original_context, .. } if *stretch > 1.0 => {
                (1.0 + stretch.ln() / (*original_context as f64).ln()).sqrt()
            }
            _ => 1.0,
        }
    }
}

impl Default for DecoderConfig {
    /// A Llama of no size.
    fn default() -> Self {
        Self::plain(Family::Llama, 0, 0)
    }
}

impl DecoderConfig {
    /// What most models have where nothing else is said. Sizes that every file says are 0.
    fn plain(family: Family, num_heads: usize, head_width: usize) -> Self {
        Self {
            family,
            vocabulary: 0,
            width: 0,
            ffn_width: 0,
            num_layers: 0,
            num_heads,
            num_kv_heads: num_heads,
            head_width,
            norm_epsilon: 1e-5,
            rope_theta: 10_000.0,
            rope_scaling: RopeScaling::None,
            local_rope_theta: 10_000.0,
            rotary_width: head_width,
            rotated: Layers::All,
            has_qkv_bias: false,
            has_o_bias: false,
            has_mlp_bias: false,
            has_norm_bias: family.table().norm == NormKind::Layer,
            has_tied_embeddings: false,
            context_tokens: 0,
            position_offset: 0,
            num_types: 0,
            predicts_tokens: true,
            has_head_bias: false,
            has_transform_bias: true,
            transform_activation: Activation::Gelu,
            heads: Vec::new(),
            sliding_window: None,
            windowed: Layers::None,
            is_parallel: false,
            activation: Activation::Silu,
            encoder: None,
            embedding_scale: 1.0,
            residual_scale: 1.0,
            attention_scale: 1.0 / (head_width.max(1) as f64).sqrt(),
            attention_cap: None,
            logit_scale: 1.0,
            logit_cap: None,
            dropout: OwnDropout::default(),
        }
    }

    /// `model.layers.3.self_attn.q_proj`; empty for a site that the family does not have.
    pub fn site_name(&self, site: Site) -> String {
        let modules = || Projection::ALL.into_iter().flat_map(|p| self.modules(site.layer, p));
        let path = modules().find(|module| module.linear == site.linear).map_or("", |m| m.path);
        format!("{}.{path}", self.layer_name(site.layer))
    }

    /// Whether a block has this layer: those of an encoder look at no other rows.
    pub fn has_site(&self, site: Site) -> bool {
        !matches!(site.linear, Linear::CrossQ | Linear::CrossK | Linear::CrossV | Linear::CrossO)
            || !self.is_of_encoder(site.layer)
    }

    /// How many of the layers are an encoder's beside a decoder.
    pub fn num_encoder_layers(&self) -> usize {
        self.encoder.map_or(0, |encoder| encoder.num_layers)
    }

    /// Whether a layer is an encoder's beside a decoder.
    pub fn is_of_encoder(&self, layer: usize) -> bool {
        layer < self.num_encoder_layers()
    }

    /// `model.layers.3`, `encoder.block.3`
    pub fn layer_name(&self, layer: usize) -> String {
        match self.family.table().encoder.filter(|_| self.is_of_encoder(layer)) {
            Some(encoder) => format!("{}{layer}", encoder.layers),
            None => format!("{}{}", self.layers_name(), layer - self.num_encoder_layers()),
        }
    }

    /// Whether a token sees those before it and none after it: whether the model can write.
    pub fn is_causal(&self) -> bool {
        self.family.table().is_causal
    }

    /// Whether the model can go on with a text.
    ///
    /// # Errors
    /// [`ModelError::CannotWrite`], for an encoder and for a model without a vocabulary projection.
    pub fn check_writes(&self) -> Result<(), ModelError> {
        match self.is_causal() && self.predicts_tokens {
            true => Ok(()),
            false => {
                Err(ModelError::CannotWrite { title: self.family.table().title, is_causal: self.is_causal() })
            }
        }
    }

    /// Whether the model fills masked tokens.
    pub fn has_masked_head(&self) -> bool {
        self.predicts_tokens && !self.is_causal()
    }

    /// Whether the embeddings are the vocabulary projection as well.
    pub fn has_tied_head(&self) -> bool {
        self.has_tied_embeddings && self.predicts_tokens
    }

    /// What stands before the number of a layer in names.
    pub fn layers_name(&self) -> &'static str {
        self.name_of(self.family.table().names.layers)
    }

    /// A name of the family's table as it is in this model: one that is nothing but its body has names without what they all begin
    /// with.
    pub fn name_of(&self, name: &'static str) -> &'static str {
        match name.strip_prefix(self.family.table().names.body) {
            Some(own) if self.is_bare() => own,
            _ => name,
        }
    }

    /// Turns this share of each head's numbers, rounded down as transformers does.
    pub(super) fn turn_share(&mut self, share: f64) {
        self.rotary_width = (self.head_width as f64 * share) as usize;
    }

    pub(super) fn turned_share(&self) -> f64 {
        self.rotary_width as f64 / self.head_width as f64
    }

    /// The sliding window of a layer, if it has one.
    pub fn window_of(&self, layer: usize) -> Option<usize> {
        self.sliding_window.filter(|_| self.windowed.contains(layer))
    }

    /// transformers' `layer_types`: which layers have the sliding window.
    pub(super) fn layer_types(&self) -> Value {
        let kind = |layer| if self.windowed.contains(layer) { "sliding_attention" } else { "full_attention" };
        json!((0..self.num_layers).map(kind).collect::<Vec<_>>())
    }

    /// Number of weights, tied embeddings counted once.
    pub fn num_params(&self) -> u64 {
        self.tensors().iter().map(|needed| needed.shape.iter().map(|n| *n as u64).product::<u64>()).sum()
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
            ("number of token types", self.num_types.max(1), 1 << 10),
            ("padding token", self.position_offset.max(1), 1 << 20),
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
        if self.rotary_width == 0
            || !self.rotary_width.is_multiple_of(2)
            || self.rotary_width > self.head_width
        {
            let why =
                format!("is {}; it must be even, above 0 and at most {}", self.rotary_width, self.head_width);
            return Err(wrong("number of rotated dimensions of a head", why));
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
        if let Some(encoder) = self.encoder {
            let is_sound = (1..self.num_layers).contains(&encoder.num_layers)
                && (4..=1 << 16).contains(&encoder.num_buckets)
                && (encoder.num_buckets..=1 << 20).contains(&encoder.furthest)
                && (encoder.start as usize) < self.vocabulary;
            if !is_sound {
                let why = format!("of its two stacks make no sense: {encoder:?}");
                return Err(wrong("numbers", why));
            }
        }
        if self.sliding_window == Some(0) {
            return Err(wrong("sliding window", "is 0; it must be at least 1".into()));
        }
        let layers = [&self.windowed, &self.rotated];
        if layers.into_iter().any(|layers| matches!(layers, Layers::AllButEvery(0))) {
            return Err(wrong("pattern of the layers", "repeats after 0 layers".into()));
        }
        let scales = [self.embedding_scale, self.residual_scale, self.attention_scale, self.logit_scale];
        let caps = [self.attention_cap, self.logit_cap].into_iter().flatten();
        if scales.into_iter().chain(caps).any(|x| !(x.is_finite() && x > 0.0)) {
            return Err(wrong("multiplier or soft cap", "must be a number above 0".into()));
        }
        let is_sound = match &self.rope_scaling {
            RopeScaling::None => true,
            RopeScaling::Linear { factor } => factor.is_finite() && *factor > 0.0,
            RopeScaling::LongRope { short_factors, stretch, original_context, .. } => {
                let scale = self.rope_scaling.attention_factor();
                short_factors.iter().chain([stretch, &scale]).all(|x| x.is_finite() && *x > 0.0)
                    && short_factors.len() == self.rotary_width / 2
                    && *original_context > 1
            }
            RopeScaling::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_context,
            } => {
                [factor, low, high].iter().all(|x| x.is_finite() && **x > 0.0)
                    && high > low
                    && *original_context > 0
            }
        };
        if is_sound {
            Ok(self)
        } else {
            Err(wrong("rope scaling", "has a factor that makes no sense".into()))
        }
    }
}

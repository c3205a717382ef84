//! The weights of a decoder in memory: one copy, shared by everything that runs on it.

use super::config::DecoderConfig;
use super::hooks::{Linear, Projection, Site};
use super::weights::{Weights, blocks_of};
use super::{ModelError, error::During};
use crate::base::{Control, Precision, Progress, Silent, Unit};
use crate::nn::Weight;
use crate::nn::kernels::Packed;
use crate::nn::ops::HeadLayout;
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// `y = x Wᵀ + bias`: weight [o, i], bias [o].
#[derive(Debug, Clone)]
pub struct LinearWeights {
    pub weight: Weight,
    pub bias: Option<Tensor>,
    /// Made when first asked for.
    row_squares: OnceLock<Tensor>,
}

impl LinearWeights {
    /// The sum of squares of each row of the weight, [o].
    pub fn row_squares(&self) -> crate::nn::Result<Tensor> {
        if let Some(squares) = self.row_squares.get() {
            return Ok(squares.clone());
        }
        let squares = self.weight.row_squares()?;
        Ok(self.row_squares.get_or_init(|| squares).clone())
    }
}

/// One block.
#[derive(Debug, Clone)]
pub struct LayerWeights {
    /// [d]
    pub input_norm: Tensor,
    /// [d]
    pub post_attention_norm: Tensor,
    /// Of queries and of keys, [e] each, where the family normalises heads.
    pub head_norms: Option<(Tensor, Tensor)>,
    /// In the order of [`Projection::ALL`].
    projections: Vec<LinearWeights>,
}

impl LayerWeights {
    pub fn projection(&self, projection: Projection) -> &LinearWeights {
        &self.projections[projection as usize]
    }
}

/// All weights on one device: matrices in some precision, vectors in f32.
#[derive(Debug, Clone)]
pub struct DecoderParams {
    /// [v, d]
    pub embedding: Weight,
    pub layers: Vec<LayerWeights>,
    /// [d]
    pub norm: Tensor,
    /// [v, d]; the embedding itself where they are tied.
    pub head: Weight,
}

impl DecoderParams {
    /// Reads every tensor. `weights.check` must have passed.
    pub fn load(
        weights: &Weights,
        config: &DecoderConfig,
        precision: Precision,
        device: &Device,
        control: &Control,
        progress: &mut dyn Progress,
    ) -> Result<Self, ModelError> {
        Self::read(&Reading { source: Source::Files(weights), precision, device }, config, control, progress)
    }

    /// Random weights of this config, for measuring what a model that is not there would cost.
    pub fn random(config: &DecoderConfig, precision: Precision, device: &Device) -> Result<Self, ModelError> {
        let shapes = config.tensors().into_iter().collect();
        let read = Reading { source: Source::Random(shapes), precision, device };
        Self::read(&read, config, &Control::new(), &mut Silent)
    }

    fn read(
        read: &Reading,
        config: &DecoderConfig,
        control: &Control,
        progress: &mut dyn Progress,
    ) -> Result<Self, ModelError> {
        let embedding = read.matrix("model.embed_tokens.weight")?;
        let head =
            if config.has_tied_embeddings { embedding.clone() } else { read.matrix("lm_head.weight")? };
        let norm = read.vector("model.norm.weight")?;
        let mut layers = Vec::with_capacity(config.num_layers);
        for layer in 0..config.num_layers {
            if control.is_stopped() {
                return Err(ModelError::Stopped);
            }
            progress.report("Loading the model", layer as u64, Some(config.num_layers as u64), Unit::Tensors);
            layers.push(load_layer(read, config, layer)?);
        }
        Ok(Self { embedding, layers, norm, head })
    }
}

/// Where tensors come from.
enum Source<'a> {
    Files(&'a Weights),
    /// Names and shapes of tensors that are made up.
    Random(BTreeMap<String, Vec<usize>>),
}

/// Where tensors come from and what becomes of them.
struct Reading<'a> {
    source: Source<'a>,
    precision: Precision,
    device: &'a Device,
}

impl Reading<'_> {
    fn matrix(&self, name: &str) -> Result<Weight, ModelError> {
        match &self.source {
            Source::Files(weights) => weights.weight(name, self.precision, self.device),
            Source::Random(shapes) => {
                let shape = shapes.get(name).map_or(&[][..], Vec::as_slice);
                // About the size of a trained model's numbers.
                let numbers =
                    Tensor::rand(-0.03f32, 0.03, shape, self.device).during("make random weights")?;
                match blocks_of(self.precision) {
                    None => Ok(numbers.into()),
                    Some(dtype) => Ok(Weight::Packed(
                        Packed::quantise(&numbers, dtype).during("quantise random weights")?,
                    )),
                }
            }
        }
    }

    fn vector(&self, name: &str) -> Result<Tensor, ModelError> {
        match &self.source {
            Source::Files(weights) => weights.read(name, self.device),
            Source::Random(shapes) => {
                let shape = shapes.get(name).map_or(&[][..], Vec::as_slice);
                Tensor::ones(shape, DType::F32, self.device).during("make random weights")
            }
        }
    }
}

fn load_layer(read: &Reading, config: &DecoderConfig, layer: usize) -> Result<LayerWeights, ModelError> {
    let mut projections = Vec::with_capacity(Projection::ALL.len());
    for projection in Projection::ALL {
        let sites = projection.linears().iter().map(|linear| Site { layer, linear: *linear });
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for site in sites {
            weights.push(read.matrix(&format!("{site}.weight"))?);
            if config.has_bias(site.linear) {
                biases.push(read.vector(&format!("{site}.bias"))?);
            }
        }
        let weight = Weight::stacked(weights).during("fuse the weights")?;
        let bias = match biases.is_empty() {
            true => None,
            false => Some(Tensor::cat(&biases, 0).during("fuse the biases")?),
        };
        projections.push(LinearWeights { weight, bias, row_squares: OnceLock::new() });
    }
    let norm = |name: &str| read.vector(&format!("model.layers.{layer}.{name}.weight"));
    let head_norms = match config.has_qk_norm {
        true => Some((norm("self_attn.q_norm")?, norm("self_attn.k_norm")?)),
        false => None,
    };
    Ok(LayerWeights {
        input_norm: norm("input_layernorm")?,
        post_attention_norm: norm("post_attention_layernorm")?,
        head_norms,
        projections,
    })
}

impl DecoderConfig {
    /// Whether this linear layer has a bias.
    pub fn has_bias(&self, linear: Linear) -> bool {
        match linear {
            Linear::Q | Linear::K | Linear::V => self.has_qkv_bias,
            Linear::O => self.has_o_bias,
            Linear::Gate | Linear::Up | Linear::Down => self.has_mlp_bias,
        }
    }

    /// How a row of q | k | v is divided.
    pub fn head_layout(&self) -> HeadLayout {
        HeadLayout { num_heads: self.num_heads, num_kv_heads: self.num_kv_heads, head_width: self.head_width }
    }

    /// (outputs, inputs) of a linear layer.
    pub fn linear_shape(&self, linear: Linear) -> (usize, usize) {
        let (q, kv) = (self.num_heads * self.head_width, self.num_kv_heads * self.head_width);
        match linear {
            Linear::Q => (q, self.width),
            Linear::K | Linear::V => (kv, self.width),
            Linear::O => (self.width, q),
            Linear::Gate | Linear::Up => (self.ffn_width, self.width),
            Linear::Down => (self.width, self.ffn_width),
        }
    }

    /// One inverse frequency for each pair of a head's numbers, [e / 2], scaled as the model asks.
    pub fn inverse_frequencies(&self) -> Vec<f64> {
        use super::config::RopeScaling;
        let plain = (0..self.head_width / 2)
            .map(|i| self.rope_theta.powf(-((2 * i) as f64) / self.head_width as f64));
        match self.rope_scaling {
            RopeScaling::None => plain.collect(),
            RopeScaling::Linear { factor } => plain.map(|f| f / factor).collect(),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => plain
                .map(|f| {
                    let wavelength = std::f64::consts::TAU / f;
                    let turns = original_context as f64 / wavelength;
                    let ramp =
                        ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                    (1.0 - ramp) * f / factor + ramp * f
                })
                .collect(),
        }
    }
}

/// Copies host numbers to the device of the weights: u32 [n].
pub fn index_tensor(values: &[u32], device: &Device) -> Result<Tensor, ModelError> {
    Tensor::from_slice(values, values.len(), device).during("copy token ids")
}

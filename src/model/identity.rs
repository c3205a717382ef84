//! What a base model is known by, wherever it lies and however its weights are stored: an adapter made for one is no use for another
//! of the same shapes.

use super::ModelError;
use super::config::{DecoderConfig, Form, Group, Needed};
use super::hooks::Part;
use super::weights::Weights;
use serde::{Deserialize, Serialize};

/// So many of the norms and so many of the other tensors are looked at; so many numbers of each.
const MAX_TENSORS: usize = 32;
const NUM_VALUES: usize = 4;
/// What is left of the one that GGUF files add to some norms, after it is taken off again.
const SLACK: f32 = 1e-6;

/// Sizes, and some numbers of the weights as the model's files have them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    family: String,
    num_layers: usize,
    width: usize,
    samples: Vec<Sample>,
}

/// A few numbers of one tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sample {
    tensor: String,
    /// `F32`, `BF16` or `F16`.
    dtype: String,
    values: Vec<f32>,
}

impl Identity {
    /// Reads a few numbers of a model's files; of GGUF files those of the norms, which they keep as they were.
    ///
    /// # Errors
    /// [`ModelError`] when the files cannot be read.
    pub fn of(weights: &Weights, config: &DecoderConfig) -> Result<Self, ModelError> {
        let mut samples = Vec::new();
        for needed in looked_at(config) {
            let stored: Vec<usize> = weights.shape(&needed.name).unwrap_or_default();
            let count: usize = stored.iter().product();
            let places: Vec<usize> =
                (0..NUM_VALUES).map(|i| count * (2 * i + 1) / (2 * NUM_VALUES)).collect();
            if let Some(values) = weights.plain_values(&needed.name, &places)? {
                let dtype = weights.dtype(&needed.name).unwrap_or_default();
                samples.push(Sample { tensor: needed.name, dtype, values });
            }
        }
        let (num_layers, width) = (config.num_layers, config.width);
        Ok(Self { family: config.family.name().into(), num_layers, width, samples })
    }

    /// How `other` differs from this one, if it does. Types of numbers that differ may differ by their rounding.
    pub fn difference(&self, other: &Self) -> Option<String> {
        if (&self.family, self.num_layers, self.width) != (&other.family, other.num_layers, other.width) {
            return Some(format!("that one is {}, this one {}", self.sizes(), other.sizes()));
        }
        let differs = |own: &&Sample| {
            let same = other.samples.iter().find(|sample| sample.tensor == own.tensor);
            same.is_some_and(|sample| !own.is_same(sample))
        };
        self.samples.iter().find(differs).map(|own| format!("{} has other values", own.tensor))
    }

    /// Whether this is the identity of `base` rather than of `made`, a model that was made of it: of a quantised base so little is known
    /// that it may differ from neither.
    pub fn is_of_base(&self, base: &Self, made: &Self) -> bool {
        let num_shared = |other: &Self| {
            let is_shared = |own: &&Sample| other.samples.iter().any(|sample| sample.tensor == own.tensor);
            self.samples.iter().filter(is_shared).count()
        };
        self != made && self.difference(base).is_none() && num_shared(base) >= num_shared(made)
    }

    /// "a llama of 30 blocks and width 576"
    fn sizes(&self) -> String {
        format!("a {} of {} blocks and width {}", self.family, self.num_layers, self.width)
    }
}

impl Sample {
    fn is_same(&self, other: &Self) -> bool {
        let tolerance = match self.dtype == other.dtype {
            true => 0.0,
            false => rounding(&self.dtype) + rounding(&other.dtype),
        };
        let is_near = |(a, b): (&f32, &f32)| {
            a == b || (tolerance > 0.0 && (a - b).abs() <= tolerance * a.abs().max(b.abs()) + SLACK)
        };
        self.values.len() == other.values.len() && self.values.iter().zip(&other.values).all(is_near)
    }
}

/// The largest relative error of a number that is rounded to such a type, or a little for f32.
fn rounding(dtype: &str) -> f32 {
    match dtype {
        "BF16" => 1.0 / 256.0,
        "F16" => 1.0 / 2048.0,
        _ => f32::EPSILON,
    }
}

/// Norms and other tensors, spread over the model.
fn looked_at(config: &DecoderConfig) -> Vec<Needed> {
    let is_norm =
        |part| matches!(part, Part::Norm(..) | Part::NormBias(..) | Part::FinalNorm | Part::FinalNormBias);
    let (norms, others): (Vec<_>, Vec<_>) =
        config.groups().into_iter().partition(|group| is_norm(group.part));
    let spread = |groups: Vec<Group>| {
        let tensors = groups.into_iter().flat_map(|group| group.tensors);
        // Numbers of a vector in another order would be other numbers in GGUF files.
        let has_order = |needed: &Needed| needed.shape.len() > 1 || needed.form == Form::default();
        let tensors: Vec<Needed> = tensors.filter(has_order).collect();
        let num = tensors.len();
        let is_chosen = move |i: &usize| num <= MAX_TENSORS || (i + 1) * MAX_TENSORS % num < MAX_TENSORS;
        tensors.into_iter().enumerate().filter(move |(i, _)| is_chosen(i)).map(|(_, needed)| needed)
    };
    spread(norms).chain(spread(others)).collect()
}

//! What is made of hidden states: predictions of tokens, and classes or scores of whole texts.

use super::ModelError;
use super::config::{DecoderConfig, Group, Pooling, TaskHead};
use super::decoder::Decoder;
use super::error::During;
use super::families::Bend;
use super::hooks::{HeadTensor, Hooks, Part};
use super::virtual_tokens::Rows;
use crate::base::rng::Rng;
use crate::data::Batch;
use crate::nn::ops::{self, Head};
use crate::nn::{Node, Result, Tape, Weight};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;

/// Domain of the random streams that draw new heads.
const HEAD: u64 = 0x4E_AD;
/// Standard deviation of a new head's weights, as transformers has it.
const DEVIATION: f64 = 0.02;

impl Decoder {
    /// What makes logits of [`Self::predictions`], as these hooks leave it.
    ///
    /// # Errors
    /// [`ModelError::NoMaskedHead`] and [`ModelError::CannotWrite`] for a model that predicts no tokens.
    pub fn head(&self, hooks: &dyn Hooks) -> std::result::Result<Head, ModelError> {
        if !self.config.predicts_tokens {
            self.config.check_writes().map_err(|error| match self.config.is_causal() {
                true => error,
                false => ModelError::NoMaskedHead,
            })?;
        }
        let weight = hooks.matrix(Part::Head, self.params.matrix(Part::Head)?);
        let bias = self.params.vector(Part::HeadBias).map(|own| hooks.vector(Part::HeadBias, own));
        Ok(Head { weight, bias, cap: self.config.logit_cap })
    }

    /// What the head reads of hidden states [n, d], of which it may be given some rows: in an encoder through a dense layer, an
    /// activation and a norm, in a decoder as they are.
    pub fn predictions(
        &self,
        tape: &Tape,
        hidden: &Node,
        hooks: &dyn Hooks,
    ) -> std::result::Result<Node, ModelError> {
        if self.config.is_causal() || !self.config.predicts_tokens {
            return Ok(hidden.clone());
        }
        let transformed = || {
            let x = self.dense(tape, hidden, Part::Transform, Part::TransformBias, hooks)?;
            let x = ops::activate(tape, &x, self.config.transform_activation)?;
            let normed = self.norms(hooks).apply(tape, &x, Part::TransformNorm, Part::TransformNormBias)?;
            Ok(normed.unwrap_or(x))
        };
        transformed().during("masked head")
    }

    /// hidden [n, d] -> logits [n, v], f32. For evaluation of few rows; training never makes this tensor.
    pub fn logits(&self, hidden: &Tensor, hooks: &dyn Hooks) -> std::result::Result<Tensor, ModelError> {
        let head = self.head(hooks)?;
        let read = self.predictions(&Tape::inference(), &Node::frozen(hidden.clone()), hooks)?;
        head.logits(read.value()).during("vocabulary projection")
    }

    /// What a task's head makes of each text: states of [`Self::forward_whole`], [n + s p, d], -> [segments, labels], in the type of the
    /// activations. Of a classification these are logits. Rows of a soft prompt are read as PEFT has transformers read them, as if they were
    /// the text's: the first one is the first of the prompt.
    ///
    /// # Errors
    /// [`ModelError::Heads`] where there is no such head.
    pub fn scores(
        &self,
        tape: &Tape,
        hidden: &Node,
        batch: &Batch,
        head: usize,
        hooks: &dyn Hooks,
    ) -> std::result::Result<Node, ModelError> {
        let Some(task) = self.config.heads.get(head) else {
            return Err(ModelError::Heads(format!("are {}, counted from 0", self.config.heads.len())));
        };
        let places = Rows::prompt_of(batch, hooks);
        let segments = places.map_or_else(|| batch.segments.clone(), |places| places.segments());
        let pooled = pooled(tape, hidden, &segments, task.pooling)?;
        self.scores_of(tape, pooled, head, hooks).during("head of a task")
    }

    /// One row for each text: hidden [n, d] of a batch -> [segments, d].
    pub fn pooled(
        &self,
        tape: &Tape,
        hidden: &Node,
        batch: &Batch,
        pooling: Pooling,
    ) -> std::result::Result<Node, ModelError> {
        pooled(tape, hidden, &batch.segments, pooling)
    }

    /// pooled [s, d] -> [s, labels].
    fn scores_of(&self, tape: &Tape, pooled: Node, head: usize, hooks: &dyn Hooks) -> Result<Node> {
        let scores = &self.config.family.table().scores;
        let part = |tensor| Part::Score(head, tensor);
        let mut x = pooled;
        if scores.pooler.is_some() {
            x = ops::tanh(tape, &self.dense(tape, &x, Part::Pooler, Part::PoolerBias, hooks)?)?;
        }
        if let Some((_, bend)) = scores.dense {
            x = self.dense(tape, &x, part(HeadTensor::Dense), part(HeadTensor::DenseBias), hooks)?;
            x = match bend {
                Bend::Tanh => ops::tanh(tape, &x)?,
                Bend::Relu => ops::activate(tape, &x, ops::Activation::Relu)?,
                Bend::Own => ops::activate(tape, &x, self.config.transform_activation)?,
            };
        }
        let (weight, bias) = (part(HeadTensor::Norm), part(HeadTensor::NormBias));
        x = self.norms(hooks).apply(tape, &x, weight, bias)?.unwrap_or(x);
        self.dense(tape, &x, part(HeadTensor::Out), part(HeadTensor::OutBias), hooks)
    }

    /// x [n, i] -> [n, o], with a bias if the model has it.
    fn dense(&self, tape: &Tape, x: &Node, weight: Part, bias: Part, hooks: &dyn Hooks) -> Result<Node> {
        let own = self.params.matrix(weight).map_err(candle_core::Error::wrap)?;
        let bias = self.params.vector(bias).map(|own| hooks.vector(bias, own));
        ops::linear(tape, x, &hooks.matrix(weight, own), bias.as_ref())
    }

    /// The same model with these heads and no others. What they need is taken from it where it is there, a head with the same name and
    /// as many labels among it; the rest is drawn: weights from a normal distribution of deviation 0.02, biases 0. Tensors are shared.
    ///
    /// # Errors
    /// [`ModelError::Heads`] for heads that cannot stand in one file.
    pub fn with_heads(&self, heads: Vec<TaskHead>, seed: u64) -> std::result::Result<Self, ModelError> {
        let config = DecoderConfig { heads, ..self.config.clone() };
        self.with_config(config, seed)
    }

    /// The same model without what predicts tokens, for tasks that have no use for it: full tuning would find no gradient there.
    ///
    /// # Errors
    /// None but those of an operation.
    pub fn without_predictions(&self) -> std::result::Result<Self, ModelError> {
        self.with_config(DecoderConfig { predicts_tokens: false, ..self.config.clone() }, 0)
    }

    /// The same model with the heads of another config, as [`Self::with_heads`], and with or without what predicts tokens.
    ///
    /// # Errors
    /// As [`Self::with_heads`].
    pub fn with_config(&self, config: DecoderConfig, seed: u64) -> std::result::Result<Self, ModelError> {
        config.check_heads().map_err(ModelError::Heads)?;
        let mut params = self.params.clone();
        params.matrices.retain(|part, _| !matches!(part, Part::Score(..)));
        params.vectors.retain(|part, _| !matches!(part, Part::Score(..)));
        for (index, Group { part, tensors }) in config.groups().into_iter().enumerate() {
            if params.matrices.contains_key(&part) || params.vectors.contains_key(&part) {
                continue;
            }
            let (kept, shape) = (self.kept(part, &config), &tensors[0].shape);
            if shape.len() == 2 {
                let own = kept.and_then(|part| self.params.matrices.get(&part).cloned());
                let drawn = || drawn(shape, seed, index as u64, &self.device, self.params.compute);
                let own = own.map_or_else(|| drawn().map(Into::into), Ok).during("draw a new head")?;
                params.matrices.insert(part, own);
                params.expect_row_squares(part);
            } else {
                let own = kept.and_then(|part| self.params.vectors.get(&part).cloned());
                let is_norm = matches!(part, Part::Score(_, HeadTensor::Norm) | Part::TransformNorm);
                let new = || match is_norm {
                    true => Tensor::ones(shape.as_slice(), DType::F32, &self.device),
                    false => Tensor::zeros(shape.as_slice(), DType::F32, &self.device),
                };
                params.vectors.insert(part, own.map_or_else(new, Ok).during("draw a new head")?);
            }
        }
        if config.has_tied_head() && !params.matrices.contains_key(&Part::Head) {
            let table = params.matrix(Part::Embedding)?;
            let on_device = || match table {
                // Its blocks lie on the host.
                Weight::Packed(_) if !self.device.is_cpu() => {
                    Ok(table.widened(params.compute)?.to_device(&self.device)?.into())
                }
                _ => Ok(table.clone()),
            };
            let head = on_device().during("make a new head")?;
            params.matrices.insert(Part::Head, head);
            params.expect_row_squares(Part::Head);
        }
        Self::new(config, params, self.device.clone())
    }

    /// What files of its class hold besides what it reads, and those it came from did.
    pub(super) fn spare_groups(&self) -> Vec<Group> {
        let is_there = |group: &Group| {
            self.params.matrices.contains_key(&group.part) || self.params.vectors.contains_key(&group.part)
        };
        let spare = if self.config.is_bare() { self.config.spare_groups() } else { Vec::new() };
        spare.into_iter().filter(is_there).collect()
    }

    /// The part of this model that serves as one of another config's heads.
    fn kept(&self, part: Part, config: &DecoderConfig) -> Option<Part> {
        let Part::Score(index, tensor) = part else { return None };
        let head = config.heads.get(index)?;
        let is_same = |old: &TaskHead| old.name == head.name && old.labels.len() == head.labels.len();
        if let Some(old) = self.config.heads.iter().position(is_same) {
            return Some(Part::Score(old, tensor));
        }
        // In a ModernBERT, one dense layer serves both.
        let names = &self.config.family.table().names;
        let is_shared = names.transform.is_some_and(|own| Some(own.dense) == self.dense_name());
        let of_transform = HashMap::from([
            (HeadTensor::Dense, Part::Transform),
            (HeadTensor::DenseBias, Part::TransformBias),
            (HeadTensor::Norm, Part::TransformNorm),
            (HeadTensor::NormBias, Part::TransformNormBias),
        ]);
        of_transform.get(&tensor).copied().filter(|_| is_shared)
    }

    fn dense_name(&self) -> Option<&'static str> {
        self.config.family.table().scores.dense.map(|(name, _)| name)
    }
}

/// One row for each segment, whose offsets are these: [n, d] -> [s, d].
fn pooled(
    tape: &Tape,
    hidden: &Node,
    segments: &[usize],
    pooling: Pooling,
) -> std::result::Result<Node, ModelError> {
    let of_segment = |ends: &[usize]| match pooling {
        Pooling::First => ends[0]..ends[0] + 1,
        Pooling::Mean => ends[0]..ends[1],
        Pooling::Last => ends[1] - 1..ends[1],
    };
    ops::mean_rows(tape, hidden, segments.windows(2).map(of_segment).collect()).during("pooling")
}

/// Normal numbers of a stream of their own, [o, i].
fn drawn(shape: &[usize], seed: u64, index: u64, device: &Device, compute: DType) -> Result<Tensor> {
    let mut stream = Rng::new(seed, &[HEAD, index]);
    let numbers = (0..shape.iter().product::<usize>()).map(|_| (DEVIATION * stream.normal()) as f32);
    Tensor::from_vec(numbers.collect::<Vec<f32>>(), shape, &Device::Cpu)?.to_dtype(compute)?.to_device(device)
}

//! The decoder of all families: embedding, blocks, final norm; logits are made by whoever needs them.

use super::ModelError;
use super::block::{Block, Norms, Sight};
use super::cache::{Cache, CachedRows};
use super::config::DecoderConfig;
use super::error::During;
use super::hooks::{Hooks, Part, Projection};
use super::params::{DecoderParams, index_tensor};
use crate::data::Batch;
use crate::nn::ops::{self, Head, RopeRows, RopeTable, Seen};
use crate::nn::{Node, Tape};
use candle_core::{DType, Device, Tensor};
use std::borrow::Cow;
use std::rc::Rc;

/// A model on a device. Shared, never changed: adapters come as hooks.
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    params: DecoderParams,
    rope: RopeTable,
    /// Of layers with a sliding window, where they have one of their own.
    local_rope: Option<RopeTable>,
    device: Device,
}

/// The rows of both tables at the positions of one pass.
#[derive(Clone)]
struct Turns {
    usual: RopeRows,
    local: Option<RopeRows>,
}

impl Decoder {
    pub fn new(config: DecoderConfig, params: DecoderParams, device: Device) -> Result<Self, ModelError> {
        let table = |frequencies: Vec<f64>| RopeTable::new(&frequencies, config.context_tokens, &device);
        let mut rope = table(config.inverse_frequencies()).during("rotary table")?;
        let factor = config.rope_scaling.attention_factor();
        if factor != 1.0 {
            rope = rope.scaled(factor).during("rotary table")?;
        }
        let local_rope = config.local_frequencies().map(table).transpose().during("rotary table")?;
        Ok(Self { config, params, rope, local_rope, device })
    }

    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The type of activations and products. Logits, losses and trained parameters are f32.
    pub fn compute(&self) -> DType {
        self.params.compute
    }

    /// What makes logits, as these hooks leave it.
    pub fn head(&self, hooks: &dyn Hooks) -> Result<Head, ModelError> {
        let weight = hooks.matrix(Part::Head, self.params.matrix(Part::Head)?);
        Ok(Head { weight, cap: self.config.logit_cap })
    }

    /// One of its own tensors as f32: what is computed as one comes as one.
    pub fn tensor(&self, part: Part) -> Result<Tensor, ModelError> {
        match self.params.vector(part) {
            Some(vector) => Ok(vector.clone()),
            None => {
                let weight = self.params.matrix(part)?;
                weight.widened(DType::F32).map(Cow::into_owned).during("widen a weight")
            }
        }
    }

    /// The sum of squares of each row of a projection, [o].
    pub fn row_squares(&self, layer: usize, projection: Projection) -> Result<Tensor, ModelError> {
        self.params.row_squares(Part::Weight(layer, projection))
    }

    /// A tensor as f32 as these hooks leave it: replaced, changed beside, or its own. Trained additions are worked into it.
    pub fn merged(&self, part: Part, hooks: &dyn Hooks) -> Result<Tensor, ModelError> {
        if let Some(node) = hooks.replaced(part) {
            return Ok(node.value().clone());
        }
        let own = self.tensor(part)?;
        let merge = || match part {
            Part::Weight(layer, projection) => {
                let changed = match hooks.low_rank(layer, projection) {
                    Some(low) => low.merged(&own, hooks.magnitudes(layer, projection))?,
                    None => own.clone(),
                };
                let changed = match hooks.input_scale(layer, projection) {
                    Some(scale) => changed.broadcast_mul(&scale.factors(changed.dim(1)?, &changed)?)?,
                    None => changed,
                };
                match hooks.output_scale(layer, projection) {
                    Some(scale) => {
                        changed.broadcast_mul(&scale.factors(changed.dim(0)?, &changed)?.unsqueeze(1)?)
                    }
                    None => Ok(changed),
                }
            }
            Part::Bias(layer, projection) => match hooks.output_scale(layer, projection) {
                Some(scale) => &own * scale.factors(own.dim(0)?, &own)?,
                None => Ok(own.clone()),
            },
            _ => Ok(own.clone()),
        };
        merge().during("merge the adapter into a weight")
    }

    fn embed(
        &self,
        tape: &Tape,
        tokens: &[u32],
        positions: &[u32],
        hooks: &dyn Hooks,
    ) -> Result<Node, ModelError> {
        let rows = |part, rows: &[u32]| {
            let table = hooks.matrix(part, self.params.matrix(part)?);
            let embed = || {
                let rows = ops::embedding(tape, &table, rows)?;
                // Blocks are picked on the host.
                let rows = match rows.needs_gradient() {
                    true => rows,
                    false => Node::frozen(rows.value().to_device(&self.device)?),
                };
                ops::cast(tape, &rows, self.params.compute)
            };
            embed().during("embedding")
        };
        let x = rows(Part::Embedding, tokens)?;
        let x = self.scaled(tape, x, self.config.embedding_scale)?;
        match self.config.family.table().names.positions {
            Some(_) => ops::add(tape, &x, &rows(Part::Positions, positions)?).during("embedding"),
            None => Ok(x),
        }
    }

    fn scaled(&self, tape: &Tape, x: Node, factor: f64) -> Result<Node, ModelError> {
        if factor == 1.0 { Ok(x) } else { ops::affine(tape, &x, factor, 0.0).during("scale") }
    }

    fn final_norm(&self, tape: &Tape, x: &Node, hooks: &dyn Hooks) -> Result<Node, ModelError> {
        let norms = Norms { config: &self.config, params: &self.params, hooks };
        let normed = norms.apply(tape, x, Part::FinalNorm, Part::FinalNormBias).during("final norm")?;
        // Scaled here, logits are scaled.
        self.scaled(tape, normed.unwrap_or_else(|| x.clone()), self.config.logit_scale)
    }

    fn turns(&self, positions: &[u32]) -> Result<Turns, ModelError> {
        let positions = index_tensor(positions, &self.device)?;
        let at = |table: &RopeTable| table.at(&positions).during("rotary positions");
        Ok(Turns { usual: at(&self.rope)?, local: self.local_rope.as_ref().map(at).transpose()? })
    }

    fn block<'b>(&'b self, layer: usize, hooks: &'b dyn Hooks, turns: &'b Turns) -> Block<'b> {
        let usual = || self.config.rotated.contains(layer).then_some(&turns.usual);
        let local = turns.local.as_ref().filter(|_| self.config.windowed.contains(layer));
        Block { layer, config: &self.config, params: &self.params, hooks, rope: local.or_else(usual) }
    }

    fn check_tokens(&self, tokens: &[u32]) -> Result<(), ModelError> {
        match tokens.iter().find(|t| **t as usize >= self.config.vocabulary) {
            Some(token) => {
                Err(ModelError::ForeignToken { token: *token, vocabulary: self.config.vocabulary })
            }
            None => Ok(()),
        }
    }

    fn check_lengths(&self, batch: &Batch) -> Result<(), ModelError> {
        let context_tokens = self.config.context_tokens;
        let lengths = batch.segments.windows(2).map(|ends| ends[1] - ends[0]);
        match lengths.max().filter(|tokens| *tokens > context_tokens) {
            Some(tokens) => Err(ModelError::SampleTooLong { tokens, context_tokens }),
            None => Ok(()),
        }
    }

    /// Hidden states after the final norm, [n, d], of packed segments.
    pub fn forward<'a>(
        &'a self,
        tape: &Tape<'a>,
        batch: &Batch,
        hooks: &'a dyn Hooks,
    ) -> Result<Node, ModelError> {
        self.check_tokens(&batch.tokens)?;
        self.check_lengths(batch)?;
        let turns = self.turns(&batch.positions)?;
        let seen = |window| {
            let (scale, cap) = (self.config.attention_scale, self.config.attention_cap);
            Rc::new(Seen::new(batch.segments.clone(), scale, window, cap))
        };
        let (everything, windowed) = (seen(None), seen(self.config.sliding_window));
        let mut x = self.embed(tape, &batch.tokens, &batch.positions, hooks)?;
        for layer in 0..self.config.num_layers {
            let seen = if self.config.window_of(layer).is_some() { &windowed } else { &everything };
            let (seen, turns) = (seen.clone(), turns.clone());
            let block = move |tape: &Tape<'a>| {
                self.block(layer, hooks, &turns).forward(tape, &x, Sight::Packed(&seen))
            };
            x = tape.checkpoint(block).during("decoder block")?;
        }
        self.final_norm(tape, &x, hooks)
    }

    /// Feeds tokens after those in the cache and returns the logits of the last one, [v].
    pub fn extend(
        &self,
        tokens: &[u32],
        cache: &mut Cache,
        hooks: &dyn Hooks,
    ) -> Result<Vec<f32>, ModelError> {
        self.extend_rows(&mut [(tokens, cache)], hooks).map(|mut all| all.swap_remove(0))
    }

    /// Feeds several conversations, each its tokens after those in its cache, in one pass that reads the weights once.
    /// Returns the logits of the last token of each, [v]. No tokens of one are an error.
    pub fn extend_rows(
        &self,
        rows: &mut [(&[u32], &mut Cache)],
        hooks: &dyn Hooks,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let (mut tokens, mut positions, mut lasts) = (Vec::new(), Vec::new(), Vec::new());
        for (new, cache) in rows.iter() {
            let Some(last) = (tokens.len() + new.len()).checked_sub(1) else {
                return Err(ModelError::EmptyPrompt);
            };
            tokens.extend_from_slice(new);
            positions.extend((cache.len()..cache.len() + new.len()).map(|position| position as u32));
            lasts.push(last as u32);
        }
        self.check_tokens(&tokens)?;
        let turns = self.turns(&positions)?;
        let tape = Tape::inference();
        let mut x = self.embed(&tape, &tokens, &positions, hooks)?;
        for layer in 0..self.config.num_layers {
            let block = self.block(layer, hooks, &turns);
            let caches = rows.iter_mut().map(|(new, cache)| (new.len(), &mut cache.layers[layer]));
            let sight = Sight::Cached(CachedRows(caches.collect()));
            x = block.forward(&tape, &x, sight).during("decoder block")?;
        }
        let lasts = index_tensor(&lasts, &self.device)?;
        let last = x.value().index_select(&lasts, 0).during("last positions")?; // [b, d]
        let last = self.final_norm(&tape, &Node::frozen(last), hooks)?;
        self.logits(last.value(), hooks)?.to_vec2().during("logits")
    }

    /// hidden [n, d] -> logits [n, v], f32. For evaluation of few rows; training never makes this tensor.
    pub fn logits(&self, hidden: &Tensor, hooks: &dyn Hooks) -> Result<Tensor, ModelError> {
        self.head(hooks)?.logits(hidden).during("vocabulary projection")
    }
}

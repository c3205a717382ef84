//! The model of all families: embedding, blocks, final norm; logits are made by whoever needs them.

use super::ModelError;
use super::block::{Block, Norms, Sight};
use super::cache::{Cache, CachedRows};
use super::config::DecoderConfig;
use super::error::During;
use super::hooks::{Hooks, NoHooks, Part, Place, Projection};
use super::params::{DecoderParams, index_tensor};
use super::virtual_tokens::{Fed, Rows, begin, with_prompts};
use crate::data::Batch;
use crate::nn::ops::{self, RopeRows, RopeTable, Seen};
use crate::nn::{Node, Tape};
use candle_core::{DType, Device, Tensor};
use std::borrow::Cow;
use std::rc::Rc;

/// A model on a device. Shared, never changed: adapters come as hooks.
#[derive(Debug)]
pub struct Decoder {
    pub(super) config: DecoderConfig,
    pub(super) params: DecoderParams,
    rope: RopeTable,
    /// Of layers with a sliding window, where they have one of their own.
    local_rope: Option<RopeTable>,
    pub(super) device: Device,
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

    /// Rows of one of the model's tables, [n, d], in the type that it computes in.
    fn rows(&self, tape: &Tape, part: Part, rows: &[u32], hooks: &dyn Hooks) -> Result<Node, ModelError> {
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
    }

    /// The rows of tokens as a soft prompt's stand beside them, [n, d].
    pub(super) fn embed(&self, tape: &Tape, tokens: &[u32], hooks: &dyn Hooks) -> Result<Node, ModelError> {
        let x = self.rows(tape, Part::Embedding, tokens, hooks)?;
        match self.config.family.table().scales_prompts {
            true => Ok(x),
            false => self.scaled(tape, x, self.config.embedding_scale),
        }
    }

    /// What the blocks read of embedded tokens and virtual ones, [n, d].
    fn placed(
        &self,
        tape: &Tape,
        x: Node,
        positions: &[u32],
        types: &[u32],
        hooks: &dyn Hooks,
    ) -> Result<Node, ModelError> {
        let table = self.config.family.table();
        let x = match table.scales_prompts {
            true => self.scaled(tape, x, self.config.embedding_scale)?,
            false => x,
        };
        let add = |x: Node, part, rows: &[u32]| {
            let rows = self.rows(tape, part, rows, hooks)?;
            ops::add(tape, &x, &rows).during("embedding")
        };
        let mut x = x;
        if table.names.types.is_some() {
            // A table of one row has it for both texts.
            let highest = self.config.num_types.saturating_sub(1) as u32;
            x = add(x, Part::Types, &types.iter().map(|row| (*row).min(highest)).collect::<Vec<_>>())?;
        }
        if table.names.positions.is_some() {
            let offset = self.config.position_offset as u32;
            x = add(x, Part::Positions, &positions.iter().map(|row| row + offset).collect::<Vec<_>>())?;
        }
        let normed = self.norms(hooks).apply(tape, &x, Part::EmbeddingNorm, Part::EmbeddingNormBias);
        let x = normed.during("norm of the embedding")?.unwrap_or(x);
        hooks.dropped(tape, x, Place::Embedding).during("dropout")
    }

    pub(super) fn norms<'n>(&'n self, hooks: &'n dyn Hooks) -> Norms<'n> {
        Norms { config: &self.config, params: &self.params, hooks }
    }

    fn scaled(&self, tape: &Tape, x: Node, factor: f64) -> Result<Node, ModelError> {
        if factor == 1.0 { Ok(x) } else { ops::affine(tape, &x, factor, 0.0).during("scale") }
    }

    /// The soft prompt that the model takes for these tokens, [n, d], f32.
    pub fn embedded(&self, tokens: &[u32]) -> Result<Tensor, ModelError> {
        self.check_tokens(tokens)?;
        let rows = self.embed(&Tape::inference(), tokens, &NoHooks)?;
        rows.value().to_dtype(DType::F32).during("embedding")
    }

    pub(super) fn final_norm(&self, tape: &Tape, x: &Node, hooks: &dyn Hooks) -> Result<Node, ModelError> {
        let normed =
            self.norms(hooks).apply(tape, x, Part::FinalNorm, Part::FinalNormBias).during("final norm")?;
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
        Block { rope: local.or_else(usual), ..self.plain_block(layer, hooks) }
    }

    /// One that knows nothing of places.
    pub(super) fn plain_block<'b>(&'b self, layer: usize, hooks: &'b dyn Hooks) -> Block<'b> {
        let (config, params) = (&self.config, &self.params);
        Block { layer, config, params, hooks, rope: None, bias: None, read: None }
    }

    /// Whether the model can go on with a text.
    ///
    /// # Errors
    /// [`ModelError::CannotWrite`], for an encoder and for a model without a vocabulary projection.
    pub fn check_writes(&self) -> Result<(), ModelError> {
        self.config.check_writes()
    }

    pub(super) fn check_tokens(&self, tokens: &[u32]) -> Result<(), ModelError> {
        match tokens.iter().find(|t| **t as usize >= self.config.vocabulary) {
            Some(token) => {
                Err(ModelError::ForeignToken { token: *token, vocabulary: self.config.vocabulary })
            }
            None => Ok(()),
        }
    }

    /// `num_virtual` tokens of each segment's context are taken.
    fn check_lengths(&self, batch: &Batch, num_virtual: usize) -> Result<(), ModelError> {
        // Distances have no end, and what stands for pieces that were taken out makes a text longer than it was.
        if self.config.encoder.is_some() {
            return Ok(());
        }
        let context_tokens = self.config.context_tokens.saturating_sub(num_virtual);
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
        let whole = self.forward_whole(tape, batch, hooks)?;
        match Rows::prompt_of(batch, hooks).filter(|_| self.config.encoder.is_none()) {
            Some(places) => ops::without_virtual_rows(tape, &whole, &places).during("soft prompt"),
            None => Ok(whole),
        }
    }

    /// The same with what became of a soft prompt's rows before those of each segment, [n + s p, d], where the method has one: what
    /// heads of tasks read.
    pub fn forward_whole<'a>(
        &'a self,
        tape: &Tape<'a>,
        batch: &Batch,
        hooks: &'a dyn Hooks,
    ) -> Result<Node, ModelError> {
        self.check_tokens(&batch.tokens)?;
        self.check_lengths(batch, hooks.num_virtual_tokens())?;
        if let Some(encoder) = self.config.encoder {
            return self.forward_both(tape, batch, encoder, hooks);
        }
        let rows = Rows::of(batch, hooks);
        let turns = self.turns(&rows.positions)?;
        let seen = |window| {
            let (scale, cap) = (self.config.attention_scale, self.config.attention_cap);
            let seen = Seen::new(rows.segments.clone(), scale, window, cap);
            Rc::new(if self.config.is_causal() { seen } else { seen.both_ways() })
        };
        let (everything, windowed) = (seen(None), seen(self.config.sliding_window));
        let x = self.embed(tape, &batch.tokens, hooks)?;
        let x = match (hooks.soft_prompt(), &rows.soft_prompt) {
            (Some(prompt), Some(places)) => {
                ops::with_virtual_rows(tape, &x, prompt, places).during("soft prompt")?
            }
            _ => x,
        };
        let mut x = self.placed(tape, x, &rows.positions, &rows.types, hooks)?;
        for layer in 0..self.config.num_layers {
            let seen = if self.config.window_of(layer).is_some() { &windowed } else { &everything };
            let (seen, turns, prefix) = (seen.clone(), turns.clone(), rows.prefix.clone());
            let block = move |tape: &Tape<'a>| {
                let sight = Sight::Packed(&seen, prefix.as_deref());
                self.block(layer, hooks, &turns).forward(tape, &x, sight)
            };
            x = tape.checkpoint(block).during("block")?;
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
    /// Returns the logits of the last token of each, [v]; none where all of it is read and nothing written so far. No tokens of one are an error.
    pub fn extend_rows(
        &self,
        rows: &mut [(&[u32], &mut Cache)],
        hooks: &dyn Hooks,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        self.check_writes()?;
        if let Some(encoder) = self.config.encoder {
            return self.extend_both(rows, encoder, hooks);
        }
        let (mut tokens, mut fed, mut num_rows) = (Vec::new(), Vec::new(), 0);
        for (new, cache) in rows.iter_mut() {
            if tokens.is_empty() && new.is_empty() {
                return Err(ModelError::EmptyPrompt);
            }
            tokens.extend_from_slice(new);
            begin(cache, hooks, self.config.head_layout(), self.params.compute)?;
            fed.push(Fed::new(num_rows, new.len(), cache, hooks));
            num_rows = fed.last().map_or(0, |fed| fed.rows.end);
        }
        self.check_tokens(&tokens)?;
        let positions: Vec<u32> =
            fed.iter().flat_map(|fed| fed.positions.clone()).map(|position| position as u32).collect();
        let turns = self.turns(&positions)?;
        let tape = Tape::inference();
        let embedded = self.embed(&tape, &tokens, hooks)?;
        let x = Node::frozen(with_prompts(embedded.value().clone(), &fed, hooks)?);
        let mut x = self.placed(&tape, x, &positions, &[], hooks)?;
        for layer in 0..self.config.num_layers {
            let block = self.block(layer, hooks, &turns);
            let caches = rows.iter_mut().zip(&fed);
            let caches = caches.map(|((_, cache), fed)| (fed.rows.len(), &mut cache.layers[layer]));
            let sight = Sight::Cached(CachedRows(caches.collect()));
            x = block.forward(&tape, &x, sight).during("block")?;
        }
        for (_, cache) in rows {
            cache.num_virtual = hooks.num_virtual_tokens();
        }
        let lasts: Vec<u32> = fed.iter().map(|fed| (fed.rows.end - 1) as u32).collect();
        let lasts = index_tensor(&lasts, &self.device)?;
        let last = x.value().index_select(&lasts, 0).during("last positions")?; // [b, d]
        let last = self.final_norm(&tape, &Node::frozen(last), hooks)?;
        self.logits(last.value(), hooks)?.to_vec2().during("logits")
    }
}

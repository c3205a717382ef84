//! A model that reads with one stack and writes with another: of a text, what stands before the token that begins an answer is read.
//! Both stacks are made of the one block, and what is packed end to end is so in both.

use super::ModelError;
use super::block::{Read, Sight};
use super::cache::{Cache, CachedRows};
use super::config::Encoder;
use super::decoder::Decoder;
use super::error::During;
use super::hooks::{Hooks, Part, Place};
use super::params::index_tensor;
use crate::data::Batch;
use crate::nn::ops::{self, Seen, VirtualRows};
use crate::nn::{Node, Tape};
use candle_core::{DType, Tensor};
use std::rc::Rc;

/// The tokens of packed segments, those that are read apart from those that are written.
struct Parted {
    read: Vec<u32>,
    written: Vec<u32>,
    /// Of both: offsets where segments begin, with their number at the end.
    segments: [Vec<usize>; 2],
}

impl Parted {
    /// # Errors
    /// For a segment of which nothing is read.
    fn of(batch: &Batch, encoder: Encoder) -> Result<Self, ModelError> {
        let mut parted = Self { read: Vec::new(), written: Vec::new(), segments: [vec![0], vec![0]] };
        for ends in batch.segments.windows(2) {
            let tokens = &batch.tokens[ends[0]..ends[1]];
            let (read, written) = tokens.split_at(encoder.num_read(tokens));
            if read.is_empty() {
                return Err(ModelError::EmptyPrompt);
            }
            parted.read.extend_from_slice(read);
            parted.written.extend_from_slice(written);
            parted.segments[0].push(parted.read.len());
            parted.segments[1].push(parted.written.len());
        }
        Ok(parted)
    }

    /// Rows of each segment in both.
    fn pieces(&self) -> Vec<[usize; 2]> {
        let lengths = |of: usize| self.segments[of].windows(2).map(|ends| ends[1] - ends[0]);
        lengths(0).zip(lengths(1)).map(|(read, written)| [read, written]).collect()
    }
}

fn longest(segments: &[usize]) -> usize {
    segments.windows(2).map(|ends| ends[1] - ends[0]).max().unwrap_or(0)
}

/// What an encoder makes of packed texts.
struct ReadRows {
    /// [m, d], virtual ones among them.
    rows: Node,
    /// Offsets where texts begin among them, with their number at the end.
    segments: Vec<usize>,
    /// Which of them are a soft prompt's.
    places: Option<VirtualRows>,
}

impl Encoder {
    /// How many of these tokens stand before the first that is written.
    pub fn num_read(&self, tokens: &[u32]) -> usize {
        tokens.iter().position(|token| *token == self.start).unwrap_or(tokens.len())
    }

    /// The row of the table for a key that lies so far behind its query (before it where negative): rows of their own nearby, shared
    /// ones farther away, whose width grows with the logarithm.
    pub fn bucket(&self, distance: i64, both_ways: bool) -> u32 {
        let num = if both_ways { self.num_buckets / 2 } else { self.num_buckets };
        let first = if both_ways && distance > 0 { num } else { 0 };
        let far = if both_ways { distance.unsigned_abs() } else { (-distance).max(0) as u64 } as usize;
        let num_near = num / 2;
        if far < num_near {
            return (first + far) as u32;
        }
        // In f32, as in transformers: the borders of the buckets hang on its rounding.
        let share =
            (far as f32 / num_near as f32).ln() / (self.furthest as f64 / num_near as f64).ln() as f32;
        let shared = (share * (num - num_near) as f32) as usize;
        (first + (num_near + shared).min(num - 1)) as u32
    }
}

impl Decoder {
    /// What is added to the scores of the stack that begins with `layer` where no segment has more than `longest` rows: [2l - 1, h].
    fn position_bias(
        &self,
        tape: &Tape,
        encoder: Encoder,
        layer: usize,
        longest: usize,
        hooks: &dyn Hooks,
    ) -> Result<Node, ModelError> {
        let part = Part::PositionBias(layer);
        let table = hooks.matrix(part, self.params.matrix(part)?);
        let far = longest.max(1) as i64 - 1;
        let rows: Vec<u32> = (-far..=far).map(|distance| encoder.bucket(distance, layer == 0)).collect();
        let rows = ops::embedding(tape, &table, &rows).during("position biases")?;
        ops::cast(tape, &rows, DType::F32).during("position biases")
    }

    /// The encoder's rows of packed texts, those of a soft prompt before each.
    fn read<'a>(
        &'a self,
        tape: &Tape<'a>,
        tokens: &[u32],
        segments: &[usize],
        encoder: Encoder,
        hooks: &'a dyn Hooks,
    ) -> Result<ReadRows, ModelError> {
        let mut x = self.embed(tape, tokens, hooks)?;
        let mut segments = segments.to_vec();
        let mut places = None;
        if let Some(prompt) = hooks.soft_prompt() {
            let before = VirtualRows::new(hooks.num_virtual_tokens(), &segments);
            x = ops::with_virtual_rows(tape, &x, prompt, &before).during("soft prompt")?;
            segments = before.segments();
            places = Some(before);
        }
        let bias = self.position_bias(tape, encoder, 0, longest(&segments), hooks)?;
        let seen = Seen::new(segments.clone(), self.config.attention_scale, None, None).both_ways();
        let seen = Rc::new(seen);
        let mut x = hooks.dropped(tape, x, Place::Embedding).during("dropout")?;
        for layer in 0..encoder.num_layers {
            let (bias, seen) = (bias.clone(), seen.clone());
            let block = move |tape: &Tape<'a>| {
                let mut block = self.plain_block(layer, hooks);
                block.bias = Some(&bias);
                block.forward(tape, &x, Sight::Packed(&seen, None))
            };
            x = tape.checkpoint(block).during("block")?;
        }
        let normed = self.norms(hooks).apply(tape, &x, Part::EncoderNorm, Part::FinalNormBias);
        let normed = normed.during("final norm")?.unwrap_or(x);
        let rows = hooks.dropped(tape, normed, Place::Last(0)).during("dropout")?;
        Ok(ReadRows { rows, segments, places })
    }

    /// Hidden states of all tokens, [n, d], those that are read as their stack leaves them.
    pub(super) fn forward_both<'a>(
        &'a self,
        tape: &Tape<'a>,
        batch: &Batch,
        encoder: Encoder,
        hooks: &'a dyn Hooks,
    ) -> Result<Node, ModelError> {
        let parted = Parted::of(batch, encoder)?;
        let [of_read, of_written] = &parted.segments;
        let ReadRows { rows: read, segments: of_rows, places } =
            self.read(tape, &parted.read, of_read, encoder, hooks)?;
        let of_tokens = match &places {
            Some(places) => ops::without_virtual_rows(tape, &read, places).during("soft prompt")?,
            None => read.clone(),
        };
        if parted.written.is_empty() {
            return Ok(of_tokens);
        }
        let scale = self.config.attention_scale;
        let own = Rc::new(Seen::new(of_written.clone(), scale, None, None));
        let across = Rc::new(Seen::across(of_written.clone(), of_rows, scale));
        let bias = self.position_bias(tape, encoder, encoder.num_layers, longest(of_written), hooks)?;
        let x = self.embed(tape, &parted.written, hooks)?;
        let mut x = hooks.dropped(tape, x, Place::Written).during("dropout")?;
        for layer in encoder.num_layers..self.config.num_layers {
            let (bias, read, own, across) = (bias.clone(), read.clone(), own.clone(), across.clone());
            let block = move |tape: &Tape<'a>| {
                let mut block = self.plain_block(layer, hooks);
                (block.bias, block.read) = (Some(&bias), Some(Read::Rows(&read, &across)));
                block.forward(tape, &x, Sight::Packed(&own, None))
            };
            x = tape.checkpoint(block).during("block")?;
        }
        let x = self.final_norm(tape, &x, hooks)?;
        let x = hooks.dropped(tape, x, Place::Last(encoder.num_layers)).during("dropout")?;
        ops::interleaved(tape, &of_tokens, &x, &parted.pieces()).during("rows of both stacks")
    }

    /// [`Self::extend_rows`]: tokens are kept until the first that is written comes; then they are read at once.
    pub(super) fn extend_both(
        &self,
        rows: &mut [(&[u32], &mut Cache)],
        encoder: Encoder,
        hooks: &dyn Hooks,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let (mut tokens, mut lengths) = (Vec::new(), Vec::new());
        for (new, cache) in rows.iter_mut() {
            self.check_tokens(new)?;
            if new.is_empty() {
                return Err(ModelError::EmptyPrompt);
            }
            let reads = if cache.kept.is_some() { 0 } else { encoder.num_read(new) };
            let (read, written) = new.split_at(reads);
            cache.read.extend_from_slice(read);
            if cache.kept.is_none() && !written.is_empty() {
                cache.kept = Some(Rc::new(self.keys_of_read(&cache.read, encoder, hooks)?));
            }
            tokens.extend_from_slice(written);
            lengths.push(written.len());
        }
        if tokens.is_empty() {
            return Ok(vec![Vec::new(); rows.len()]);
        }
        let tape = Tape::inference();
        let totals = rows.iter().zip(&lengths).map(|((_, cache), num)| cache.num_written() + num);
        let far = totals.max().unwrap_or(1);
        let bias = self.position_bias(&tape, encoder, encoder.num_layers, far, hooks)?;
        let mut x = self.embed(&tape, &tokens, hooks)?;
        let kept: Vec<_> = rows.iter().map(|(_, cache)| cache.kept.clone()).collect();
        for layer in encoder.num_layers..self.config.num_layers {
            let of_layer = |kept: &Option<Rc<Vec<Tensor>>>| {
                kept.as_ref().map(|all| all[layer - encoder.num_layers].clone())
            };
            let kept: Vec<_> = kept.iter().map(of_layer).collect();
            let kept = lengths.iter().zip(&kept).filter_map(|(num, kept)| Some((*num, kept.as_ref()?)));
            let kept: Vec<_> = kept.collect();
            let caches = rows.iter_mut().zip(&lengths).filter(|(_, num)| **num > 0);
            let caches = caches.map(|((_, cache), num)| (*num, &mut cache.layers[layer])).collect();
            let mut block = self.plain_block(layer, hooks);
            (block.bias, block.read) = (Some(&bias), Some(Read::Kept(&kept)));
            x = block.forward(&tape, &x, Sight::Cached(CachedRows(caches))).during("block")?;
        }
        self.last_logits(&tape, &x, &lengths, hooks)
    }

    /// The logits after the last of so many rows each; none after no rows.
    fn last_logits(
        &self,
        tape: &Tape,
        x: &Node,
        lengths: &[usize],
        hooks: &dyn Hooks,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let mut end = 0;
        let mut last = |num: &usize| {
            end += num;
            (*num > 0).then(|| (end - 1) as u32)
        };
        let lasts: Vec<Option<u32>> = lengths.iter().map(&mut last).collect();
        let rows = index_tensor(&lasts.iter().flatten().copied().collect::<Vec<_>>(), &self.device)?;
        let rows = x.value().index_select(&rows, 0).during("last positions")?; // [b, d]
        let rows = self.final_norm(tape, &Node::frozen(rows), hooks)?;
        let made: Vec<Vec<f32>> = self.logits(rows.value(), hooks)?.to_vec2().during("logits")?;
        let mut made = made.into_iter();
        Ok(lasts.iter().map(|last| last.and_then(|_| made.next()).unwrap_or_default()).collect())
    }

    /// Keys and values of what is read for each layer that writes, [m, 2k·e].
    fn keys_of_read(
        &self,
        tokens: &[u32],
        encoder: Encoder,
        hooks: &dyn Hooks,
    ) -> Result<Vec<Tensor>, ModelError> {
        if tokens.is_empty() {
            return Err(ModelError::EmptyPrompt);
        }
        let tape = Tape::inference();
        let ReadRows { rows, .. } = self.read(&tape, tokens, &[0, tokens.len()], encoder, hooks)?;
        let keys =
            |layer| self.plain_block(layer, hooks).keys_of(&tape, &rows).map(|keys| keys.value().clone());
        (encoder.num_layers..self.config.num_layers).map(keys).collect::<Result<_, _>>().during("block")
    }
}

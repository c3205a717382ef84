//! Where virtual tokens stand: those of a soft prompt, or of a prefix, before the real ones of every conversation.

use super::ModelError;
use super::cache::Cache;
use super::error::During;
use super::hooks::Hooks;
use crate::data::Batch;
use crate::nn::Node;
use crate::nn::ops::{HeadLayout, VirtualRows};
use candle_core::{DType, Tensor};
use std::ops::Range;
use std::rc::Rc;

/// The rows that run through the blocks for one micro-batch.
pub(super) struct Rows {
    /// Position of each row in its segment.
    pub positions: Vec<u32>,
    /// Which of two texts each row is of.
    pub types: Vec<u32>,
    /// Offsets where segments begin among the rows that attention sees, with their number at the end.
    pub segments: Vec<usize>,
    /// Which of them are a soft prompt's.
    pub soft_prompt: Option<VirtualRows>,
    /// Which rows of attention are a prefix's.
    pub prefix: Option<Rc<VirtualRows>>,
}

impl Rows {
    /// Where a soft prompt's rows stand among those of the segments; `None` where the method has none.
    pub fn prompt_of(batch: &Batch, hooks: &dyn Hooks) -> Option<VirtualRows> {
        hooks.soft_prompt().map(|rows| VirtualRows::new(rows.value().dims()[0], &batch.segments))
    }

    /// A soft prompt's rows run along with the real ones; a prefix only moves their positions.
    pub fn of(batch: &Batch, hooks: &dyn Hooks) -> Self {
        let num = hooks.num_virtual_tokens();
        let places = VirtualRows::new(num, &batch.segments);
        let segments = places.segments();
        if hooks.soft_prompt().is_none() {
            let positions = batch.positions.iter().map(|position| position + num as u32).collect();
            let mut types = batch.types.clone();
            types.resize(batch.len(), 0);
            return Self {
                positions,
                types,
                segments,
                soft_prompt: None,
                prefix: hooks.prefix(0).map(|_| Rc::new(places)),
            };
        }
        let positions: Vec<u32> =
            segments.windows(2).flat_map(|ends| 0..(ends[1] - ends[0]) as u32).collect();
        let mut types = Vec::with_capacity(positions.len());
        for ends in batch.segments.windows(2) {
            types.resize(types.len() + num, 0);
            types.extend((ends[0]..ends[1]).map(|token| batch.types.get(token).copied().unwrap_or(0)));
        }
        Self { positions, types, segments, soft_prompt: Some(places), prefix: None }
    }
}

/// What one conversation feeds next: its real tokens, after its soft prompt if that has not been fed.
pub(super) struct Fed {
    /// Among the rows of all conversations.
    pub rows: Range<usize>,
    pub positions: Range<usize>,
    has_prompt: bool,
}

impl Fed {
    pub fn new(first_row: usize, num_tokens: usize, cache: &Cache, hooks: &dyn Hooks) -> Self {
        let has_prompt = cache.num_virtual == 0 && hooks.soft_prompt().is_some();
        let num = num_tokens + if has_prompt { hooks.num_virtual_tokens() } else { 0 };
        let position = cache.num_virtual + cache.len();
        Self { rows: first_row..first_row + num, positions: position..position + num, has_prompt }
    }
}

/// Embedded tokens of several conversations, end to end, with the soft prompt before those that begin with it.
pub(super) fn with_prompts(tokens: Tensor, all: &[Fed], hooks: &dyn Hooks) -> Result<Tensor, ModelError> {
    let Some(prompt) = hooks.soft_prompt().map(Node::value).filter(|_| all.iter().any(|fed| fed.has_prompt))
    else {
        return Ok(tokens);
    };
    let (mut pieces, mut first) = (Vec::new(), 0);
    for fed in all {
        let mut num = fed.rows.len();
        if fed.has_prompt {
            pieces.push(prompt.to_dtype(tokens.dtype()).during("soft prompt")?);
            num -= hooks.num_virtual_tokens();
        }
        pieces.push(tokens.narrow(0, first, num).during("soft prompt")?);
        first += num;
    }
    Tensor::cat(&pieces, 0).during("soft prompt")
}

/// Lets a cache begin with the prefix in the type that the model computes in, where there is one and it has not.
pub(super) fn begin(
    cache: &mut Cache,
    hooks: &dyn Hooks,
    layout: HeadLayout,
    compute: DType,
) -> Result<(), ModelError> {
    if cache.num_virtual > 0 || hooks.prefix(0).is_none() {
        return Ok(());
    }
    for (number, layer) in cache.layers.iter_mut().enumerate() {
        if let Some(prefix) = hooks.prefix(number) {
            let prefix = prefix.value().to_dtype(compute).during("prefix")?;
            layer.begin(&prefix, layout).during("prefix")?;
        }
    }
    cache.num_virtual = hooks.num_virtual_tokens();
    Ok(())
}

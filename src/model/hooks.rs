//! The seams where a tuning method may change what the model computes. Methods live in `peft`; the model names
//! none of them.

use crate::nn::ops::LowRank;
use crate::nn::{Node, Weight, WeightNode};
use candle_core::Tensor;
use std::fmt;

/// The linear layers of a block, by their names in Hugging Face checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Linear {
    Q,
    K,
    V,
    O,
    Gate,
    Up,
    Down,
}

impl Linear {
    pub const ALL: [Self; 7] = [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    /// [`Self::name`] of all.
    pub const NAMES: [&str; 7] = {
        let [q, k, v, o, gate, up, down] = Self::ALL;
        [q.name(), k.name(), v.name(), o.name(), gate.name(), up.name(), down.name()]
    };

    /// `q_proj`…
    pub const fn name(self) -> &'static str {
        match self {
            Self::Q => "q_proj",
            Self::K => "k_proj",
            Self::V => "v_proj",
            Self::O => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// `self_attn` or `mlp`.
    pub fn parent(self) -> &'static str {
        match self {
            Self::Q | Self::K | Self::V | Self::O => "self_attn",
            Self::Gate | Self::Up | Self::Down => "mlp",
        }
    }
}

/// Linear layers that read the same input and are computed as one, their outputs end to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Projection {
    Qkv,
    O,
    GateUp,
    Down,
}

impl Projection {
    pub const ALL: [Self; 4] = [Self::Qkv, Self::O, Self::GateUp, Self::Down];

    /// The layers, in the order of their outputs.
    pub fn linears(self) -> &'static [Linear] {
        match self {
            Self::Qkv => &[Linear::Q, Linear::K, Linear::V],
            Self::O => &[Linear::O],
            Self::GateUp => &[Linear::Gate, Linear::Up],
            Self::Down => &[Linear::Down],
        }
    }
}

/// One linear layer of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    pub layer: usize,
    pub linear: Linear,
}

impl fmt::Display for Site {
    /// `model.layers.3.self_attn.q_proj`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model.layers.{}.{}.{}", self.layer, self.linear.parent(), self.linear.name())
    }
}

/// A tensor of the model, as the forward pass reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    Embedding,
    /// Before attention, of a layer.
    InputNorm(usize),
    /// Before the feed-forward, of a layer.
    PostAttentionNorm(usize),
    QueryNorm(usize),
    KeyNorm(usize),
    Weight(usize, Projection),
    Bias(usize, Projection),
    FinalNorm,
    /// The vocabulary projection; the embedding where they are tied.
    Head,
}

/// What a tuning method adds to the forward pass, or puts in its place.
pub trait Hooks {
    /// The low-rank change of a projection, where the method has one.
    fn low_rank(&self, _layer: usize, _projection: Projection) -> Option<&LowRank> {
        None
    }

    /// Keys and values of a layer that stand before those of every conversation's first token, [p, 2k·e]: keys, then values. They take the
    /// positions 0..p, but are not rotated.
    fn prefix(&self, _layer: usize) -> Option<&Node> {
        None
    }

    /// Rows that stand before the embedded tokens of every conversation, [p, d], at the positions 0..p.
    fn soft_prompt(&self) -> Option<&Node> {
        None
    }

    /// What takes the place of a tensor of the model, in the same shape.
    fn replaced(&self, _part: Part) -> Option<&Node> {
        None
    }
}

/// The model as it is.
pub struct NoHooks;

impl Hooks for NoHooks {}

impl dyn Hooks + '_ {
    /// Positions of the context that the method takes for itself: real tokens begin after them.
    pub fn num_virtual_tokens(&self) -> usize {
        self.soft_prompt().or_else(|| self.prefix(0)).map_or(0, |rows| rows.value().dims()[0])
    }

    /// A matrix for the operations: the model's own, or what replaces it.
    pub(super) fn matrix(&self, part: Part, own: &Weight) -> WeightNode {
        self.replaced(part).map_or_else(|| own.clone().into(), WeightNode::trained)
    }

    /// A vector for the operations: the model's own, or what replaces it.
    pub(super) fn vector(&self, part: Part, own: &Tensor) -> Node {
        self.replaced(part).cloned().unwrap_or_else(|| Node::frozen(own.clone()))
    }
}

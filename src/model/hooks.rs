//! The seams where a tuning method may change what the model computes. Methods live in `peft`; the model names
//! none of them.

use crate::nn::{Node, Result, Tape};
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

    /// `q_proj`…
    pub fn name(self) -> &'static str {
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

/// What a tuning method adds to the forward pass.
pub trait Hooks {
    /// Changes the output `y` [n, o] of a linear layer, given its input `x` [n, i].
    fn linear(&self, tape: &Tape, site: Site, x: &Node, y: Node) -> Result<Node>;
}

/// The model as it is.
pub struct NoHooks;

impl Hooks for NoHooks {
    fn linear(&self, _tape: &Tape, _site: Site, _x: &Node, y: Node) -> Result<Node> {
        Ok(y)
    }
}

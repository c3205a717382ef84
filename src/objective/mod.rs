//! What is minimised. An objective turns hidden states into a [`LossSum`]: a sum and its weight, never a bare
//! mean, so that accumulated micro-batches equal one large batch.

mod supervised;

pub use supervised::supervised;

use crate::nn::Node;

/// Σ weight · loss, and Σ weight.
#[derive(Debug, Clone)]
pub struct LossSum {
    /// The sum and the divergence together, as a scalar on the tape.
    pub node: Node,
    pub sum: f64,
    /// From the predictions that it was held against, with weights of its own; 0 without any.
    pub divergence: f64,
    pub weight: f64,
}

//! Rows of the embedding table.

use crate::nn::{Node, Result};
use candle_core::Tensor;

/// weight [v, d] (frozen), tokens [n] u32 -> [n, d].
pub fn embedding(weight: &Tensor, tokens: &Tensor) -> Result<Node> {
    Ok(Node::frozen(weight.index_select(tokens, 0)?))
}

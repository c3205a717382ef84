//! Rows of the embedding table.

use crate::nn::kernels::cpu::tensor;
use crate::nn::{Node, Result, Weight};
use candle_core::Tensor;

/// weight [v, d] (frozen), tokens [n] -> [n, d].
pub fn embedding(weight: &Weight, tokens: &[u32]) -> Result<Node> {
    let rows = match weight {
        Weight::Dense(dense) => {
            dense.index_select(&Tensor::from_slice(tokens, tokens.len(), dense.device())?, 0)?
        }
        Weight::Packed(packed) => {
            tensor(packed.select(tokens)?, (tokens.len(), packed.width()))?.to_device(packed.device())?
        }
    };
    Ok(Node::frozen(rows))
}

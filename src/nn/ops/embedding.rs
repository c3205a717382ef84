//! Rows of the embedding table.

use super::gradient::made_in_place;
use crate::nn::kernels::cpu::elementwise::add_to_rows;
use crate::nn::kernels::cpu::{Numbers, tensor};
use crate::nn::{Node, Result, Tape, Weight, WeightNode, profile};
use candle_core::Tensor;

/// weight [v, d], tokens [n] -> [n, d].
pub fn embedding(tape: &Tape, weight: &WeightNode, tokens: &[u32]) -> Result<Node> {
    let _span = profile::forward("embedding");
    let rows = match weight.weight() {
        Weight::Dense(dense) => dense.index_select(&index(tokens, dense)?, 0)?,
        Weight::Packed(packed) => {
            tensor(packed.select(tokens)?, (tokens.len(), packed.width()))?.to_device(packed.device())?
        }
    };
    let Some(leaf) = weight.leaf() else { return Ok(Node::frozen(rows)) };
    let (tokens, table) = (tokens.to_vec(), leaf.clone());
    Ok(tape.record("embedding", &[leaf], rows, move |dy| {
        let gradient = match Numbers::of(dy) {
            Some(dy) => made_in_place(&table, |out, is_first| {
                if is_first {
                    out.fill(0.0);
                }
                add_to_rows(out, &tokens, &dy);
            })?,
            None => Some(table.value().zeros_like()?.index_add(&index(&tokens, dy)?, dy, 0)?), // [v, d]
        };
        Ok(vec![gradient])
    }))
}

fn index(tokens: &[u32], like: &Tensor) -> Result<Tensor> {
    Tensor::from_slice(tokens, tokens.len(), like.device())
}

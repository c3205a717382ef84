//! Cross entropy of the next token, on the tokens that the mask lets through.

use super::LossSum;
use crate::data::Batch;
use crate::nn::ops::{Head, Reference, linear_cross_entropy_near};
use crate::nn::{Node, Result, Tape};

/// hidden [n, d], head [v, d] -> the loss over the batch's weighted targets, and the divergence from a reference's predictions.
pub fn supervised(
    tape: &Tape,
    hidden: &Node,
    head: &Head,
    batch: &Batch,
    reference: Option<&Reference>,
) -> Result<LossSum> {
    let loss = linear_cross_entropy_near(tape, hidden, head, &batch.targets, &batch.weights, reference)?;
    let weight = batch.weights.iter().map(|w| f64::from(*w)).sum();
    Ok(LossSum { node: loss.sum, sum: loss.value, divergence: loss.divergence, weight })
}

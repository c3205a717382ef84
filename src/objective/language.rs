//! Cross entropy of the next token, on the tokens that the mask lets through.

use super::{LossSum, Made, Objective};
use crate::model::ModelError;
use crate::model::error::During;
use crate::nn::ops::{Reference, linear_cross_entropy_near};

/// Supervised tuning and continued pretraining.
#[derive(Debug, Clone, Copy)]
pub struct Language;

impl Objective for Language {
    fn loss(&self, made: Made, reference: Option<&Reference>) -> Result<LossSum, ModelError> {
        let Made { tape, hidden, batch, .. } = made;
        let head = made.decoder.head(made.hooks)?;
        let loss = linear_cross_entropy_near(tape, hidden, &head, &batch.targets, &batch.weights, reference);
        let loss = loss.during("loss")?;
        let weight = batch.weights.iter().map(|w| f64::from(*w)).sum();
        Ok(LossSum { node: loss.sum, sum: loss.value, divergence: loss.divergence, weight })
    }
}

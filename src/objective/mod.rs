//! What is minimised. An objective turns hidden states into a [`LossSum`]: a sum and its weight, never a bare
//! mean, so that accumulated micro-batches equal one large batch.

mod classification;
mod contrastive;
#[cfg(test)]
mod finite;
mod language;
mod masked;
mod regression;
mod spans;

pub use classification::Classification;
pub use contrastive::Contrastive;
pub use language::Language;
pub use masked::Masked;
pub use regression::{Distance, NUM_STEPS, Regression};
pub use spans::Spans;

use crate::data::{Batch, Sample};
use crate::model::ModelError;
use crate::model::decoder::Decoder;
use crate::model::hooks::Hooks;
use crate::nn::ops::Reference;
use crate::nn::{Node, Tape};

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

/// What tells the random numbers of one micro-batch from those of all others: the seed, and `[update, micro-step]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    pub seed: u64,
    pub stream: [u64; 2],
}

impl Draw {
    /// Of a micro-batch that is measured: the same each time.
    pub fn of_validation(seed: u64, index: usize) -> Self {
        Self { seed, stream: [u64::MAX, index as u64] }
    }
}

/// A micro-batch that went through the model.
#[derive(Clone, Copy)]
pub struct Made<'t, 'a> {
    pub tape: &'t Tape<'a>,
    pub decoder: &'a Decoder,
    pub hooks: &'a dyn Hooks,
    /// What [`Objective::read`] gave.
    pub hidden: &'t Node,
    pub batch: &'t Batch,
}

impl Made<'_, '_> {
    /// What one of the model's heads makes of each text, [segments, labels].
    fn scores(&self, head: usize) -> Result<Node, ModelError> {
        self.decoder.scores(self.tape, self.hidden, self.batch, head, self.hooks)
    }
}

/// What a run learns: how rows are shown to the model, and what is wrong with what it makes of them.
pub trait Objective: Send + Sync {
    /// The samples as the model reads them.
    fn batch(&self, samples: &[&Sample], _draw: Draw) -> Batch {
        Batch::pack(samples.iter().copied())
    }

    /// Whether it reads the states of a soft prompt as well as those of the tokens.
    fn reads_prompt(&self) -> bool {
        false
    }

    /// What of the model's states it reads, after the final norm: one row a token, [n, d], those of a soft prompt before each text's own where
    /// it reads them.
    fn read<'a>(
        &self,
        tape: &Tape<'a>,
        decoder: &'a Decoder,
        batch: &Batch,
        hooks: &'a dyn Hooks,
    ) -> Result<Node, ModelError> {
        match self.reads_prompt() {
            true => decoder.forward_whole(tape, batch, hooks),
            false => decoder.forward(tape, batch, hooks),
        }
    }

    /// Share of the model's own inner numbers that are dropped while it learns.
    fn dropout(&self) -> f64 {
        0.0
    }

    /// What the loss of a micro-batch weighs, before it is read.
    fn weight(&self, batch: &Batch) -> f64 {
        batch.weights.iter().map(|weight| f64::from(*weight)).sum()
    }

    /// Whether a row's loss is the same whichever rows it is measured with.
    fn measures_rows_alone(&self) -> bool {
        true
    }

    /// Whether the loss is of tokens, by the batch's weights of them.
    fn weighs_tokens(&self) -> bool {
        true
    }

    /// The loss, and the divergence from a reference's predictions where the objective is of tokens.
    fn loss(&self, made: Made, reference: Option<&Reference>) -> Result<LossSum, ModelError>;

    /// What the model says of each sample, for measures of more than the loss; nothing where the loss says all.
    fn outputs(&self, _made: Made) -> Result<Vec<Vec<f32>>, ModelError> {
        Ok(Vec::new())
    }
}

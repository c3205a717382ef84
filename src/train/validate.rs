//! The loss on rows that are not trained on.

use super::TrainError;
use crate::data::{Goal, Sample};
use crate::model::hooks::Hooks;
use crate::model::load::LoadedModel;
use crate::nn::Tape;
use crate::objective::{Draw, Made, Objective};

/// Sum of the loss over some rows, and its weight: of objectives of tokens, how many were predicted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LossTotal {
    pub sum: f64,
    pub weight: f64,
    pub num_examples: usize,
    /// Whether the loss is of tokens.
    pub is_of_tokens: bool,
    /// What the model says of each row beside what it should, where the objective has more to measure than the loss.
    pub outputs: Vec<(Goal, Vec<f32>)>,
}

impl LossTotal {
    pub fn mean(&self) -> f64 {
        self.sum / self.weight
    }

    /// Of the tokens; `None` of a loss of whole texts.
    pub fn perplexity(&self) -> Option<f64> {
        self.is_of_tokens.then(|| self.mean().exp())
    }
}

/// `samples` in their order, as micro-batches of at most `budget_tokens`; one that is longer stands alone.
pub fn micro_batches<'a, 'b>(samples: &'b [&'a Sample], budget_tokens: usize) -> Vec<&'b [&'a Sample]> {
    let mut batches = Vec::new();
    let mut rest = samples;
    while let Some((first, others)) = rest.split_first() {
        let mut tokens = first.len();
        let fits = |sample: &&&Sample| {
            tokens += sample.len();
            tokens <= budget_tokens
        };
        let (batch, after) = rest.split_at(1 + others.iter().take_while(fits).count());
        batches.push(batch);
        rest = after;
    }
    batches
}

/// What is measured, and by what.
#[derive(Clone, Copy)]
pub struct Measured<'m> {
    pub model: &'m LoadedModel,
    pub hooks: &'m dyn Hooks,
    pub objective: &'m dyn Objective,
    /// Tokens of a micro-batch.
    pub budget_tokens: usize,
}

/// The loss over `samples`, in micro-batches of about the budget. `goes_on` is asked before each, with the number of
/// samples that are done; `Ok(None)` when it says no. `look` reads the memory where a micro-batch takes the most of it.
///
/// # Errors
/// Those of the model, and what `goes_on` and `look` say.
pub fn loss_of(
    measured: Measured,
    samples: &[&Sample],
    goes_on: &mut dyn FnMut(usize) -> Result<bool, TrainError>,
    look: &dyn Fn() -> Result<(), TrainError>,
) -> Result<Option<LossTotal>, TrainError> {
    let Measured { model, hooks, objective, budget_tokens } = measured;
    let mut total = LossTotal { is_of_tokens: objective.weighs_tokens(), ..LossTotal::default() };
    for (index, rows) in micro_batches(samples, budget_tokens).into_iter().enumerate() {
        if !goes_on(total.num_examples)? {
            return Ok(None);
        }
        let batch = objective.batch(rows, Draw::of_validation(0, index));
        total.num_examples += rows.len();
        if batch.is_empty() {
            continue;
        }
        let tape = Tape::inference();
        let decoder = &*model.decoder;
        let hidden = objective.read(&tape, decoder, &batch, hooks)?;
        let made = Made { tape: &tape, decoder, hooks, hidden: &hidden, batch: &batch };
        let loss = objective.loss(made, None)?;
        total.outputs.extend(batch.goals.iter().cloned().zip(objective.outputs(made)?));
        look()?;
        total.sum += loss.sum;
        total.weight += loss.weight;
    }
    Ok(Some(total))
}

//! The loss on rows that are not trained on.

use super::TrainError;
use super::error::During;
use crate::data::{Batch, Sample};
use crate::model::hooks::Hooks;
use crate::model::load::LoadedModel;
use crate::nn::Tape;
use crate::objective::supervised;

/// Sum of the loss over the trained tokens of some rows, and how many tokens those are.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LossTotal {
    pub sum: f64,
    pub weight: f64,
    pub num_examples: usize,
}

impl LossTotal {
    pub fn mean(&self) -> f64 {
        self.sum / self.weight
    }

    pub fn perplexity(&self) -> f64 {
        self.mean().exp()
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

/// The loss over `samples`, in micro-batches of about `budget_tokens`. `goes_on` is asked before each, with the number of
/// samples that are done; `Ok(None)` when it says no. `look` reads the memory where a micro-batch takes the most of it.
///
/// # Errors
/// Those of the model, and what `goes_on` and `look` say.
pub fn loss_of(
    model: &LoadedModel,
    hooks: &dyn Hooks,
    samples: &[&Sample],
    budget_tokens: usize,
    goes_on: &mut dyn FnMut(usize) -> Result<bool, TrainError>,
    look: &dyn Fn() -> Result<(), TrainError>,
) -> Result<Option<LossTotal>, TrainError> {
    let mut total = LossTotal::default();
    for rows in micro_batches(samples, budget_tokens) {
        if !goes_on(total.num_examples)? {
            return Ok(None);
        }
        let batch = Batch::pack(rows.iter().copied());
        total.num_examples += rows.len();
        if batch.is_empty() {
            continue;
        }
        let tape = Tape::inference();
        let hidden = model.decoder.forward(&tape, &batch, hooks)?;
        let head = model.decoder.head(hooks)?;
        let loss = supervised(&tape, &hidden, &head, &batch, None).during("validation loss")?;
        look()?;
        total.sum += loss.sum;
        total.weight += loss.weight;
    }
    Ok(Some(total))
}

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

/// The loss over `samples`, in micro-batches of about `budget_tokens`. `goes_on` is asked before each; `Ok(None)` when it says
/// no.
pub fn loss_of(
    model: &LoadedModel,
    hooks: &dyn Hooks,
    samples: &[&Sample],
    budget_tokens: usize,
    goes_on: &mut dyn FnMut() -> Result<bool, TrainError>,
) -> Result<Option<LossTotal>, TrainError> {
    let mut total = LossTotal::default();
    let mut start = 0;
    while start < samples.len() {
        if !goes_on()? {
            return Ok(None);
        }
        let mut end = start + 1;
        let mut tokens = samples[start].len();
        while end < samples.len() && tokens + samples[end].len() <= budget_tokens {
            tokens += samples[end].len();
            end += 1;
        }
        let batch = Batch::pack(samples[start..end].iter().copied());
        total.num_examples += end - start;
        start = end;
        if batch.is_empty() {
            continue;
        }
        let tape = Tape::inference();
        let hidden = model.decoder.forward(&tape, &batch, hooks)?;
        let head = model.decoder.head(hooks)?;
        let loss = supervised(&tape, &hidden, &head, &batch).during("validation loss")?;
        total.sum += loss.sum;
        total.weight += loss.weight;
    }
    Ok(Some(total))
}

/// At most `max` rows, spread evenly, in order.
pub fn spread<T: Copy>(rows: &[T], max: usize) -> Vec<T> {
    if rows.len() <= max {
        return rows.to_vec();
    }
    (0..max).map(|i| rows[i * rows.len() / max]).collect()
}

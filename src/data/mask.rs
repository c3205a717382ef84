//! Which tokens are trained on, and what else a row is to be judged by.

use super::template::Rendered;
use super::{DataError, LossWeights, Tokeniser};
use serde::{Deserialize, Serialize};

/// What the loss is taken on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainOn {
    /// Only the answers: completions, assistant turns.
    #[default]
    Answers,
    Everything,
}

/// What a model is to say of a whole sample.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Goal {
    #[default]
    None,
    Class(u32),
    /// Any number of classes, ascending.
    Classes(Vec<u32>),
    Score(f32),
}

/// Token ids of one example with the weight of each token in the loss.
/// Weight `i` is the weight of *predicting* `ids[i]`; the first one counts for nothing where a model writes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    pub ids: Vec<u32>,
    pub weights: LossWeights,
    /// Where the second of two texts begins, of models that tell them apart.
    pub second: Option<u32>,
    /// Where each of several texts ends that are read apart; none for one.
    pub parts: Vec<u32>,
    pub goal: Goal,
}

impl Sample {
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// How many predictions are trained on: tokens, or one for the whole sample.
    pub fn num_trained(&self) -> usize {
        if self.goal != Goal::None || !self.parts.is_empty() {
            return 1;
        }
        let trained = self.weights.runs().filter(|(_, weight)| *weight > 0.0);
        trained.map(|(run, _)| run.end - run.start.max(1).min(run.end)).sum()
    }
}

/// Tokens of a rendered example with the weight of each, cut off at `max_tokens`; and how many there were before
/// cutting. The text is tokenised as a whole; a token is trained on when any of it lies in a trained range.
pub fn sample(
    tokeniser: &Tokeniser,
    rendered: &Rendered,
    max_tokens: usize,
) -> Result<(Sample, usize), DataError> {
    let placed = tokeniser.encode_placed(&rendered.text, &rendered.literal)?;
    let num_tokens = placed.len();
    let mut ranges = rendered.trained.iter().peekable();
    let room = num_tokens.min(max_tokens);
    let mut out = Sample { ids: Vec::with_capacity(room), ..Sample::default() };
    for token in placed.into_iter().take(max_tokens) {
        while ranges.next_if(|range| range.end <= token.bytes.start).is_some() {}
        let is_trained = ranges.peek().is_some_and(|range| range.start < token.bytes.end);
        out.ids.push(token.id);
        out.weights.push(if is_trained { 1.0 } else { 0.0 }, 1);
    }
    out.weights.shrink();
    Ok((out, num_tokens))
}

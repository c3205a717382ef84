//! Tokens that are hidden and guessed again (Devlin et al. 2019, arXiv:1810.04805), others in each pass over the data.

use super::{Draw, LossSum, Made, Objective};
use crate::base::rng::Rng;
use crate::data::{Batch, Sample};
use crate::model::ModelError;
use crate::model::error::During;
use crate::nn::ops::{Reference, linear_cross_entropy_near};

/// Domain of the random streams that choose what is hidden.
const HIDE: u64 = 0x4D_1A;
/// Of what is to be guessed, this share is hidden, and the same again of the rest is another token (80/10/10).
const HIDDEN: f64 = 0.8;
const OTHER: f64 = 0.9;

/// Masked language modelling.
#[derive(Debug, Clone, PartialEq)]
pub struct Masked {
    /// Share of the tokens that are to be guessed.
    pub share: f64,
    /// The token that hides another.
    pub mask: u32,
    /// Tokens of the model.
    pub vocabulary: usize,
    /// Which tokens begin a word, where words are hidden whole.
    pub begins_word: Option<Vec<bool>>,
}

impl Masked {
    /// Where the words of a sample begin and end, or its tokens where they are hidden one by one: those that may be hidden.
    fn units(&self, sample: &Sample) -> Vec<std::ops::Range<usize>> {
        let mut units: Vec<std::ops::Range<usize>> = Vec::new();
        for (place, (id, weight)) in sample.ids.iter().zip(sample.weights.iter()).enumerate() {
            if weight <= 0.0 {
                continue;
            }
            let begins = |of: &Vec<bool>| of.get(*id as usize).copied().unwrap_or(true);
            let goes_on = self.begins_word.as_ref().is_some_and(|of| !begins(of));
            match units.last_mut().filter(|unit| goes_on && unit.end == place) {
                Some(unit) => unit.end += 1,
                None => units.push(place..place + 1),
            }
        }
        units
    }
}

impl Objective for Masked {
    /// At least one unit of each sample is to be guessed, or short ones would never be learnt from.
    fn batch(&self, samples: &[&Sample], draw: Draw) -> Batch {
        let mut batch = Batch::pack(samples.iter().copied());
        batch.targets.copy_from_slice(&batch.tokens);
        batch.weights.fill(0.0);
        let mut begin = 0;
        for (index, sample) in samples.iter().filter(|sample| !sample.is_empty()).enumerate() {
            let units = self.units(sample);
            let mut rng = Rng::new(draw.seed, &[HIDE, draw.stream[0], draw.stream[1], index as u64]);
            let mut chosen: Vec<_> = units.iter().filter(|_| rng.uniform() < self.share).cloned().collect();
            if chosen.is_empty() && !units.is_empty() {
                chosen.push(units[rng.below(units.len())].clone());
            }
            for unit in chosen {
                let fate = rng.uniform();
                for place in unit {
                    let place = begin + place;
                    batch.weights[place] = 1.0;
                    if fate < HIDDEN {
                        batch.tokens[place] = self.mask;
                    } else if fate < OTHER {
                        batch.tokens[place] = rng.below(self.vocabulary) as u32;
                    }
                }
            }
            begin += sample.len();
        }
        batch
    }

    fn loss(&self, made: Made, reference: Option<&Reference>) -> Result<LossSum, ModelError> {
        let Made { tape, decoder, hooks, hidden, batch } = made;
        let rows = decoder.predictions(tape, hidden, hooks)?;
        let head = decoder.head(hooks)?;
        let loss = linear_cross_entropy_near(tape, &rows, &head, &batch.targets, &batch.weights, reference);
        let loss = loss.during("loss")?;
        let weight = self.weight(batch);
        Ok(LossSum { node: loss.sum, sum: loss.value, divergence: loss.divergence, weight })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::LossWeights;

    fn sample(len: u32) -> Sample {
        let mut weights = LossWeights::all(0.0, 1);
        weights.push(1.0, len as usize - 2);
        weights.push(0.0, 1);
        Sample { ids: (0..len).map(|i| 10 + i % 40).collect(), weights, ..Sample::default() }
    }

    fn masked(begins_word: Option<Vec<bool>>) -> Masked {
        Masked { share: 0.15, mask: 4, vocabulary: 60, begins_word }
    }

    #[test]
    fn shares_are_the_papers_and_every_pass_hides_others() {
        let (sample, masked) = (sample(4002), masked(None));
        let at = |stream| masked.batch(&[&sample], Draw { seed: 1, stream });
        let batch = at([0, 0]);
        assert_eq!(batch, at([0, 0]));
        assert_ne!(batch.weights, at([1, 0]).weights);
        assert_eq!(batch.targets, sample.ids);
        let guessed: Vec<usize> = (0..batch.len()).filter(|i| batch.weights[*i] > 0.0).collect();
        assert!((500..700).contains(&guessed.len()), "{}", guessed.len());
        let share = |is: &dyn Fn(usize) -> bool| {
            guessed.iter().filter(|i| is(**i)).count() as f64 / guessed.len() as f64
        };
        let hidden = share(&|i| batch.tokens[i] == 4);
        let kept = share(&|i| batch.tokens[i] == sample.ids[i]);
        assert!((0.75..0.85).contains(&hidden) && (0.06..0.15).contains(&kept), "{hidden} {kept}");
        assert!((0..batch.len()).all(|i| batch.weights[i] > 0.0 || batch.tokens[i] == sample.ids[i]));
        assert!(
            batch.weights[0] == 0.0 && batch.weights[4001] == 0.0,
            "what stands around a text is not hidden"
        );
    }

    #[test]
    fn words_are_hidden_whole_and_a_short_text_has_one() {
        // Every third token begins a word.
        let masked = masked(Some((0..60).map(|id| id % 3 == 0).collect()));
        let sample = sample(32);
        for seed in 0..50 {
            let batch = masked.batch(&[&sample], Draw { seed, stream: [0, 0] });
            assert!(batch.weights.iter().any(|w| *w > 0.0));
            for i in 2..31 {
                if !sample.ids[i].is_multiple_of(3) {
                    assert_eq!(batch.weights[i], batch.weights[i - 1], "seed {seed}: a word is torn at {i}");
                }
            }
        }
    }
}

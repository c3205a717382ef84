//! Pieces of a text that are taken out and written again, others in each pass over the data (Raffel et al. 2020, arXiv:1910.10683).

use super::{Draw, Language, LossSum, Made, Objective};
use crate::base::rng::Rng;
use crate::data::{Batch, LossWeights, Sample};
use crate::model::ModelError;
use crate::nn::ops::Reference;

/// Domain of the random streams that choose what is taken out.
const TAKE: u64 = 0x5C_0A;

/// Span corruption: what is read has a sentinel in the place of each piece, and what is written has each sentinel with its piece after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Spans {
    /// Share of the tokens that are taken out.
    pub share: f64,
    /// Tokens of a piece, on the average.
    pub mean_length: f64,
    /// `<extra_id_0>`, `<extra_id_1>`…
    pub sentinels: Vec<u32>,
    /// The token that what is written begins with, and the one that both end with.
    pub start: u32,
    pub end: u32,
}

impl Spans {
    /// How many of so many tokens are taken out, and in how many pieces: at least one, and less than all.
    fn counts(&self, num: usize) -> (usize, usize) {
        let most = num.saturating_sub(1);
        let taken = ((num as f64 * self.share).round() as usize).max(1).min(most);
        let pieces = ((taken as f64 / self.mean_length).round() as usize).max(1);
        (taken, pieces.min(taken).min(num - taken).min(self.sentinels.len()))
    }

    /// The two texts of a sample; a sample of fewer than two tokens of text stays as it is read.
    fn corrupted(&self, sample: &Sample, rng: &mut Rng) -> Sample {
        let weighted = sample.ids.iter().zip(sample.weights.iter());
        let text: Vec<u32> = weighted.filter(|(_, weight)| *weight > 0.0).map(|(id, _)| *id).collect();
        let (mut read, mut written) = (Vec::with_capacity(sample.len()), Vec::new());
        if text.len() < 2 {
            read.extend_from_slice(&text);
        } else {
            let (taken, pieces) = self.counts(text.len());
            let (out, kept) = (parts(taken, pieces, rng), parts(text.len() - taken, pieces, rng));
            let mut rest = &text[..];
            for ((out, kept), sentinel) in out.into_iter().zip(kept).zip(&self.sentinels) {
                let (shown, after) = rest.split_at(kept);
                let (hidden, after) = after.split_at(out);
                read.extend_from_slice(shown);
                read.push(*sentinel);
                written.push(*sentinel);
                written.extend_from_slice(hidden);
                rest = after;
            }
        }
        read.push(self.end);
        let mut weights = LossWeights::all(0.0, read.len());
        if !written.is_empty() {
            read.push(self.start);
            weights.push(0.0, 1);
            written.push(self.end);
            weights.push(1.0, written.len());
            read.extend(written);
        }
        Sample { ids: read, weights, ..Sample::default() }
    }
}

/// So many tokens in so many parts of at least one each, all ways being as likely.
fn parts(num: usize, parts: usize, rng: &mut Rng) -> Vec<usize> {
    // Which of the borders between tokens are borders of parts.
    let mut borders: Vec<usize> = (1..num).collect();
    rng.shuffle(&mut borders);
    borders.truncate(parts - 1);
    borders.sort_unstable();
    borders.push(num);
    let mut first = 0;
    borders.into_iter().map(|end| end - std::mem::replace(&mut first, end)).collect()
}

impl Objective for Spans {
    fn batch(&self, samples: &[&Sample], draw: Draw) -> Batch {
        let corrupted: Vec<Sample> = samples
            .iter()
            .filter(|sample| !sample.is_empty())
            .enumerate()
            .map(|(index, sample)| {
                let stream = [TAKE, draw.stream[0], draw.stream[1], index as u64];
                self.corrupted(sample, &mut Rng::new(draw.seed, &stream))
            })
            .collect();
        Batch::pack(&corrupted)
    }

    fn loss(&self, made: Made, reference: Option<&Reference>) -> Result<LossSum, ModelError> {
        Language.loss(made, reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: u32 = 1;

    fn sample(num: u32) -> Sample {
        let mut weights = LossWeights::all(1.0, num as usize);
        weights.push(0.0, 1);
        Sample { ids: (10..10 + num).chain([END]).collect(), weights, ..Sample::default() }
    }

    fn spans() -> Spans {
        Spans {
            share: 0.15,
            mean_length: 3.0,
            sentinels: (0..100).rev().map(|i| 5000 + i).collect(),
            start: 0,
            end: END,
        }
    }

    /// What is read with the pieces in the places of their sentinels.
    fn put_back(batch: &Batch) -> Vec<u32> {
        let start = batch.tokens.iter().position(|id| *id == 0).unwrap();
        let (read, written) = (&batch.tokens[..start - 1], &batch.tokens[start + 1..batch.len() - 1]);
        let mut text = Vec::new();
        for id in read {
            match written.iter().position(|other| other == id && *id >= 5000) {
                Some(at) => text.extend(written[at + 1..].iter().take_while(|id| **id < 5000)),
                None => text.push(*id),
            }
        }
        text
    }

    #[test]
    fn pieces_are_the_papers_and_every_pass_takes_others() {
        let (sample, spans) = (sample(1000), spans());
        let at = |stream| spans.batch(&[&sample], Draw { seed: 1, stream });
        let batch = at([0, 0]);
        assert_eq!(batch, at([0, 0]));
        assert_ne!(batch.tokens, at([0, 1]).tokens);
        assert_eq!(put_back(&batch), sample.ids[..1000]);
        let start = batch.tokens.iter().position(|id| *id == 0).unwrap();
        let (read, written) = batch.tokens.split_at(start);
        let num = |ids: &[u32]| ids.iter().filter(|id| **id >= 5000).count();
        assert_eq!([num(read), num(written)], [50, 50]);
        // 150 tokens, 50 sentinels, and what stands around them.
        assert_eq!(written.len(), 150 + 50 + 2);
        assert_eq!(batch.weights[..start], vec![0.0; start]);
        assert!(batch.weights[start..batch.len() - 1].iter().all(|weight| *weight == 1.0));
        assert_eq!(batch.targets[start..batch.len() - 1], written[1..]);
    }

    #[test]
    fn short_texts_have_a_piece_and_long_ones_no_more_than_there_are_sentinels() {
        for num in [2, 3, 7, 2000] {
            for seed in 0..30 {
                let spans = Spans { sentinels: (0..20).map(|i| 5000 + i).collect(), ..spans() };
                let batch = spans.batch(&[&sample(num)], Draw { seed, stream: [0, 0] });
                assert_eq!(put_back(&batch), sample(num).ids[..num as usize], "{num} {seed}");
            }
        }
        let alone = spans().batch(&[&sample(1)], Draw { seed: 0, stream: [0, 0] });
        assert!(alone.weights.iter().all(|weight| *weight == 0.0));
    }
}

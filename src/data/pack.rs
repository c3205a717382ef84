//! Samples packed end to end into one row of tokens; attention stays inside each segment.

use super::Sample;

/// A micro-batch of `n` tokens in `segments.len() - 1` segments.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Token ids, [n].
    pub tokens: Vec<u32>,
    /// Position of each token inside its segment, [n].
    pub positions: Vec<u32>,
    /// Offsets where segments begin, with `n` at the end: `[0, 12, 40]` is two segments.
    pub segments: Vec<usize>,
    /// The token that each position predicts (the next one of its segment; 0 at a segment's end), [n].
    pub targets: Vec<u32>,
    /// Weight of each prediction in the loss; 0 at a segment's end, [n].
    pub weights: Vec<f32>,
    /// Which of two texts each token is of, 0 or 1, [n]; empty where all are of the first.
    pub types: Vec<u32>,
}

impl Batch {
    /// Packs whole samples end to end.
    pub fn pack<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Self {
        let mut batch = Self { segments: vec![0], ..Self::default() };
        for sample in samples {
            if sample.is_empty() {
                continue;
            }
            batch.tokens.extend_from_slice(&sample.ids);
            batch.positions.extend(0..sample.len() as u32);
            batch.targets.extend_from_slice(&sample.ids[1..]);
            batch.targets.push(0);
            batch.weights.extend(sample.weights.iter().skip(1));
            batch.weights.push(0.0);
            batch.add_types(sample);
            batch.segments.push(batch.tokens.len());
        }
        batch
    }

    /// The types of the sample whose tokens were added last.
    fn add_types(&mut self, sample: &Sample) {
        if sample.second.is_none() && self.types.is_empty() {
            return;
        }
        let begin = self.tokens.len() - sample.len();
        let second = begin + sample.second.map_or(sample.len(), |second| second as usize);
        self.types.resize(begin, 0);
        self.types.extend((begin..self.tokens.len()).map(|token| u32::from(token >= second)));
    }

    /// Number of tokens `n`.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

//! Samples packed end to end into one row of tokens; attention stays inside each segment.

use super::mask::{Goal, Sample};

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
    /// 1 for tokens of a second text, [n]; empty where there is none.
    pub types: Vec<u32>,
    /// Segments of each sample: more than one where its texts are read apart.
    pub parts: Vec<usize>,
    /// What is to be said of each sample.
    pub goals: Vec<Goal>,
}

impl Batch {
    /// Packs whole samples end to end.
    pub fn pack<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Self {
        let mut batch = Self { segments: vec![0], ..Self::default() };
        for sample in samples {
            if sample.is_empty() {
                continue;
            }
            let begin = batch.tokens.len();
            batch.tokens.extend_from_slice(&sample.ids);
            batch.targets.extend_from_slice(&sample.ids[1..]);
            batch.targets.push(0);
            batch.weights.extend(sample.weights.iter().skip(1));
            batch.weights.push(0.0);
            let whole = [sample.len() as u32];
            let ends = if sample.parts.is_empty() { &whole[..] } else { &sample.parts };
            for end in ends {
                let end = begin + *end as usize;
                batch.positions.extend(0..(end - batch.positions.len()) as u32);
                batch.segments.push(end);
            }
            batch.add_types(begin, sample);
            batch.parts.push(ends.len());
            batch.goals.push(sample.goal.clone());
        }
        batch
    }

    fn add_types(&mut self, begin: usize, sample: &Sample) {
        let Some(second) = sample.second else {
            if !self.types.is_empty() {
                self.types.resize(self.tokens.len(), 0);
            }
            return;
        };
        self.types.resize(begin + second as usize, 0);
        self.types.resize(self.tokens.len(), 1);
    }

    /// The segments of each sample.
    pub fn samples(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        self.parts.iter().scan(0, |next, parts| {
            let first = *next;
            *next += parts;
            Some(first..*next)
        })
    }

    /// Number of tokens `n`.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

//! The weights of a sample's tokens in the loss, as runs of equal ones.

use std::ops::Range;

/// One weight for each token. They are nearly always a few runs of 0 and 1, so the runs are what is kept: a token costs
/// next to nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LossWeights {
    /// Where each run ends, and its weight; neighbours differ.
    runs: Vec<(u32, f32)>,
}

impl LossWeights {
    /// `len` times the same.
    pub fn all(weight: f32, len: usize) -> Self {
        let mut weights = Self::default();
        weights.push(weight, len);
        weights
    }

    /// Adds `len` tokens of the same weight at the end.
    pub fn push(&mut self, weight: f32, len: usize) {
        if len == 0 {
            return;
        }
        // A row has at most as many tokens as bytes, and a file is never so long.
        let end = u32::try_from(self.len() + len).unwrap_or(u32::MAX);
        match self.runs.last_mut() {
            Some((last_end, last)) if last.to_bits() == weight.to_bits() => *last_end = end,
            _ => self.runs.push((end, weight)),
        }
    }

    /// Frees what growing left over.
    pub fn shrink(&mut self) {
        self.runs.shrink_to_fit();
    }

    pub fn len(&self) -> usize {
        self.runs.last().map_or(0, |(end, _)| *end as usize)
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Stretches of one weight each, in order.
    pub fn runs(&self) -> impl Iterator<Item = (Range<usize>, f32)> {
        let mut start = 0;
        self.runs.iter().map(move |(end, weight)| {
            let run = start..*end as usize;
            start = run.end;
            (run, *weight)
        })
    }

    /// One a token.
    pub fn iter(&self) -> impl Iterator<Item = f32> {
        self.runs().flat_map(|(run, weight)| run.map(move |_| weight))
    }

    /// Gives the tokens of `range` another weight; those beyond the end are none.
    pub fn set(&mut self, range: Range<usize>, weight: f32) {
        *self =
            self.iter().enumerate().map(|(i, old)| if range.contains(&i) { weight } else { old }).collect();
    }
}

impl FromIterator<f32> for LossWeights {
    fn from_iter<I: IntoIterator<Item = f32>>(each: I) -> Self {
        let mut weights = Self::default();
        each.into_iter().for_each(|weight| weights.push(weight, 1));
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_say_what_a_list_says() {
        for list in [&[][..], &[0.0], &[0.0, 0.0, 1.0, 1.0, 0.5, 0.0], &[1.0; 9]] {
            let weights: LossWeights = list.iter().copied().collect();
            assert_eq!(weights.iter().collect::<Vec<_>>(), list);
            assert_eq!((weights.len(), weights.is_empty()), (list.len(), list.is_empty()));
        }
        assert_eq!(LossWeights::all(1.0, 9), [1.0; 9].into_iter().collect());
        let mut weights = LossWeights::all(0.0, 6);
        weights.set(2..9, 1.0);
        assert_eq!(weights, [0.0, 0.0, 1.0, 1.0, 1.0, 1.0].into_iter().collect());
        assert_eq!(weights.runs().collect::<Vec<_>>(), [(0..2, 0.0), (2..6, 1.0)]);
        weights.set(0..6, 0.0);
        assert_eq!(weights, LossWeights::all(0.0, 6), "equal neighbours are one run");
    }
}

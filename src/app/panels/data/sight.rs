//! What the model sees of a row, and how long the rows are: computed when something changes, not a frame.

use crate::data::prepare::{Dataset, Piece};

/// A row as the model sees it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preview {
    /// Index into `Dataset::rows`.
    pub index: usize,
    pub line: u64,
    /// "train", "validation", "test".
    pub part: &'static str,
    pub num_tokens: usize,
    pub num_trained: usize,
    /// Tokens as text, at most [`MAX_PIECES`].
    pub pieces: Vec<Piece>,
}

/// Longer rows are shown up to here.
pub const MAX_PIECES: usize = 2_000;

impl Preview {
    pub fn new(dataset: &Dataset, index: usize) -> Option<Self> {
        let (row, sample) = (dataset.rows.get(index)?, dataset.samples.get(index)?);
        let mut pieces = dataset.preview(index).ok()?;
        pieces.truncate(MAX_PIECES);
        let split = &dataset.split;
        let part = if split.test.binary_search(&index).is_ok() {
            "test"
        } else if split.valid.binary_search(&index).is_ok() {
            "validation"
        } else {
            "train"
        };
        Some(Self {
            index,
            line: row.line,
            part,
            num_tokens: sample.len(),
            num_trained: sample.num_trained(),
            pieces,
        })
    }
}

/// Lengths in bins, with the numbers people ask for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    pub bin_tokens: u32,
    /// Rows in each bin.
    pub bins: Vec<u64>,
    pub median: u32,
    pub p95: u32,
    pub longest: u32,
    pub num_above_limit: usize,
    pub num_rows: usize,
}

impl Histogram {
    /// `sorted` lengths in tokens.
    pub fn new(sorted: &[u32], limit: usize) -> Self {
        let (Some(longest), n) = (sorted.last().copied(), sorted.len()) else { return Self::default() };
        let bin_tokens = (longest / 40 + 1).max(1);
        let mut bins = vec![0; (longest / bin_tokens + 1) as usize];
        for length in sorted {
            bins[(length / bin_tokens) as usize] += 1;
        }
        let at = |share: f64| sorted[((n - 1) as f64 * share).round() as usize];
        Self {
            bin_tokens,
            bins,
            median: at(0.5),
            p95: at(0.95),
            longest,
            num_above_limit: n - sorted.partition_point(|l| (*l as usize) <= limit),
            num_rows: n,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_fall_into_bins_and_the_limit_counts_those_above_it() {
        let h = Histogram::new(&[1, 2, 2, 40, 80], 40);
        assert_eq!((h.median, h.longest, h.num_above_limit, h.num_rows), (2, 80, 1, 5));
        assert_eq!(h.bins.iter().sum::<u64>(), 5);
        assert_eq!(Histogram::new(&[], 10), Histogram::default());
    }
}

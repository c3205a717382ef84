//! What the model sees of a row, and how long the rows are: computed when something changes, not a frame.

use crate::data::prepare::{Dataset, Piece};
use crate::data::stats::{Bar, TokenStats};

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

/// Bars of the picture of lengths, at most.
const NUM_BARS: usize = 40;

/// Lengths as bars, with the numbers people ask for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    pub bars: Vec<Bar>,
    pub median: u32,
    pub p95: u32,
    pub longest: u32,
    pub num_above_limit: usize,
    pub share_above_limit: f64,
}

impl Histogram {
    pub fn new(stats: &TokenStats, limit: usize) -> Self {
        Self {
            bars: stats.histogram(NUM_BARS),
            median: stats.percentile(50.0),
            p95: stats.percentile(95.0),
            longest: stats.percentile(100.0),
            num_above_limit: stats.num_above(limit),
            share_above_limit: stats.share_above(limit),
        }
    }
}

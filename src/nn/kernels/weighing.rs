//! What changes how much each key counts, besides its likeness to the query.

use super::{Dropout, Factors, Seen};
use crate::nn::Result;
use crate::nn::kernels::heads::Span;
use candle_core::Tensor;

/// What is added to scores once they are bent, and what is dropped of the shares that they become.
#[derive(Clone, Copy, Default)]
pub struct Weighing<'b> {
    pub bias: Option<Bias<'b>>,
    /// Of one layer; one with a stream of its own drops other shares.
    pub dropout: Option<Dropout>,
}

/// What is added to the scores by how far a key lies from its query: [2l - 1, h] for the distances -(l - 1) to l - 1. Further
/// ones count as the furthest: they are of other segments.
#[derive(Clone, Copy)]
pub struct Bias<'b>(pub &'b Tensor);

impl Bias<'_> {
    /// # Errors
    /// Where a segment is longer than `l`, or keys have no distance to queries.
    pub fn check(self, seen: &Seen) -> Result<()> {
        let longest = seen.pairs().map(|[queries, _]| queries.len()).max().unwrap_or(0);
        if seen.keys.is_some() || self.0.dim(0)? + 1 < 2 * longest {
            candle_core::bail!("biases of {:?} for segments of {longest} rows", self.0.shape());
        }
        Ok(())
    }
}

/// Which shares of a layer's attention are dropped.
#[derive(Debug, Clone, Copy)]
pub struct DroppedShares {
    factors: Factors,
    num_heads: usize,
    num_keys: usize,
}

impl DroppedShares {
    pub fn new(dropout: Dropout, num_heads: usize, seen: &Seen) -> Self {
        Self { factors: dropout.factors(), num_heads, num_keys: seen.num_keys() }
    }

    /// Of those that a head's query gives to the keys of the span.
    pub fn row(self, query: usize, head: usize, span: Span) -> DroppedRow {
        let first = (query * self.num_heads + head) * self.num_keys + span.first_key;
        DroppedRow { factors: self.factors, first: first as u64 }
    }
}

/// [`DroppedShares`] of one query and head.
#[derive(Debug, Clone, Copy)]
pub struct DroppedRow {
    factors: Factors,
    first: u64,
}

impl DroppedRow {
    /// What the share of a key is multiplied by, counted from the span's first.
    #[inline(always)]
    pub fn at(self, key: usize) -> f32 {
        self.factors.at(self.first + key as u64)
    }
}

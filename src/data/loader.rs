//! The order of training rows, epoch by epoch: seeded, and resumable from two numbers.

use crate::base::rng::Rng;

/// Domain of the random streams that shuffle epochs.
const SHUFFLE: u64 = 0x5F_1E;
/// How many open micro-batches a sample is tried in before a new one is opened.
const OPEN: usize = 16;

/// Deals samples out into micro-batches.
#[derive(Debug, Clone)]
pub struct Loader {
    lengths: Vec<usize>,
    micro_batch_tokens: usize,
    packing: bool,
    seed: u64,
}

impl Loader {
    /// `lengths` are the samples' tokens. Without `packing` every micro-batch is one sample.
    pub fn new(lengths: Vec<usize>, micro_batch_tokens: usize, packing: bool, seed: u64) -> Self {
        Self { lengths, micro_batch_tokens, packing, seed }
    }

    /// Micro-batches of one epoch: each sample once, whole, in an order that seed and epoch alone decide. A
    /// sample longer than the budget stands alone.
    pub fn epoch(&self, epoch: u64) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..self.lengths.len()).collect();
        Rng::new(self.seed, &[SHUFFLE, epoch]).shuffle(&mut order);
        if !self.packing {
            return order.into_iter().map(|i| vec![i]).collect();
        }
        // First fit over the batches opened last.
        let mut batches: Vec<(usize, Vec<usize>)> = Vec::new();
        for sample in order {
            let len = self.lengths[sample];
            let oldest = batches.len().saturating_sub(OPEN);
            match batches[oldest..].iter_mut().find(|(used, _)| used + len <= self.micro_batch_tokens) {
                Some((used, batch)) => {
                    *used += len;
                    batch.push(sample);
                }
                None => batches.push((len, vec![sample])),
            }
        }
        batches.into_iter().map(|(_, batch)| batch).collect()
    }

    /// The samples of a micro-batch in two of about as many tokens each; a sample alone stays whole.
    pub fn halves(&self, batch: &[usize]) -> Vec<Vec<usize>> {
        let mut longest_first = batch.to_vec();
        longest_first.sort_by_key(|i| std::cmp::Reverse(self.lengths[*i]));
        let mut halves = [(0, Vec::new()), (0, Vec::new())];
        for sample in longest_first {
            let lighter = usize::from(halves[1].0 < halves[0].0);
            let (used, half) = &mut halves[lighter];
            *used += self.lengths[sample];
            half.push(sample);
        }
        halves.into_iter().map(|(_, half)| half).filter(|half| !half.is_empty()).collect()
    }
}

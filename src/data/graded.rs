//! Training rows dealt out from easy to hard: those in play grow with the run.

use crate::base::rng::Rng;

/// Domain of the random streams that draw among the rows in play.
const GRADED: u64 = 0x6A_DE;
/// How many samples are tried that do not fit before a micro-batch is closed.
const TRIES: usize = 16;

/// Deals samples out into micro-batches: of those in play, each once, in a random order, then all of them again. What comes into play in the
/// middle of a pass still belongs to it, so that no row waits for the next one. What is dealt follows from the seed and the shares that were
/// asked for, one after the other.
#[derive(Debug, Clone)]
pub struct Graded {
    /// Samples, the first to come into play first.
    order: Vec<usize>,
    lengths: Vec<usize>,
    micro_batch_tokens: usize,
    packing: bool,
    seed: u64,
    /// Of the order, those in play.
    num_in_play: usize,
    /// In play, and not dealt out in this pass.
    unused: Vec<usize>,
    num_dealt: u64,
}

impl Graded {
    /// `order` names every sample once; `lengths` are their tokens. Without `packing` every micro-batch is one sample.
    pub fn new(
        order: Vec<usize>,
        lengths: Vec<usize>,
        micro_batch_tokens: usize,
        packing: bool,
        seed: u64,
    ) -> Self {
        let (num_in_play, unused, num_dealt) = (0, Vec::new(), 0);
        Self { order, lengths, micro_batch_tokens, packing, seed, num_in_play, unused, num_dealt }
    }

    /// The next micro-batch, with this share of the rows in play, 0 to 1. A sample longer than the budget stands alone.
    pub fn next(&mut self, share: f64) -> Vec<usize> {
        let wanted = ((share * self.order.len() as f64).ceil() as usize).clamp(1, self.order.len().max(1));
        let wanted = wanted.max(self.num_in_play).min(self.order.len());
        self.unused.extend_from_slice(&self.order[self.num_in_play..wanted]);
        self.num_in_play = wanted;
        if self.unused.is_empty() {
            self.unused.extend_from_slice(&self.order[..wanted]);
        }
        let mut rng = Rng::new(self.seed, &[GRADED, self.num_dealt]);
        self.num_dealt += 1;
        let (mut dealt, mut used, mut num_misses): (Vec<usize>, usize, usize) = (Vec::new(), 0, 0);
        while !self.unused.is_empty() && num_misses < TRIES {
            let at = rng.below(self.unused.len());
            let len = self.lengths[self.unused[at]];
            let fits = self.packing && used + len <= self.micro_batch_tokens;
            if dealt.is_empty() || fits {
                dealt.push(self.unused.swap_remove(at));
                used += len;
            } else {
                num_misses += 1;
            }
            if !self.packing {
                break;
            }
        }
        dealt
    }

    /// Back to the beginning.
    pub fn restart(&mut self) {
        self.unused.clear();
        (self.num_in_play, self.num_dealt) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graded(num: usize, budget: usize) -> Graded {
        let lengths: Vec<usize> = (0..num).map(|i| 3 + i * 7 % 11).collect();
        Graded::new((0..num).rev().collect(), lengths, budget, true, 5)
    }

    /// Only what is in play is dealt; in a pass every row comes once, those included that came into play in its middle.
    #[test]
    fn rows_come_when_they_are_in_play_and_once_a_pass() {
        let num = 40;
        let mut graded = graded(num, 24);
        let mut seen = vec![0usize; num];
        for step in 0..60 {
            let share = f64::min(1.0, 0.1 + f64::from(step) / 30.0);
            let dealt = graded.next(share);
            assert!(!dealt.is_empty());
            assert!(dealt.iter().map(|i| graded.lengths[*i]).sum::<usize>() <= 24 || dealt.len() == 1);
            let in_play = (share * num as f64).ceil() as usize;
            // The order is from the last to the first.
            assert!(dealt.iter().all(|row| num - row <= in_play), "{step}: {dealt:?} of {in_play}");
            dealt.iter().for_each(|row| seen[*row] += 1);
        }
        assert!(seen.iter().all(|times| *times > 0), "{seen:?}");
        // A pass over all: as often as another, but for the pass that is under way.
        let before = seen.clone();
        let mut left = num;
        while left > 0 {
            let dealt = graded.next(1.0);
            left = left.saturating_sub(dealt.len());
            dealt.iter().for_each(|row| seen[*row] += 1);
        }
        assert!(seen.iter().zip(before).all(|(now, before)| now - before <= 2));
    }

    #[test]
    fn what_is_dealt_follows_from_the_seed_and_the_shares() {
        let mut one = graded(30, 40);
        let first: Vec<_> = (0..20).map(|step| one.next(f64::from(step) / 10.0)).collect();
        one.restart();
        let again: Vec<_> = (0..20).map(|step| one.next(f64::from(step) / 10.0)).collect();
        assert_eq!(first, again);
        one.seed += 1;
        one.restart();
        let other: Vec<_> = (0..20).map(|step| one.next(f64::from(step) / 10.0)).collect();
        assert_ne!(first, other);
    }
}

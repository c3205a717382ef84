//! Several tensors of one shape into one, as PEFT's `merge_utils` does: weighted sums, TIES (Yadav et al. 2023,
//! arXiv:2306.01708) and DARE (Yu et al. 2023, arXiv:2311.03099).

use crate::base::rng::Rng;
use serde::{Deserialize, Serialize};

/// Domain of the random streams that belong to DARE.
const DROP: u64 = 0xDA_4E;

/// Which sign is the majority's, element by element.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// That of the sum of the values.
    #[default]
    Total,
    /// That of most values.
    Frequency,
}

/// How what is kept of the tensors is put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    Linear,
    Ties(Sign),
}

/// What is kept of each tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Keep {
    All,
    /// The share of values that are largest.
    Largest(f64),
    /// Each value with this chance, divided by it.
    Random {
        density: f64,
        seed: u64,
    },
}

/// One tensor's values and its weight in the result.
pub struct Weighted {
    pub values: Vec<f32>,
    pub weight: f64,
}

/// The tensors as one. `place` tells the random numbers of one tensor of an adapter from another's.
pub fn merged(mut tensors: Vec<Weighted>, keep: Keep, merge: Merge, place: u64) -> Vec<f32> {
    for (index, tensor) in (0..).zip(&mut tensors) {
        match keep {
            Keep::All => {}
            Keep::Largest(density) => keep_largest(&mut tensor.values, density),
            Keep::Random { density, seed } => {
                keep_random(&mut tensor.values, density, &Rng::new(seed, &[DROP, place, index]));
            }
        }
    }
    let len = tensors.first().map_or(0, |first| first.values.len());
    (0..len).map(|i| element(&tensors, merge, i)).collect()
}

/// What the values at `i` become.
fn element(tensors: &[Weighted], merge: Merge, i: usize) -> f32 {
    let weighted = |tensor: &Weighted| tensor.values[i] * tensor.weight as f32;
    let Merge::Ties(sign) = merge else { return tensors.iter().map(weighted).sum() };
    let vote = |x: f32| match sign {
        Sign::Total => x,
        Sign::Frequency => sign_of(x),
    };
    // The votes do not count the weights, so that an election is the same for any of them.
    let total: f32 = tensors.iter().map(|tensor| vote(tensor.values[i])).sum();
    let majority = if total >= 0.0 { 1.0 } else { -1.0 };
    let agreeing = || tensors.iter().filter(|tensor| sign_of(tensor.values[i]) == majority);
    agreeing().map(weighted).sum::<f32>() / agreeing().count().max(1) as f32
}

/// `f32::signum` calls zero positive.
fn sign_of(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

/// Leaves ⌊density · n⌋ values, those furthest from zero, and the earlier of equal ones.
fn keep_largest(values: &mut [f32], density: f64) {
    let num_kept = (density * values.len() as f64) as usize;
    if num_kept >= values.len() {
        return;
    }
    let mut order: Vec<usize> = (0..values.len()).collect();
    let furthest_first = |a: &usize, b: &usize| values[*b].abs().total_cmp(&values[*a].abs()).then(a.cmp(b));
    order.select_nth_unstable_by(num_kept, furthest_first);
    order[num_kept..].iter().for_each(|&i| values[i] = 0.0);
}

fn keep_random(values: &mut [f32], density: f64, rng: &Rng) {
    if density >= 1.0 {
        return;
    }
    for (i, value) in (0..).zip(values) {
        let is_kept = f64::from(rng.uniform_at(i)) < density;
        *value = if is_kept { *value / density as f32 } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tensors: &[(&[f32], f64)], keep: Keep, merge: Merge) -> Vec<f32> {
        let weighted =
            |(values, weight): &(&[f32], f64)| Weighted { values: values.to_vec(), weight: *weight };
        merged(tensors.iter().map(weighted).collect(), keep, merge, 0)
    }

    #[test]
    fn ties_elects_a_sign_and_averages_those_who_have_it() {
        let tensors: [(&[f32], f64); 3] =
            [(&[3.0, -1.0, 0.0], 1.0), (&[-1.0, -1.0, 0.0], 1.0), (&[-1.0, 4.0, 2.0], 0.5)];
        assert_eq!(of(&tensors, Keep::All, Merge::Ties(Sign::Total)), [3.0, 2.0, 1.0]);
        assert_eq!(of(&tensors, Keep::All, Merge::Ties(Sign::Frequency)), [-0.75, -1.0, 1.0]);
        assert_eq!(of(&tensors, Keep::All, Merge::Linear), [1.5, 0.0, 1.0]);
    }

    #[test]
    fn the_largest_are_kept_and_of_equal_ones_the_first() {
        let keep = |density| of(&[(&[1.0, -3.0, 2.0, -2.0], 1.0)], Keep::Largest(density), Merge::Linear);
        assert_eq!(keep(0.5), [0.0, -3.0, 2.0, 0.0]);
        assert_eq!(keep(0.2), [0.0; 4]);
        assert_eq!(keep(1.0), [1.0, -3.0, 2.0, -2.0]);
    }

    #[test]
    fn random_pruning_keeps_its_share_and_the_mean_and_replays() {
        let n = 100_000;
        let ones = vec![1.0; n];
        let kept = |seed| of(&[(&ones, 1.0)], Keep::Random { density: 0.3, seed }, Merge::Linear);
        let first = kept(1);
        let share = first.iter().filter(|x| **x != 0.0).count() as f64 / n as f64;
        // Four standard deviations of a share of 0.3 among so many.
        assert!((share - 0.3).abs() < 4.0 * (0.3 * 0.7 / n as f64).sqrt(), "{share}");
        let mean = first.iter().map(|x| f64::from(*x)).sum::<f64>() / n as f64;
        assert!((mean - share / 0.3).abs() < 1e-5, "{mean}");
        assert_eq!(first, kept(1));
        assert_ne!(first, kept(2));

        // Two adapters lose different values.
        let two = of(&[(&ones, 1.0), (&ones, -1.0)], Keep::Random { density: 0.3, seed: 1 }, Merge::Linear);
        let differing = two.iter().filter(|x| **x != 0.0).count() as f64 / n as f64;
        assert!((differing - 2.0 * 0.3 * 0.7).abs() < 0.01, "{differing}");
    }
}

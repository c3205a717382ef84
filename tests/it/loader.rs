//! The order of rows in training, and lengths in numbers.

use tunesmith::base::rng::Rng;
use tunesmith::data::loader::Loader;
use tunesmith::data::stats::TokenStats;
use tunesmith::data::{Batch, Sample};

fn lengths(n: usize) -> Vec<usize> {
    let mut rng = Rng::new(1, &[]);
    (0..n).map(|_| 1 + rng.below(300)).collect()
}

#[test]
fn an_epoch_has_every_sample_once_and_keeps_the_budget() {
    let lengths = lengths(500);
    let loader = Loader::new(lengths.clone(), 256, true, 7);
    for epoch in 0..5 {
        let batches = loader.epoch(epoch);
        let mut seen: Vec<usize> = batches.concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..500).collect::<Vec<_>>());
        for batch in &batches {
            let num_tokens: usize = batch.iter().map(|i| lengths[*i]).sum();
            assert!(num_tokens <= 256 || batch.len() == 1, "{batch:?}");
        }
        // Packing is worth its name: far fewer micro-batches than samples, and well filled.
        let total: usize = lengths.iter().sum();
        let longest_alone: usize = lengths.iter().filter(|len| **len > 256).count();
        assert!(batches.len() - longest_alone <= total / 256 * 5 / 4 + 2, "{}", batches.len());
    }
}

#[test]
fn order_depends_on_seed_and_epoch_alone() {
    let loader = |seed| Loader::new(lengths(200), 512, true, seed);
    assert_eq!(loader(3).epoch(9), loader(3).epoch(9));
    assert_ne!(loader(3).epoch(0), loader(3).epoch(1));
    assert_ne!(loader(3).epoch(0), loader(4).epoch(0));
    let alone = Loader::new(lengths(200), 512, false, 3).epoch(0);
    assert!(alone.len() == 200 && alone.iter().all(|batch| batch.len() == 1));
    assert!(Loader::new(Vec::new(), 512, true, 3).epoch(0).is_empty());
    assert_eq!(Loader::new(vec![10, 10], 0, true, 3).epoch(0).len(), 2);
}

/// A micro-batch that memory has no room for has the same samples in two smaller ones.
#[test]
fn halves_hold_the_same_samples_in_about_half_the_tokens() {
    let lengths = lengths(300);
    let loader = Loader::new(lengths.clone(), 1024, true, 7);
    for batch in loader.epoch(0) {
        let halves = loader.halves(&batch);
        assert_eq!(halves, loader.halves(&batch));
        let (mut dealt, mut whole) = (halves.concat(), batch.clone());
        dealt.sort_unstable();
        whole.sort_unstable();
        assert_eq!(dealt, whole);
        let tokens = |of: &[usize]| of.iter().map(|i| lengths[*i]).sum::<usize>();
        let longest = batch.iter().map(|i| lengths[*i]).max().unwrap();
        assert!(
            halves.iter().all(|half| tokens(half) <= (tokens(&batch) + longest).div_ceil(2)),
            "{halves:?}"
        );
        assert_eq!(halves.len(), batch.len().min(2));
    }
}

#[test]
fn a_batch_keeps_segments_apart() {
    let sample = |ids: &[u32], weights: &[f32]| Sample {
        ids: ids.to_vec(),
        weights: weights.iter().copied().collect(),
        ..Sample::default()
    };
    let samples = [
        sample(&[5, 6, 7], &[1.0, 0.0, 1.0]),
        Sample::default(),
        sample(&[8], &[1.0]),
        sample(&[9, 10], &[0.0, 1.0]),
    ];
    let batch = Batch::pack(&samples);
    assert_eq!(batch.tokens, [5, 6, 7, 8, 9, 10]);
    assert_eq!(batch.positions, [0, 1, 2, 0, 0, 1]);
    assert_eq!(batch.segments, [0, 3, 4, 6]);
    assert_eq!(batch.targets, [6, 7, 0, 0, 10, 0]);
    assert_eq!(batch.weights, [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
}

#[test]
fn lengths_of_any_size_have_a_histogram() {
    let stats = TokenStats::new(vec![0, 5, u32::MAX, 7], 3);
    let bars = stats.histogram(8);
    assert!(bars.len() <= 9 && bars.iter().map(|bar| bar.count).sum::<u64>() == 4);
    assert_eq!(stats.percentile(100.0), u32::MAX);
    assert!(stats.histogram(0).len() <= 2);
    assert!((stats.share_above(6) - 0.5).abs() < 1e-12);
    let few = TokenStats::new(vec![3, 3, 3], 0).histogram(40);
    assert_eq!(few.iter().filter(|bar| bar.count > 0).count(), 1);
    assert!(few.iter().all(|bar| bar.start < bar.end));
}

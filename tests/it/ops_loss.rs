//! The vocabulary projection and its loss against candle's own autograd.

use crate::ops::{check, like, random};
use candle_core::{Device, Tensor};
use tunesmith::base::rng::Rng;
use tunesmith::nn::ops::{self, Reference};
use tunesmith::nn::{Result, Tape, WeightNode};

const CPU: Device = Device::Cpu;

pub fn plain_cross_entropy(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    weights: &[f32],
) -> Result<Tensor> {
    let logits = hidden.matmul(&head.t()?)?;
    let log_sum = logits.exp()?.sum_keepdim(1)?.log()?;
    let index = Tensor::from_slice(targets, (targets.len(), 1), &CPU)?;
    let weight = like(&Tensor::from_slice(weights, (weights.len(), 1), &CPU)?, hidden);
    ((log_sum - logits.gather(&index, 1)?)? * weight)?.sum_all()
}

#[test]
fn cross_entropy_matches_autograd_over_several_chunks() {
    let (n, d, v) = (300, 6, 11);
    let head = random(&[v, d], 4);
    let mut rng = Rng::new(5, &[]);
    let targets: Vec<u32> = (0..n).map(|_| rng.below(v) as u32).collect();
    let weights: Vec<f32> = (0..n).map(|i| if i % 4 == 1 { 0.0 } else { 0.5 + (i % 3) as f32 }).collect();
    check(
        &[&[n, d]],
        |tape, x| {
            let head = like(&head, x[0].value());
            Ok(ops::linear_cross_entropy(tape, &x[0], &head.clone().into(), &targets, &weights)?.sum)
        },
        |x| plain_cross_entropy(&x[0], &like(&head, &x[0]), &targets, &weights),
    );
    check(
        &[&[n, d], &[v, d]],
        |tape, x| {
            let head = WeightNode::trained(&x[1]).into();
            Ok(ops::linear_cross_entropy(tape, &x[0], &head, &targets, &weights)?.sum)
        },
        |x| plain_cross_entropy(&x[0], &x[1], &targets, &weights),
    );
    check(
        &[&[n, d], &[v, d], &[v]],
        |tape, x| {
            let head = ops::Head { bias: Some(x[2].clone()), ..WeightNode::trained(&x[1]).into() };
            Ok(ops::linear_cross_entropy(tape, &x[0], &head, &targets, &weights)?.sum)
        },
        |x| {
            let logits = x[0].matmul(&x[1].t()?)?.broadcast_add(&x[2])?;
            let unit = like(&Tensor::eye(v, candle_core::DType::F32, &CPU)?, &x[0]);
            plain_cross_entropy(&logits, &unit, &targets, &weights)
        },
    );
    check(
        &[&[n, d], &[v, d]],
        |tape, x| {
            let head = ops::Head { cap: Some(0.7), ..WeightNode::trained(&x[1]).into() };
            Ok(ops::linear_cross_entropy(tape, &x[0], &head, &targets, &weights)?.sum)
        },
        |x| {
            let bent = ((x[0].matmul(&x[1].t()?)? / 0.7)?.tanh()? * 0.7)?;
            let unit = like(&Tensor::eye(v, candle_core::DType::F32, &CPU)?, &x[0]);
            plain_cross_entropy(&bent, &unit, &targets, &weights)
        },
    );
}

#[test]
fn cross_entropy_of_a_fully_masked_batch_is_zero() {
    let tape = Tape::recording();
    let hidden = tape.leaf(random(&[3, 4], 1));
    let loss =
        ops::linear_cross_entropy(&tape, &hidden, &random(&[5, 4], 2).into(), &[0; 3], &[0.0; 3]).unwrap();
    assert_eq!(loss.value, 0.0);
}

/// Σ weight · KL(q || p), q of `base` and p of `logits`, [n, v] each.
fn plain_divergence(logits: &Tensor, base: &Tensor, weights: &[f32]) -> Result<Tensor> {
    let log_softmax = |x: &Tensor| x.broadcast_sub(&x.exp()?.sum_keepdim(1)?.log()?);
    let (log_p, log_q) = (log_softmax(logits)?, log_softmax(base)?);
    let weight = like(&Tensor::from_slice(weights, (weights.len(), 1), &CPU)?, logits);
    (log_q.exp()? * (log_q - log_p)?)?.broadcast_mul(&weight)?.sum_all()
}

/// Rows of both kinds, of one and of none; the head frozen, trained, and with caps that differ.
#[test]
fn divergence_from_a_reference_matches_autograd_over_several_chunks() {
    let (n, d, v) = (300, 6, 11);
    let (base, base_head, head) = (random(&[n, d], 21), random(&[v, d], 22), random(&[v, d], 4));
    let targets: Vec<u32> = (0..n).map(|i| (i * 7 % v) as u32).collect();
    let weights: Vec<f32> = (0..n).map(|i| if i % 4 < 2 { 0.0 } else { 0.5 + (i % 3) as f32 }).collect();
    let nearness: Vec<f32> = (0..n).map(|i| if i % 2 == 1 { 0.0 } else { 0.25 + (i % 5) as f32 }).collect();
    let ours = |tape: &Tape, x: &ops::Head, hidden: &tunesmith::nn::Node, base_cap: Option<f64>| {
        let base = like(&base, hidden.value());
        let of_base = ops::Head { cap: base_cap, ..like(&base_head, hidden.value()).into() };
        let reference = Reference { hidden: &base, head: &of_base, weights: &nearness };
        let loss =
            ops::linear_cross_entropy_near(tape, hidden, x, &targets, &weights, Some(&reference)).unwrap();
        let sum = loss.sum.value().to_dtype(candle_core::DType::F64).unwrap().to_scalar::<f64>().unwrap();
        assert!((loss.value + loss.divergence - sum).abs() < 1e-5 * sum.abs());
        assert!(loss.divergence > 0.0 && loss.value > 0.0);
        Ok(loss.sum)
    };
    let bent = |logits: Tensor, cap: f64| (logits / cap)?.tanh()? * cap;
    let logits = |hidden: &Tensor, head: &Tensor| hidden.matmul(&head.t()?);
    check(
        &[&[n, d]],
        |tape, x| ours(tape, &like(&head, x[0].value()).into(), &x[0], None),
        |x| {
            let head = like(&head, &x[0]);
            let base = logits(&like(&base, &x[0]), &like(&base_head, &x[0]))?;
            plain_cross_entropy(&x[0], &head, &targets, &weights)?
                + plain_divergence(&logits(&x[0], &head)?, &base, &nearness)?
        },
    );
    check(
        &[&[n, d], &[v, d]],
        |tape, x| {
            let head = ops::Head { cap: Some(0.7), ..WeightNode::trained(&x[1]).into() };
            ours(tape, &head, &x[0], Some(2.0))
        },
        |x| {
            let tuned = bent(logits(&x[0], &x[1])?, 0.7)?;
            let base = bent(logits(&like(&base, &x[0]), &like(&base_head, &x[0]))?, 2.0)?;
            let unit = like(&Tensor::eye(v, candle_core::DType::F32, &CPU)?, &x[0]);
            plain_cross_entropy(&tuned, &unit, &targets, &weights)?
                + plain_divergence(&tuned, &base, &nearness)?
        },
    );
}

/// Where nothing has changed yet, the divergence is 0 to the last bit, whatever the size of the logits.
#[test]
fn a_model_is_no_way_from_itself() {
    let (hidden, head) = ((random(&[40, 8], 1) * 30.0).unwrap(), ops::Head::from(random(&[50, 8], 2)));
    let reference = Reference { hidden: &hidden, head: &head, weights: &[1.0; 40] };
    let tape = Tape::recording();
    let leaf = tape.leaf(hidden.clone());
    let loss = ops::linear_cross_entropy_near(&tape, &leaf, &head, &[0; 40], &[0.0; 40], Some(&reference));
    let loss = loss.unwrap();
    assert_eq!((loss.value, loss.divergence), (0.0, 0.0));
    let gradient = tape.backward(&loss.sum, Tensor::new(1f32, &CPU).unwrap()).unwrap().take(&leaf).unwrap();
    let largest = gradient.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(largest < 1e-6, "{largest}");
}

/// One row a text: its first, its last, and the mean of all; rows that none of them reads get no gradient.
#[test]
fn means_of_rows_match_autograd() {
    for ranges in [vec![0..1, 4..5], vec![0..4, 4..9], vec![3..4, 8..9], vec![1..3, 3..4]] {
        check(
            &[&[9, 6]],
            |tape, x| ops::mean_rows(tape, &x[0], ranges.clone()),
            |x| {
                let mean = |range: &std::ops::Range<usize>| {
                    x[0].narrow(0, range.start, range.len())?.sum_keepdim(0)? / range.len() as f64
                };
                Tensor::cat(&ranges.iter().map(mean).collect::<Result<Vec<_>>>()?, 0)
            },
        );
    }
}

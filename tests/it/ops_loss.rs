//! The vocabulary projection and its loss against candle's own autograd.

use crate::ops::{check, like, random};
use candle_core::{Device, Tensor};
use tunesmith::base::rng::Rng;
use tunesmith::nn::ops;
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
        &[&[n, d], &[v, d]],
        |tape, x| {
            let head = ops::Head { weight: WeightNode::trained(&x[1]), cap: Some(0.7) };
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

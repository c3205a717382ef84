//! The operations that tuning methods add, against candle's own autograd: low-rank changes, lengths of rows, factors of columns,
//! bottlenecks and virtual rows.

use crate::ops::{HEADS, check, like, plain_activation, plain_prefix_attention, random, sights};
use candle_core::{DType, Device, Tensor};
use std::rc::Rc;
use tunesmith::base::rng::Rng;
use tunesmith::nn::ops::{
    self, Activation, Bottleneck, ColumnScale, Dropout, LowRank, LowRankPart, Seen, VirtualRows,
};
use tunesmith::nn::{Node, Result, Tape};

const CPU: Device = Device::Cpu;

/// A low-rank change of columns 0..2 and 3..5 of five, as where q and v are tuned and k is not, each with a rank and a scale of its own.
pub fn two_parts(a: &Node, first: &Node, second: &Node, dropout: Option<Dropout>) -> LowRank {
    let part = |b: &Node, columns, rows, scale| LowRankPart { b: b.clone(), columns, rows, scale };
    let parts = vec![part(first, 0..2, 0..2, 1.7), part(second, 3..5, 2..6, 0.9)];
    LowRank { a: a.clone(), parts, dropout }
}

#[test]
fn low_rank_linear_matches_autograd() {
    let weight = random(&[5, 7], 1);
    let dropouts = [None, Some(Dropout { share: 0.4, stream: Rng::new(3, &[]) })];
    for dropout in dropouts {
        // What dropout leaves of ones is its mask.
        let ones = Node::frozen(Tensor::ones((4, 7), DType::F32, &CPU).unwrap());
        let mask = match dropout {
            Some(of) => ops::dropout(&Tape::inference(), &ones, of).unwrap(),
            None => ones,
        };
        check(
            &[&[4, 7], &[6, 7], &[2, 2], &[2, 4], &[5]],
            |tape, x| {
                let low = two_parts(&x[1], &x[2], &x[3], dropout);
                let weight = like(&weight, x[0].value());
                ops::low_rank_linear(tape, &x[0], &weight.into(), Some(&x[4]), &low)
            },
            |x| {
                let y = x[0].matmul(&like(&weight, &x[0]).t()?)?.broadcast_add(&x[4])?;
                let h = (&x[0] * like(mask.value(), &x[0]))?.matmul(&x[1].t()?)?;
                let first = (h.narrow(1, 0, 2)?.matmul(&x[2].t()?)? * 1.7)?;
                let second = (h.narrow(1, 2, 4)?.matmul(&x[3].t()?)? * 0.9)?;
                let middle = y.narrow(1, 2, 1)?;
                Tensor::cat(&[(y.narrow(1, 0, 2)? + first)?, middle, (y.narrow(1, 3, 2)? + second)?], 1)
            },
        );
    }
}

/// DoRA: the lengths are those of the whole changed matrix, and constants on the way back.
#[test]
fn decomposed_linear_matches_autograd() {
    let weight = random(&[5, 7], 1);
    for dropout in [None, Some(Dropout { share: 0.4, stream: Rng::new(3, &[]) })] {
        let ones = Node::frozen(Tensor::ones((4, 7), DType::F32, &CPU).unwrap());
        let mask = dropout.map_or(ones.clone(), |of| ops::dropout(&Tape::inference(), &ones, of).unwrap());
        check(
            &[&[4, 7], &[6, 7], &[2, 2], &[2, 4], &[2], &[2], &[5]],
            |tape, x| {
                let low = two_parts(&x[1], &x[2], &x[3], dropout);
                let weight = like(&weight, x[0].value());
                let squares = weight.sqr()?.sum(1)?;
                let rows = ops::Magnitudes { nodes: &x[4..6], squares: &squares };
                ops::decomposed_linear(tape, &x[0], &weight.into(), Some(&x[6]), &low, rows)
            },
            |x| {
                let weight = like(&weight, &x[0]);
                let whole = x[0].matmul(&weight.t()?)?;
                let left = (&x[0] * like(mask.value(), &x[0]))?;
                let part = |b: &Tensor,
                            m: &Tensor,
                            first: usize,
                            rows: std::ops::Range<usize>,
                            scale: f64|
                 -> Result<Tensor> {
                    let change = (b.matmul(&x[1].narrow(0, rows.start, rows.len())?)? * scale)?;
                    let changed = (weight.narrow(0, first, 2)? + &change)?;
                    let length = changed.sqr()?.sum(1)?.sqrt()?.detach();
                    let (changed, own) =
                        (left.matmul(&changed.t()?)?, left.matmul(&weight.narrow(0, first, 2)?.t()?)?);
                    let changed = changed.broadcast_mul(&(m / length)?)?;
                    (whole.narrow(1, first, 2)? + changed)? - own
                };
                let (first, second) = (part(&x[2], &x[4], 0, 0..2, 1.7)?, part(&x[3], &x[5], 3, 2..6, 0.9)?);
                Tensor::cat(&[first, whole.narrow(1, 2, 1)?, second], 1)?.broadcast_add(&x[6])
            },
        );
    }
}

#[test]
fn column_scales_and_bottlenecks_match_autograd() {
    check(
        &[&[4, 9], &[3], &[2]],
        |tape, x| {
            let parts = vec![(x[1].clone(), 1..4), (x[2].clone(), 7..9)];
            ops::scale_columns(tape, &x[0], &ColumnScale { parts })
        },
        |x| {
            let one = |n: usize| Tensor::ones(n, x[0].dtype(), &CPU);
            x[0].broadcast_mul(&Tensor::cat(&[&one(1)?, &x[1], &one(3)?, &x[2]], 0)?)
        },
    );
    check(
        &[&[4, 7], &[3, 7], &[3], &[7, 3], &[7]],
        |tape, x| {
            let [_, down, down_bias, up, up_bias] = x else { candle_core::bail!("five inputs") };
            let small = Bottleneck {
                down: down.clone(),
                down_bias: down_bias.clone(),
                up: up.clone(),
                up_bias: up_bias.clone(),
                activation: Activation::Silu,
                scale: 0.5,
            };
            ops::bottleneck(tape, &x[0], &small)
        },
        |x| {
            let h = plain_activation(&x[0].matmul(&x[1].t()?)?.broadcast_add(&x[2])?, Activation::Silu)?;
            h.matmul(&x[3].t()?)?.broadcast_add(&x[4])? * 0.5
        },
    );
}

/// Where segments stand behind a prefix of `num` rows, and what they see then.
pub fn behind(num: usize, seen: &Seen) -> (VirtualRows, Rc<Seen>) {
    let places = VirtualRows::new(num, &seen.segments);
    let wide = Seen::new(places.segments(), seen.scale, seen.window, seen.cap);
    (places, Rc::new(if seen.is_causal { wide } else { wide.both_ways() }))
}

#[test]
fn prefix_attention_matches_autograd() {
    for seen in sights() {
        let (places, wide) = behind(4, &seen);
        check(
            &[&[*seen.segments.last().unwrap(), 48], &[4, 24]],
            |tape, x| ops::prefix_attention(tape, &x[0], &x[1], &places, HEADS, &wide, None),
            |x| plain_prefix_attention(&x[0], &x[1], &seen),
        );
    }
}

#[test]
fn virtual_rows_stand_before_every_segment() {
    let places = VirtualRows::new(2, &[0, 3, 4]);
    assert_eq!(places.segments(), [0, 5, 8]);
    check(
        &[&[4, 6], &[2, 6]],
        |tape, x| ops::with_virtual_rows(tape, &x[0], &x[1], &places),
        |x| Tensor::cat(&[&x[1], &x[0].narrow(0, 0, 3)?, &x[1], &x[0].narrow(0, 3, 1)?], 0),
    );
    check(
        &[&[8, 6]],
        |tape, x| ops::without_virtual_rows(tape, &x[0], &places),
        |x| Tensor::cat(&[x[0].narrow(0, 2, 3)?, x[0].narrow(0, 7, 1)?], 0),
    );
}

#[test]
fn tanh_matches_autograd() {
    check(&[&[5, 7]], |tape, x| ops::tanh(tape, &x[0]), |x| x[0].tanh());
}

//! Attention with what a model may add to it - biases by distance, rows of its own for keys, dropped shares - against candle's autograd on plain
//! tensor operations, in the CPU's kernels and in the portable form.

use crate::ops::{check, random, relative_error};
use candle_core::{DType, Device, Tensor};
use std::rc::Rc;
use tunesmith::base::rng::Rng;
use tunesmith::nn::ops::{self, Bias, Dropout, HeadLayout, Seen, Shares};
use tunesmith::nn::{Node, Result, Tape};

const CPU: Device = Device::Cpu;
const LAYOUT: HeadLayout = HeadLayout { num_heads: 3, num_kv_heads: 3, head_width: 4 };
fn dropped() -> Dropout {
    Dropout { share: 0.3, stream: Rng::new(11, &[]) }
}

/// What one segment's shares are made of besides queries and keys, [h, s, t] each.
struct Besides {
    /// Added to bent scores; far below zero where a key is not seen.
    added: Tensor,
    /// What shares are multiplied by.
    factors: Option<Tensor>,
}

/// Heads of attention as the book has it: q [s, h·e], k and v [t, h·e] -> [s, h·e].
fn by_the_book([q, k, v]: [&Tensor; 3], seen: &Seen, besides: &Besides) -> Result<Tensor> {
    let of_heads = |x: &Tensor| -> Result<Tensor> {
        x.reshape((x.dim(0)?, 3, x.dim(1)? / 3))?.transpose(0, 1)?.contiguous()
    };
    let (q, k, v) = (of_heads(q)?, of_heads(k)?, of_heads(v)?);
    let scores = (q.matmul(&k.transpose(1, 2)?.contiguous()?)? * seen.scale)?;
    let scores = match seen.cap {
        Some(cap) => ((scores / cap)?.tanh()? * cap)?,
        None => scores,
    };
    let scores = scores.broadcast_add(&besides.added)?;
    let exp = scores.broadcast_sub(&scores.max_keepdim(2)?.detach())?.exp()?;
    let p = exp.broadcast_div(&exp.sum_keepdim(2)?)?;
    let p = besides.factors.as_ref().map_or(Ok(p.clone()), |factors| p * factors)?;
    let (h, s, _) = p.dims3()?;
    let mixed = p.matmul(&v)?; // [h, s, e]
    mixed.transpose(0, 1)?.contiguous()?.reshape((s, h * v.dim(2)?))
}

/// Zeros and the gain, one for each share of a segment, drawn by the place of a share among all of the batch.
fn factors(
    dropout: Option<Dropout>,
    queries: [usize; 2],
    keys: [usize; 2],
    m: usize,
    like: &Tensor,
) -> Option<Tensor> {
    let Dropout { share, stream } = dropout?;
    let ([first, end], [first_key, end_key]) = (queries, keys);
    let draw = |h: usize, q: usize, k: usize| {
        let place = (q * 3 + h) * m + k;
        if stream.uniform_at(place as u64) < share { 0.0 } else { 1.0 / (1.0 - share) }
    };
    let all =
        (0..3).flat_map(|h| (first..end).flat_map(move |q| (first_key..end_key).map(move |k| draw(h, q, k))));
    let all: Vec<f32> = all.collect();
    let factors = Tensor::from_vec(all, (3, end - first, end_key - first_key), &CPU).unwrap();
    Some(factors.to_dtype(like.dtype()).unwrap())
}

/// Segments of one and of more blocks of rows, and one that writes nothing; with shares dropped, too.
#[test]
fn attention_to_other_rows_matches_autograd() {
    let cases = [
        (vec![0, 3, 7], vec![0, 4, 9]),
        (vec![0, 5, 5, 6], vec![0, 1, 4, 300]),
        (vec![0, 280, 300], vec![0, 2, 8]),
    ];
    for ((own, others), dropout) in cases.iter().flat_map(|case| [(case, None), (case, Some(dropped()))]) {
        let (n, m) = (own[own.len() - 1], others[others.len() - 1]);
        let seen = Rc::new(Seen::across(own.clone(), others.clone(), 0.7));
        let plain = |x: &[Tensor]| {
            let mut all = Vec::new();
            for (own, other) in own.windows(2).zip(others.windows(2)).filter(|(own, _)| own[1] > own[0]) {
                let (s, t) = (own[1] - own[0], other[1] - other[0]);
                let rows = x[1].narrow(0, other[0], t)?;
                let (k, v) = (rows.narrow(1, 0, 12)?, rows.narrow(1, 12, 12)?);
                let besides = Besides {
                    added: Tensor::zeros((3, s, t), x[0].dtype(), &CPU)?,
                    factors: factors(dropout, [own[0], own[1]], [other[0], other[1]], m, &x[0]),
                };
                all.push(by_the_book([&x[0].narrow(0, own[0], s)?, &k, &v], &seen, &besides)?);
            }
            Tensor::cat(&all, 0)
        };
        check(
            &[&[n, 12], &[m, 24]],
            |tape, x| ops::cross_attention(tape, &x[0], &x[1], LAYOUT, &seen, dropout),
            plain,
        );
    }
}

/// Biases by distance, of which a table of buckets is what is trained: causal and both ways, longer than a block, under a cap, behind a
/// window, with shares dropped, and dropped shares without biases.
#[test]
fn attention_with_biases_and_dropped_shares_matches_autograd() {
    let cases = [
        (vec![0, 1, 7], true),
        (vec![0, 4, 9], false),
        (vec![0, 270, 300], true),
        (vec![0, 140, 150], false),
    ];
    let besides = [(true, None), (true, Some(dropped())), (false, Some(dropped()))];
    let bends = [(None, None), (Some(1.5), None), (Some(0.9), Some(3))];
    for ((segments, is_causal), (has_bias, dropout), (cap, window)) in cases
        .iter()
        .flat_map(|case| besides.map(|besides| (case, besides)))
        .flat_map(|(case, besides)| bends.map(|bend| (case, besides, bend)))
    {
        let n = segments[segments.len() - 1];
        let longest = segments.windows(2).map(|s| s[1] - s[0]).max().unwrap();
        let seen = Seen::new(segments.clone(), 0.8, window, cap);
        let seen = Rc::new(if *is_causal { seen } else { seen.both_ways() });
        let plain = |x: &[Tensor]| {
            let mut all = Vec::new();
            for ends in segments.windows(2) {
                let s = ends[1] - ends[0];
                let rows = x[0].narrow(0, ends[0], s)?;
                let part = |first| rows.narrow(1, first, 12);
                let distances: Vec<u32> = (0..s * s).map(|c| (longest - 1 + c % s - c / s) as u32).collect();
                let none = || Tensor::zeros((2 * longest - 1, 3), x[0].dtype(), &CPU);
                let bias = x.get(1).cloned().map_or_else(none, Ok)?;
                let bias = bias.index_select(&Tensor::new(distances, &CPU)?, 0)?; // [s·s, h]
                let bias = bias.reshape((s, s, 3))?.permute((2, 0, 1))?.contiguous()?;
                let hidden = |c: usize| {
                    let (query, key) = (c / s, c % s);
                    let is_seen =
                        (key <= query || !is_causal) && window.is_none_or(|w| query.abs_diff(key) < w);
                    if is_seen { 0.0f64 } else { -1e30 }
                };
                let mask = Tensor::new((0..s * s).map(hidden).collect::<Vec<_>>(), &CPU)?;
                let mask = mask.reshape((1, s, s))?.to_dtype(x[0].dtype())?;
                let besides = Besides {
                    added: bias.broadcast_add(&mask)?,
                    factors: factors(dropout, [ends[0], ends[1]], [ends[0], ends[1]], n, &x[0]),
                };
                all.push(by_the_book([&part(0)?, &part(12)?, &part(24)?], &seen, &besides)?);
            }
            Tensor::cat(&all, 0)
        };
        let shapes: [&[usize]; 2] = [&[n, 36], &[2 * longest - 1, 3]];
        let ours = |tape: &Tape, x: &[Node]| {
            ops::attention(tape, &x[0], LAYOUT, &seen, Shares { bias: x.get(1), dropout })
        };
        check(&shapes[..if has_bias { 2 } else { 1 }], ours, plain);
    }
}

fn attended(qkv: &Tensor, dropout: Option<Dropout>) -> Tensor {
    let seen = Rc::new(Seen::new(vec![0, 7, 12], 0.5, None, None).both_ways());
    let (tape, x) = (Tape::inference(), Node::frozen(qkv.clone()));
    ops::attention(&tape, &x, LAYOUT, &seen, Shares { bias: None, dropout }).unwrap().value().clone()
}

/// Over many draws the shares that stay make up for those that go; a stream draws the same again, another one others.
#[test]
fn dropped_shares_replay_and_keep_the_mean() {
    let qkv = random(&[12, 36], 1);
    let plain = attended(&qkv, None);
    let with = |share, stream| attended(&qkv, Some(Dropout { share, stream: Rng::new(stream, &[]) }));
    assert_eq!(relative_error(&with(0.1, 3), &with(0.1, 3)), 0.0);
    assert!(relative_error(&with(0.1, 3), &with(0.1, 4)) > 0.05);
    assert_eq!(relative_error(&with(0.0, 3), &plain), 0.0);
    let mean_of = |num: u64| {
        let sum = (0..num).map(|stream| with(0.2, stream)).reduce(|sum, x| (sum + x).unwrap()).unwrap();
        relative_error(&(sum / num as f64).unwrap(), &plain)
    };
    // The error of a mean falls with the root of what it is of.
    let (few, many) = (mean_of(100), mean_of(10_000));
    assert!(many < 0.01 && many < few / 4.0, "{few} {many}");
}

#[test]
fn cached_attention_with_biases_equals_packed_attention() {
    let (qkv, bias) = (random(&[90, 36], 1), random(&[199, 3], 2));
    for dtype in [DType::F32, DType::F64] {
        let [qkv, bias] = [&qkv, &bias].map(|x| x.to_dtype(dtype).unwrap());
        for cap in [None, Some(1.0)] {
            let seen = Rc::new(Seen::new(vec![0, 90], 0.4, None, cap));
            let by_distance = Node::frozen(bias.clone());
            let shares = Shares { bias: Some(&by_distance), dropout: None };
            let all = ops::attention(&Tape::inference(), &Node::frozen(qkv.clone()), LAYOUT, &seen, shares);
            let all = all.unwrap().value().clone();
            let heads =
                |first| qkv.narrow(1, first, 12).unwrap().contiguous().unwrap().reshape((90, 3, 4)).unwrap();
            let [q, k, v] = [heads(0), heads(12), heads(24)];
            for (first, len) in [(0, 90), (60, 30), (89, 1)] {
                let part = q.narrow(0, first, len).unwrap();
                let [k, v] = [&k, &v].map(|x| x.narrow(0, 0, first + len).unwrap());
                let got = ops::attend_cached(&part, &k, &v, 0.4, None, cap, Some(Bias(&bias))).unwrap();
                let got = got.reshape((len, 12)).unwrap();
                assert!(relative_error(&got, &all.narrow(0, first, len).unwrap()) < 1e-5);
            }
        }
    }
}

/// A table that is too short for a segment is an error, not a wrong number.
#[test]
fn biases_for_shorter_segments_are_refused() {
    let seen = Rc::new(Seen::new(vec![0, 4, 9], 1.0, None, None));
    let (tape, x) = (Tape::inference(), Node::frozen(random(&[9, 36], 1)));
    let with = |num: usize| {
        let bias = Node::frozen(random(&[num, 3], 2));
        ops::attention(&tape, &x, LAYOUT, &seen, Shares { bias: Some(&bias), dropout: None }).is_ok()
    };
    assert!(with(9) && !with(7));
}

//! Every operation of the tape against candle's own autograd on plain tensor operations, and against finite
//! differences.

use crate::ops_loss::plain_cross_entropy;
use crate::ops_of_methods::{behind, two_parts};
use candle_core::{D, DType, Device, Tensor, Var};
use std::rc::Rc;
use tunesmith::base::rng::Rng;
use tunesmith::nn::ops::{
    self, Activation, Dropout, HeadLayout, HeadNorms, NormedColumns, RopeTable, Seen, Shares,
};
use tunesmith::nn::{FlatGradient, FlatParams, Kept, Node, Result, Tape, WeightNode};

const CPU: Device = Device::Cpu;

pub fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = Rng::new(seed, &[]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal() as f32).collect();
    Tensor::from_vec(values, shape, &CPU).unwrap()
}

pub fn relative_error(got: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(got.dims(), expected.dims());
    let (got, expected) = (got.to_dtype(DType::F64).unwrap(), expected.to_dtype(DType::F64).unwrap());
    let norm = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt();
    norm(&(&got - &expected).unwrap()) / norm(&expected).max(1e-12)
}

/// Runs `ours` on the tape and `plain` on candle's graph with the same inputs and the same output gradient, and
/// compares outputs and all input gradients: in f32, which are the CPU's kernels, and in f64, which is the portable form.
pub fn check(
    shapes: &[&[usize]],
    ours: impl Fn(&Tape, &[Node]) -> Result<Node>,
    plain: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    for (dtype, tolerance) in [(DType::F32, 2e-6), (DType::F64, 1e-12)] {
        let input = |(i, shape): (usize, &&[usize])| random(shape, 100 + i as u64).to_dtype(dtype).unwrap();
        let inputs: Vec<Tensor> = shapes.iter().enumerate().map(input).collect();
        let tape = Tape::recording();
        let nodes: Vec<Node> = inputs.iter().map(|t| tape.leaf(t.clone())).collect();
        let out = ours(&tape, &nodes).unwrap();
        let seed = random(out.value().dims(), 7).to_dtype(dtype).unwrap();
        let mut found = tape.backward(&out, seed.clone()).unwrap();

        let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
        let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let expected = plain(&tensors).unwrap();
        let error = relative_error(out.value(), &expected);
        assert!(error < tolerance, "{dtype:?} output: {error}");
        let gradients = (expected * seed).unwrap().sum_all().unwrap().backward().unwrap();
        for (i, (node, var)) in nodes.iter().zip(&vars).enumerate() {
            let error = relative_error(&found.take(node).unwrap(), gradients.get(var).unwrap());
            assert!(error < 10.0 * tolerance, "{dtype:?}, gradient of input {i}: {error}");
        }
    }
}

/// `t` in the type of the input.
pub fn like(t: &Tensor, input: &Tensor) -> Tensor {
    t.to_dtype(input.dtype()).unwrap()
}

#[test]
fn linear_matches_autograd() {
    let (weight, bias) = (random(&[5, 7], 1), random(&[5], 2));
    check(
        &[&[4, 7]],
        |tape, x| {
            let bias = Node::frozen(like(&bias, x[0].value()));
            ops::linear(tape, &x[0], &like(&weight, x[0].value()).into(), Some(&bias))
        },
        |x| x[0].matmul(&like(&weight, &x[0]).t()?)?.broadcast_add(&like(&bias, &x[0])),
    );
}

#[test]
fn trained_weights_match_autograd() {
    check(
        &[&[4, 7], &[5, 7], &[5]],
        |tape, x| ops::linear(tape, &x[0], &WeightNode::trained(&x[1]), Some(&x[2])),
        |x| x[0].matmul(&x[1].t()?)?.broadcast_add(&x[2]),
    );
    check(
        &[&[3, 37], &[37]],
        |tape, x| ops::rms_norm(tape, &x[0], &x[1], 1e-5),
        |x| plain_norm(&x[0], &x[1]),
    );
    let tokens = [3, 0, 3, 4];
    check(
        &[&[5, 7]],
        |tape, x| ops::embedding(tape, &WeightNode::trained(&x[0]), &tokens),
        |x| x[0].index_select(&Tensor::new(&tokens, &CPU)?, 0),
    );
    // The embedding as the projection, too: both ways end in one gradient.
    check(
        &[&[5, 7]],
        |tape, x| {
            let table = WeightNode::trained(&x[0]);
            let hidden = ops::embedding(tape, &table, &tokens)?;
            Ok(ops::linear_cross_entropy(tape, &hidden, &table.into(), &[1, 2, 0, 4], &[1.0, 0.0, 2.0, 0.5])?
                .sum)
        },
        |x| {
            let hidden = x[0].index_select(&Tensor::new(&tokens, &CPU)?, 0)?;
            plain_cross_entropy(&hidden, &x[0], &[1, 2, 0, 4], &[1.0, 0.0, 2.0, 0.5])
        },
    );
}

/// Gradients of parameters go to their places in the flat buffer, and add up over micro-steps, as those of leaves would.
#[test]
fn a_flat_gradient_is_the_gradients_of_the_leaves() {
    let named = |name: &str, shape: &[usize], seed| (name.to_string(), random(shape, seed));
    let all =
        vec![named("norm", &[7], 1), named("w", &[5, 7], 2), named("v", &[2, 7], 3), named("b", &[7], 4)];
    let params = FlatParams::new(all, &CPU).unwrap();
    let run = |tape: &Tape, nodes: &[Node; 3]| {
        let x = Node::frozen(random(&[4, 7], 5));
        let [norm, weight, bias] = nodes;
        let x = ops::rms_norm(tape, &x, norm, 1e-5).unwrap();
        let y = ops::linear(tape, &x, &WeightNode::trained(weight), Some(bias)).unwrap();
        // The weight a second time.
        ops::linear(tape, &x, &WeightNode::trained(weight), None)
            .map(|z| ops::add(tape, &y, &z).unwrap())
            .unwrap()
    };
    let seed = random(&[4, 7], 6);
    let tape = Tape::recording();
    let leaves = [params.get(0), params.stacked(1..3), params.get(3)].map(|t| tape.leaf(t.unwrap()));
    let out = run(&tape, &leaves);
    let mut found = tape.backward(&out, seed.clone()).unwrap();
    let expected = Tensor::cat(&leaves.map(|l| found.take(&l).unwrap().flatten_all().unwrap()), 0).unwrap();

    let gradient = FlatGradient::new(&params).unwrap();
    for (round, times) in [(0, 1.0), (1, 2.0), (2, 1.0)] {
        if round == 2 {
            gradient.clear();
        }
        let tape = Tape::recording();
        let on = params.on(&tape, &gradient);
        let nodes = [on.get(0), on.stacked(1..3), on.get(3)].map(Result::unwrap);
        let out = run(&tape, &nodes);
        tape.backward(&out, seed.clone()).unwrap();
        let got = gradient.whole(&params).unwrap();
        assert!(relative_error(got, &(&expected * times).unwrap()) < 1e-6, "round {round}");
    }
    gradient.clear();
    let refusal = gradient.whole(&params).unwrap_err().to_string();
    assert!(refusal.contains("norm got no gradient"), "{refusal}");
}

const ACTIVATIONS: [Activation; 4] =
    [Activation::Silu, Activation::Gelu, Activation::GeluTanh, Activation::Relu];

/// From plain operations, because the gradients of candle's `gelu` have constants of six digits.
pub fn plain_activation(x: &Tensor, activation: Activation) -> Result<Tensor> {
    let share = match activation {
        Activation::Silu => return x.silu(),
        Activation::Relu => return x.relu(),
        Activation::Gelu => ((x / 2f64.sqrt())?.erf()? + 1.0)?,
        Activation::GeluTanh => {
            let inner = (x + (x.sqr()? * x)? * 0.044715)?;
            ((inner * (2.0 / std::f64::consts::PI).sqrt())?.tanh()? + 1.0)?
        }
    };
    (x * share)? * 0.5
}

#[test]
fn activations_gates_and_add_match_autograd() {
    for activation in ACTIVATIONS {
        check(
            &[&[3, 38], &[3, 19]],
            |tape, x| ops::add(tape, &ops::gated(tape, &x[0], activation)?, &x[1]),
            |x| (plain_activation(&x[0].narrow(1, 0, 19)?, activation)? * x[0].narrow(1, 19, 19)?)? + &x[1],
        );
        check(
            &[&[5, 7]],
            |tape, x| ops::activate(tape, &x[0], activation),
            |x| plain_activation(&x[0], activation),
        );
    }
}

/// Far from zero nothing overflows, and what is as good as switched off is so.
#[test]
fn activations_of_large_numbers_are_themselves_or_nothing() {
    let x = Tensor::new(&[-1e30f32, -300.0, -15.0, 0.0, 15.0, 300.0, 1e30], &CPU).unwrap();
    for activation in ACTIVATIONS {
        let y = ops::activate(&Tape::inference(), &Node::frozen(x.clone()), activation).unwrap();
        let y = y.value().to_vec1::<f32>().unwrap();
        assert!(y[..2].iter().all(|y| y.abs() < 1e-6) && y[2].abs() < 1e-5, "{activation:?}: {y:?}");
        assert_eq!((y[3], y[5], y[6]), (0.0, 300.0, 1e30), "{activation:?}");
        assert!((y[4] - 15.0).abs() < 1e-4, "{activation:?}: {y:?}");
    }
}

fn plain_norm(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let rms = (x.sqr()?.mean_keepdim(D::Minus1)? + 1e-5)?.sqrt()?;
    x.broadcast_div(&rms)?.broadcast_mul(&like(weight, x))
}

#[test]
fn rms_norm_matches_autograd() {
    for d in [8, 37] {
        let weight = random(&[d], 3);
        check(
            &[&[3, d]],
            |tape, x| ops::rms_norm(tape, &x[0], &Node::frozen(like(&weight, x[0].value())), 1e-5),
            |x| plain_norm(&x[0], &weight),
        );
    }
}

#[test]
fn layer_norm_matches_autograd() {
    for d in [8, 37] {
        check(
            &[&[3, d], &[d], &[d]],
            |tape, x| ops::layer_norm(tape, &x[0], &x[1], &x[2], 1e-5),
            |x| {
                // With no mean left, the root of the mean of squares is the deviation.
                let centred = x[0].broadcast_sub(&x[0].mean_keepdim(D::Minus1)?)?;
                let rstd = (centred.sqr()?.mean_keepdim(D::Minus1)? + 1e-5)?.sqrt()?.recip()?;
                centred.broadcast_mul(&rstd)?.broadcast_mul(&x[1])?.broadcast_add(&x[2])
            },
        );
    }
}

/// Some columns of a row normalised, as OLMo 2 does with all queries and all keys of a token.
#[test]
fn rms_norm_of_columns_matches_autograd() {
    check(
        &[&[5, 13], &[6], &[4]],
        |tape, x| {
            let parts = [(0, 1), (6, 2)].map(|(first, i)| NormedColumns { first, weight: x[i].clone() });
            ops::rms_norm_columns(tape, &x[0], &parts, 1e-5)
        },
        |x| {
            let normed = |first, width, weight: &Tensor| {
                let columns = x[0].narrow(1, first, width)?;
                let rstd = (columns.sqr()?.mean_keepdim(D::Minus1)? + 1e-5)?.sqrt()?.recip()?;
                columns.broadcast_mul(&rstd)?.broadcast_mul(weight)
            };
            Tensor::cat(&[normed(0, 6, &x[1])?, normed(6, 4, &x[2])?, x[0].narrow(1, 10, 3)?], 1)
        },
    );
}

#[test]
fn a_multiple_matches_autograd() {
    check(&[&[3, 7]], |tape, x| ops::affine(tape, &x[0], -0.3, 2.0), |x| x[0].affine(-0.3, 2.0));
}

/// The variance is not taken as a difference of large numbers: rows far from zero keep their digits.
#[test]
fn layer_norm_of_rows_far_from_zero_keeps_its_digits() {
    let (ones, zeros) = (random(&[64], 1).ones_like().unwrap(), random(&[64], 1).zeros_like().unwrap());
    let normed = |x: Tensor| {
        ops::layer_norm(
            &Tape::inference(),
            &Node::frozen(x),
            &Node::frozen(ones.clone()),
            &Node::frozen(zeros.clone()),
            1e-5,
        )
        .unwrap()
        .value()
        .clone()
    };
    // Whole numbers, which adding 4096 does not round.
    let x = (random(&[3, 64], 2) * 8.0).unwrap().round().unwrap();
    assert!(relative_error(&normed((&x + 4096.0).unwrap()), &normed(x)) < 1e-4);
}

/// A value that is made again instead of kept is the same one, for layers after a norm, a gate and dropout.
#[test]
fn what_is_made_again_equals_what_was_there() {
    let tape = Tape::recording();
    let x = tape.leaf(random(&[3, 8], 1));
    let dropout = Dropout { share: 0.3, stream: Rng::new(1, &[]) };
    let frozen = |seed| Node::frozen(random(&[8], seed));
    let normed = ops::rms_norm(&tape, &x, &frozen(2), 1e-5).unwrap();
    for node in [
        normed.clone(),
        ops::gated(&tape, &x, Activation::Silu).unwrap(),
        ops::gated(&tape, &x, Activation::GeluTanh).unwrap(),
        ops::activate(&tape, &x, Activation::Gelu).unwrap(),
        ops::layer_norm(&tape, &x, &frozen(2), &frozen(3), 1e-5).unwrap(),
        ops::dropout(&tape, &x, dropout).unwrap(),
        ops::dropout(&tape, &normed, dropout).unwrap(),
    ] {
        assert!(matches!(node.keep(), Kept::Remade(_)));
        assert_eq!(relative_error(&node.keep().get().unwrap(), node.value()), 0.0);
    }
    assert!(matches!(x.keep(), Kept::Value(_)));
}

fn plain_rope(x: &Tensor, positions: &[u32], frequencies: &[f64]) -> Result<Tensor> {
    let half = frequencies.len();
    let angles = positions.iter().flat_map(|p| frequencies.iter().map(move |f| f64::from(*p) * f));
    // The table of the model is f32.
    let (cos, sin): (Vec<f32>, Vec<f32>) = angles.map(|a| (a.cos() as f32, a.sin() as f32)).unzip();
    let shape = (positions.len(), 1, half);
    let cos = like(&Tensor::from_vec(cos, shape, &CPU)?, x);
    let sin = like(&Tensor::from_vec(sin, shape, &CPU)?, x);
    let (a, b) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
    let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
    let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
    Tensor::cat(&[first, second, x.narrow(2, 2 * half, x.dim(2)? - 2 * half)?], 2)
}

/// Four query heads and two key-value heads of six numbers.
pub const HEADS: HeadLayout = HeadLayout { num_heads: 4, num_kv_heads: 2, head_width: 6 };

/// Query, key and value heads of rows [n, 48]: [n, 4, 6], [n, 2, 6], [n, 2, 6].
fn heads(qkv: &Tensor) -> Result<[Tensor; 3]> {
    let n = qkv.dim(0)?;
    let part = |first, heads| qkv.narrow(1, first, heads * 6)?.reshape((n, heads, 6));
    Ok([part(0, 4)?, part(24, 2)?, part(36, 2)?])
}

fn rows_of([q, k, v]: [Tensor; 3]) -> Result<Tensor> {
    let n = q.dim(0)?;
    Tensor::cat(&[q.reshape((n, 24))?, k.reshape((n, 12))?, v.reshape((n, 12))?], 1)
}

#[test]
fn rotate_matches_autograd() {
    rotate_by(&[1.0, 0.3, 0.01]);
    // Four of the six numbers of a head.
    rotate_by(&[1.0, 0.3]);
}

fn rotate_by(frequencies: &[f64]) {
    let positions = [0u32, 1, 2, 0, 5];
    let table = RopeTable::new(frequencies, 16, &CPU).unwrap();
    let rows = table.at(&Tensor::new(&positions, &CPU).unwrap()).unwrap();
    let turn = |x: &Tensor| plain_rope(x, &positions, frequencies);
    check(
        &[&[5, 48]],
        |tape, x| ops::rotate(tape, &x[0], HEADS, &rows, None),
        |x| {
            let [q, k, v] = heads(&x[0])?;
            rows_of([turn(&q)?, turn(&k)?, v])
        },
    );
    check(
        &[&[5, 48], &[6], &[6]],
        |tape, x| {
            let norms = HeadNorms { query: x[1].clone(), key: x[2].clone(), epsilon: 1e-5 };
            ops::rotate(tape, &x[0], HEADS, &rows, Some(&norms))
        },
        |x| {
            let [q, k, v] = heads(&x[0])?;
            rows_of([turn(&plain_norm(&q, &x[1])?)?, turn(&plain_norm(&k, &x[2])?)?, v])
        },
    );
}

/// Every query sees the prefix [p, 2k·e], as far as the window reaches, and its own segment.
pub fn plain_prefix_attention(qkv: &Tensor, prefix: &Tensor, seen: &Seen) -> Result<Tensor> {
    let [q, k, v] = heads(qkv)?;
    let (n, h, e) = q.dims3()?;
    let p = prefix.dim(0)?;
    let before =
        |t: &Tensor, first| Tensor::cat(&[prefix.narrow(1, first, 12)?.reshape((p, 2, e))?, t.clone()], 0);
    let (k, v) = if p > 0 { (before(&k, 0)?, before(&v, 12)?) } else { (k, v) };
    let repeat =
        |t: &Tensor| t.unsqueeze(2)?.expand((p + n, 2, h / 2, e))?.reshape((p + n, h, e))?.transpose(0, 1);
    let q = q.transpose(0, 1)?.contiguous()?;
    let (keys, values) = (repeat(&k)?.contiguous()?, repeat(&v)?.contiguous()?);
    let segment = |i: usize| seen.segments.iter().filter(|s| **s <= i).count();
    let begin = |i: usize| seen.segments.iter().filter(|s| **s <= i).max().copied().unwrap();
    let mask: Vec<f32> = (0..n * (p + n))
        .map(|c| (c / (p + n), c % (p + n)))
        .map(|(i, j)| {
            let within = |distance: usize| seen.window.is_none_or(|w| distance < w);
            let sees = match j.checked_sub(p) {
                None => within(i - begin(i) + p - j),
                Some(j) => (j <= i || !seen.is_causal) && segment(i) == segment(j) && within(i.abs_diff(j)),
            };
            if sees { 0.0 } else { f32::NEG_INFINITY }
        })
        .collect();
    let mask = like(&Tensor::from_vec(mask, (n, p + n), &CPU)?, qkv);
    let scores = (q.matmul(&keys.transpose(1, 2)?)? * seen.scale)?;
    let scores = match seen.cap {
        Some(cap) => ((scores / cap)?.tanh()? * cap)?,
        None => scores,
    }
    .broadcast_add(&mask)?;
    let exp = scores.broadcast_sub(&scores.max_keepdim(2)?.detach())?.exp()?;
    let p = exp.broadcast_div(&exp.sum_keepdim(2)?)?;
    p.matmul(&values)?.transpose(0, 1)?.contiguous()?.reshape((n, h * e))
}

/// Attention by the book: repeated key-value heads, a full [n, n] mask.
pub fn plain_attention(qkv: &Tensor, seen: &Seen) -> Result<Tensor> {
    plain_prefix_attention(qkv, &Tensor::zeros((0, 24), qkv.dtype(), &CPU)?, seen)
}

/// (segments, window, cap): one segment, several with one of a single token, windowed, longer than a block, capped. Causal and both
/// ways.
pub fn sights() -> Vec<Rc<Seen>> {
    let cases = [
        (vec![0, 1], None, None),
        (vec![0, 6], None, None),
        (vec![0, 1, 4, 9], None, None),
        (vec![0, 9], Some(3), None),
        (vec![0, 20, 320], None, None),
        (vec![0, 300], Some(40), None),
        (vec![0, 1, 9], None, Some(1.5)),
        (vec![0, 20, 320], Some(40), Some(0.7)),
        (vec![0, 70], None, Some(50.0)),
    ];
    let seen = |(segments, window, cap)| Seen::new(segments, 0.4, window, cap);
    let both_ways = cases.clone().map(seen).map(Seen::both_ways);
    cases.map(seen).into_iter().chain(both_ways).map(Rc::new).collect()
}

#[test]
fn attention_matches_autograd() {
    for seen in sights() {
        check(
            &[&[*seen.segments.last().unwrap(), 48]],
            |tape, x| ops::attention(tape, &x[0], HEADS, &seen, Shares::default()),
            |x| plain_attention(&x[0], &seen),
        );
    }
}

#[test]
fn cached_attention_equals_packed_attention() {
    for (window, cap) in [(None, None), (Some(3), None), (None, Some(1.0))] {
        let qkv = random(&[9, 48], 1);
        let seen = Rc::new(Seen::new(vec![0, 9], 0.4, window, cap));
        let all =
            ops::attention(&Tape::inference(), &Node::frozen(qkv.clone()), HEADS, &seen, Shares::default())
                .unwrap();
        let [q, k, v] = heads(&qkv).unwrap();
        // The CPU's kernel, and the portable form.
        for dtype in [DType::F32, DType::F64] {
            let [q, k, v] = [&q, &k, &v].map(|x| x.to_dtype(dtype).unwrap());
            for (first, len) in [(0, 9), (6, 3), (8, 1)] {
                let (part, seen) = (q.narrow(0, first, len).unwrap(), first + len);
                let [k, v] = [&k, &v].map(|x| x.narrow(0, 0, seen).unwrap());
                let got = ops::attend_cached(&part, &k, &v, 0.4, window, cap, None)
                    .unwrap()
                    .reshape((len, 24))
                    .unwrap();
                assert!(relative_error(&got, &all.value().narrow(0, first, len).unwrap()) < 1e-5);
            }
        }
    }
}

#[test]
fn dropout_replays_and_keeps_the_mean() {
    let dropout = Dropout { share: 0.25, stream: Rng::new(9, &[1]) };
    let x = Tensor::ones((100, 100), candle_core::DType::F32, &CPU).unwrap();
    let tape = Tape::recording();
    let leaf = tape.leaf(x);
    let y = ops::dropout(&tape, &leaf, dropout).unwrap();
    let mean = y.value().mean_all().unwrap().to_scalar::<f32>().unwrap();
    assert!((mean - 1.0).abs() < 0.02, "{mean}");
    let out = y.value().clone();
    let mut found = tape.backward(&y, out.ones_like().unwrap()).unwrap();
    // d(mask · x)/dx is the mask itself, which is what ones became.
    assert_eq!(relative_error(&found.take(&leaf).unwrap(), &out), 0.0);
}

/// The slope of `value` at some places of `x`, by finite differences, against a gradient.
fn check_slopes(x: &Tensor, gradient: &Tensor, value: impl Fn(&Tensor) -> f64) {
    let gradient = gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (place, expected) in gradient.iter().enumerate().step_by(3) {
        let nudged = |by: f32| {
            let mut values = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            values[place] += by;
            value(&Tensor::from_vec(values, x.shape(), &CPU).unwrap())
        };
        let slope = (nudged(1e-2) - nudged(-1e-2)) / 2e-2;
        assert!(
            (slope - f64::from(*expected)).abs() < 2e-3 * slope.abs().max(1.0),
            "{place}: {slope} {expected}"
        );
    }
}

/// A name, the shape of the input, and what is done with it.
pub type Operation<'a> = (&'static str, Vec<usize>, Box<dyn Fn(&Tape, &Node) -> Result<Node> + 'a>);

#[test]
fn gradients_match_finite_differences() {
    let seen = Rc::new(Seen::new(vec![0, 3, 5], 0.5, Some(2), None));
    let capped = Rc::new(Seen::new(vec![0, 3, 5], 0.5, Some(2), Some(1.5)));
    let table = RopeTable::new(&[1.0, 0.3, 0.01], 16, &CPU).unwrap();
    let rows = table.at(&Tensor::new(&[0u32, 1, 2, 0, 1], &CPU).unwrap()).unwrap();
    let frozen = |shape: &[usize]| Node::frozen(random(shape, 5));
    let (prefix, rows_of_five) = (frozen(&[2, 24]), frozen(&[5, 48]));
    let (places, wide) = behind(2, &Seen::new(vec![0, 3, 5], 0.5, None, None));
    let part = RopeTable::new(&[1.0, 0.3], 16, &CPU).unwrap();
    let part = part.at(&Tensor::new(&[0u32, 1, 2, 0, 1], &CPU).unwrap()).unwrap();
    let columns = [(0, 24), (24, 12)].map(|(first, width)| NormedColumns { first, weight: frozen(&[width]) });
    let norms = HeadNorms { query: frozen(&[6]), key: frozen(&[6]), epsilon: 1e-5 };
    let (square, norm_weight) = (random(&[8, 8], 3).into(), frozen(&[8]));
    let (layer_weight, layer_bias) = (frozen(&[8]), frozen(&[8]));
    let low = two_parts(&frozen(&[6, 8]), &frozen(&[2, 2]), &frozen(&[2, 4]), None);
    let five = ops::Head::from(random(&[5, 8], 6));
    let capped_head = ops::Head { cap: Some(1.5), ..five.clone() };
    let operations: Vec<Operation> = vec![
        ("attention", vec![5, 48], Box::new(|t, x| ops::attention(t, x, HEADS, &seen, Shares::default()))),
        (
            "attention, capped",
            vec![5, 48],
            Box::new(|t, x| ops::attention(t, x, HEADS, &capped, Shares::default())),
        ),
        (
            "prefix_attention",
            vec![5, 48],
            Box::new(|t, x| ops::prefix_attention(t, x, &prefix, &places, HEADS, &wide, None)),
        ),
        (
            "prefix_attention of the prefix",
            vec![2, 24],
            Box::new(|t, x| ops::prefix_attention(t, &rows_of_five, x, &places, HEADS, &wide, None)),
        ),
        ("tanh", vec![3, 8], Box::new(ops::tanh)),
        ("rotate", vec![5, 48], Box::new(|t, x| ops::rotate(t, x, HEADS, &rows, Some(&norms)))),
        ("linear", vec![3, 8], Box::new(|t, x| ops::linear(t, x, &square, None))),
        (
            "low_rank_linear",
            vec![3, 8],
            Box::new(|t, x| ops::low_rank_linear(t, x, five.weight.weight(), None, &low)),
        ),
        ("rms_norm", vec![3, 8], Box::new(|t, x| ops::rms_norm(t, x, &norm_weight, 1e-5))),
        ("layer_norm", vec![3, 8], Box::new(|t, x| ops::layer_norm(t, x, &layer_weight, &layer_bias, 1e-5))),
        ("swiglu", vec![3, 8], Box::new(|t, x| ops::gated(t, x, Activation::Silu))),
        ("geglu", vec![3, 8], Box::new(|t, x| ops::gated(t, x, Activation::Gelu))),
        ("geglu_tanh", vec![3, 8], Box::new(|t, x| ops::gated(t, x, Activation::GeluTanh))),
        ("embedding", vec![4, 8], Box::new(|t, x| ops::embedding(t, &WeightNode::trained(x), &[2, 0, 2]))),
        ("gelu", vec![3, 8], Box::new(|t, x| ops::activate(t, x, Activation::Gelu))),
        ("gelu_tanh", vec![3, 8], Box::new(|t, x| ops::activate(t, x, Activation::GeluTanh))),
        (
            "linear_cross_entropy",
            vec![3, 8],
            Box::new(|t, x| Ok(ops::linear_cross_entropy(t, x, &five, &[1, 0, 4], &[1.0, 0.0, 0.5])?.sum)),
        ),
        (
            "linear_cross_entropy, capped",
            vec![3, 8],
            Box::new(|t, x| {
                Ok(ops::linear_cross_entropy(t, x, &capped_head, &[1, 0, 4], &[1.0, 0.0, 0.5])?.sum)
            }),
        ),
        (
            "linear_cross_entropy near others",
            vec![3, 8],
            Box::new(|t, x| {
                let (hidden, head) = (&random(&[3, 8], 31), &random(&[5, 8], 32).into());
                let reference = ops::Reference { hidden, head, weights: &[0.5, 2.0, 0.0] };
                let weights = [1.0, 0.0, 0.5];
                let near = Some(&reference);
                Ok(ops::linear_cross_entropy_near(t, x, &capped_head, &[1, 0, 4], &weights, near)?.sum)
            }),
        ),
        ("affine", vec![3, 8], Box::new(|t, x| ops::affine(t, x, 0.3, 2.0))),
        ("rms_norm_columns", vec![5, 48], Box::new(|t, x| ops::rms_norm_columns(t, x, &columns, 1e-5))),
        ("rotate, a part of each head", vec![5, 48], Box::new(|t, x| ops::rotate(t, x, HEADS, &part, None))),
    ];
    for (name, shape, run) in operations {
        let (x, tape) = (random(&shape, 9), Tape::recording());
        let leaf = tape.leaf(x.clone());
        let y = run(&tape, &leaf).unwrap();
        let seed = (y.value() * 2.0).unwrap();
        let gradient = tape.backward(&y, seed).unwrap().take(&leaf).unwrap();
        assert!(relative_error(&gradient, &gradient.zeros_like().unwrap()) > 0.0, "{name}");
        check_slopes(&x, &gradient, |x| {
            let y = run(&Tape::inference(), &Node::frozen(x.clone())).unwrap();
            y.value().sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().into()
        });
    }
}

#[test]
fn frozen_inputs_record_nothing() {
    let tape = Tape::recording();
    let x = Node::frozen(random(&[2, 3], 1));
    let y = ops::linear(&tape, &x, &random(&[4, 3], 2).into(), None).unwrap();
    assert!(!y.needs_gradient());
    let trained = tape.leaf(random(&[2, 3], 1));
    assert!(ops::linear(&tape, &trained, &random(&[4, 3], 2).into(), None).unwrap().needs_gradient());
}

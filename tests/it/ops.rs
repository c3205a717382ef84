//! Every operation of the tape against candle's own autograd on plain tensor operations, and against finite
//! differences.

use candle_core::{D, Device, Tensor, Var};
use tunesmith::base::rng::Rng;
use tunesmith::nn::ops::{self, AttentionShape, Dropout, RopeTable};
use tunesmith::nn::{Node, Result, Tape};

const CPU: Device = Device::Cpu;

pub fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = Rng::new(seed, &[]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal() as f32).collect();
    Tensor::from_vec(values, shape, &CPU).unwrap()
}

pub fn relative_error(got: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(got.dims(), expected.dims());
    let norm = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
    f64::from(norm(&(got - expected).unwrap()) / norm(expected).max(1e-12))
}

/// Runs `ours` on the tape and `plain` on candle's graph with the same inputs and the same output gradient, and
/// compares outputs and all input gradients.
fn check(
    shapes: &[&[usize]],
    ours: impl Fn(&Tape, &[Node]) -> Result<Node>,
    plain: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let inputs: Vec<Tensor> = shapes.iter().enumerate().map(|(i, s)| random(s, 100 + i as u64)).collect();
    let tape = Tape::recording();
    let nodes: Vec<Node> = inputs.iter().map(|t| tape.leaf(t.clone())).collect();
    let out = ours(&tape, &nodes).unwrap();
    let seed = random(out.value().dims(), 7);
    let mut found = tape.backward(&out, seed.clone()).unwrap();

    let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let expected = plain(&tensors).unwrap();
    let error = relative_error(out.value(), &expected);
    assert!(error < 1e-5, "output: {error}");
    let gradients = (expected * seed).unwrap().sum_all().unwrap().backward().unwrap();
    for (i, (node, var)) in nodes.iter().zip(&vars).enumerate() {
        let error = relative_error(&found.take(node).unwrap(), gradients.get(var).unwrap());
        assert!(error < 1e-4, "gradient of input {i}: {error}");
    }
}

#[test]
fn linear_matches_autograd() {
    let (weight, bias) = (random(&[5, 7], 1), random(&[5], 2));
    check(
        &[&[4, 7]],
        |tape, x| ops::linear(tape, &x[0], &weight, Some(&bias)),
        |x| x[0].matmul(&weight.t()?)?.broadcast_add(&bias),
    );
}

#[test]
fn lora_delta_matches_autograd() {
    check(
        &[&[4, 7], &[4, 5], &[2, 7], &[5, 2]],
        |tape, x| ops::lora_delta(tape, &x[0], &x[1], &x[2], &x[3], 1.7),
        |x| &x[1] + (x[0].matmul(&x[2].t()?)?.matmul(&x[3].t()?)? * 1.7)?,
    );
}

#[test]
fn swiglu_and_add_match_autograd() {
    check(
        &[&[3, 8], &[3, 8]],
        |tape, x| ops::add(tape, &ops::swiglu(tape, &x[0], &x[1])?, &x[0]),
        |x| (x[0].silu()? * &x[1])? + &x[0],
    );
}

#[test]
fn rms_norm_matches_autograd() {
    let weight = random(&[8], 3);
    check(
        &[&[3, 2, 8]],
        |tape, x| ops::rms_norm(tape, &x[0], &weight, 1e-5),
        |x| {
            let rms = (x[0].sqr()?.mean_keepdim(D::Minus1)? + 1e-5)?.sqrt()?;
            x[0].broadcast_div(&rms)?.broadcast_mul(&weight)
        },
    );
}

fn plain_rope(x: &Tensor, positions: &[u32], frequencies: &[f64]) -> Result<Tensor> {
    let half = frequencies.len();
    let angles: Vec<f32> =
        positions.iter().flat_map(|p| frequencies.iter().map(move |f| (f64::from(*p) * f) as f32)).collect();
    let angles = Tensor::from_vec(angles, (positions.len(), 1, half), &CPU)?;
    let (cos, sin) = (angles.cos()?, angles.sin()?);
    let (a, b) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
    let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
    let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
    Tensor::cat(&[first, second], 2)
}

#[test]
fn rope_matches_autograd() {
    let frequencies = [1.0, 0.3, 0.01];
    let positions = [0u32, 1, 2, 0, 5];
    let table = RopeTable::new(&frequencies, 16, &CPU).unwrap();
    let rows = table.at(&Tensor::new(&positions, &CPU).unwrap()).unwrap();
    check(
        &[&[5, 2, 6]],
        |tape, x| ops::rope(tape, &x[0], &rows),
        |x| plain_rope(&x[0], &positions, &frequencies),
    );
}

/// Attention by the book: repeated key-value heads, a full [n, n] mask.
fn plain_attention(x: &[Tensor], shape: &AttentionShape) -> Result<Tensor> {
    let (n, h, e) = x[0].dims3()?;
    let k = x[1].dim(1)?;
    let repeat = |t: &Tensor| t.unsqueeze(2)?.expand((n, k, h / k, e))?.reshape((n, h, e))?.transpose(0, 1);
    let q = x[0].transpose(0, 1)?.contiguous()?;
    let (keys, values) = (repeat(&x[1])?.contiguous()?, repeat(&x[2])?.contiguous()?);
    let segment = |i: usize| shape.segments.iter().filter(|s| **s <= i).count();
    let mask: Vec<f32> = (0..n * n)
        .map(|c| (c / n, c % n))
        .map(|(i, j)| {
            let sees = j <= i && segment(i) == segment(j) && shape.window.is_none_or(|w| i - j < w);
            if sees { 0.0 } else { f32::NEG_INFINITY }
        })
        .collect();
    let mask = Tensor::from_vec(mask, (n, n), &CPU)?;
    let scores = (q.matmul(&keys.transpose(1, 2)?)? * shape.scale)?.broadcast_add(&mask)?;
    let exp = scores.broadcast_sub(&scores.max_keepdim(2)?.detach())?.exp()?;
    let p = exp.broadcast_div(&exp.sum_keepdim(2)?)?;
    p.matmul(&values)?.transpose(0, 1)?.contiguous()
}

#[test]
fn attention_matches_autograd() {
    // (segments, window): one segment, several with one of a single token, windowed, longer than a block
    let cases = [
        (vec![0, 6], None),
        (vec![0, 1, 4, 9], None),
        (vec![0, 9], Some(3)),
        (vec![0, 20, 320], None),
        (vec![0, 300], Some(40)),
    ];
    for (segments, window) in cases {
        let n = *segments.last().unwrap();
        let shape = AttentionShape { segments, scale: 0.4, window };
        check(
            &[&[n, 4, 6], &[n, 2, 6], &[n, 2, 6]],
            |tape, x| ops::attention(tape, &x[0], &x[1], &x[2], &shape),
            |x| plain_attention(x, &shape),
        );
    }
}

#[test]
fn cached_attention_equals_packed_attention() {
    for window in [None, Some(3)] {
        let (q, k, v) = (random(&[9, 4, 6], 1), random(&[9, 2, 6], 2), random(&[9, 2, 6], 3));
        let shape = AttentionShape { segments: vec![0, 9], scale: 0.4, window };
        let frozen = [&q, &k, &v].map(|t| Node::frozen(t.clone()));
        let all = ops::attention(&Tape::inference(), &frozen[0], &frozen[1], &frozen[2], &shape).unwrap();
        for (first, len) in [(0, 9), (6, 3), (8, 1)] {
            let part = q.narrow(0, first, len).unwrap();
            let got = ops::attend_cached(&part, &k, &v, 0.4, window).unwrap();
            assert!(relative_error(&got, &all.value().narrow(0, first, len).unwrap()) < 1e-5);
        }
    }
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
        |tape, x| Ok(ops::linear_cross_entropy(tape, &x[0], &head, &targets, &weights)?.sum),
        |x| {
            let logits = x[0].matmul(&head.t()?)?;
            let log_sum = logits.exp()?.sum_keepdim(1)?.log()?;
            let index = Tensor::from_vec(targets.clone(), (n, 1), &CPU)?;
            let weight = Tensor::from_vec(weights.clone(), (n, 1), &CPU)?;
            ((log_sum - logits.gather(&index, 1)?)? * weight)?.sum_all()
        },
    );
}

#[test]
fn cross_entropy_of_a_fully_masked_batch_is_zero() {
    let tape = Tape::recording();
    let hidden = tape.leaf(random(&[3, 4], 1));
    let loss = ops::linear_cross_entropy(&tape, &hidden, &random(&[5, 4], 2), &[0; 3], &[0.0; 3]).unwrap();
    assert_eq!(loss.value, 0.0);
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

#[test]
fn attention_gradient_matches_finite_differences() {
    let shape = AttentionShape { segments: vec![0, 3, 5], scale: 0.5, window: None };
    let inputs = [random(&[5, 2, 4], 1), random(&[5, 1, 4], 2), random(&[5, 1, 4], 3)];
    let value = |x: &[Tensor]| -> f64 {
        let n: Vec<Node> = x.iter().map(|t| Node::frozen(t.clone())).collect();
        let y = ops::attention(&Tape::inference(), &n[0], &n[1], &n[2], &shape).unwrap();
        y.value().sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().into()
    };
    let tape = Tape::recording();
    let leaves: Vec<Node> = inputs.iter().map(|t| tape.leaf(t.clone())).collect();
    let y = ops::attention(&tape, &leaves[0], &leaves[1], &leaves[2], &shape).unwrap();
    let seed = (y.value() * 2.0).unwrap();
    let mut found = tape.backward(&y, seed).unwrap();
    for (which, leaf) in leaves.iter().enumerate() {
        let gradient = found.take(leaf).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (place, expected) in gradient.iter().enumerate().step_by(3) {
            let nudged = |by: f32| {
                let mut x = inputs.clone();
                let mut values = x[which].flatten_all().unwrap().to_vec1::<f32>().unwrap();
                values[place] += by;
                x[which] = Tensor::from_vec(values, x[which].shape(), &CPU).unwrap();
                value(&x)
            };
            let slope = (nudged(1e-2) - nudged(-1e-2)) / 2e-2;
            assert!(
                (slope - f64::from(*expected)).abs() < 2e-3,
                "input {which}, {place}: {slope} {expected}"
            );
        }
    }
}

#[test]
fn frozen_inputs_record_nothing() {
    let tape = Tape::recording();
    let x = Node::frozen(random(&[2, 3], 1));
    let y = ops::linear(&tape, &x, &random(&[4, 3], 2), None).unwrap();
    assert!(!y.needs_gradient());
    let trained = tape.leaf(random(&[2, 3], 1));
    assert!(ops::linear(&tape, &trained, &random(&[4, 3], 2), None).unwrap().needs_gradient());
}

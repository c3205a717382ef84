//! Each operation, forward and backward, against candle's own tensor operations with candle's autograd, on the shapes of
//! SmolLM2 135M and 1024 tokens: `cargo bench --bench ops -- attention`.
//!
//! Candle finds the gradients of frozen weights, too, which is a part of what the tape saves; where they are many, they are
//! left out of its graph so that the comparison is of the same work.

use candle_core::{D, DType, Device, Tensor, Var};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;
use tunesmith::base::rng::Rng;
use tunesmith::nn::ops::{
    self, Activation, Dropout, HeadLayout, LowRank, LowRankPart, RopeTable, Seen, Shares, VirtualRows,
};
use tunesmith::nn::optim::{AdamWSettings, LionSettings, Optimizer, OptimizerSettings, SgdSettings};
use tunesmith::nn::{FlatParams, Node, Result, Tape, Weight, WeightNode};

const CPU: Device = Device::Cpu;
const N: usize = 1024;
const WIDTH: usize = 576;
const FFN: usize = 1536;
const RANK: usize = 8;
const VOCABULARY: usize = 49_152;
const HEADS: HeadLayout = HeadLayout { num_heads: 9, num_kv_heads: 3, head_width: 64 };

fn random(shape: impl Into<candle_core::Shape>) -> Tensor {
    let (shape, mut rng) = (shape.into(), Rng::new(1, &[]));
    let values: Vec<f32> = (0..shape.elem_count()).map(|_| rng.normal() as f32 * 0.5).collect();
    Tensor::from_vec(values, shape, &CPU).unwrap()
}

/// Benches `ours` on the tape and `plain` on candle's graph, with gradients of all `inputs`.
fn both(
    c: &mut Criterion,
    name: &str,
    inputs: &[Tensor],
    ours: impl Fn(&Tape, &[Node]) -> Result<Node>,
    plain: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let mut group = c.benchmark_group(name);
    let out = ours(&Tape::inference(), &inputs.iter().map(|x| Node::frozen(x.clone())).collect::<Vec<_>>());
    let seed = random(out.unwrap().value().shape());
    group.bench_function("tape", |bench| {
        bench.iter(|| {
            let tape = Tape::recording();
            let nodes: Vec<Node> = inputs.iter().map(|x| tape.leaf(x.clone())).collect();
            let y = ours(&tape, &nodes).unwrap();
            let mut found = tape.backward(&y, seed.clone()).unwrap();
            black_box(nodes.iter().map(|node| found.take(node)).collect::<Vec<_>>())
        });
    });
    group.bench_function("candle", |bench| {
        bench.iter(|| {
            let vars: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
            let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
            let y = plain(&tensors).unwrap();
            black_box((y * &seed).unwrap().sum_all().unwrap().backward().unwrap())
        });
    });
    group.finish();
}

fn linear_layers(c: &mut Criterion) {
    let (x, w) = (random((N, WIDTH)), random((WIDTH, WIDTH)));
    let weight = Weight::from(w.clone());
    both(
        c,
        "linear",
        std::slice::from_ref(&x),
        |tape, x| ops::linear(tape, &x[0], &weight.clone().into(), None),
        |x| x[0].matmul(&w.t()?),
    );
    let inputs = [x, random((RANK, WIDTH)), random((WIDTH, RANK))];
    both(
        c,
        "low_rank_linear",
        &inputs,
        |tape, x| {
            let part = LowRankPart { b: x[2].clone(), columns: 0..WIDTH, rows: 0..RANK, scale: 2.0 };
            let low = LowRank { a: x[1].clone(), parts: vec![part], dropout: None };
            ops::low_rank_linear(tape, &x[0], &weight, None, &low)
        },
        |x| x[0].matmul(&w.t()?)? + (x[0].matmul(&x[1].t()?)?.matmul(&x[2].t()?)? * 2.0)?,
    );
}

fn norms(c: &mut Criterion) {
    let (x, weight, bias) = (random((N, WIDTH)), random(WIDTH), random(WIDTH));
    let normed = |x: &Tensor| -> Result<Tensor> {
        let rms = (x.sqr()?.mean_keepdim(D::Minus1)? + 1e-5)?.sqrt()?;
        x.broadcast_div(&rms)?.broadcast_mul(&weight)
    };
    let x = std::slice::from_ref(&x);
    both(
        c,
        "rms_norm",
        x,
        |tape, x| ops::rms_norm(tape, &x[0], &Node::frozen(weight.clone()), 1e-5),
        |x| normed(&x[0]),
    );
    both(
        c,
        "layer_norm",
        x,
        |tape, x| {
            ops::layer_norm(tape, &x[0], &Node::frozen(weight.clone()), &Node::frozen(bias.clone()), 1e-5)
        },
        |x| normed(&x[0].broadcast_sub(&x[0].mean_keepdim(D::Minus1)?)?)?.broadcast_add(&bias),
    );
}

fn activations(c: &mut Criterion) {
    let (gate_up, alone) = (random((N, 2 * FFN)), random((N, FFN)));
    let plain = |x: &Tensor, activation| match activation {
        Activation::Silu => x.silu(),
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
        Activation::Relu => x.relu(),
    };
    for activation in [Activation::Silu, Activation::Gelu, Activation::GeluTanh] {
        both(
            c,
            activation.gated_name(),
            std::slice::from_ref(&gate_up),
            |tape, x| ops::gated(tape, &x[0], activation),
            |x| plain(&x[0].narrow(1, 0, FFN)?, activation)? * x[0].narrow(1, FFN, FFN)?,
        );
    }
    both(
        c,
        "gelu",
        &[alone],
        |tape, x| ops::activate(tape, &x[0], Activation::Gelu),
        |x| plain(&x[0], Activation::Gelu),
    );
}

fn small_ones(c: &mut Criterion) {
    let x = random((N, WIDTH));
    both(c, "add", &[x.clone(), x.clone()], |tape, x| ops::add(tape, &x[0], &x[1]), |x| &x[0] + &x[1]);
    let of = Dropout { share: 0.1, stream: Rng::new(1, &[]) };
    both(
        c,
        "dropout",
        &[x],
        |tape, x| ops::dropout(tape, &x[0], of),
        |x| &x[0] * (Tensor::rand(0f32, 1.0, x[0].shape(), &CPU)?.ge(0.1)?.to_dtype(DType::F32)? / 0.9)?,
    );
}

/// q, k and v of rows q | k | v: [n, heads, e] each.
fn parts(qkv: &Tensor) -> Result<[Tensor; 3]> {
    let (e, q, k) = (HEADS.head_width, HEADS.query_width(), HEADS.key_width());
    let part = |first, width| qkv.narrow(1, first, width)?.reshape((N, width / e, e));
    Ok([part(0, q)?, part(q, k)?, part(q + k, k)?])
}

fn attention(c: &mut Criterion) {
    let qkv = random((N, HEADS.row_width()));
    let frequencies: Vec<f64> = (0..32).map(|i| 1e4f64.powf(-f64::from(i) / 32.0)).collect();
    let table = RopeTable::new(&frequencies, N, &CPU).unwrap();
    let positions: Vec<u32> = (0..N as u32).collect();
    let rows = table.at(&Tensor::new(positions, &CPU).unwrap()).unwrap();
    let angles: Vec<f32> =
        (0..N).flat_map(|p| frequencies.iter().map(move |f| (p as f64 * f) as f32)).collect();
    let angles = Tensor::from_vec(angles, (N, 1, 32), &CPU).unwrap();
    let (cos, sin) = (angles.cos().unwrap(), angles.sin().unwrap());
    let turn = |x: &Tensor| -> Result<Tensor> {
        let (a, b) = (x.narrow(2, 0, 32)?, x.narrow(2, 32, 32)?);
        let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        Tensor::cat(&[first, (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?], 2)
    };
    let qkv = std::slice::from_ref(&qkv);
    both(
        c,
        "rotate",
        qkv,
        |tape, x| ops::rotate(tape, &x[0], HEADS, &rows, None),
        |x| {
            let [q, k, v] = parts(&x[0])?;
            Tensor::cat(&[turn(&q)?, turn(&k)?, v], 1)?.reshape((N, HEADS.row_width()))
        },
    );
    let mask: Vec<f32> = (0..N * N).map(|c| if c % N <= c / N { 0.0 } else { f32::NEG_INFINITY }).collect();
    let mask = Tensor::from_vec(mask, (N, N), &CPU).unwrap();
    let dropout = Dropout { share: 0.1, stream: Rng::new(1, &[]) };
    let factors =
        ops::dropout(&Tape::inference(), &Node::frozen(random((9, N * N)).ones_like().unwrap()), dropout);
    let factors = factors.unwrap().value().reshape((9, N, N)).unwrap();
    for (name, cap, dropout) in [
        ("attention", None, None),
        ("attention_capped", Some(50.0), None),
        ("attention_dropped", None, Some(dropout)),
    ] {
        let seen = Rc::new(Seen::new(vec![0, N], 0.125, None, cap));
        both(
            c,
            name,
            qkv,
            |tape, x| ops::attention(tape, &x[0], HEADS, &seen, Shares { bias: None, dropout }),
            |x| {
                let shared = HEADS.num_heads / HEADS.num_kv_heads;
                let [q, k, v] = parts(&x[0])?;
                let repeat = |t: &Tensor| {
                    t.unsqueeze(2)?
                        .expand((N, 3, shared, 64))?
                        .reshape((N, 9, 64))?
                        .transpose(0, 1)?
                        .contiguous()
                };
                let scores = (q.transpose(0, 1)?.contiguous()?.matmul(&repeat(&k)?.t()?)? * 0.125)?;
                let scores = match cap {
                    Some(cap) => ((scores / cap)?.tanh()? * cap)?,
                    None => scores,
                }
                .broadcast_add(&mask)?;
                let exp = scores.broadcast_sub(&scores.max_keepdim(2)?.detach())?.exp()?;
                let p = exp.broadcast_div(&exp.sum_keepdim(2)?)?;
                let p = if dropout.is_some() { (p * &factors)? } else { p };
                p.matmul(&repeat(&v)?)?.transpose(0, 1)?.contiguous()?.reshape((N, 576))
            },
        );
    }
}

/// What a prefix adds to attention: its rows before q | k | v, and away again.
fn virtual_rows(c: &mut Criterion) {
    let inputs = [random((N, HEADS.row_width())), random((20, HEADS.row_width()))];
    let places = VirtualRows::new(20, &[0, N / 2, N]);
    both(
        c,
        "virtual_rows",
        &inputs,
        |tape, x| ops::with_virtual_rows(tape, &x[0], &x[1], &places),
        |x| {
            let half = |first| x[0].narrow(0, first, N / 2);
            Tensor::cat(&[&x[1], &half(0)?, &x[1], &half(N / 2)?], 0)
        },
    );
}

fn loss(c: &mut Criterion) {
    let (hidden, head) = (random((N, WIDTH)), random((VOCABULARY, WIDTH)));
    let weight = Weight::from(head.clone());
    let targets: Vec<u32> = (0..N as u32).collect();
    let index = Tensor::from_slice(&targets, (N, 1), &CPU).unwrap();
    both(
        c,
        "linear_cross_entropy",
        &[hidden],
        |tape, x| Ok(ops::linear_cross_entropy(tape, &x[0], &weight.clone().into(), &targets, &[1.0; N])?.sum),
        |x| {
            let logits = x[0].matmul(&head.t()?)?;
            let highest = logits.max_keepdim(1)?.detach();
            let log_sum = (logits.broadcast_sub(&highest)?.exp()?.sum_keepdim(1)?.log()? + highest)?;
            (log_sum - logits.gather(&index, 1)?)?.sum_all()
        },
    );
}

/// The table's own gradient, which full tuning needs.
fn embedding(c: &mut Criterion) {
    let table = [random((VOCABULARY, WIDTH))];
    let tokens: Vec<u32> = (0..N as u32).map(|i| i * 37 % VOCABULARY as u32).collect();
    let index = Tensor::new(tokens.as_slice(), &CPU).unwrap();
    both(
        c,
        "embedding",
        &table,
        |tape, x| ops::embedding(tape, &WeightNode::trained(&x[0]), &tokens),
        |x| x[0].index_select(&index, 0),
    );
}

/// A step of each optimizer over the parameters of a LoRA of rank 16, and AdamW's in candle's tensor operations.
fn optimizers(c: &mut Criterion) {
    const P: usize = 4_884_480;
    let adamw = AdamWSettings { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 };
    let gradient = random(P);
    let mut group = c.benchmark_group("optimizers");
    for (name, settings) in [
        ("adamw", OptimizerSettings::AdamW(adamw)),
        ("adamw_8bit", OptimizerSettings::AdamW8Bit(adamw)),
        ("lion", OptimizerSettings::Lion(LionSettings { beta1: 0.9, beta2: 0.99, weight_decay: 0.01 })),
        ("sgd", OptimizerSettings::Sgd(SgdSettings { momentum: 0.9, weight_decay: 0.01 })),
    ] {
        let mut params = FlatParams::new(vec![("theta".into(), random(P))], &CPU).unwrap();
        let mut optimizer = Optimizer::new(settings, &params).unwrap();
        group.bench_function(name, |bench| {
            bench.iter(|| optimizer.step(&mut params, &gradient, 1.0, 1e-4).unwrap());
        });
    }
    let (mut theta, mut m, mut v) =
        (random(P), gradient.zeros_like().unwrap(), gradient.zeros_like().unwrap());
    group.bench_function("adamw_candle", |bench| {
        bench.iter(|| {
            let step = || -> Result<[Tensor; 3]> {
                let m = ((&m * 0.9)? + (&gradient * 0.1)?)?;
                let v = ((&v * 0.999)? + (gradient.sqr()? * 0.001)?)?;
                let moved = ((&m * 1e-4)? / (v.sqrt()? + 1e-8)?)?;
                Ok([((&theta * (1.0 - 1e-6))? - moved)?, m, v])
            };
            [theta, m, v] = step().unwrap();
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = linear_layers, norms, activations, small_ones, attention, virtual_rows, loss, embedding, optimizers
}
criterion_main!(benches);

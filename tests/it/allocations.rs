//! How much memory each operation asks for, forward and backward: what its result needs, and nothing besides that is as
//! large. (A matrix product may lay out one operand anew, for its inner loop.) A copy more of a [n, f] tensor costs bandwidth and the height of memory, and no other test would see it.
//!
//! Only blocks of at least half a megabyte count, and only those of the one thread that an operation is given here, so that other tests
//! and small things do no harm.

use crate::ops::random;
use std::alloc::System;
use std::rc::Rc;
use tunesmith::base::allocations::{Counted, large_bytes_of_this_thread};
use tunesmith::base::rng::Rng;
use tunesmith::nn::ops::{
    self, Activation, ColumnScale, Dropout, HeadLayout, LowRank, LowRankPart, RopeTable, Seen, Shares,
    VirtualRows,
};
use tunesmith::nn::optim::Optimizer;
use tunesmith::nn::{Node, Result, Tape, Weight, WeightNode};

#[global_allocator]
static ALLOCATOR: Counted<System> = Counted(System);

/// Numbers in large blocks that `run` asks for.
fn numbers_of<R>(run: impl FnOnce() -> R) -> (usize, R) {
    let before = large_bytes_of_this_thread();
    let result = run();
    ((large_bytes_of_this_thread() - before) / 4, result)
}

const N: usize = 768;
const D: usize = 320;
const F: usize = 512;
const HEADS: HeadLayout = HeadLayout { num_heads: 10, num_kv_heads: 5, head_width: 32 };
const ROW: usize = 640;
/// Virtual rows of two segments together.
const V: usize = 16;
const VOCABULARY: usize = 2048;

type Operation<'a> = Box<dyn Fn(&Tape, &Node) -> Result<Node> + 'a>;

/// Name, width of the input, numbers asked for on the way forward and back, and the operation.
type Case<'a> = (&'static str, usize, [usize; 2], Operation<'a>);

fn check() {
    let norm_weight = random(&[D], 1);
    let weight = Weight::from(random(&[F, D], 3));
    let head = Weight::from(random(&[VOCABULARY, D], 4));
    let frozen = |shape: &[usize]| Node::frozen(random(shape, 5));
    let (norm, norm_bias) = (frozen(&[D]), frozen(&[D]));
    let part = LowRankPart { b: frozen(&[F, 8]), columns: 0..F, rows: 0..8, scale: 1.0 };
    let low = LowRank { a: frozen(&[8, D]), parts: vec![part], dropout: None };
    let seen = |cap| Rc::new(Seen::new(vec![0, 100, N], 0.2, None, cap));
    let (plain, capped) = (seen(None), seen(Some(50.0)));
    let table = RopeTable::new(&[1.0; 16], N, &candle_core::Device::Cpu).unwrap();
    let rows =
        table.at(&candle_core::Tensor::arange(0u32, N as u32, &candle_core::Device::Cpu).unwrap()).unwrap();
    let scale = ColumnScale { parts: vec![(frozen(&[7]), 2..9)] };
    let dropped = Dropout { share: 0.5, stream: Rng::new(1, &[]) };
    let targets = [7; N];
    let constant = frozen(&[N, D]);
    let (virtual_rows, prefix) = (frozen(&[V / 2, D]), frozen(&[V / 2, D]));
    let prefixed = crate::ops_of_methods::behind(V / 2, &plain);
    let places = VirtualRows::new(V / 2, &[0, 100, N]);
    let wide_places = VirtualRows::new(V / 2, &[0, 100, N - V]);
    let gated = |activation| -> Operation { Box::new(move |t, x| ops::gated(t, x, activation)) };
    let cases: Vec<Case> = vec![
        // The sum; its gradient is shared by both.
        ("add", D, [N * D, 0], Box::new(|t, x| ops::add(t, x, &constant))),
        ("swiglu", 2 * F, [N * F, 2 * N * F], gated(Activation::Silu)),
        ("geglu", 2 * F, [N * F, 2 * N * F], gated(Activation::Gelu)),
        ("geglu_tanh", 2 * F, [N * F, 2 * N * F], gated(Activation::GeluTanh)),
        ("gelu", F, [N * F, N * F], Box::new(|t, x| ops::activate(t, x, Activation::Gelu))),
        (
            "rms_norm",
            D,
            [N * D, N * D],
            Box::new(|t, x| ops::rms_norm(t, x, &Node::frozen(norm_weight.clone()), 1e-5)),
        ),
        ("layer_norm", D, [N * D, N * D], Box::new(|t, x| ops::layer_norm(t, x, &norm, &norm_bias, 1e-5))),
        ("scale_columns", D, [N * D, N * D], Box::new(|t, x| ops::scale_columns(t, x, &scale))),
        ("dropout", D, [N * D, N * D], Box::new(|t, x| ops::dropout(t, x, dropped))),
        ("linear", D, [N * F, N * D], Box::new(|t, x| ops::linear(t, x, &weight.clone().into(), None))),
        (
            "low_rank_linear",
            D,
            [N * F, N * D],
            Box::new(|t, x| ops::low_rank_linear(t, x, &weight, None, &low)),
        ),
        ("rotate", ROW, [N * ROW, N * ROW], Box::new(|t, x| ops::rotate(t, x, HEADS, &rows, None))),
        (
            "embedding",
            D,
            [N * D, N * D],
            Box::new(|t, x| ops::embedding(t, &WeightNode::trained(x), &[3; N])),
        ),
        // Scores are of a block, and gradients of a head, which are small.
        (
            "attention",
            ROW,
            [N * D, N * ROW],
            Box::new(|t, x| ops::attention(t, x, HEADS, &plain, Shares::default())),
        ),
        (
            "attention, capped",
            ROW,
            [N * D, N * ROW],
            Box::new(|t, x| ops::attention(t, x, HEADS, &capped, Shares::default())),
        ),
        ("with_virtual_rows", D, [(N + V) * D, N * D], {
            Box::new(|t, x| ops::with_virtual_rows(t, x, &virtual_rows, &places))
        }),
        ("without_virtual_rows", D, [(N - V) * D, N * D], {
            Box::new(|t, x| ops::without_virtual_rows(t, x, &wide_places))
        }),
        // q | k | v with the prefix before each segment, and what attention makes of it, with and without.
        (
            "prefix_attention",
            ROW,
            [(N + V) * (ROW + D) + N * D, (N + V) * (ROW + D) + N * ROW],
            Box::new(|t, x| ops::prefix_attention(t, x, &prefix, &prefixed.0, HEADS, &prefixed.1, None)),
        ),
        // Logits of 256 rows, whatever the length, and the gradient, which the way back scales and puts in place.
        (
            "linear_cross_entropy",
            D,
            [256 * VOCABULARY + N * D, 3 * N * D],
            Box::new(|t, x| {
                Ok(ops::linear_cross_entropy(t, x, &head.clone().into(), &targets, &[1.0; N])?.sum)
            }),
        ),
        // Logits of 256 rows of both models.
        (
            "linear_cross_entropy near others",
            D,
            [2 * 256 * VOCABULARY + N * D, 3 * N * D],
            Box::new(|t, x| {
                let of_base = head.clone().into();
                let reference =
                    ops::Reference { hidden: constant.value(), head: &of_base, weights: &[1.0; N] };
                let (head, near) = (of_base.clone(), Some(&reference));
                Ok(ops::linear_cross_entropy_near(t, x, &head, &targets, &[1.0; N], near)?.sum)
            }),
        ),
    ];
    let mut wrong = Vec::new();
    for (name, width, expected, run) in cases {
        let x = random(&[N, width], 9);
        let once = || {
            let tape = Tape::recording();
            let leaf = tape.leaf(x.clone());
            let (forward, y) = numbers_of(|| run(&tape, &leaf).unwrap());
            let seed = y.value().ones_like().unwrap();
            let (backward, mut found) = numbers_of(|| tape.backward(&y, seed).unwrap());
            assert!(found.take(&leaf).is_some());
            [forward, backward]
        };
        // The first time, matrix products make the buffers that a thread keeps.
        once();
        let found = once();
        let scratch = if name.contains("linear") { F * D } else { 0 };
        if found.iter().zip(expected).any(|(found, least)| !(least..=least + scratch).contains(found)) {
            wrong.push((name, found, expected));
        }
    }
    assert!(wrong.is_empty(), "operation, found, expected, forward and back: {wrong:#?}");
}

/// A step changes parameters and moments where they lie.
fn check_optimizers() {
    let gradient = random(&[1 << 20], 1);
    for (settings, rate) in crate::optim::ALL {
        let mut params = crate::optim::params(&random(&[1 << 20], 2));
        let mut optimizer = Optimizer::new(settings, &params).unwrap();
        let mut step = || optimizer.step(&mut params, &gradient, 1.0, rate).unwrap();
        step();
        let (asked, ()) = numbers_of(&mut step);
        assert_eq!(asked, 0, "{settings:?}");
    }
}

#[test]
fn optimizers_ask_for_no_memory() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(check_optimizers);
}

#[test]
fn operations_ask_for_no_more_memory_than_they_promise() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(check);
}

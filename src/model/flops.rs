//! The floating-point operations of matrix products that training needs, whoever computes them.

use super::config::DecoderConfig;
use super::hooks::{Linear, Part, Projection};
use std::collections::BTreeSet;

/// One micro-step: what its tokens are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work<'a> {
    /// Lengths of the packed segments.
    pub segments: &'a [usize],
    /// Tokens with a loss.
    pub num_trained: usize,
}

/// What a method does at a part of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learning {
    /// Nothing: only what lies below may need a gradient.
    No,
    /// Something beside the part is trained.
    Beside,
    /// The part itself is trained.
    Itself,
}

impl DecoderConfig {
    /// Forward and backward of low-rank adapters on `targets` whose factors hold so many values, and of the model's own `trained`
    /// parts, nothing computed twice. A product of [n, i] and [i, o] counts 2 n i o; causal attention half of its square.
    pub fn lora_flops(
        &self,
        work: Work<'_>,
        num_values: f64,
        targets: &[Linear],
        trained: &BTreeSet<Part>,
    ) -> f64 {
        let n: f64 = self.rows(work).sum();
        let is_target = |projection: Projection| {
            self.family.table().modules(projection).iter().any(|module| targets.contains(&module.linear))
        };
        let around = self.training_flops(work, &|part| match part {
            Part::Weight(_, projection) if is_target(projection) => Learning::Beside,
            part if trained.contains(&part) => Learning::Itself,
            _ => Learning::No,
        });
        // A: forward, dA, dx; B: forward, dB, dh.
        around + 6.0 * n * num_values
    }

    /// Rows of each segment that go through a layer: all of them, or those of its stack.
    fn rows(&self, work: Work<'_>) -> impl Iterator<Item = f64> {
        let num_stacks = if self.encoder.is_some() { 2.0 } else { 1.0 };
        work.segments.iter().map(move |segment| *segment as f64 / num_stacks)
    }

    /// Forward and backward of full tuning, nothing computed twice.
    pub fn full_flops(&self, work: Work<'_>) -> f64 {
        self.training_flops(work, &|_| Learning::Itself)
    }

    /// Forward and backward of the model's own products, nothing computed twice: the way back ends at the lowest part where
    /// something is trained. Of two stacks, each is taken to have half of every segment.
    pub fn training_flops(&self, work: Work<'_>, learning: &dyn Fn(Part) -> Learning) -> f64 {
        let n: f64 = self.rows(work).sum();
        let attention = |is_causal: bool| {
            let pairs = |s: f64| if is_causal { s * (s + 1.0) / 2.0 } else { s * s };
            let pairs: f64 = self.rows(work).map(pairs).sum();
            2.0 * pairs * (self.num_heads * self.head_width) as f64
        };
        let mut has_learner_below = learning(Part::Embedding) != Learning::No;
        // Forward, the gradient of the input, and that of the weights.
        let products = |learns: Learning, has_learner_below: bool| {
            1.0 + f64::from(u8::from(has_learner_below)) + f64::from(u8::from(learns == Learning::Itself))
        };
        let mut flops = 0.0;
        for group in self.groups() {
            let learns = learning(group.part);
            if let Part::Weight(layer, projection) = group.part {
                let is_causal = match projection {
                    Projection::O => Some(self.is_causal() && !self.is_of_encoder(layer)),
                    Projection::CrossO => Some(false),
                    _ => None,
                };
                let times = if has_learner_below { 7.0 } else { 2.0 };
                flops += times * is_causal.map_or(0.0, attention);
                let size: usize =
                    group.tensors.iter().map(|needed| needed.shape.iter().product::<usize>()).sum();
                flops += 2.0 * n * size as f64 * products(learns, has_learner_below);
            }
            has_learner_below |= learns != Learning::No;
        }
        if !self.predicts_tokens {
            return flops;
        }
        let head = 2.0 * (work.num_trained * self.vocabulary * self.width) as f64;
        flops + head * products(learning(Part::Head), has_learner_below)
    }
}

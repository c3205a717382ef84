//! An update whose gradient comes part by part while the tape walks back, so that it is never there as a whole (Lv et al. 2023,
//! arXiv:2306.09782).

use super::optimizer::{Rule, Step};
use crate::nn::Result;
use crate::nn::kernels::cpu::elementwise::sum_of_squares;
use crate::nn::kernels::dynamic_code::BLOCK;
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;

/// An update in progress: the parameters that were given have moved. In the end it is the same as one with the whole gradient, to the
/// last bit.
pub struct Parts<'o> {
    rule: &'o mut dyn Rule,
    num_updates: &'o mut u64,
    values: &'o Tensor,
    step: Step,
    /// Of blocks that a part does not fill, the gradient so far, by the place of its first number.
    pieces: BTreeMap<usize, Vec<f32>>,
    num_given: usize,
    /// Of the numbers that were given.
    squares: f64,
}

impl<'o> Parts<'o> {
    pub(super) fn new(
        rule: &'o mut dyn Rule,
        num_updates: &'o mut u64,
        values: &'o Tensor,
        step: Step,
    ) -> Self {
        Self { rule, num_updates, values, step, pieces: BTreeMap::new(), num_given: 0, squares: 0.0 }
    }

    /// Moves the parameters from `start` on against their gradient. What shares a block with other parts waits for
    /// [`Self::finish`]. From the first number on that is not finite nothing moves.
    pub fn give(&mut self, start: usize, gradient: Vec<f32>) -> Result<()> {
        let num = self.values.elem_count();
        let end = start + gradient.len();
        if end > num {
            candle_core::bail!("a gradient of the parameters up to {end} of {num}");
        }
        self.num_given += gradient.len();
        self.squares += sum_of_squares(&gradient);
        if !self.squares.is_finite() {
            return Ok(());
        }
        let first = start.next_multiple_of(BLOCK).min(end);
        let last = if end == num { end } else { (end / BLOCK * BLOCK).max(first) };
        for (from, to) in [(start, first), (last, end)] {
            if from < to {
                self.pieces.insert(from, gradient[from - start..to - start].to_vec());
            }
        }
        self.step(first, gradient, first - start, last - first)
    }

    /// `len` numbers of `gradient` from `skipped` on are those of the parameters from `start` on.
    fn step(&mut self, start: usize, gradient: Vec<f32>, skipped: usize, len: usize) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        let whole = gradient.len();
        let gradient = Tensor::from_vec(gradient, whole, &Device::Cpu)?.narrow(0, skipped, len)?;
        self.rule.step_part(&self.values.narrow(0, start, len)?, start, &gradient, self.step)
    }

    /// Moves what is left, and gives the norm of the whole gradient; when that is not finite, the update counts for nothing, and some
    /// parameters have moved.
    ///
    /// # Errors
    /// When a parameter was not given.
    pub fn finish(mut self) -> Result<f64> {
        let num = self.values.elem_count();
        if self.num_given != num {
            candle_core::bail!("{} of {num} trainable parameters got a gradient", self.num_given);
        }
        if !self.squares.is_finite() {
            return Ok(self.squares.sqrt());
        }
        let mut blocks: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
        for (start, piece) in std::mem::take(&mut self.pieces) {
            blocks.entry(start / BLOCK).or_default().extend(piece);
        }
        for (block, gradient) in blocks {
            let len = gradient.len();
            self.step(block * BLOCK, gradient, 0, len)?;
        }
        *self.num_updates = self.step.update;
        Ok(self.squares.sqrt())
    }
}

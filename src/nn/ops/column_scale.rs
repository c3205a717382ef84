//! Columns times learned factors, as IA3 has them (Liu et al. 2022, arXiv:2205.05638).

use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::kernels::portable::wide;
use crate::nn::{Node, Result, Tape, profile};
use candle_core::Tensor;
use std::ops::Range;

/// Which columns of a matrix are multiplied by which factors; the rest stay.
#[derive(Debug, Clone)]
pub struct ColumnScale {
    /// A vector as long as its range of columns, in ascending order of the ranges, which don't overlap.
    pub parts: Vec<(Node, Range<usize>)>,
}

impl ColumnScale {
    /// A factor for each of `width` columns, [width], in the type of `like`.
    fn factors(&self, width: usize, like: &Tensor) -> Result<Tensor> {
        let ones = |n: usize| Tensor::ones(n, like.dtype(), like.device());
        let mut pieces = Vec::new();
        let mut next = 0;
        for (factors, columns) in &self.parts {
            if columns.start > next {
                pieces.push(ones(columns.start - next)?);
            }
            pieces.push(factors.value().to_dtype(like.dtype())?);
            next = columns.end;
        }
        if next < width {
            pieces.push(ones(width - next)?);
        }
        Tensor::cat(&pieces, 0)
    }
}

/// x [n, o] -> the same with each column times its factor, [n, o].
///
/// The result is not kept for the layer that reads it: it is made again from `x`.
pub fn scale_columns(tape: &Tape, x: &Node, scale: &ColumnScale) -> Result<Node> {
    let _span = profile::forward("scale_columns");
    let factors = scale.factors(x.value().dim(1)?, x.value())?; // [o]
    let y = times(x.value(), &factors)?;
    let mut inputs = vec![x];
    inputs.extend(scale.parts.iter().map(|(factors, _)| factors));
    if inputs.iter().all(|node| !node.needs_gradient()) {
        return Ok(Node::frozen(y));
    }
    let (kept, needs, parts) = (x.keep(), x.needs_gradient(), scale.parts.clone());
    let of_x = factors.clone();
    let node = tape.record("scale_columns", &inputs, y, move |dy| {
        let mut gradients = vec![needs.then(|| times(dy, &of_x)).transpose()?];
        let x = kept.get()?;
        for (factors, columns) in parts {
            gradients.push(factors.needs_gradient().then(|| of_factors(&x, dy, columns)).transpose()?);
        }
        Ok(gradients)
    });
    let kept = x.keep();
    Ok(node.remade_by(move || times(&kept.get()?, &factors)))
}

/// x [n, o], factors [o] -> [n, o].
fn times(x: &Tensor, factors: &Tensor) -> Result<Tensor> {
    match (Numbers::of(x), Numbers::of(factors)) {
        (Some(numbers), Some(f)) => tensor(cpu::column_scale::forward(&numbers, &f), x.shape()),
        _ => x.broadcast_mul(factors),
    }
}

/// Σ x dy over the rows of some columns: x, dy [n, o] -> [columns].
fn of_factors(x: &Tensor, dy: &Tensor, columns: Range<usize>) -> Result<Tensor> {
    match (Numbers::of(x), Numbers::of(dy)) {
        (Some(numbers), Some(dy)) => {
            let sums = cpu::column_scale::of_factors(&numbers, &dy, x.dim(1)?, columns.clone());
            tensor(sums, columns.len())
        }
        _ => {
            let part = |of: &Tensor| wide(&of.narrow(1, columns.start, columns.len())?);
            (part(x)? * part(dy)?)?.sum(0)
        }
    }
}

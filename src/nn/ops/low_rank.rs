//! A frozen linear layer with a low-rank change beside it (LoRA, Hu et al. 2021, arXiv:2106.09685), in one operation.

use super::linear::{of_bias, product, times};
use super::{Dropout, dropout};
use crate::nn::kernels::cpu::{self, Numbers, Rows, tensor};
use crate::nn::kernels::portable::{self, low_rank::Part};
use crate::nn::{Kept, Node, Result, Tape, Weight, profile};
use candle_core::Tensor;
use std::ops::Range;

/// The low-rank change of a linear layer whose outputs may be several layers' end to end:
/// `y[:, columns] += scale · (x A[rows]ᵀ) Bᵀ` for each part.
#[derive(Debug, Clone)]
pub struct LowRank {
    /// A of all parts, one above the other, [R, i].
    pub a: Node,
    pub parts: Vec<LowRankPart>,
    /// On the input of A.
    pub dropout: Option<Dropout>,
}

/// One B.
#[derive(Debug, Clone)]
pub struct LowRankPart {
    /// [o, r]: o columns of the output, r rows of A.
    pub b: Node,
    pub columns: Range<usize>,
    pub rows: Range<usize>,
    pub scale: f64,
}

impl LowRankPart {
    fn value(&self) -> Part {
        let Self { b, columns, rows, scale } = self;
        Part { b: b.value().clone(), columns: columns.clone(), rows: rows.clone(), scale: *scale }
    }
}

impl LowRank {
    /// The length of each row of `weight + scale · B A`, [o] for each part, from the sums of squares of the weight's own rows,
    /// [o]: ||w||² + 2 s (W Aᵀ)·B + s² B (A Aᵀ) Bᵀ, so that no matrix of the weight's size is made.
    pub fn row_lengths(&self, weight: &Weight, squares: &Tensor) -> Result<Vec<Tensor>> {
        let a = self.a.value();
        let crossed = product(a, weight, None)?; // [R, o]
        let of_part = |part: &LowRankPart| -> Result<Tensor> {
            let (rows, columns, b) = (&part.rows, &part.columns, part.b.value());
            let crossed = crossed.narrow(0, rows.start, rows.len())?;
            let crossed = crossed.narrow(1, columns.start, columns.len())?.t()?; // [o, r]
            let a = a.narrow(0, rows.start, rows.len())?.contiguous()?;
            let once = (crossed * b)?.sum(1)?;
            let twice = (b.matmul(&a.matmul(&a.t()?)?)? * b)?.sum(1)?;
            let own = squares.narrow(0, columns.start, columns.len())?;
            let changes = ((once * (2.0 * part.scale))? + (twice * (part.scale * part.scale))?)?;
            // Rounding may take a length of nothing below zero.
            (own + changes)?.maximum(SHORTEST * SHORTEST)?.sqrt()
        };
        self.parts.iter().map(of_part).collect()
    }

    /// `own` [o, i] with the change worked into it, and its rows brought to `magnitudes`, one [o] for each part, where there are
    /// any.
    pub fn merged(&self, own: &Tensor, magnitudes: &[Node]) -> Result<Tensor> {
        let mut pieces = Vec::with_capacity(2 * self.parts.len() + 1);
        let mut next = 0;
        for (i, part) in self.parts.iter().enumerate() {
            let (rows, columns) = (&part.rows, &part.columns);
            pieces.push(own.narrow(0, next, columns.start - next)?);
            let a = self.a.value().narrow(0, rows.start, rows.len())?.contiguous()?;
            let change = (part.b.value().matmul(&a)? * part.scale)?;
            let mut changed = (own.narrow(0, columns.start, columns.len())? + change)?;
            if let Some(magnitude) = magnitudes.get(i) {
                let lengths = changed.sqr()?.sum(1)?.sqrt()?.maximum(SHORTEST)?;
                changed = changed.broadcast_mul(&(magnitude.value() / lengths)?.unsqueeze(1)?)?;
            }
            pieces.push(changed);
            next = columns.end;
        }
        pieces.push(own.narrow(0, next, own.dim(0)? - next)?);
        pieces.retain(|piece| piece.elem_count() > 0);
        Tensor::cat(&pieces, 0)
    }
}

/// Length below which a row counts as so long, so that nothing is divided by zero.
const SHORTEST: f64 = 1e-12;

/// x [n, i], weight [o, i], bias [o] -> [n, o].
pub fn low_rank_linear(
    tape: &Tape,
    x: &Node,
    weight: &Weight,
    bias: Option<&Node>,
    low: &LowRank,
) -> Result<Node> {
    let x_low = match low.dropout {
        Some(of) => dropout(tape, x, of)?,
        None => x.clone(),
    };
    let _span = profile::forward("low_rank_linear");
    let values = Values {
        weight: weight.clone(),
        a: low.a.value().clone(),
        parts: low.parts.iter().map(LowRankPart::value).collect(),
    };
    let (y, h) = values.forward(x.value(), x_low.value(), bias.map(Node::value))?;
    let mut inputs = vec![x, &x_low, &low.a];
    inputs.extend(low.parts.iter().map(|part| &part.b));
    inputs.extend(bias);
    let bias = bias.cloned();
    let (kept, needs, is_one) = (x_low.keep(), x.needs_gradient(), low.dropout.is_none());
    Ok(tape.record("low_rank_linear", &inputs, y, move |dy| {
        let wanted = if !needs {
            Wanted::Nothing
        } else if is_one {
            Wanted::Sum
        } else {
            Wanted::Both
        };
        let mut gradients = values.backward(dy, &h, &kept, wanted)?;
        if let Some(bias) = bias {
            gradients.push(of_bias(dy, &bias)?);
        }
        Ok(gradients)
    }))
}

/// Which gradients of the input are made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Nothing,
    /// x went both ways: one gradient, added up.
    Sum,
    /// x, and what dropout left of it.
    Both,
}

struct Values {
    weight: Weight,
    a: Tensor,
    parts: Vec<Part>,
}

impl Values {
    /// -> y [n, o] and x Aᵀ [n, R].
    fn forward(&self, x: &Tensor, x_low: &Tensor, bias: Option<&Tensor>) -> Result<(Tensor, Tensor)> {
        let (n, o) = (x.dim(0)?, self.weight.rows());
        let on_cpu = self.on_cpu(|low, weight| {
            let (x, x_low) = (Numbers::of(x)?, Numbers::of(x_low)?);
            let bias = match bias {
                Some(bias) => Some(Numbers::of(bias)?),
                None => None,
            };
            let y = cpu::linear::forward(&x, weight, bias.as_deref(), n);
            Some(y.map(|mut y| {
                let h = low.add_to(&mut y, &x_low, n);
                (y, h)
            }))
        });
        match on_cpu.transpose()? {
            Some((y, h)) => Ok((tensor(y, (n, o))?, tensor(h, (n, self.a.dim(0)?))?)),
            None => self.portable().forward(product(x, &self.weight, bias)?, x_low),
        }
    }

    /// Gradients of x, of x after dropout, of A and of each B.
    fn backward(&self, dy: &Tensor, h: &Tensor, x: &Kept, wanted: Wanted) -> Result<Vec<Option<Tensor>>> {
        let x = x.get()?;
        let (n, i) = (dy.dim(0)?, x.dim(1)?);
        let on_cpu = self.on_cpu(|low, weight| {
            let (dy, h, x) = (Numbers::of(dy)?, Numbers::of(h)?, Numbers::of(&x)?);
            let found = low.backward(&dy, &h, &x, n);
            let (mut dx, mut dx_low) = (None, None);
            if wanted != Wanted::Nothing {
                let mut of_x = match cpu::linear::backward(&dy, weight, n) {
                    Ok(of_x) => of_x,
                    Err(error) => return Some(Err(error)),
                };
                if wanted == Wanted::Sum {
                    low.add_to_dx(&mut of_x, &found.h, n);
                } else {
                    dx_low = Some(low.dx(&found.h, n));
                }
                dx = Some(of_x);
            }
            Some(Ok((dx, dx_low, found)))
        });
        let Some((dx, dx_low, found)) = on_cpu.transpose()? else {
            let (dx_low, da, db) = self.portable().backward(dy, h, &x)?;
            let (dx, dx_low) = match wanted {
                Wanted::Nothing => (None, None),
                Wanted::Sum => (Some((times(dy, &self.weight)? + dx_low)?), None),
                Wanted::Both => (Some(times(dy, &self.weight)?), Some(dx_low)),
            };
            let first = [dx, dx_low, Some(da)];
            return Ok(first.into_iter().chain(db.into_iter().map(Some)).collect());
        };
        let like_x = |numbers: Option<Vec<f32>>| numbers.map(|x| tensor(x, (n, i))).transpose();
        let mut gradients = vec![like_x(dx)?, like_x(dx_low)?, Some(tensor(found.a, self.a.shape())?)];
        for (db, part) in found.b.into_iter().zip(&self.parts) {
            gradients.push(Some(tensor(db, part.b.shape())?));
        }
        Ok(gradients)
    }

    /// Runs the kernel where all weights are slices.
    fn on_cpu<R>(&self, run: impl FnOnce(&cpu::low_rank::LowRank, &Rows) -> Option<R>) -> Option<R> {
        let (weight, a) = (self.weight.on_cpu()?, Numbers::of(&self.a)?);
        let b: Vec<Numbers> = self.parts.iter().map(|part| Numbers::of(&part.b)).collect::<Option<_>>()?;
        let parts = b.iter().zip(&self.parts).map(|(b, part)| cpu::low_rank::Part {
            b,
            columns: part.columns.clone(),
            rows: part.rows.clone(),
            scale: part.scale as f32,
        });
        let low = cpu::low_rank::LowRank { a: &a, rank: self.a.dims()[0], parts: parts.collect() };
        run(&low, &weight)
    }

    fn portable(&self) -> portable::low_rank::LowRank<'_> {
        portable::low_rank::LowRank { a: &self.a, parts: &self.parts }
    }
}

//! The low-rank change of a linear layer (Hu et al. 2021, arXiv:2106.09685).

use crate::nn::Result;
use candle_core::Tensor;
use std::ops::Range;

/// `y[:, columns] += scale · (x A[rows]ᵀ) Bᵀ` for each part.
pub struct LowRank<'a> {
    /// [R, i]
    pub a: &'a Tensor,
    pub parts: &'a [Part],
}

#[derive(Debug, Clone)]
pub struct Part {
    /// [o, r]
    pub b: Tensor,
    pub columns: Range<usize>,
    pub rows: Range<usize>,
    pub scale: f64,
}

impl LowRank<'_> {
    /// y [n, o] and x [n, i] -> the changed y, and x Aᵀ [n, R].
    pub fn forward(&self, y: Tensor, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let h = x.matmul(&self.a.t()?)?; // [n, R]
        let mut y = y;
        for Part { b, columns, rows, scale } in self.parts {
            let h = h.narrow(1, rows.start, rows.len())?.contiguous()?; // [n, r]
            y = add_columns(&y, &(h.matmul(&b.t()?)? * *scale)?, columns)?;
        }
        Ok((y, h))
    }

    /// dh = s dy B;  dB = s dyᵀ h;  dA = dhᵀ x;  dx = dh A: dy [n, o], h [n, R] -> dx, dA, dB of each part.
    pub fn backward(&self, dy: &Tensor, h: &Tensor, x: &Tensor) -> Result<(Tensor, Tensor, Vec<Tensor>)> {
        let mut dh = h.zeros_like()?; // [n, R]
        let mut db = Vec::with_capacity(self.parts.len());
        for Part { b, columns, rows, scale } in self.parts {
            let dy = dy.narrow(1, columns.start, columns.len())?.contiguous()?; // [n, o]
            let h = h.narrow(1, rows.start, rows.len())?.contiguous()?; // [n, r]
            dh = add_columns(&dh, &(dy.matmul(b)? * *scale)?, rows)?;
            db.push((dy.t()?.matmul(&h)? * *scale)?); // [o, r]
        }
        Ok((dh.matmul(self.a)?, dh.t()?.matmul(x)?, db))
    }
}

/// Adds to some columns of [n, o].
fn add_columns(to: &Tensor, columns: &Tensor, at: &Range<usize>) -> Result<Tensor> {
    let width = to.dim(1)?;
    if at.len() == width {
        return to + columns;
    }
    let changed = (to.narrow(1, at.start, at.len())? + columns)?;
    Tensor::cat(&[to.narrow(1, 0, at.start)?, changed, to.narrow(1, at.end, width - at.end)?], 1)
}

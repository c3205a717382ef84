//! The low-rank change of a linear layer (Hu et al. 2021, arXiv:2106.09685).

use super::wide;
use crate::nn::Result;
use candle_core::{DType, Tensor};
use std::ops::Range;

/// `y[:, columns] += scale · (x A[rows]ᵀ) Bᵀ` for each part (B [o, r], columns, rows). A and B are cast to the type of x.
pub struct LowRank<'a> {
    /// [R, i]
    pub a: &'a Tensor,
    pub parts: &'a [(Tensor, Range<usize>, Range<usize>)],
    pub scale: f64,
}

impl LowRank<'_> {
    /// scale · B of all parts in their places in one matrix [o, R] with zeros elsewhere: R is small, and one product
    /// takes the place of several and of the copies of y between them.
    fn scaled_b(&self, outputs: usize, dtype: DType) -> Result<Tensor> {
        let rank = self.a.dim(0)?;
        let mut whole: Option<Tensor> = None;
        for (b, columns, rows) in self.parts {
            let placed = b.pad_with_zeros(0, columns.start, outputs - columns.end)?.pad_with_zeros(
                1,
                rows.start,
                rank - rows.end,
            )?;
            whole = Some(match whole {
                Some(before) => (before + placed)?,
                None => placed,
            });
        }
        match whole {
            Some(whole) => (whole * self.scale)?.to_dtype(dtype),
            None => Tensor::zeros((outputs, rank), dtype, self.a.device()),
        }
    }

    /// y [n, o] and x [n, i] -> the changed y, and x Aᵀ [n, R].
    pub fn forward(&self, y: Tensor, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let h = x.matmul(&self.a.to_dtype(x.dtype())?.t()?)?; // [n, R]
        let change = h.matmul(&self.scaled_b(y.dim(1)?, x.dtype())?.t()?)?; // [n, o]
        Ok(((y + change)?, h))
    }

    /// dh = s dy B;  dB = s dyᵀ h;  dA = dhᵀ x;  dx = dh A: dy [n, o], h [n, R] -> dx, and, wide, dA and dB of each part.
    pub fn backward(&self, dy: &Tensor, h: &Tensor, x: &Tensor) -> Result<(Tensor, Tensor, Vec<Tensor>)> {
        let dh = dy.matmul(&self.scaled_b(dy.dim(1)?, dy.dtype())?)?; // [n, R]
        let mut db = Vec::with_capacity(self.parts.len());
        for (_, columns, rows) in self.parts {
            let dy = dy.narrow(1, columns.start, columns.len())?.contiguous()?; // [n, o]
            let h = h.narrow(1, rows.start, rows.len())?.contiguous()?; // [n, r]
            db.push((wide(&dy.t()?.matmul(&h)?)? * self.scale)?); // [o, r]
        }
        let dx = dh.matmul(&self.a.to_dtype(dh.dtype())?)?;
        Ok((dx, wide(&dh.t()?.matmul(x)?)?, db))
    }
}

//! The low-rank change of a linear layer (Hu et al. 2021, arXiv:2106.09685): added to the output in place.

use super::matmul::{Into, Matrix, MatrixMut, Workers, matmul};
use std::ops::Range;

/// `y[:, columns] += scale · (x A[rows]ᵀ) Bᵀ` for each part.
pub struct LowRank<'a> {
    /// [R, i]
    pub a: &'a [f32],
    /// Number of rows of A, R.
    pub rank: usize,
    pub parts: Vec<Part<'a>>,
}

pub struct Part<'a> {
    /// [o, r]
    pub b: &'a [f32],
    pub columns: Range<usize>,
    pub rows: Range<usize>,
    pub scale: f32,
}

/// Gradients of [`LowRank::add_to`]'s inputs, but that of `x`.
pub struct Gradients {
    /// Of x Aᵀ: [n, R].
    pub h: Vec<f32>,
    /// [R, i]
    pub a: Vec<f32>,
    /// [o, r] each.
    pub b: Vec<Vec<f32>>,
}

impl Part<'_> {
    fn b(&self) -> Matrix<'_> {
        Matrix::new(self.b, self.columns.len(), self.rows.len())
    }
}

impl LowRank<'_> {
    fn inputs(&self) -> usize {
        self.a.len() / self.rank.max(1)
    }

    fn a(&self) -> Matrix<'_> {
        Matrix::new(self.a, self.rank, self.inputs())
    }

    /// Changes y [n, o] for x [n, i] and returns x Aᵀ [n, R], which `backward` wants.
    pub fn add_to(&self, y: &mut [f32], x: &[f32], n: usize) -> Vec<f32> {
        let o = y.len() / n.max(1);
        let mut h = vec![0.0; n * self.rank];
        let x = Matrix::new(x, n, self.inputs());
        matmul(MatrixMut::new(&mut h, n, self.rank), Into::Replace, 1.0, x, self.a().t(), Workers::All);
        for part in &self.parts {
            let out = MatrixMut::strided(&mut y[part.columns.start..], n, part.columns.len(), o);
            let h = Matrix::strided(&h[part.rows.start..], n, part.rows.len(), self.rank);
            matmul(out, Into::Add, part.scale, h, part.b().t(), Workers::All);
        }
        h
    }

    /// dh = s dy B;  dB = s dyᵀ h;  dA = dhᵀ x: dy [n, o], h [n, R], x [n, i].
    pub fn backward(&self, dy: &[f32], h: &[f32], x: &[f32], n: usize) -> Gradients {
        let o = dy.len() / n.max(1);
        let mut dh = vec![0.0; n * self.rank];
        let mut of_b = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let (width, r) = (part.columns.len(), part.rows.len());
            let dy = Matrix::strided(&dy[part.columns.start..], n, width, o);
            let out = MatrixMut::strided(&mut dh[part.rows.start..], n, r, self.rank);
            matmul(out, Into::Replace, part.scale, dy, part.b(), Workers::All);
            let mut db = vec![0.0; width * r];
            let h = Matrix::strided(&h[part.rows.start..], n, r, self.rank);
            matmul(MatrixMut::new(&mut db, width, r), Into::Replace, part.scale, dy.t(), h, Workers::All);
            of_b.push(db);
        }
        let i = self.inputs();
        let mut da = vec![0.0; self.rank * i];
        let out = MatrixMut::new(&mut da, self.rank, i);
        matmul(
            out,
            Into::Replace,
            1.0,
            Matrix::new(&dh, n, self.rank).t(),
            Matrix::new(x, n, i),
            Workers::All,
        );
        Gradients { h: dh, a: da, b: of_b }
    }

    /// dx += dh A: dx [n, i], dh [n, R].
    pub fn add_to_dx(&self, dx: &mut [f32], dh: &[f32], n: usize) {
        let out = MatrixMut::new(dx, n, self.inputs());
        matmul(out, Into::Add, 1.0, Matrix::new(dh, n, self.rank), self.a(), Workers::All);
    }

    /// dh A [n, i] alone.
    pub fn dx(&self, dh: &[f32], n: usize) -> Vec<f32> {
        let mut dx = vec![0.0; n * self.inputs()];
        self.add_to_dx(&mut dx, dh, n);
        dx
    }
}

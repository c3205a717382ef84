//! Products with a weight [o, i].

use super::elementwise::add_bias;
use super::matmul::{Into, Matrix, MatrixMut, Workers, matmul};

/// `x Wᵀ + bias`: x [n, i] -> [n, o].
pub fn forward(x: &[f32], weight: &[f32], bias: Option<&[f32]>, n: usize) -> Vec<f32> {
    let i = x.len() / n.max(1);
    let o = weight.len() / i.max(1);
    let mut y = vec![0.0; n * o];
    let (x, w) = (Matrix::new(x, n, i), Matrix::new(weight, o, i));
    matmul(MatrixMut::new(&mut y, n, o), Into::Replace, 1.0, x, w.t(), Workers::All);
    if let Some(bias) = bias {
        add_bias(&mut y, bias);
    }
    y
}

/// `dx = dy W`: dy [n, o] -> [n, i].
pub fn backward(dy: &[f32], weight: &[f32], n: usize) -> Vec<f32> {
    let o = dy.len() / n.max(1);
    let i = weight.len() / o.max(1);
    let mut dx = vec![0.0; n * i];
    let (dy, w) = (Matrix::new(dy, n, o), Matrix::new(weight, o, i));
    matmul(MatrixMut::new(&mut dx, n, i), Into::Replace, 1.0, dy, w, Workers::All);
    dx
}

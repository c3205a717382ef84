//! Products with a weight [o, i].

use super::Rows;
use super::elementwise::add_bias;
use super::matmul::{Into, Matrix, MatrixMut, Workers, matmul};
use crate::nn::Result;

/// `x Wᵀ + bias`: x [n, i] -> [n, o].
pub fn forward(x: &[f32], weight: &Rows, bias: Option<&[f32]>, n: usize) -> Result<Vec<f32>> {
    let mut y = vec![0.0; n * weight.num_rows()];
    forward_into(&mut y, x, weight, n)?;
    if let Some(bias) = bias {
        add_bias(&mut y, bias);
    }
    Ok(y)
}

/// `x Wᵀ` in place of what stands in y [n, o].
pub fn forward_into(y: &mut [f32], x: &[f32], weight: &Rows, n: usize) -> Result<()> {
    let (i, o) = (weight.width(), weight.num_rows());
    if n == 0 {
        return Ok(());
    }
    if let Rows::Packed(packed) = weight
        && let Some(product) = packed.multiply(x, n)?
    {
        y.copy_from_slice(&product);
        return Ok(());
    }
    weight.each(|first, rows| {
        let num = rows.len() / i.max(1);
        let (x, w) = (Matrix::new(x, n, i), Matrix::new(rows, num, i));
        let out = MatrixMut::strided(&mut y[first..], n, num, o);
        matmul(out, Into::Replace, 1.0, x, w.t(), Workers::All);
    })
}

/// `dx = dy W`: dy [n, o] -> [n, i].
pub fn backward(dy: &[f32], weight: &Rows, n: usize) -> Result<Vec<f32>> {
    let (i, o) = (weight.width(), weight.num_rows());
    let mut dx = vec![0.0; n * i];
    if n == 0 {
        return Ok(dx);
    }
    let mut into = Into::Replace;
    weight.each(|first, rows| {
        let num = rows.len() / i.max(1);
        let (dy, w) = (Matrix::strided(&dy[first..], n, num, o), Matrix::new(rows, num, i));
        matmul(MatrixMut::new(&mut dx, n, i), into, 1.0, dy, w, Workers::All);
        into = Into::Add;
    })?;
    Ok(dx)
}

/// `dW = dyᵀ x` or `dW += dyᵀ x`: dy [n, o], x [n, i], dW [o, i].
pub fn of_weight(dw: &mut [f32], is_first: bool, dy: &[f32], x: &[f32], n: usize) {
    if n == 0 {
        if is_first {
            dw.fill(0.0);
        }
        return;
    }
    let (o, i) = (dy.len() / n, x.len() / n);
    let into = if is_first { Into::Replace } else { Into::Add };
    let (dy, x) = (Matrix::new(dy, n, o), Matrix::new(x, n, i));
    matmul(MatrixMut::new(dw, o, i), into, 1.0, dy.t(), x, Workers::All);
}

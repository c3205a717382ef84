//! Products by Apple's Accelerate, which alone reaches the matrix units of Apple's processors.

use super::{Into, Matrix, MatrixMut};
use std::ffi::c_int;

const ROW_MAJOR: c_int = 101;
const AS_IT_IS: c_int = 111;
const TRANSPOSED: c_int = 112;

#[link(name = "Accelerate", kind = "framework")]
unsafe extern "C" {
    fn cblas_sgemm(
        order: c_int,
        form_of_a: c_int,
        form_of_b: c_int,
        m: c_int,
        n: c_int,
        k: c_int,
        alpha: f32,
        a: *const f32,
        lda: c_int,
        b: *const f32,
        ldb: c_int,
        beta: f32,
        c: *mut f32,
        ldc: c_int,
    );
}

/// How BLAS is told of a matrix: its form, and how far apart its rows (of a transpose, its columns) begin.
fn described(matrix: Matrix<'_>) -> Option<(c_int, c_int)> {
    let (form, apart, least) = match matrix.col_stride {
        1 => (AS_IT_IS, matrix.row_stride, matrix.cols),
        _ => (TRANSPOSED, matrix.col_stride, matrix.rows),
    };
    Some((form, c_int::try_from(apart.max(least).max(1)).ok()?))
}

/// As [`super::matmul`]. Gives `out` back, untouched, for sizes that BLAS cannot count.
pub fn matmul<'o>(
    out: MatrixMut<'o>,
    into: Into,
    scale: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
) -> Result<(), MatrixMut<'o>> {
    let sizes = [out.rows, out.cols, a.cols, out.row_stride.max(out.cols).max(1)];
    let [Ok(m), Ok(n), Ok(k), Ok(ldc)] = sizes.map(c_int::try_from) else { return Err(out) };
    let (Some((form_of_a, lda)), Some((form_of_b, ldb))) = (described(a), described(b)) else {
        return Err(out);
    };
    let beta = if into == Into::Add { 1.0 } else { 0.0 };
    let (a, b, c) = (a.numbers.as_ptr(), b.numbers.as_ptr(), out.numbers.as_mut_ptr());
    // SAFETY: the constructors of the matrices checked that every row lies inside its slice, the caller compared the shapes, and
    // `out` is borrowed alone.
    unsafe { cblas_sgemm(ROW_MAJOR, form_of_a, form_of_b, m, n, k, scale, a, lda, b, ldb, beta, c, ldc) };
    Ok(())
}

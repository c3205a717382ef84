//! Matrix products on slices, in any layout, that may add to what is there.

#[cfg(target_os = "macos")]
mod accelerate;

use gemm::Parallelism;

/// A matrix to read: `rows` × `cols` numbers of a slice.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    numbers: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// [rows, cols] in one piece.
    pub fn new(numbers: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(numbers, rows, cols, cols)
    }

    /// Rows of `cols` numbers that begin `row_stride` apart.
    pub fn strided(numbers: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(last(rows, cols, row_stride) <= numbers.len(), "a matrix past the end of its numbers");
        Self { numbers, rows, cols, row_stride, col_stride: 1 }
    }

    /// The transpose: a view.
    pub fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// A matrix to write.
pub struct MatrixMut<'a> {
    numbers: &'a mut [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// [rows, cols] in one piece.
    pub fn new(numbers: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::strided(numbers, rows, cols, cols)
    }

    /// Rows of `cols` numbers that begin `row_stride` apart.
    pub fn strided(numbers: &'a mut [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(last(rows, cols, row_stride) <= numbers.len(), "a matrix past the end of its numbers");
        assert!(rows < 2 || row_stride >= cols, "rows of a matrix to write must not overlap");
        Self { numbers, rows, cols, row_stride }
    }
}

/// One past the last number of such a matrix.
fn last(rows: usize, cols: usize, row_stride: usize) -> usize {
    if rows == 0 || cols == 0 { 0 } else { (rows - 1) * row_stride + cols }
}

/// What happens to the numbers that stand in the output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Into {
    Replace,
    Add,
}

/// Who does the work.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// All threads.
    All,
    /// This one, which is a task among others.
    One,
}

/// `out = scale · a b` or `out += scale · a b`: a [m, i], b [i, n], out [m, n].
pub fn matmul(out: MatrixMut<'_>, into: Into, scale: f32, a: Matrix<'_>, b: Matrix<'_>, workers: Workers) {
    assert_eq!((out.rows, out.cols, a.cols), (a.rows, b.cols, b.rows), "shapes of a matrix product");
    #[cfg(target_os = "macos")]
    let Err(out) = accelerate::matmul(out, into, scale, a, b) else { return };
    let parallelism = match workers {
        Workers::All => Parallelism::Rayon(rayon::current_num_threads()),
        Workers::One => Parallelism::None,
    };
    // SAFETY: the constructors checked that every row lies inside its slice, the shapes were compared above, and `out` is
    // borrowed alone.
    unsafe {
        gemm::gemm(
            out.rows,
            out.cols,
            a.cols,
            out.numbers.as_mut_ptr(),
            1,
            out.row_stride as isize,
            into == Into::Add,
            a.numbers.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.numbers.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            if into == Into::Add { 1.0 } else { 0.0 },
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

//! Rows that stand before every packed segment and are the same in each: what a method adds to the tokens that it is given.

use crate::nn::{Node, Result, Tape, profile};
use candle_core::{DType, Tensor};

/// Which rows are virtual: `num` of them before each segment.
#[derive(Debug, Clone)]
pub struct VirtualRows {
    num: usize,
    /// Of the real rows: offsets where segments begin, with their number `n` at the end.
    segments: Vec<usize>,
}

impl VirtualRows {
    pub fn new(num: usize, segments: &[usize]) -> Self {
        Self { num, segments: segments.to_vec() }
    }

    /// Where segments begin when each has its virtual rows, and where the last one ends.
    pub fn segments(&self) -> Vec<usize> {
        self.segments.iter().enumerate().map(|(i, begin)| begin + i * self.num).collect()
    }

    /// First real row, first row of the same segment with its virtual ones, and the segment's number of real rows.
    fn each(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let starts = self.segments.windows(2).enumerate();
        starts.map(move |(i, ends)| (ends[0], ends[0] + i * self.num, ends[1] - ends[0]))
    }

    /// `rows` before each segment of `x`.
    fn joined(&self, x: &Tensor, rows: &Tensor) -> Result<Tensor> {
        let mut pieces = Vec::with_capacity(2 * self.segments.len());
        for (real, _, len) in self.each() {
            pieces.extend([rows.clone(), x.narrow(0, real, len)?]);
        }
        Tensor::cat(&pieces, 0)
    }

    /// The real rows of `x`.
    fn real(&self, x: &Tensor) -> Result<Tensor> {
        let real = self.each().map(|(_, start, len)| x.narrow(0, start + self.num, len));
        Tensor::cat(&real.collect::<Result<Vec<_>>>()?, 0)
    }

    /// The virtual rows of `x`, added up over the segments in `dtype`.
    fn summed(&self, x: &Tensor, dtype: DType) -> Result<Tensor> {
        let mut sum = Tensor::zeros((self.num, x.dim(1)?), dtype, x.device())?;
        for (_, start, _) in self.each() {
            sum = (sum + x.narrow(0, start, self.num)?.to_dtype(dtype)?)?;
        }
        Ok(sum)
    }
}

/// Puts `rows` before every segment: x [n, w], rows [p, r] -> [n + s p, w] for `s` segments. Rows that are narrower than `x` stand
/// in its last columns, after zeros; of another type, they are cast to its own. Their gradient is the sum over the segments.
pub fn with_virtual_rows(tape: &Tape, x: &Node, rows: &Node, places: &VirtualRows) -> Result<Node> {
    let _span = profile::forward("virtual rows");
    let (width, own) = (x.value().dim(1)?, rows.value().dim(1)?);
    let dtype = rows.value().dtype();
    let whole = rows.value().to_dtype(x.value().dtype())?.pad_with_zeros(1, width - own, 0)?; // [p, w]
    let y = places.joined(x.value(), &whole)?;
    let needs = (x.needs_gradient(), rows.needs_gradient());
    let places = places.clone();
    Ok(tape.record("virtual rows", &[x, rows], y, move |dy| {
        let dx = needs.0.then(|| places.real(dy)).transpose()?;
        let of_rows = || places.summed(&dy.narrow(1, width - own, own)?, dtype)?.contiguous();
        Ok(vec![dx, needs.1.then(of_rows).transpose()?])
    }))
}

/// Takes them away again: x [n + s p, w] -> [n, w].
pub fn without_virtual_rows(tape: &Tape, x: &Node, places: &VirtualRows) -> Result<Node> {
    let _span = profile::forward("virtual rows");
    let y = places.real(x.value())?;
    let places = places.clone();
    Ok(tape.record("virtual rows", &[x], y, move |dy| {
        let zeros = Tensor::zeros((places.num, dy.dim(1)?), dy.dtype(), dy.device())?;
        Ok(vec![Some(places.joined(dy, &zeros)?)])
    }))
}

//! The rows of a weight, whether they lie there as f32 or are made so when they are needed.

use super::Numbers;
use crate::nn::Result;
use crate::nn::kernels::Packed;

/// A matrix [o, i].
pub enum Rows<'a> {
    /// With its width.
    Dense(Numbers<'a>, usize),
    Packed(&'a Packed),
}

impl Rows<'_> {
    pub fn width(&self) -> usize {
        match self {
            Self::Dense(_, width) => *width,
            Self::Packed(packed) => packed.width(),
        }
    }

    /// Number of rows.
    pub fn num_rows(&self) -> usize {
        match self {
            Self::Dense(numbers, width) => numbers.len() / width.max(&1),
            Self::Packed(packed) => packed.rows(),
        }
    }

    /// Gives all rows to `work`, in one piece or in several, with the number of the first.
    pub fn each(&self, mut work: impl FnMut(usize, &[f32])) -> Result<()> {
        match self {
            Self::Dense(numbers, _) => {
                work(0, numbers);
                Ok(())
            }
            Self::Packed(packed) => packed.each(work),
        }
    }
}

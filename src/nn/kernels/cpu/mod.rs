//! Loops over f32 in the memory of the CPU: shared out by rayon, written so that they become vector instructions, and fused
//! so that nothing is stored that the next line reads again.
//!
//! Operations ask [`Numbers::of`] whether their tensors are such slices, and use the portable form where they are not.

pub mod adamw;
pub mod attention;
pub mod blocks;
pub mod cross_entropy;
pub mod elementwise;
pub mod lanes;
pub mod linear;
pub mod low_rank;
pub mod matmul;
mod numbers;
pub mod rms_norm;
pub mod rotate;
mod rows;

pub use numbers::{Numbers, tensor};
pub use rows::Rows;

/// Numbers that one task of rayon works on, about: enough to be worth handing over.
const TASK_NUMBERS: usize = 16 << 10;

/// How many rows of `width` numbers one task takes.
fn rows_of_task(width: usize) -> usize {
    (TASK_NUMBERS / width.max(1)).max(1)
}

/// Runs a loop with the widest vector instructions of this processor. What it calls must be `#[inline(always)]`.
#[inline(always)]
fn vectorised<R>(body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(body)
}

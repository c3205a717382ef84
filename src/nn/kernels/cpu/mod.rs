//! Loops over f32 in the memory of the CPU: shared out by rayon, written so that they become vector instructions, and fused
//! so that nothing is stored that the next line reads again.
//!
//! Operations ask [`Numbers::of`] whether their tensors are such slices, and use the portable form where they are not.

/// Defines a function whose loops are compiled for each set of vector instructions, of which the widest one that this processor
/// has is run. Lifetimes of its arguments must be named; what it calls must be `#[inline(always)]`.
///
/// A closure would do, but nothing forces the compiler to inline one, and outside it knows the oldest instructions only.
macro_rules! vectorised {
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident<$life:lifetime $(, $kind:ident: $bound:path)?>($($arg:ident: $type:ty),* $(,)?) -> $out:ty $body:block
    ) => {
        $(#[$meta])*
        $vis fn $name<$life $(, $kind: $bound)?>($($arg: $type),*) -> $out {
            struct Loop<$life $(, $kind)?> {
                $($arg: $type,)*
                marker: std::marker::PhantomData<(&$life (), $($kind)?)>,
            }
            impl<$life $(, $kind: $bound)?> pulp::NullaryFnOnce for Loop<$life $(, $kind)?> {
                type Output = $out;

                #[inline(always)]
                fn call(self) -> $out {
                    let Self { $($arg,)* marker: _ } = self;
                    $body
                }
            }
            pulp::Arch::new().dispatch(Loop::<$($kind)?> { $($arg,)* marker: std::marker::PhantomData })
        }
    };
}

pub mod activation;
pub mod adamw;
pub mod adamw_8bit;
pub mod attention;
pub mod blocks;
pub mod cached;
pub mod column_scale;
pub mod cross_entropy;
pub mod elementwise;
pub mod lanes;
pub mod layer_norm;
pub mod linear;
pub mod lion;
pub mod low_rank;
pub mod matmul;
mod numbers;
pub mod rms_norm;
pub mod rotate;
mod rows;
pub mod sgd;

use rayon::prelude::*;

pub use numbers::{Numbers, tensor};
pub use rows::Rows;

/// Numbers that one task of rayon works on, about: enough to be worth handing over.
const TASK_NUMBERS: usize = 16 << 10;

/// Rows of `d` numbers made of the same rows of `a` and `b`, some whole rows a task: `make(out, a, b)`.
fn by_rows(a: &[f32], b: &[f32], d: usize, make: impl Fn(&mut [f32], &[f32], &[f32]) + Sync) -> Vec<f32> {
    let mut out = vec![0.0; a.len()];
    let task = d * rows_of_task(d);
    out.par_chunks_mut(task).zip(a.par_chunks(task)).zip(b.par_chunks(task)).for_each(|((out, a), b)| {
        make(out, a, b);
    });
    out
}

/// How many rows of `width` numbers one task takes.
fn rows_of_task(width: usize) -> usize {
    (TASK_NUMBERS / width.max(1)).max(1)
}

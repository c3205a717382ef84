//! One AdamW update whose moments lie there in eight bits a number: a block of them is widened, moved and coded again while
//! it is in the cache (Dettmers et al. 2022, arXiv:2110.02861).

use super::TASK_NUMBERS;
use super::adamw::Factors;
use super::lanes::max;
use crate::nn::kernels::dynamic_code::{BLOCK, DynamicCode, SIGNED, UNSIGNED};
use crate::nn::kernels::updates;
use rayon::prelude::*;

/// A moment: a code for each parameter, [P], and the largest magnitude of each block, [P / 256 rounded up].
pub struct Coded<'a> {
    pub codes: &'a mut [u8],
    pub largest: &'a mut [f32],
}

impl<'a> Coded<'a> {
    fn tasks(self) -> impl IndexedParallelIterator<Item = Coded<'a>> {
        let largest = self.largest.par_chunks_mut(TASK_NUMBERS / BLOCK);
        self.codes.par_chunks_mut(TASK_NUMBERS).zip(largest).map(|(codes, largest)| Coded { codes, largest })
    }
}

/// Values and gradient [P]. The values move by the moments as they are before they are coded.
pub fn step(
    values: &mut [f32],
    first: Coded<'_>,
    second: Coded<'_>,
    gradient: &[f32],
    update: updates::AdamW,
) {
    let factors = Factors::new(update);
    let numbers = values.par_chunks_mut(TASK_NUMBERS).zip(gradient.par_chunks(TASK_NUMBERS));
    numbers.zip(first.tasks().zip(second.tasks())).for_each(|((values, gradient), (first, second))| {
        step_task(values, first, second, gradient, factors);
    });
}

vectorised! {
    fn step_task<'a>(
        values: &'a mut [f32],
        first: Coded<'a>,
        second: Coded<'a>,
        gradient: &'a [f32],
        factors: Factors,
    ) -> () {
        let blocks = values.chunks_mut(BLOCK).zip(gradient.chunks(BLOCK));
        let first = first.codes.chunks_mut(BLOCK).zip(first.largest);
        let second = second.codes.chunks_mut(BLOCK).zip(second.largest);
        for ((values, gradient), (first, second)) in blocks.zip(first.zip(second)) {
            let (mut m, mut v) = ([0f32; BLOCK], [0f32; BLOCK]);
            let (m, v) = (&mut m[..values.len()], &mut v[..values.len()]);
            widen(m, first.0, *first.1, &SIGNED);
            widen(v, second.0, *second.1, &UNSIGNED);
            let numbers = values.iter_mut().zip(m.iter_mut()).zip(v.iter_mut().zip(gradient));
            for ((value, m), (v, gradient)) in numbers {
                factors.step(value, m, v, *gradient);
            }
            *first.1 = code(first.0, m, &SIGNED);
            *second.1 = code(second.0, v, &UNSIGNED);
        }
    }
}

#[inline(always)]
fn widen(out: &mut [f32], codes: &[u8], largest: f32, code: &DynamicCode) {
    for (out, at) in out.iter_mut().zip(codes) {
        *out = code.table[usize::from(*at)] * largest;
    }
}

/// Codes one block and returns its largest magnitude. What is subnormal is zero, since dividing by it would overflow.
#[inline(always)]
fn code(codes: &mut [u8], x: &[f32], code: &DynamicCode) -> f32 {
    let mut magnitudes = [0f32; BLOCK];
    for (magnitude, x) in magnitudes.iter_mut().zip(x) {
        *magnitude = x.abs();
    }
    let largest = max(&magnitudes);
    let share = if largest < f32::MIN_POSITIVE { 0.0 } else { 1.0 / largest };
    for (at, x) in codes.iter_mut().zip(x) {
        *at = code.encode(x * share);
    }
    largest
}

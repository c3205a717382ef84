//! What attention does with one row of scores.

use crate::nn::kernels::cpu::lanes::{dot, exp, exp_sum, max, tanh};
use crate::nn::kernels::weighing::DroppedRow;
use std::ops::Range;

vectorised! {
    /// Scores -> cap · tanh(score / cap).
    pub fn bend<'a>(scores: &'a mut [f32], cap: f32) -> () {
        for score in scores {
            *score = cap * tanh(*score / cap);
        }
    }
}

vectorised! {
    /// As [`bend`], with 1 - tanh² into `slopes`.
    pub fn bend_with_slopes<'a>(scores: &'a mut [f32], slopes: &'a mut [f32], cap: f32) -> () {
        for (score, slope) in scores.iter_mut().zip(slopes) {
            let t = tanh(*score / cap);
            (*score, *slope) = (cap * t, 1.0 - t * t);
        }
    }
}

vectorised! {
    pub fn multiply<'a>(x: &'a mut [f32], factors: &'a [f32]) -> () {
        for (x, factor) in x.iter_mut().zip(factors) {
            *x *= factor;
        }
    }
}

vectorised! {
    /// One row of scores -> probabilities of the keys it sees, 0 elsewhere; returns the log-sum-exp.
    pub fn softmax<'a>(row: &'a mut [f32], seen: Range<usize>) -> f32 {
        row[..seen.start].fill(0.0);
        row[seen.end..].fill(0.0);
        let row = &mut row[seen];
        let highest = max(row);
        let total = exp_sum(row, highest);
        let share = 1.0 / total;
        for p in row {
            *p *= share;
        }
        highest + total.ln()
    }
}

vectorised! {
    /// One row: scores in `p` -> P, dP in `ds` -> dS.
    pub fn softmax_backward<'a>(
        p: &'a mut [f32],
        ds: &'a mut [f32],
        seen: Range<usize>,
        log_sum: f32,
        d_out: &'a [f32],
        out: &'a [f32],
    ) -> () {
        for row in [&mut *p, &mut *ds] {
            row[..seen.start].fill(0.0);
            row[seen.end..].fill(0.0);
        }
        let d = dot(d_out, out);
        for (p, ds) in p[seen.clone()].iter_mut().zip(&mut ds[seen]) {
            *p = exp(*p - log_sum);
            *ds = *p * (*ds - d);
        }
    }
}

vectorised! {
    /// As [`softmax_backward`] where shares were dropped: leaves in `p` those that were not, with their gain.
    pub fn dropped_softmax_backward<'a>(
        p: &'a mut [f32],
        ds: &'a mut [f32],
        seen: Range<usize>,
        log_sum: f32,
        d_out: &'a [f32],
        out: &'a [f32],
        dropped: DroppedRow,
    ) -> () {
        for row in [&mut *p, &mut *ds] {
            row[..seen.start].fill(0.0);
            row[seen.end..].fill(0.0);
        }
        let d = dot(d_out, out);
        for (key, (p, ds)) in seen.clone().zip(p[seen.clone()].iter_mut().zip(&mut ds[seen])) {
            let (share, factor) = (exp(*p - log_sum), dropped.at(key));
            *ds = share * (*ds * factor - d);
            *p = share * factor;
        }
    }
}

vectorised! {
    /// Drops some of the shares that a row has of the keys it sees.
    pub fn drop_some<'a>(row: &'a mut [f32], seen: Range<usize>, dropped: DroppedRow) -> () {
        for (key, p) in seen.clone().zip(&mut row[seen]) {
            *p *= dropped.at(key);
        }
    }
}

vectorised! {
    pub fn add<'a>(to: &'a mut [f32], x: &'a [f32]) -> () {
        for (to, x) in to.iter_mut().zip(x) {
            *to += x;
        }
    }
}

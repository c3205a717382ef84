//! Activations, alone and as gates (Shazeer 2020, arXiv:2002.05202).

use super::lanes::{exp, half_erfc, sigmoid};
use super::{TASK_NUMBERS, rows_of_task};
use crate::nn::kernels::activation::{Activation, GELU_TANH_CUBIC, GELU_TANH_STEEPNESS};
use rayon::prelude::*;

/// An activation as straight-line code.
trait Curve {
    fn value(x: f32) -> f32;

    /// f(x) and f'(x).
    fn value_and_slope(x: f32) -> (f32, f32);
}

struct Silu;
struct Gelu;
struct GeluTanh;
struct Relu;

impl Curve for Silu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * sigmoid(x)
    }

    /// σ(x) (1 + x (1 - σ(x)))
    #[inline(always)]
    fn value_and_slope(x: f32) -> (f32, f32) {
        let sig = sigmoid(x);
        let silu = x * sig;
        (silu, sig + silu * (1.0 - sig))
    }
}

impl Gelu {
    /// The normal distribution, Φ(x) = erfc(-x / √2) / 2, to within a rounding error of itself on both sides of zero.
    #[inline(always)]
    fn share(x: f32) -> f32 {
        let tail = half_erfc(x.abs() * std::f32::consts::FRAC_1_SQRT_2);
        if x < 0.0 { tail } else { 1.0 - tail }
    }
}

impl Curve for Gelu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * Self::share(x)
    }

    /// Φ(x) + x φ(x), φ(x) = exp(-x²/2) / √(2π)
    #[inline(always)]
    fn value_and_slope(x: f32) -> (f32, f32) {
        /// 1 / √(2π)
        const PEAK: f32 = 0.398_942_3;
        let share = Self::share(x);
        (x * share, share + x * PEAK * exp(-0.5 * x * x))
    }
}

impl Curve for GeluTanh {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * sigmoid(GELU_TANH_STEEPNESS as f32 * (x + GELU_TANH_CUBIC as f32 * x * x * x))
    }

    /// With u = 2 √(2/π) (x + c x³):  σ(u) + x σ(u) (1 - σ(u)) u'
    #[inline(always)]
    fn value_and_slope(x: f32) -> (f32, f32) {
        let (steep, cubic) = (GELU_TANH_STEEPNESS as f32, GELU_TANH_CUBIC as f32);
        let sig = sigmoid(steep * (x + cubic * x * x * x));
        let value = x * sig;
        (value, sig + value * (1.0 - sig) * steep * (1.0 + 3.0 * cubic * x * x))
    }
}

impl Curve for Relu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x.max(0.0)
    }

    #[inline(always)]
    fn value_and_slope(x: f32) -> (f32, f32) {
        (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 })
    }
}

/// Calls a function for the curve of an activation.
macro_rules! with_curve {
    ($activation:expr, $name:ident($($arg:expr),*)) => {
        match $activation {
            Activation::Silu => $name::<Silu>($($arg),*),
            Activation::Gelu => $name::<Gelu>($($arg),*),
            Activation::GeluTanh => $name::<GeluTanh>($($arg),*),
            Activation::Relu => $name::<Relu>($($arg),*),
        }
    };
}

/// `f(x)`, of any shape.
pub fn forward(x: &[f32], activation: Activation) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    let tasks = out.par_chunks_mut(TASK_NUMBERS).zip(x.par_chunks(TASK_NUMBERS));
    tasks.for_each(|(out, x)| with_curve!(activation, forward_task(out, x)));
    out
}

vectorised! {
    fn forward_task<'a, C: Curve>(out: &'a mut [f32], x: &'a [f32]) -> () {
        for (out, x) in out.iter_mut().zip(x) {
            *out = C::value(*x);
        }
    }
}

/// x and dy of the same shape -> dx.
pub fn backward(x: &[f32], dy: &[f32], activation: Activation) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    let tasks =
        out.par_chunks_mut(TASK_NUMBERS).zip(x.par_chunks(TASK_NUMBERS)).zip(dy.par_chunks(TASK_NUMBERS));
    tasks.for_each(|((dx, x), dy)| with_curve!(activation, backward_task(dx, x, dy)));
    out
}

vectorised! {
    fn backward_task<'a, C: Curve>(dx: &'a mut [f32], x: &'a [f32], dy: &'a [f32]) -> () {
        for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy) {
            *dx = dy * C::value_and_slope(*x).1;
        }
    }
}

/// `f(gate) · up`: gate | up [n, 2f] -> [n, f].
pub fn gated(gate_up: &[f32], f: usize, activation: Activation) -> Vec<f32> {
    let rows = rows_of_task(f);
    let mut out = vec![0.0; gate_up.len() / 2];
    let tasks = out.par_chunks_mut(f * rows).zip(gate_up.par_chunks(2 * f * rows));
    tasks.for_each(|(out, gate_up)| with_curve!(activation, gated_rows(out, gate_up, f)));
    out
}

vectorised! {
    fn gated_rows<'a, C: Curve>(out: &'a mut [f32], gate_up: &'a [f32], f: usize) -> () {
        for (out, gate_up) in out.chunks_exact_mut(f).zip(gate_up.chunks_exact(2 * f)) {
            let (gate, up) = gate_up.split_at(f);
            for ((out, g), u) in out.iter_mut().zip(gate).zip(up) {
                *out = C::value(*g) * u;
            }
        }
    }
}

/// gate | up [n, 2f] and dy [n, f] -> d gate | d up [n, 2f].
pub fn gated_backward(gate_up: &[f32], dy: &[f32], f: usize, activation: Activation) -> Vec<f32> {
    let rows = rows_of_task(f);
    let mut out = vec![0.0; gate_up.len()];
    let tasks =
        out.par_chunks_mut(2 * f * rows).zip(gate_up.par_chunks(2 * f * rows)).zip(dy.par_chunks(f * rows));
    tasks.for_each(|((out, gate_up), dy)| with_curve!(activation, gated_backward_rows(out, gate_up, dy, f)));
    out
}

vectorised! {
    fn gated_backward_rows<'a, C: Curve>(out: &'a mut [f32], gate_up: &'a [f32], dy: &'a [f32], f: usize) -> () {
        let rows = out.chunks_exact_mut(2 * f).zip(gate_up.chunks_exact(2 * f)).zip(dy.chunks_exact(f));
        for ((out, gate_up), dy) in rows {
            let (d_gate, d_up) = out.split_at_mut(f);
            let (gate, up) = gate_up.split_at(f);
            // By index: five iterators zipped are not seen to be of one length, and then stay one number at a time.
            let (d_up, up, dy) = (&mut d_up[..f], &up[..f], &dy[..f]);
            for i in 0..f {
                let (value, slope) = C::value_and_slope(gate[i]);
                d_up[i] = dy[i] * value;
                d_gate[i] = dy[i] * up[i] * slope;
            }
        }
    }
}

//! Gradients against finite differences.

use crate::nn::ops::Judgement;

/// Asserts that the gradient of `judge` is the slope of its sum, by each number.
pub fn holds(judge: impl Fn(&[f32]) -> Judgement, at: &[f32]) {
    let gradient = judge(at).gradient;
    for i in 0..at.len() {
        let moved = |by: f32| {
            let mut at = at.to_vec();
            at[i] += by;
            judge(&at).sum
        };
        let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
        let off = (slope - f64::from(gradient[i])).abs();
        assert!(off < 2e-3 * (1.0 + slope.abs()), "{i}: {slope} against {}", gradient[i]);
    }
}

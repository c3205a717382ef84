//! Functions of single numbers, vectorised, against those of the standard library in f64.

use candle_core::{Device, Tensor};
use tunesmith::nn::kernels::cpu::lanes::{exp, half_erfc, tanh};

#[test]
fn the_vectorised_exponential_is_exact_to_two_units() {
    let mut worst = 0f64;
    for i in -870_000..=880_000 {
        let x = i as f32 * 1e-4;
        let expected = f64::from(x).exp();
        worst = worst.max((f64::from(exp(x)) - expected).abs() / expected);
    }
    assert!(worst < 2.0 * f64::from(f32::EPSILON), "{worst:e}");
    assert_eq!((exp(f32::NEG_INFINITY), exp(-1e30), exp(0.0)), (0.0, 0.0, 1.0));
    assert!(exp(f32::INFINITY).is_finite() && exp(f32::NAN).is_nan());
}

#[test]
fn the_vectorised_error_function_is_exact_to_two_millionths_of_itself() {
    let z: Vec<f64> = (0..90_000).map(|i| f64::from(i as f32 * 1e-4)).collect();
    // candle's erf in f64 is exact to the last digits; above 3 its difference from 1 has none, and erfc(z) lies between
    // e^(-z²) / (z √π) (1 - 1/2z²) and that without the bracket.
    let erf = Tensor::new(z.as_slice(), &Device::Cpu).unwrap().erf().unwrap().to_vec1::<f64>().unwrap();
    for (z, erf) in z.into_iter().zip(erf) {
        let got = 2.0 * f64::from(half_erfc(z as f32));
        if z < 3.0 {
            assert!((got - (1.0 - erf)).abs() < 2e-6 * (1.0 - erf), "{z}: {got}");
        } else {
            let most = (-z * z).exp() / (z * std::f64::consts::PI.sqrt());
            let range = most * (1.0 - 0.5 / (z * z)) * 0.99999..=most * 1.00001;
            assert!(range.contains(&got), "{z}: {got} {range:?}");
        }
    }
}

#[test]
fn the_vectorised_tangent_is_exact_to_four_units() {
    let mut worst = 0f64;
    for i in 1..=200_000 {
        let x = i as f32 * 5e-5;
        let expected = f64::from(x).tanh();
        worst = worst.max((f64::from(tanh(x)) - expected).abs() / expected);
        assert_eq!(tanh(-x), -tanh(x));
    }
    assert!(worst < 4.0 * f64::from(f32::EPSILON), "{worst:e}");
    assert_eq!((tanh(0.0), tanh(1e-8), tanh(1e30), tanh(-1e30)), (0.0, 1e-8, 1.0, -1.0));
    assert!(tanh(f32::NAN).is_nan());
}

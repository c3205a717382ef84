//! AdamW against PyTorch's documented algorithm in f64, the schedule's shape, and clipping.

use candle_core::{DType, Device, Tensor};
use tunesmith::base::Update;
use tunesmith::nn::FlatParams;
use tunesmith::nn::optim::{AdamW, AdamWSettings, Schedule, ScheduleShape, clip_factor, norm};

/// In f32, which is the CPU's kernel, and in f64, which is the portable form.
#[test]
fn adamw_follows_the_paper() {
    for (dtype, tolerance) in [(DType::F32, 1e-6), (DType::F64, 1e-12)] {
        let settings = AdamWSettings { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weight_decay: 0.1 };
        let mut theta = vec![1.0f64, -2.0, 0.5];
        let (mut m, mut v) = (vec![0.0; 3], vec![0.0; 3]);
        let values = Tensor::new(theta.as_slice(), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let mut params = FlatParams::new(vec![("theta".into(), values)], &Device::Cpu).unwrap();
        let mut adam = AdamW::new(settings, &params).unwrap();
        for t in 1..=50 {
            let gradient: Vec<f64> =
                theta.iter().enumerate().map(|(i, x)| x * 0.3 + (i as f64 - t as f64 * 0.01)).collect();
            let lr = 0.01 / f64::from(t);
            for i in 0..3 {
                m[i] = 0.9 * m[i] + 0.1 * gradient[i];
                v[i] = 0.99 * v[i] + 0.01 * gradient[i] * gradient[i];
                let (mh, vh) = (m[i] / (1.0 - 0.9f64.powi(t)), v[i] / (1.0 - 0.99f64.powi(t)));
                theta[i] = theta[i] * (1.0 - lr * 0.1) - lr * mh / (vh.sqrt() + 1e-8);
            }
            let half = (Tensor::new(gradient, &Device::Cpu).unwrap() * 0.5).unwrap().to_dtype(dtype).unwrap();
            adam.step(&mut params, &half, 2.0, lr).unwrap();
            let got = params.values().to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
            for (got, want) in got.iter().zip(&theta) {
                assert!((got - want).abs() < tolerance * f64::from(t), "{dtype:?} update {t}: {got} {want}");
            }
        }
        assert_eq!(adam.state().unwrap().2, 50);
    }
}

#[test]
fn schedule_rises_and_falls() {
    let at = |shape, done| Schedule { shape, peak: 1.0, warmup_updates: 4, num_updates: 12 }.at(Update(done));
    for shape in [ScheduleShape::Cosine, ScheduleShape::Linear, ScheduleShape::Constant] {
        assert_eq!([0, 1, 3].map(|d| at(shape, d)), [0.25, 0.5, 1.0]);
        assert_eq!(at(shape, 4), 1.0);
    }
    assert!((at(ScheduleShape::Cosine, 8) - 0.5).abs() < 1e-12);
    assert!((at(ScheduleShape::Linear, 10) - 0.25).abs() < 1e-12);
    assert_eq!(at(ScheduleShape::Constant, 11), 1.0);
    assert!(at(ScheduleShape::Cosine, 12) < 1e-12);
    let whole_warm_up =
        Schedule { shape: ScheduleShape::Cosine, peak: 1.0, warmup_updates: 5, num_updates: 5 };
    assert!(whole_warm_up.at(Update(4)).is_finite());
}

#[test]
fn clipping_limits_the_norm() {
    let g = Tensor::new(&[3.0f32, 4.0], &Device::Cpu).unwrap();
    let n = norm(&g).unwrap();
    assert!((n - 5.0).abs() < 1e-6);
    assert!((clip_factor(n, Some(1.0)) - 0.2).abs() < 1e-6);
    assert_eq!(clip_factor(n, Some(10.0)), 1.0);
    assert_eq!(clip_factor(n, None), 1.0);
    let bad = Tensor::new(&[f32::NAN, 1.0], &Device::Cpu).unwrap();
    assert!(!norm(&bad).unwrap().is_finite());
}

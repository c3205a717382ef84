//! AdamW against PyTorch's documented algorithm in f64, the schedule's shape, and clipping.

use candle_core::{Device, Tensor};
use tunesmith::base::Update;
use tunesmith::nn::optim::{AdamW, AdamWSettings, Schedule, ScheduleShape, clip_factor, norm};

#[test]
fn adamw_follows_the_paper() {
    let settings = AdamWSettings { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weight_decay: 0.1 };
    let mut theta = vec![1.0f64, -2.0, 0.5];
    let (mut m, mut v) = (vec![0.0; 3], vec![0.0; 3]);
    let mut values = Tensor::new(&[1.0f32, -2.0, 0.5], &Device::Cpu).unwrap();
    let mut adam = AdamW::new(settings, 3, &Device::Cpu).unwrap();
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
        let g: Vec<f32> = gradient.iter().map(|g| *g as f32).collect();
        values = adam.step(&values, &Tensor::new(g, &Device::Cpu).unwrap(), lr).unwrap();
        for (got, want) in values.to_vec1::<f32>().unwrap().iter().zip(&theta) {
            assert!((f64::from(*got) - want).abs() < 1e-5, "update {t}: {got} {want}");
        }
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

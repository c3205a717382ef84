//! Three hundred updates on real text, beside PyTorch and PEFT on the same rows in the same order: small differences shall not
//! grow. `tests/fixtures/parity/make_long.py` made the numbers.

use crate::parity::{decoder, fixture, loss_and_gradient_of};
use candle_core::Device;
use serde::Deserialize;
use tunesmith::data::{Batch, Sample};
use tunesmith::nn::optim::{AdamWSettings, Optimizer, OptimizerSettings, clip_factor, norm};
use tunesmith::peft::format;

/// Largest difference of the loss of any update, as a share of it.
const BOUND: f64 = 0.01;

#[derive(Deserialize)]
struct Long {
    learning_rate: f64,
    weight_decay: f64,
    clip_norm: f64,
    rows: Vec<Row>,
    /// The rows of each update.
    batches: Vec<Vec<usize>>,
    /// Before each update.
    losses: Vec<f64>,
}

#[derive(Deserialize)]
struct Row {
    ids: Vec<u32>,
    trained_from: usize,
}

impl Row {
    fn sample(&self) -> Sample {
        let weight = |at| if at < self.trained_from { 0.0 } else { 1.0 };
        Sample {
            ids: self.ids.clone(),
            weights: (0..self.ids.len()).map(weight).collect(),
            ..Sample::default()
        }
    }
}

#[test]
fn three_hundred_updates_on_real_text_keep_to_pytorch() {
    let text = std::fs::read_to_string(fixture("parity/tiny-qwen2/long.json")).unwrap();
    let long: Long = serde_json::from_str(&text).unwrap();
    let samples: Vec<Sample> = long.rows.iter().map(Row::sample).collect();
    let decoder = decoder("parity/tiny-qwen2/model");
    let init = fixture("parity/tiny-qwen2/adapter_init");
    let mut adapter = format::load(&init, decoder.config(), &Device::Cpu).unwrap();
    let settings = AdamWSettings { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: long.weight_decay };
    let mut adam = Optimizer::new(OptimizerSettings::AdamW(settings), &adapter.params).unwrap();
    let mut worst = (0, 0.0);
    for (update, (rows, expected)) in long.batches.iter().zip(&long.losses).enumerate() {
        let batch = Batch::pack(rows.iter().map(|i| &samples[*i]));
        let (loss, gradient) = loss_and_gradient_of(&batch, &decoder, &adapter, false);
        let error = (loss - expected).abs() / expected;
        assert!(error < BOUND, "update {update}: {loss} where PyTorch has {expected}");
        if error > worst.1 {
            worst = (update, error);
        }
        let clip = clip_factor(norm(&gradient).unwrap(), Some(long.clip_norm));
        adam.step(&mut adapter.params, &gradient, clip, long.learning_rate).unwrap();
    }
    assert_eq!(long.losses.len(), 300);
    assert!(long.losses[299] < 0.8 * long.losses[0], "it is no run if nothing is learnt");
    println!("largest difference: {:.2e} at update {}", worst.1, worst.0);
}

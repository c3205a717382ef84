//! How fast this machine trains: random tokens, every position supervised, the real update.

use super::TrainError;
use super::trainer::Trainer;
use crate::base::rng::Rng;
use crate::base::{Control, hardware};
use crate::data::Sample;
use crate::model::load::LoadedModel;
use crate::recipe::Plan;
use serde::Serialize;
use std::time::Instant;

/// Updates that are not counted.
pub const WARM_UP: u64 = 2;

/// Figures of one benchmark, medians over the counted updates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchReport {
    pub tokens_per_second: f64,
    /// Seconds of one update.
    pub update_secs: f64,
    pub peak_rss_bytes: u64,
    pub threads: usize,
    pub device: String,
    pub updates: u64,
    pub batch: usize,
    pub seq: usize,
    pub last_loss: f64,
}

/// `batch` samples of `seq` random tokens each.
pub fn random_samples(vocabulary: usize, batch: usize, seq: usize, seed: u64) -> Vec<Sample> {
    let mut rng = Rng::new(seed, &[0xBE, 0x4C]);
    let sample =
        |_| Sample { ids: (0..seq).map(|_| rng.below(vocabulary) as u32).collect(), weights: vec![1.0; seq] };
    (0..batch).map(sample).collect()
}

/// Runs `updates` counted updates of `plan` after the warm-up ones. `plan` must pack `batch` · `seq` tokens into
/// one micro-batch.
pub fn train(
    plan: &Plan,
    model: &LoadedModel,
    batch: usize,
    seq: usize,
    updates: u64,
    control: &Control,
) -> Result<Option<BenchReport>, TrainError> {
    let samples = random_samples(model.config().vocabulary, batch, seq, plan.recipe().run.seed);
    let mut trainer = Trainer::new(plan, model, samples.iter().collect())?;
    let mut secs = Vec::new();
    let mut last_loss = f64::NAN;
    for update in 0..WARM_UP + updates {
        let start = Instant::now();
        let Some(report) = trainer.update(control)? else { return Ok(None) };
        last_loss = report.loss;
        if update >= WARM_UP {
            secs.push(start.elapsed().as_secs_f64());
        }
    }
    secs.sort_by(f64::total_cmp);
    let median = secs[secs.len() / 2];
    Ok(Some(BenchReport {
        tokens_per_second: (batch * seq) as f64 / median,
        update_secs: median,
        peak_rss_bytes: hardware::peak_resident_bytes(),
        threads: hardware::num_threads(),
        device: model.device_name(),
        updates,
        batch,
        seq,
        last_loss,
    }))
}

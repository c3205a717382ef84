//! How fast this machine trains: random tokens, the real update.

use super::TrainError;
use super::error::During;
use super::feed::Rows;
use super::memory::Meter;
use super::objective;
use super::profile::operations;
use super::trainer::Trainer;
use crate::base::rng::Rng;
use crate::base::{Control, allocations, hardware};
use crate::data::{Goal, LossWeights, Sample};
use crate::model::config::{DecoderConfig, Encoder};
use crate::model::flops::Work;
use crate::model::load::LoadedModel;
use crate::nn::{self, peak};
use crate::project::event::OperationCost;
use crate::recipe::recipe::Objective;
use crate::recipe::{Plan, Task};
use serde::Serialize;
use std::collections::BTreeMap;
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
    /// What was expected before the start, against `peak_rss_bytes`.
    pub estimated_memory_bytes: u64,
    /// Whether blocks were run again on the way back.
    pub has_checkpoints: bool,
    /// The best this machine's matrix products reached just before, in f32.
    pub peak_flops_per_second: f64,
    /// Matrix FLOPs needed / seconds / peak.
    pub share_of_peak: f64,
    /// Blocks of memory that one update asks for, and their bytes: means over the counted updates.
    pub allocations_per_update: u64,
    pub allocated_bytes_per_update: u64,
    /// Where the time of an update went, the costliest first, when it was asked for: means over the counted updates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<OperationCost>,
}

/// The classes of texts that have some.
const CLASSES: [&str; 3] = ["a", "b", "c"];

/// Names of the classes that random texts have where the objective is of classes.
pub fn labels(objective: &Objective) -> Vec<String> {
    let num = match objective {
        Objective::Classification(_) => CLASSES.len(),
        Objective::Sentences(_) => 2,
        _ => 0,
    };
    CLASSES[..num].iter().map(ToString::to_string).collect()
}

/// What is said of the random text with this number.
fn goal(objective: &Objective, index: usize) -> Goal {
    let class = |num: usize| (index % num) as u32;
    match objective {
        Objective::Classification(of) if of.several => Goal::Classes(vec![class(CLASSES.len())]),
        Objective::Classification(_) => Goal::Class(class(CLASSES.len())),
        Objective::Sentences(_) => Goal::Class(class(2)),
        Objective::Regression(_) => Goal::Score(class(2) as f32),
        _ => Goal::None,
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct BenchOptions {
    pub batch: usize,
    pub seq: usize,
    /// Updates that count.
    pub updates: u64,
    /// Share of the positions that are trained on, at the end of each sample, 0..1.
    pub supervised: f64,
    /// Time each operation.
    pub profile: bool,
}

/// `batch` samples of `seq` random tokens each.
pub fn random_samples(vocabulary: usize, batch: usize, seq: usize, seed: u64) -> Vec<Sample> {
    let mut rng = Rng::new(seed, &[0xBE, 0x4C]);
    let sample = |_| Sample {
        ids: (0..seq).map(|_| rng.below(vocabulary) as u32).collect(),
        weights: LossWeights::all(1.0, seq),
        ..Sample::default()
    };
    (0..batch).map(sample).collect()
}

/// The same for a model, which reads the first half of each and writes the other where it has a stack for either.
pub fn samples_for(config: &DecoderConfig, batch: usize, seq: usize, seed: u64) -> Vec<Sample> {
    let mut samples = random_samples(config.vocabulary, batch, seq, seed);
    if let Some(Encoder { start, .. }) = config.encoder {
        let first = num_read(config, seq);
        for Sample { ids, weights, .. } in &mut samples {
            avoid(ids, start, config.vocabulary);
            ids[first] = start;
            weights.set(0..first + 1, 0.0);
        }
    }
    samples
}

/// A prompt of random tokens, and the token that begins an answer where a model needs one.
pub fn random_prompt(config: &DecoderConfig, num_tokens: usize) -> Vec<u32> {
    let mut ids = random_samples(config.vocabulary, 1, num_tokens, 42).swap_remove(0).ids;
    if let Some(Encoder { start, .. }) = config.encoder {
        avoid(&mut ids, start, config.vocabulary);
        ids.push(start);
    }
    ids
}

/// Puts another token wherever this one is.
fn avoid(ids: &mut [u32], token: u32, vocabulary: usize) {
    ids.iter_mut().filter(|id| **id == token).for_each(|id| *id = (token + 1) % vocabulary as u32);
}

/// How many of so many tokens a stack of their own reads.
pub fn num_read(config: &DecoderConfig, seq: usize) -> usize {
    if config.encoder.is_some() { seq / 2 } else { 0 }
}

/// Runs the counted updates of `plan` after the warm-up ones. `plan` must pack `batch` · `seq` tokens into
/// one micro-batch.
pub fn train(
    plan: &Plan,
    model: &LoadedModel,
    options: BenchOptions,
    control: &Control,
) -> Result<Option<BenchReport>, TrainError> {
    let BenchOptions { batch, seq, updates, supervised, profile } = options;
    let recipe = plan.recipe();
    let mut samples = samples_for(model.config(), batch, seq, recipe.run.seed);
    samples.iter_mut().enumerate().for_each(|(i, sample)| sample.goal = goal(&recipe.objective, i));
    let masked = seq - ((seq as f64 * supervised).round() as usize).clamp(1, seq);
    samples.iter_mut().for_each(|sample| sample.weights.set(0..masked, 0.0));
    let device = model.decoder.device();
    let peak = peak::flops_per_second(device, model.decoder.compute()).during("measure the machine")?;
    let meter = Meter::new(&hardware::resident_bytes, None);
    let task = Task::with_labels(&recipe.objective, labels(&recipe.objective));
    let model = &model.with_config(task.config(model.config()), recipe.run.seed)?;
    let objective = objective::of(&task, model, Vec::new())?;
    let rows = Rows::shuffled(&*objective, &samples);
    let mut trainer = Trainer::new(plan, model, vec![rows], &[], meter)?;
    let mut last_loss = f64::NAN;
    let mut run = |num: u64, secs: &mut Vec<f64>| -> Result<bool, TrainError> {
        for _ in 0..num {
            let start = Instant::now();
            let Some(report) = trainer.update(control)? else { return Ok(false) };
            last_loss = report.loss;
            secs.push(start.elapsed().as_secs_f64());
        }
        Ok(true)
    };
    if !run(WARM_UP, &mut Vec::new())? {
        return Ok(None);
    }
    let mut secs = Vec::new();
    let before = allocations::so_far();
    let (is_done, costs) = if profile {
        nn::profile::measured(|| run(updates, &mut secs))
    } else {
        (run(updates, &mut secs), BTreeMap::new())
    };
    let asked_for = allocations::so_far() - before;
    if !is_done? {
        return Ok(None);
    }
    secs.sort_by(f64::total_cmp);
    let median = secs[secs.len() / 2];
    let segments = vec![seq; batch];
    let work = Work {
        segments: &segments,
        num_trained: batch * (seq - masked.max(num_read(model.config(), seq) + 1)),
    };
    let flops = trainer.adapter.settings.tuning().flops(model.config(), work);
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
        estimated_memory_bytes: plan.estimate().memory_bytes,
        has_checkpoints: plan.estimate().has_checkpoints,
        peak_flops_per_second: peak,
        share_of_peak: flops / median / peak,
        allocations_per_update: asked_for.num / updates,
        allocated_bytes_per_update: asked_for.bytes / updates,
        operations: operations(costs, updates),
    }))
}

//! A checked recipe with derived numbers: the only thing that `train::run` accepts.

use super::estimate::{Estimate, Tokens, estimate, text_tokens};
use super::memory_limit::MemoryLimit;
use super::tasks::shared_config;
use super::{Problem, Recipe, Severity};
use crate::base::DeviceChoice;
use crate::data::prepare::Dataset;
use crate::data::table::Column;
use crate::data::{Goal, number};
use crate::model::config::{DecoderConfig, Pooling, TaskHead};
use crate::model::info::ModelInfo;
use crate::nn::optim::Schedule;

/// What the machine, the model and the data say about a recipe; needed to check it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    pub model: Option<ModelFacts>,
    /// Of all tasks together.
    pub data: Option<DataFacts>,
    /// Of each task, where the recipe has several.
    pub tasks: Vec<DataFacts>,
    pub free_memory_bytes: u64,
    /// What this process has of the memory already; a run may use it on.
    pub resident_bytes: u64,
    pub free_disk_bytes: Option<u64>,
    pub has_cuda: bool,
    pub has_metal: bool,
    /// Of the best device, once it was measured.
    pub speed: Option<Speed>,
}

/// What a device's matrix products reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    pub device: DeviceChoice,
    pub flops_per_second: f64,
}

impl Facts {
    /// What the device of the recipe reaches, if it was measured.
    pub fn flops_per_second(&self, recipe: &Recipe) -> Option<f64> {
        let device = recipe.run.device.resolved(self.has_cuda, self.has_metal);
        self.speed.filter(|speed| speed.device == device).map(|speed| speed.flops_per_second)
    }

    /// With the model as the recipe's objective trains it.
    #[must_use]
    pub fn of_objective(mut self, recipe: &Recipe) -> Self {
        let Some(model) = &mut self.model else { return self };
        model.config = if recipe.has_tasks() {
            let labels = |index: usize| self.tasks.get(index).map_or(&[][..], |data| &data.labels);
            let all = recipe.tasks.iter().enumerate();
            shared_config(
                &model.config,
                all.map(|(i, task)| (task.name.as_str(), &task.objective, labels(i))),
            )
        } else {
            let labels = self.data.as_ref().map_or(&[][..], |data| &data.labels);
            recipe.objective.config(&model.config, labels)
        };
        self
    }

    /// With what each task's data says.
    #[must_use]
    pub fn of_data(mut self, recipe: &Recipe, each: Vec<DataFacts>) -> Self {
        self.data = if recipe.has_tasks() { Some(DataFacts::together(&each)) } else { each.first().cloned() };
        self.tasks = if recipe.has_tasks() { each } else { Vec::new() };
        self
    }

    /// The most memory that the whole process may have while the recipe is run; `None` where a share is asked for and the system does
    /// not say what is free.
    pub fn memory_limit_bytes(&self, recipe: &Recipe) -> Option<u64> {
        let limit = recipe.run.memory_limit;
        let is_free_known = self.free_memory_bytes > 0;
        match limit {
            _ if !limit.is_sound() => None,
            MemoryLimit::Share(share) => is_free_known.then(|| {
                let of_free = (self.free_memory_bytes as f64 * share) as u64;
                self.resident_bytes.saturating_add(of_free)
            }),
            // There is no more than is free.
            MemoryLimit::Size(bytes) if is_free_known => Some(bytes.min(self.most_memory_bytes())),
            MemoryLimit::Size(bytes) => Some(bytes),
        }
    }

    /// What the process would have if it took all that is free.
    pub(super) fn most_memory_bytes(&self) -> u64 {
        self.resident_bytes.saturating_add(self.free_memory_bytes)
    }
}

/// What a recipe is checked against of the model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelFacts {
    pub name: String,
    pub config: DecoderConfig,
    /// The heads that its files have, whatever heads it is trained with.
    pub own_heads: Vec<TaskHead>,
    pub num_params: u64,
    /// Of its weights on disk.
    pub stored_bytes: u64,
    pub has_chat_template: bool,
    /// What stands for a text where texts are compared, where its folder says it.
    pub pooling: Option<Pooling>,
}

impl From<&ModelInfo> for ModelFacts {
    fn from(info: &ModelInfo) -> Self {
        let is_weights = |name: &str| name.ends_with(".safetensors") || name.ends_with(".gguf");
        Self {
            name: info.source.clone(),
            config: info.config.clone(),
            own_heads: info.config.heads.clone(),
            num_params: info.num_params,
            stored_bytes: info
                .files
                .iter()
                .filter(|(name, _)| is_weights(name))
                .map(|(_, bytes)| bytes)
                .sum(),
            has_chat_template: info.has_chat_template,
            pooling: info.pooling,
        }
    }
}

/// Numbers of the prepared data that a recipe is checked against.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DataFacts {
    pub num_train: usize,
    pub num_valid: usize,
    pub num_test: usize,
    /// Tokens of the training rows, after cutting.
    pub train_tokens: u64,
    /// Tokens that are trained on.
    pub trained_tokens: u64,
    pub longest_tokens: usize,
    pub num_overlong: usize,
    /// Those of them that are left out because nothing to learn was left of them.
    pub num_answer_cut: usize,
    /// The classes of the rows, where they have them.
    pub labels: Vec<String>,
    /// Those of them that no training row has.
    pub labels_not_trained: Vec<String>,
    /// Every column, and the first cell of it that is no number, with its line.
    pub columns: Vec<(String, Option<(u64, String)>)>,
}

impl DataFacts {
    pub fn of(dataset: &Dataset) -> Self {
        let limit = u32::try_from(dataset.options.max_tokens).unwrap_or(u32::MAX);
        let train = || dataset.split.train.iter().filter_map(|i| dataset.samples.get(*i));
        Self {
            num_train: dataset.split.train.len(),
            num_valid: dataset.split.valid.len(),
            num_test: dataset.split.test.len(),
            train_tokens: train().map(|s| s.len() as u64).sum(),
            trained_tokens: train().map(|s| s.num_trained() as u64).sum(),
            longest_tokens: dataset.stats.lengths.last().map_or(0, |l| *l as usize),
            num_overlong: dataset.stats.lengths.iter().filter(|l| **l > limit).count(),
            num_answer_cut: dataset.ledger.counts().num_answer_cut as usize,
            labels: dataset.labels.names().to_vec(),
            labels_not_trained: not_trained(dataset),
            columns: columns(dataset),
        }
    }
}

/// The columns, and what keeps them from being numbers.
fn columns(dataset: &Dataset) -> Vec<(String, Option<(u64, String)>)> {
    let of = |column: &Column| {
        let mut cells = dataset.rows.iter().map(|row| (row.line, column.get(row.index)));
        let wrong = cells.find(|(_, cell)| number(cell).is_none());
        (column.name.clone(), wrong.map(|(line, cell)| (line, cell.to_string())))
    };
    dataset.table.columns.iter().map(of).collect()
}

/// The classes that no training row is of.
fn not_trained(dataset: &Dataset) -> Vec<String> {
    let mut is_trained = vec![false; dataset.labels.names().len()];
    for sample in dataset.split.train.iter().filter_map(|i| dataset.samples.get(*i)) {
        let classes = match &sample.goal {
            Goal::Class(class) => std::slice::from_ref(class),
            Goal::Classes(classes) => classes,
            Goal::None | Goal::Score(_) => &[],
        };
        classes.iter().for_each(|class| is_trained[*class as usize] = true);
    }
    let names = dataset.labels.names().iter().zip(is_trained);
    names.filter(|(_, is_trained)| !is_trained).map(|(name, _)| name.clone()).collect()
}

/// A recipe that was found sound, with the numbers that follow from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub(super) recipe: Recipe,
    pub(super) num_updates: u64,
    pub(super) updates_per_epoch: f64,
    pub(super) warmup_updates: u64,
    pub(super) validation_every: u64,
    pub(super) checkpoint_every: u64,
    pub(super) estimate: Estimate,
    pub(super) memory_limit_bytes: Option<u64>,
}

fn updates_per_epoch(recipe: &Recipe, micro_batches: u64) -> f64 {
    micro_batches.max(1) as f64 / recipe.batch.accumulation.max(1) as f64
}

fn num_updates(recipe: &Recipe, updates_per_epoch: f64) -> u64 {
    let from_epochs = (recipe.length.epochs * updates_per_epoch).ceil().max(1.0) as u64;
    recipe.length.updates.unwrap_or(from_epochs)
}

/// Tokens of all updates of a run together; `micro_batches` are those of one epoch.
pub(super) fn all_tokens(recipe: &Recipe, facts: &Facts, micro_batches: u64) -> Tokens {
    let tokens = facts.data.as_ref().map_or(0, |data| data.train_tokens);
    let updates_per_epoch = updates_per_epoch(recipe, micro_batches);
    let num_updates = num_updates(recipe, updates_per_epoch);
    let of_data = (tokens as f64 * num_updates as f64 / updates_per_epoch) as u64;
    // Without data nothing is known of the run's length.
    let of_text = if tokens == 0 { 0 } else { num_updates.saturating_mul(text_tokens(recipe)) };
    Tokens { of_data, of_text }
}

impl Plan {
    /// Checks the recipe and derives its numbers. `micro_batches` are those of one epoch, as the loader deals
    /// them.
    ///
    /// # Errors
    /// All problems, warnings too, when at least one is an error.
    pub fn new(recipe: Recipe, facts: &Facts, micro_batches: u64) -> Result<Self, Vec<Problem>> {
        let problems = recipe.check(facts);
        if problems.iter().any(|p| p.severity == Severity::Error) {
            return Err(problems);
        }
        let updates_per_epoch = updates_per_epoch(&recipe, micro_batches);
        let num_updates = num_updates(&recipe, updates_per_epoch);
        let an_epoch = (updates_per_epoch.round() as u64).clamp(1, num_updates);
        let or_an_epoch = |every: u64| if every == 0 { an_epoch } else { every };
        let has_valid = facts.data.as_ref().is_some_and(|data| data.num_valid > 0);
        let validation_every =
            if has_valid { or_an_epoch(recipe.validation.every_updates) } else { u64::MAX };
        let checkpoint_every = match recipe.checkpoint.every_updates {
            0 if has_valid => validation_every,
            every => or_an_epoch(every),
        };
        let all_tokens = all_tokens(&recipe, facts, micro_batches);
        let estimate = estimate(&recipe, facts, all_tokens).unwrap_or_default();
        let warmup_updates = (recipe.schedule.warmup * num_updates as f64).round() as u64;
        Ok(Self {
            memory_limit_bytes: facts.memory_limit_bytes(&recipe),
            recipe,
            num_updates,
            updates_per_epoch,
            warmup_updates,
            validation_every,
            checkpoint_every,
            estimate,
        })
    }

    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Updates of the whole run.
    pub fn num_updates(&self) -> u64 {
        self.num_updates
    }

    pub fn updates_per_epoch(&self) -> f64 {
        self.updates_per_epoch
    }

    /// The learning rate over the run.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            shape: self.recipe.schedule.shape,
            peak: self.recipe.optimizer.learning_rate,
            warmup_updates: self.warmup_updates,
            num_updates: self.num_updates,
        }
    }

    /// Updates between validations, at least 1; `u64::MAX` when there is nothing to validate on.
    pub fn validation_every(&self) -> u64 {
        self.validation_every
    }

    /// Updates between checkpoints, at least 1.
    pub fn checkpoint_every(&self) -> u64 {
        self.checkpoint_every
    }

    pub fn estimate(&self) -> Estimate {
        self.estimate
    }

    /// The most memory that the process may have during the run, if there is a limit.
    pub fn memory_limit_bytes(&self) -> Option<u64> {
        self.memory_limit_bytes
    }
}

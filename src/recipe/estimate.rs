//! Memory, time and disk of a run before it starts, from shapes alone.
//!
//! What the way back needs of a micro-step is in `activations`. The rest is there all the time: the frozen model, what
//! is trained, its gradient, and what the optimizer remembers.

use super::activations::{Kept, activations};
use super::plan::{DataFacts, Facts, ModelFacts};
use super::recipe::{Checkpointing, Method, Objective, OptimizerKind, Recipe};
use crate::model::config::{DecoderConfig, Needed};
use crate::model::flops::Work;
use crate::peft::Tuning;

/// What two CPU cores of 2023 make of the operations that are needed, by `tunesmith bench train`. For a machine that
/// was not measured.
const DEFAULT_FLOPS_PER_SECOND: f64 = 2.2e11;
/// About the share of what matrix products reach alone that the operations needed by an update do: 0.45 on a busy
/// machine by the same command, which prints both.
const REACHED: f64 = 0.5;

/// The program itself, its tokenizer and its threads, as measured of one that answers with the starter model.
pub const PROCESS_BYTES: u64 = 96 << 20;
/// Of what comes and goes, the part that lies freed between what is in use: the allocator keeps it for the next update.
const FREED_BETWEEN: u64 = 16;

/// Bytes and seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Estimate {
    pub weights_bytes: u64,
    pub trainable_bytes: u64,
    pub optimizer_bytes: u64,
    pub activation_bytes: u64,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
    pub num_trainable_params: u64,
    /// Of what the finished run leaves.
    pub file_bytes: u64,
    pub secs: f64,
    /// Whether blocks are run again on the way back.
    pub has_checkpoints: bool,
    /// Where the way back ends, when not at the bottom.
    pub backward_stop: Option<BackwardStop>,
}

/// The way back through the model ends above its bottom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BackwardStop {
    /// The lowest block that it reaches, counted from 0; the number of blocks where it reaches none.
    pub block: usize,
    pub num_blocks: usize,
    /// Share of the operations of full tuning that an update does without.
    pub saved: f64,
}

impl BackwardStop {
    fn of(recipe: &Recipe, model: &DecoderConfig) -> Option<Self> {
        let settings = recipe.method.settings_in(model).ok()?;
        let (tuning, num_blocks) = (settings.tuning(), model.num_layers);
        let block = tuning.lowest_block(model);
        if block == 0 {
            return None;
        }
        let segments = [recipe.batch.max_tokens.clamp(1, 1 << 20)];
        let work = Work { segments: &segments, num_trained: segments[0] };
        let saved = 1.0 - tuning.flops(model, work) / model.full_flops(work).max(1.0);
        Some(Self { block, num_blocks, saved })
    }

    /// "Backward stops at block 20 of 30: about 45 % less time an update than all weights take"
    pub fn describe(&self) -> String {
        let Self { block, num_blocks, saved } = self;
        let place = match block == num_blocks {
            true => format!("above all {num_blocks} blocks"),
            false => format!("at block {block} of {num_blocks}"),
        };
        let percent = 100.0 * saved;
        format!("Backward stops {place}: about {percent:.0} % less time an update than all weights take")
    }
}

/// Parameters that the recipe's method trains.
pub fn num_trainable(recipe: &Recipe, model: &ModelFacts) -> u64 {
    of_method(recipe, model, |tuning| tuning.num_values(&model.config))
}

/// A number of the recipe's method; 0 while it has settings that no model could be tuned with.
fn of_method(recipe: &Recipe, model: &ModelFacts, number: impl Fn(&dyn Tuning) -> u64) -> u64 {
    let settings = recipe.method.settings_in(&model.config);
    settings.map_or(0, |settings| number(settings.tuning()))
}

/// Tokens of the largest micro-batch: the budget or the longest example, but never more than there are to train on.
pub(super) fn micro_batch_tokens(recipe: &Recipe, data: Option<&DataFacts>) -> u64 {
    let batch = &recipe.batch;
    let longest = match data {
        Some(data) => data.longest_tokens.min(batch.max_tokens),
        None => batch.max_tokens,
    };
    let budget = if batch.packing { batch.micro_batch_tokens.max(longest) } else { longest };
    (budget as u64).min(data.map_or(u64::MAX, |data| data.train_tokens))
}

/// Of `n` tokens of a micro-batch, those that a stack of their own reads: as many as of all training tokens, or half of them while these
/// are not known.
fn num_read(recipe: &Recipe, data: Option<&DataFacts>, n: u64) -> u64 {
    let share = match (&recipe.objective, data.filter(|data| data.train_tokens > 0)) {
        // A sentinel stands for each piece that is taken out, and before it where it is written.
        (Objective::SpanCorruption(of), _) => 1.0 - of.share + of.share / of.mean_length.max(1.0),
        (_, Some(data)) => 1.0 - data.trained_tokens as f64 / data.train_tokens as f64,
        (_, None) => 0.5,
    };
    (n as f64 * share.clamp(0.0, 1.0)) as u64
}

/// Rows that virtual tokens add to a micro-batch of `n` tokens: so many for each example in it.
fn virtual_rows(recipe: &Recipe, data: Option<&DataFacts>, n: u64) -> u64 {
    let num = recipe.method.num_virtual_tokens() as u64;
    let mean = data.map_or(0, |data| data.train_tokens / data.num_train.max(1) as u64).max(1);
    match (num, recipe.batch.packing, data) {
        (0, ..) => 0,
        (num, true, Some(_)) => product(&[num, n.div_ceil(mean)]),
        (num, ..) => num,
    }
}

/// Tokens of all updates of a run together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    pub of_data: u64,
    /// Of general text.
    pub of_text: u64,
}

impl From<u64> for Tokens {
    fn from(of_data: u64) -> Self {
        Self { of_data, of_text: 0 }
    }
}

impl Tokens {
    fn all(self) -> u64 {
        sum(&[self.of_data, self.of_text])
    }

    /// Those that the base model reads as well, to be held against.
    fn of_base(self, recipe: &Recipe) -> u64 {
        match (recipe.forgetting.kl_weight > 0.0, text_tokens(recipe)) {
            (false, _) => 0,
            (true, 0) => self.of_data,
            (true, _) => self.of_text,
        }
    }
}

/// Tokens of general text in an update.
pub(super) fn text_tokens(recipe: &Recipe) -> u64 {
    product(&[recipe.pieces_of_an_update() as u64, recipe.piece_tokens() as u64])
}

/// `tokens` are those of all updates together. Absurd numbers give the largest number, never a panic.
/// `None` while no model is known.
pub fn estimate(recipe: &Recipe, facts: &Facts, tokens: impl Into<Tokens>) -> Option<Estimate> {
    let tokens = tokens.into();
    let model = facts.model.as_ref()?;
    let measured = facts.flops_per_second(recipe).map(|peak| REACHED * peak);
    let flops_per_second = measured.unwrap_or(DEFAULT_FLOPS_PER_SECOND).max(1.0);
    let backward_stop = BackwardStop::of(recipe, &model.config);
    let num_blocks = model.config.num_layers;
    let num_reached = num_blocks - backward_stop.map_or(0, |stop| stop.block.min(num_blocks));
    let reached = num_reached as f64 / num_blocks.max(1) as f64;
    let with = |has_checkpoints: bool| {
        let n = micro_batch_tokens(recipe, facts.data.as_ref()).max(text_tokens(recipe));
        let num_virtual = virtual_rows(recipe, facts.data.as_ref(), n);
        let num_read = match model.config.encoder {
            Some(_) => sum(&[num_read(recipe, facts.data.as_ref(), n), num_virtual]),
            None => 0,
        };
        let n = sum(&[n, num_virtual]);
        let of_method = of_method(recipe, model, |tuning| tuning.kept(&model.config));
        let is_held = recipe.forgetting.kl_weight > 0.0;
        let kept = Kept { of_method, n, num_read, num_blocks: num_reached as u64, has_checkpoints, is_held };
        let in_use = product(&[4, activations(&model.config, kept)]);
        let activation_bytes = sum(&[in_use, in_use / FREED_BETWEEN]);
        // a weight and token: 2 operations forward and 2 back; 2 for its own gradient, 2 for running it again, and 2 of the base
        let own_gradient = if matches!(recipe.method, Method::Full {}) { 2.0 } else { 0.0 };
        let once = backward_stop.map_or(4.0 + own_gradient, |stop| 6.0 * (1.0 - stop.saved));
        let each = once + if has_checkpoints { 2.0 * reached } else { 0.0 };
        let operations = each * tokens.all() as f64 + 2.0 * tokens.of_base(recipe) as f64;
        Estimate {
            activation_bytes,
            has_checkpoints,
            backward_stop,
            secs: operations * model.num_params as f64 / flops_per_second,
            ..without_activations(recipe, model)
        }
        .summed()
    };
    let plain = with(false);
    let is_short = facts.memory_limit_bytes(recipe).is_some_and(|limit| plain.memory_bytes > limit);
    Some(match recipe.run.checkpointing {
        Checkpointing::None => plain,
        Checkpointing::All => with(true),
        Checkpointing::Auto if is_short => with(true),
        Checkpointing::Auto => plain,
    })
}

fn without_activations(recipe: &Recipe, model: &ModelFacts) -> Estimate {
    let num_trainable_params = num_trainable(recipe, model);
    let trainable_bytes = product(&[4, num_trainable_params]);
    let moments_bytes = moments_bytes(recipe.optimizer.kind, num_trainable_params);
    let file_bytes = product(&[4, of_method(recipe, model, |tuning| tuning.num_saved(&model.config))]);
    // the best checkpoint besides the last ones
    let num_kept = sum(&[recipe.checkpoint.keep_last as u64, 1]);
    let gradient_bytes = match recipe.optimizer.in_backward {
        true => product(&[4, of_method(recipe, model, |tuning| passing(tuning, &model.config))]),
        false => trainable_bytes,
    };
    Estimate {
        weights_bytes: recipe.base_precision().num_bytes(model.num_params, model.stored_bytes),
        trainable_bytes,
        optimizer_bytes: sum(&[moments_bytes, gradient_bytes]),
        // a checkpoint holds the adapter and the moments; the finished adapter, or the whole model, lies beside them
        disk_bytes: sum(&[product(&[num_kept, sum(&[trainable_bytes, moments_bytes])]), file_bytes]),
        num_trainable_params,
        file_bytes,
        ..Estimate::default()
    }
}

/// Numbers of a gradient that is never there as a whole, at the most: the largest tensor's, which waits for the last use where embeddings
/// and head are one, and those of two that are computed as one.
fn passing(tuning: &dyn Tuning, config: &DecoderConfig) -> u64 {
    let size = |needed: Needed| needed.shape.iter().fold(1, |size: u64, n| size.saturating_mul(*n as u64));
    let mut sizes: Vec<u64> = tuning.parameters(config).into_iter().map(size).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes.iter().take(3).fold(0, |sum: u64, size| sum.saturating_add(*size))
}

/// What an optimizer remembers of so many parameters.
fn moments_bytes(kind: OptimizerKind, num_params: u64) -> u64 {
    match kind {
        OptimizerKind::AdamW => product(&[8, num_params]),
        // and the largest magnitude of each block, of each moment
        OptimizerKind::AdamW8Bit => {
            sum(&[product(&[2, num_params]), product(&[8, num_params.div_ceil(256)])])
        }
        OptimizerKind::Lion | OptimizerKind::Sgd => product(&[4, num_params]),
    }
}

impl Estimate {
    /// What no smaller micro-batch saves: the model, what is trained, and the optimizer.
    pub fn fixed_bytes(&self) -> u64 {
        self.memory_bytes.saturating_sub(self.activation_bytes)
    }

    fn summed(self) -> Self {
        let parts = [
            self.weights_bytes,
            self.trainable_bytes,
            self.optimizer_bytes,
            self.activation_bytes,
            PROCESS_BYTES,
        ];
        Self { memory_bytes: sum(&parts), ..self }
    }
}

pub(super) fn product(factors: &[u64]) -> u64 {
    factors.iter().copied().fold(1, u64::saturating_mul)
}

pub(super) fn sum(terms: &[u64]) -> u64 {
    terms.iter().copied().fold(0, u64::saturating_add)
}

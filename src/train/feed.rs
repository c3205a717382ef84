//! Which rows each micro-step learns from: of which task, and in which order.

use super::TrainError;
use crate::base::rng::Rng;
use crate::data::graded::Graded;
use crate::data::loader::Loader;
use crate::data::{Batch, Sample};
use crate::objective::Objective;
use crate::recipe::Recipe;
use crate::recipe::recipe::Curriculum;

/// Domain of the random streams that draw the task of a micro-step.
const MIX: u64 = 0x3A_5C;
/// What tells the order of one task's rows from that of another's.
const APART: u64 = 0x9E37_79B9_7F4A_7C15;

/// What a task learns from.
pub struct Rows<'a> {
    pub objective: &'a dyn Objective,
    pub samples: Vec<&'a Sample>,
    /// Their places, the first to come into play first; `None` where they are shuffled.
    pub order: Option<Vec<usize>>,
}

impl<'a> Rows<'a> {
    pub fn shuffled(objective: &'a dyn Objective, samples: impl IntoIterator<Item = &'a Sample>) -> Self {
        Self { objective, samples: samples.into_iter().collect(), order: None }
    }
}

/// Where a task is in its rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    pub epoch: u64,
    /// Micro-batches of this epoch that were used.
    pub micro_batch: usize,
}

/// A task's rows, dealt out over and over.
pub struct Stream<'a> {
    pub objective: &'a dyn Objective,
    pub samples: Vec<&'a Sample>,
    pub loader: Loader,
    /// Of this epoch.
    batches: Vec<Vec<usize>>,
    cursor: Cursor,
    /// Deals the rows out instead, where they have an order.
    graded: Option<Graded>,
}

impl<'a> Stream<'a> {
    /// Rows without anything to learn from are left out: every micro-batch shall have a loss.
    fn new(rows: Rows<'a>, recipe: &Recipe, index: usize) -> Result<Self, TrainError> {
        let Rows { objective, samples: all, order } = rows;
        let places: Vec<usize> = (0..all.len()).filter(|place| all[*place].num_trained() > 0).collect();
        let samples: Vec<&Sample> = places.iter().map(|place| all[*place]).collect();
        if samples.is_empty() {
            return Err(TrainError::NothingToLearn);
        }
        let lengths: Vec<usize> = samples.iter().map(|sample| sample.len()).collect();
        let (batch, seed) = (&recipe.batch, recipe.run.seed);
        let seed = seed.wrapping_add(APART.wrapping_mul(index as u64));
        let loader = Loader::new(lengths, batch.micro_batch_tokens, batch.packing, seed);
        let batches = loader.epoch(0);
        let graded = order.map(|order| {
            let kept = order.iter().filter_map(|place| places.binary_search(place).ok()).collect();
            let lengths = samples.iter().map(|sample| sample.len()).collect();
            Graded::new(kept, lengths, batch.micro_batch_tokens, batch.packing, seed)
        });
        Ok(Self { objective, samples, loader, batches, cursor: Cursor::default(), graded })
    }

    /// The micro-batches of the epoch that it is in.
    pub fn epoch(&self) -> &[Vec<usize>] {
        &self.batches
    }

    /// The next micro-batch, with this share of the rows in play.
    fn next(&mut self, share: f64) -> Vec<usize> {
        if let Some(graded) = &mut self.graded {
            return graded.next(share);
        }
        if self.cursor.micro_batch >= self.batches.len() {
            self.seek(Cursor { epoch: self.cursor.epoch + 1, micro_batch: 0 });
        }
        let rows = self.batches[self.cursor.micro_batch].clone();
        self.cursor.micro_batch += 1;
        rows
    }

    fn seek(&mut self, to: Cursor) {
        if to.epoch != self.cursor.epoch {
            self.batches = self.loader.epoch(to.epoch);
        }
        self.cursor = to;
    }

    fn restart(&mut self) {
        self.seek(Cursor::default());
        self.graded.iter_mut().for_each(Graded::restart);
    }
}

/// How a micro-batch of one of several tasks counts in its update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Of its loss and of all gradients of it, beside what the batch's weights say.
    pub factor: f64,
    /// What it adds to the weight that the update is divided by.
    pub weight: f64,
}

impl Scale {
    /// Gives the factor to a batch whose loss is of tokens: a trained vocabulary projection has its gradient on the way forward. That of whole
    /// texts is left for the way back.
    pub fn put_into(self, batch: &mut Batch, objective: &dyn Objective) -> Self {
        if !objective.weighs_tokens() {
            return self;
        }
        batch.weights.iter_mut().for_each(|weight| *weight *= self.factor as f32);
        Self { factor: 1.0, ..self }
    }
}

/// A micro-batch and its task.
pub struct Fed {
    pub task: usize,
    pub batch: Batch,
    /// Which micro-step of the update it is of; its halves are of one.
    pub micro_step: u64,
}

/// The rows of all tasks. What a micro-step takes follows from the seed, the update and its number alone.
pub struct Feed<'a> {
    pub streams: Vec<Stream<'a>>,
    /// Probability of each task.
    shares: Vec<f64>,
    /// Of each task, such that those of an update are 1 in the mean.
    weights: Vec<f64>,
    seed: u64,
    accumulation: u64,
    curriculum: Curriculum,
    num_updates: u64,
}

impl<'a> Feed<'a> {
    /// # Errors
    /// [`TrainError::NothingToLearn`] where a task has no rows.
    pub fn new(recipe: &Recipe, num_updates: u64, tasks: Vec<Rows<'a>>) -> Result<Self, TrainError> {
        let each = tasks.into_iter().enumerate();
        let streams = each.map(|(index, rows)| Stream::new(rows, recipe, index));
        let streams = streams.collect::<Result<Vec<_>, _>>()?;
        if streams.is_empty() {
            return Err(TrainError::NothingToLearn);
        }
        let sizes: Vec<usize> = streams.iter().map(|stream| stream.epoch().len()).collect();
        let shares = shares(&sizes, recipe.mixing.temperature);
        let own = recipe.task_weights();
        let mean: f64 = shares.iter().zip(&own).map(|(share, weight)| share * weight).sum();
        let weights = own.iter().map(|weight| weight / mean).collect();
        let accumulation = recipe.batch.accumulation as u64;
        let (seed, curriculum) = (recipe.run.seed, recipe.curriculum.clone());
        Ok(Self { streams, shares, weights, seed, accumulation, curriculum, num_updates })
    }

    fn is_mixed(&self) -> bool {
        self.streams.len() > 1
    }

    pub fn num_samples(&self) -> usize {
        self.streams.iter().map(|stream| stream.samples.len()).sum()
    }

    /// The task of a micro-step of an update.
    fn drawn(&self, update: u64, micro_step: u64) -> usize {
        if !self.is_mixed() {
            return 0;
        }
        draw(&self.shares, Rng::new(self.seed, &[MIX, update, micro_step]).uniform())
    }

    /// The task of the next micro-step, and its rows.
    pub fn next(&mut self, update: u64, micro_step: u64) -> (usize, Vec<usize>) {
        let task = self.drawn(update, micro_step);
        let share = self.curriculum.share(update, self.num_updates);
        (task, self.streams[task].next(share))
    }

    /// Whether a place has to be looked for by dealing again all that was dealt before it.
    fn is_followed(&self) -> bool {
        self.is_mixed() || self.streams[0].graded.is_some()
    }

    /// Where a run of one task in a shuffled order is; that of others follows from the number of its updates.
    pub fn cursor(&self) -> Cursor {
        if self.is_followed() { Cursor::default() } else { self.streams[0].cursor }
    }

    /// To where it was after so many updates.
    pub fn seek(&mut self, updates: u64, cursor: Cursor) {
        if !self.is_followed() {
            return self.streams[0].seek(cursor);
        }
        self.streams.iter_mut().for_each(Stream::restart);
        for update in 0..updates {
            (0..self.accumulation).for_each(|step| drop(self.next(update, step)));
        }
    }

    /// How the micro-batches of an update count; `None` of a single task, whose losses are added up as they are. Of several, each task's
    /// loss is the mean over what it has in this update, as it would be alone, times its weight and its share of the micro-steps: so neither
    /// the size of its loss's sums nor the length of its texts counts, and the mean over updates is Σ share · weight · mean loss.
    pub fn scales(&self, fed: &[Fed]) -> Vec<Option<Scale>> {
        if !self.is_mixed() {
            return vec![None; fed.len()];
        }
        let weight = |one: &Fed| self.streams[one.task].objective.weight(&one.batch);
        let mut all = vec![0.0; self.streams.len()];
        let mut steps = vec![Vec::new(); self.streams.len()];
        for one in fed {
            all[one.task] += weight(one);
            if !steps[one.task].contains(&one.micro_step) {
                steps[one.task].push(one.micro_step);
            }
        }
        let scale = |one: &Fed| {
            // Rows that left nothing to learn, as very short texts may, count for nothing.
            let of_task =
                if all[one.task] > 0.0 { steps[one.task].len() as f64 / all[one.task] } else { 0.0 };
            Some(Scale { factor: self.weights[one.task] * of_task, weight: of_task * weight(one) })
        };
        fed.iter().map(scale).collect()
    }
}

/// p ∝ n^(1/T).
pub fn shares(sizes: &[usize], temperature: f64) -> Vec<f64> {
    // The largest is 1, or a small T would make them infinite.
    let most = sizes.iter().copied().max().unwrap_or(1).max(1) as f64;
    let raised: Vec<f64> = sizes.iter().map(|n| (*n as f64 / most).powf(1.0 / temperature)).collect();
    let all: f64 = raised.iter().sum();
    raised.into_iter().map(|share| share / all).collect()
}

/// Which of the shares a number from 0 to 1 falls into.
fn draw(shares: &[f64], at: f64) -> usize {
    let mut end = 0.0;
    let falls = |share: &f64| {
        end += share;
        at < end
    };
    shares.iter().position(falls).unwrap_or(shares.len().saturating_sub(1))
}

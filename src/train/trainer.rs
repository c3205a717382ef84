//! The state of a run between updates, and the update itself.

use super::TrainError;
use super::early_stop;
use super::error::During;
use super::feed::{Cursor, Fed, Feed, Rows, Scale};
use super::forgetting::{Replay, Step, pull_to_base};
use super::memory::{self, Meter};
use super::micro_step::{Accumulated, Pass};
use super::optimizer;
use super::trainee;
use crate::base::{Control, Update, hardware};
use crate::data::{Batch, Sample};
use crate::model::load::LoadedModel;
use crate::nn::optim::{Optimizer, Schedule, clip_factor, norm};
use crate::nn::{FlatGradient, Slot};
use crate::objective::Draw;
use crate::peft::Adapter;
use crate::recipe::Plan;
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Where a run is; with the adapter and the optimizer's state, all that a checkpoint needs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Updates done.
    pub update: Update,
    pub epoch: u64,
    /// Micro-batches of this epoch that were used.
    pub micro_batch: usize,
    pub validation: early_stop::Progress,
    /// The validation after this update is still to be done: a stop cut it short. The run goes on with it.
    #[serde(default)]
    pub owes_validation: bool,
    /// Memory was short once: since then each micro-batch is dealt in two halves.
    #[serde(default)]
    pub is_halved: bool,
    /// The same of validation, which packs its own micro-batches.
    #[serde(default)]
    pub is_validation_halved: bool,
    /// Seconds spent so far, over all sessions of the run.
    pub secs: f64,
}

/// What one update did.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateReport {
    /// Mean loss over the trained tokens of the data in this update, before it; what is done against forgetting is not in it.
    pub loss: f64,
    pub learning_rate: f64,
    /// Norm of the gradient of all that is minimised, before clipping.
    pub grad_norm: f64,
    /// Of the data.
    pub num_tokens: u64,
    /// Mean loss over the general text that was learnt again, before the update; `None` where none was.
    pub replay_loss: Option<f64>,
    /// Mean divergence from the base, before the update; `None` where nothing was held near it.
    pub divergence: Option<f64>,
    /// Mean loss of each task that the update had micro-batches of, by its place.
    pub task_losses: Vec<(usize, f64)>,
}

impl UpdateReport {
    fn new(sum: &Accumulated, learning_rate: f64, grad_norm: f64) -> Self {
        let each = sum.tasks.iter().enumerate();
        let losses = each.filter_map(|(task, loss)| Some((task, loss.mean()?)));
        Self {
            loss: sum.loss_sum / sum.weight,
            learning_rate,
            grad_norm,
            num_tokens: sum.num_tokens,
            replay_loss: sum.replay.mean(),
            divergence: sum.divergence.mean(),
            task_losses: losses.collect(),
        }
    }
}

/// A run in progress.
pub struct Trainer<'a> {
    pub model: &'a LoadedModel,
    pub adapter: Adapter,
    pub optimizer: Optimizer,
    /// Summed over the micro-steps of one update.
    gradient: FlatGradient,
    pub position: Position,
    feed: Feed<'a>,
    replay: Replay<'a>,
    schedule: Schedule,
    plan: &'a Plan,
    pub meter: Meter<'a>,
}

impl<'a> Trainer<'a> {
    /// A run from the beginning. `tasks` are the training rows of each task, `text` pieces of general text.
    pub fn new(
        plan: &'a Plan,
        model: &'a LoadedModel,
        tasks: Vec<Rows<'a>>,
        text: &'a [Sample],
        meter: Meter<'a>,
    ) -> Result<Self, TrainError> {
        let recipe = plan.recipe();
        let feed = Feed::new(recipe, plan.num_updates(), tasks)?;
        let adapter = trainee::new_adapter(&recipe.method, model, recipe.run.seed)?;
        let rates = optimizer::rates(&recipe.method, &adapter.params);
        // What it was made of lies freed in pieces that are too small for the moments.
        hardware::give_back_freed();
        let optimizer = Optimizer::new(optimizer::settings(&recipe.optimizer), &adapter.params)
            .and_then(|optimizer| optimizer.with_rates(&adapter.params, &rates))
            .during("make the optimizer")?;
        let gradient = match recipe.optimizer.in_backward {
            true => FlatGradient::passing(&adapter.params),
            false => FlatGradient::new(&adapter.params).during("make the gradient")?,
        };
        let schedule = plan.schedule();
        let position = Position::default();
        Ok(Self {
            model,
            adapter,
            optimizer,
            gradient,
            position,
            feed,
            replay: Replay::new(recipe, text),
            schedule,
            plan,
            meter,
        })
    }

    /// Goes on from a checkpoint's parts; `state` is the optimizer's.
    ///
    /// # Errors
    /// When the state is not the one of the recipe's optimizer; nothing has changed then.
    pub fn restore(
        &mut self,
        adapter: Adapter,
        state: HashMap<String, Tensor>,
        position: Position,
    ) -> crate::nn::Result<()> {
        let recipe = self.plan.recipe();
        let settings = optimizer::settings(&recipe.optimizer);
        let rates = optimizer::rates(&recipe.method, &adapter.params);
        let optimizer = Optimizer::restore(settings, &adapter.params, state, position.update.0)?;
        self.optimizer = optimizer.with_rates(&adapter.params, &rates)?;
        self.adapter = adapter;
        self.rewind(position);
        Ok(())
    }

    /// Gives back what only updates need: there is none after that.
    pub fn end_updates(&mut self) {
        self.gradient = FlatGradient::passing(&self.adapter.params);
        self.optimizer.forget();
        hardware::give_back_freed();
    }

    /// Training rows that have something to learn from.
    pub fn num_samples(&self) -> usize {
        self.feed.num_samples()
    }

    /// Passes over the data so far.
    pub fn epochs(&self) -> f64 {
        self.position.update.0 as f64 / self.plan.updates_per_epoch().max(f64::MIN_POSITIVE)
    }

    /// One optimizer update. `Ok(None)` when the control said stop: nothing has changed then.
    ///
    /// # Errors
    /// When memory ran out nothing has changed, either: the update can be made again, in halves.
    pub fn update(&mut self, control: &Control) -> Result<Option<UpdateReport>, TrainError> {
        let before = self.position.clone();
        let made = match self.plan.recipe().optimizer.in_backward {
            true => self.update_in_backward(control),
            false => self.micro_steps(control).and_then(|sum| sum.map(|sum| self.apply(sum)).transpose()),
        };
        match made {
            Ok(Some(report)) => {
                self.position.update.0 += 1;
                Ok(Some(report))
            }
            Ok(None) => {
                self.rewind(before);
                Ok(None)
            }
            Err(error) => {
                self.rewind(before);
                Err(memory::recognised(error))
            }
        }
    }

    /// Those of the data, then that of the general text; `Ok(None)` when the control said stop.
    fn micro_steps(&mut self, control: &Control) -> Result<Option<Accumulated>, TrainError> {
        let mut sum = Accumulated::default();
        self.gradient.clear();
        for step in self.steps_of_data() {
            if control.is_stopped() {
                return Ok(None);
            }
            self.parts(step.task).0.run(step, &mut sum, &mut |_| Ok(()))?;
            self.meter.look()?;
        }
        for step in self.steps_of_text(sum.weight) {
            if control.is_stopped() {
                return Ok(None);
            }
            self.parts(0).0.run(step, &mut sum, &mut |_| Ok(()))?;
            self.meter.look()?;
        }
        Ok(Some(sum))
    }

    /// The micro-batches of the next update.
    fn steps_of_data(&mut self) -> Vec<Step> {
        let mut fed: Vec<Fed> = Vec::new();
        for micro_step in 0..self.plan.recipe().batch.accumulation as u64 {
            let (task, rows) = self.next_rows(micro_step);
            for part in self.dealt(task, &rows) {
                fed.push(Fed { task, batch: self.pack(task, &part, fed.len() as u64), micro_step });
            }
        }
        let scales = self.feed.scales(&fed);
        let step = |(Fed { task, mut batch, .. }, scale): (Fed, Option<Scale>)| {
            let objective = self.feed.streams[task].objective;
            let scale = scale.map(|scale| scale.put_into(&mut batch, objective));
            Step { task, scale, ..self.replay.of_data(batch) }
        };
        fed.into_iter().zip(scales).map(step).collect()
    }

    /// An update of one micro-batch whose weights move while the tape walks back. Until then nothing has changed; a gradient that is not
    /// finite is found when some have.
    fn update_in_backward(&mut self, control: &Control) -> Result<Option<UpdateReport>, TrainError> {
        if control.is_stopped() {
            return Ok(None);
        }
        let (task, rows) = self.next_rows(0);
        let step = self.replay.of_data(self.pack(task, &rows, 0));
        let weight = self.feed.streams[task].objective.weight(&step.batch);
        let learning_rate = self.schedule.at(self.position.update);
        self.gradient.clear();
        let mut sum = Accumulated::default();
        let (pass, optimizer) = self.parts(task);
        let moving = optimizer.in_parts(&pass.adapter.params, 1.0 / weight, learning_rate);
        let mut moving = moving.during("optimizer step")?;
        pass.run(step, &mut sum, &mut |slot| match slot.take() {
            Some((start, gradient)) => moving.give(start, gradient),
            None => Ok(()),
        })?;
        let grad_norm = moving.finish().during("optimizer step")? / weight;
        if !grad_norm.is_finite() {
            let update = self.position.update.0 + 1;
            return Err(TrainError::NotFinite { what: "gradient", value: grad_norm, update });
        }
        Ok(Some(UpdateReport::new(&sum, learning_rate, grad_norm)))
    }

    /// Those of this update beside data of so much weight.
    fn steps_of_text(&self, weight: f64) -> Vec<Step> {
        let num_parts = if self.position.is_halved { 2 } else { 1 };
        self.replay.of_update(self.position.update.0, weight, num_parts)
    }

    fn rewind(&mut self, to: Position) {
        self.feed.seek(to.update.0, Cursor { epoch: to.epoch, micro_batch: to.micro_batch });
        self.position = to;
    }

    /// The task and the samples of the next micro-batch.
    fn next_rows(&mut self, micro_step: u64) -> (usize, Vec<usize>) {
        let next = self.feed.next(self.position.update.0, micro_step);
        let Cursor { epoch, micro_batch } = self.feed.cursor();
        (self.position.epoch, self.position.micro_batch) = (epoch, micro_batch);
        next
    }

    /// A micro-batch as it is computed: at once, or in halves. An update has the same samples either way.
    fn dealt(&self, task: usize, rows: &[usize]) -> Vec<Vec<usize>> {
        let loader = &self.feed.streams[task].loader;
        if self.position.is_halved { loader.halves(rows) } else { vec![rows.to_vec()] }
    }

    /// A micro-batch as the model reads it.
    fn pack(&self, task: usize, rows: &[usize], micro_step: u64) -> Batch {
        let of_task = &self.feed.streams[task];
        let samples: Vec<&Sample> = rows.iter().map(|i| of_task.samples[*i]).collect();
        let stream = [self.position.update.0, micro_step];
        of_task.objective.batch(&samples, Draw { seed: self.plan.recipe().run.seed, stream })
    }

    /// The largest step of this epoch there and back, for its memory: gives its tokens and the most memory it took. Other epochs deal
    /// the same samples under the same budget. The gradient is thrown away, and nothing else changes.
    ///
    /// # Errors
    /// Only when memory ran out: whatever else is wrong, the update itself will say.
    pub fn try_largest(&mut self) -> Result<Option<(usize, u64)>, TrainError> {
        let each = self.feed.streams.iter().enumerate();
        let epochs = each.flat_map(|(task, of)| of.epoch().iter().map(move |rows| (task, rows)));
        let steps =
            epochs.flat_map(|(task, rows)| self.dealt(task, rows).into_iter().map(move |r| (task, r)));
        let size = |(task, rows): &(usize, Vec<usize>)| {
            let lengths = rows.iter().map(|i| self.feed.streams[*task].samples[*i].len());
            (lengths.clone().sum::<usize>(), lengths.max())
        };
        let data = steps
            .max_by_key(size)
            .map(|(task, rows)| Step { task, ..self.replay.of_data(self.pack(task, &rows, 0)) });
        // The text's is the heavier one of two as long: all its rows are predicted.
        let all = data.into_iter().chain(self.steps_of_text(1.0).into_iter().take(1));
        let Some(largest) = all.max_by_key(|step| step.batch.len()) else { return Ok(None) };
        let num_tokens = largest.batch.len();
        self.meter.begin();
        self.gradient.clear();
        let take_away = &mut |slot: &Slot| {
            slot.take();
            Ok(())
        };
        let tried = self.parts(largest.task).0.run(largest, &mut Accumulated::default(), take_away);
        let tried = tried.and_then(|()| self.meter.look());
        self.gradient.clear();
        match tried.map_err(memory::recognised) {
            Ok(()) => Ok(Some((num_tokens, self.meter.highest_bytes()))),
            Err(error @ TrainError::OutOfMemory(_)) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Whether dealing micro-batches in halves makes them smaller: one example cannot be cut.
    pub fn can_be_halved(&self) -> bool {
        let mut batches = self.feed.streams.iter().flat_map(|stream| stream.epoch());
        let is_dealt = self.replay.num > 1 || batches.any(|rows| rows.len() > 1);
        // Weights that move during the backward pass move after each half.
        !self.position.is_halved && is_dealt && !self.plan.recipe().optimizer.in_backward
    }

    /// What a micro-step reads of the run, and what moves the weights.
    fn parts(&mut self, task: usize) -> (Pass<'_>, &mut Optimizer) {
        let (adapter, gradient, meter) = (&self.adapter, &self.gradient, &self.meter);
        let (update, objective) = (self.position.update, self.feed.streams[task].objective);
        let pass = Pass { plan: self.plan, model: self.model, adapter, objective, gradient, meter, update };
        (pass, &mut self.optimizer)
    }

    /// Pulls to where it began, scales by 1 / weight, clips, and steps.
    fn apply(&mut self, sum: Accumulated) -> Result<UpdateReport, TrainError> {
        let learning_rate = self.schedule.at(self.position.update);
        if self.feed.streams.len() > 1 {
            self.gradient.settle(&self.adapter.params).during("collect the gradients")?;
        }
        let gradient = self.gradient.whole(&self.adapter.params).during("collect the gradients")?;
        let pull = self.plan.recipe().forgetting.l2_weight;
        if pull > 0.0 {
            pull_to_base(self.model, &self.adapter, &self.gradient, pull * sum.weight)?;
        }
        let grad_norm = norm(gradient).during("gradient norm")? / sum.weight;
        if !grad_norm.is_finite() {
            let update = self.position.update.0 + 1;
            return Err(TrainError::NotFinite { what: "gradient", value: grad_norm, update });
        }
        let clip = clip_factor(grad_norm, self.plan.recipe().optimizer.clip_norm);
        self.optimizer
            .step(&mut self.adapter.params, gradient, clip / sum.weight, learning_rate)
            .during("optimizer step")?;
        Ok(UpdateReport::new(&sum, learning_rate, grad_norm))
    }
}

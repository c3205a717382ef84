//! Forward and backward of one micro-batch.

use super::TrainError;
use super::error::During;
use super::forgetting::Step;
use super::memory::Meter;
use crate::base::Update;
use crate::base::rng::Rng;
use crate::data::Batch;
use crate::model::config::OwnDropout;
use crate::model::hooks::{BodyDropout, Hooks, NoHooks, WithDropout};
use crate::model::load::LoadedModel;
use crate::nn::ops::{Head, Reference};
use crate::nn::{self, FlatGradient, Slot, Tape};
use crate::objective::{Language, Made, Objective};
use crate::peft::{Adapter, MicroStep};
use crate::recipe::Plan;
use candle_core::Tensor;

/// Sum of weighted numbers, and of their weights.
#[derive(Default)]
pub struct Weighted {
    sum: f64,
    weight: f64,
}

impl Weighted {
    fn add(&mut self, sum: f64, weight: f64) {
        self.sum += sum;
        self.weight += weight;
    }

    /// `None` of nothing.
    pub fn mean(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

/// Domain of the random streams that drop the model's own inner numbers.
const DROP: u64 = 0xB0_D9;

/// Sum of the data's loss over the micro-steps of one update.
#[derive(Default)]
pub struct Accumulated {
    pub loss_sum: f64,
    pub weight: f64,
    /// Of the general text.
    pub replay: Weighted,
    /// From the base model's predictions.
    pub divergence: Weighted,
    /// The data's loss of each task, as it is alone.
    pub tasks: Vec<Weighted>,
    pub num_tokens: u64,
    pub num_steps: u64,
}

impl Accumulated {
    fn of_task(&mut self, task: usize) -> &mut Weighted {
        let len = self.tasks.len().max(task + 1);
        self.tasks.resize_with(len, Weighted::default);
        &mut self.tasks[task]
    }
}

/// What a micro-step reads of the run.
pub struct Pass<'p> {
    pub plan: &'p Plan,
    pub model: &'p LoadedModel,
    pub adapter: &'p Adapter,
    pub objective: &'p dyn Objective,
    pub gradient: &'p FlatGradient,
    pub meter: &'p Meter<'p>,
    /// Updates done.
    pub update: Update,
}

impl Pass<'_> {
    /// Adds to `sum` and to the gradient. `done` is told of each slot of the gradient that is whole.
    ///
    /// # Errors
    /// When memory is short before the way back, and whatever the computation says.
    pub fn run(
        &self,
        step: Step,
        sum: &mut Accumulated,
        done: &mut dyn FnMut(&Slot) -> nn::Result<()>,
    ) -> Result<(), TrainError> {
        let Step { batch, nearness, is_data, task, scale } = step;
        let base = if nearness.is_empty() { None } else { Some(self.of_base(&batch)?) };
        // The tape may come back to the hooks, so it must go first.
        let (own, dropping);
        let has_checkpoints = self.plan.estimate().has_checkpoints;
        let tape = if has_checkpoints { Tape::checkpointing() } else { Tape::recording() };
        let update = self.update.0;
        let seed = self.plan.recipe().run.seed;
        let stream = [update, sum.num_steps];
        let step = MicroStep { tape: &tape, gradient: self.gradient, seed, stream };
        own = self.adapter.training_hooks(&step)?;
        let objective = if is_data { self.objective } else { &Language };
        let dropped = Rng::new(seed, &[DROP, stream[0], stream[1]]);
        let share = objective.dropout();
        let OwnDropout { hidden, attention } = match share > 0.0 || !self.plan.recipe().model.dropout {
            true => OwnDropout { hidden: share, attention: share },
            false => self.model.config().dropout,
        };
        let (hidden, attention) = (hidden as f32, attention as f32);
        dropping =
            WithDropout { hooks: own.as_ref(), dropout: BodyDropout { hidden, attention, stream: dropped } };
        let hooks: &dyn Hooks = if hidden + attention > 0.0 { &dropping } else { own.as_ref() };
        let hidden = objective.read(&tape, &self.model.decoder, &batch, hooks)?;
        let reference = base.as_ref().map(|(hidden, head)| Reference { hidden, head, weights: &nearness });
        let decoder = &*self.model.decoder;
        let made = Made { tape: &tape, decoder, hooks, hidden: &hidden, batch: &batch };
        let loss = objective.loss(made, reference.as_ref())?;
        drop((hidden, base));
        // All that the way back needs is there now.
        self.meter.look()?;
        let value = loss.sum + loss.divergence;
        if !value.is_finite() {
            return Err(TrainError::NotFinite { what: "loss", value, update: update + 1 });
        }
        sum.num_steps += 1;
        if is_data {
            let (factor, weight) = scale.map_or((1.0, loss.weight), |scale| (scale.factor, scale.weight));
            sum.loss_sum += factor * loss.sum;
            sum.weight += weight;
            sum.of_task(task).add(loss.sum, loss.weight);
            sum.num_tokens += batch.len() as u64;
        } else {
            sum.replay.add(loss.sum, loss.weight);
        }
        sum.divergence.add(loss.divergence, nearness.iter().map(|weight| f64::from(*weight)).sum());
        let factor = scale.map_or(1.0, |scale| scale.factor as f32);
        let one = Tensor::new(factor, self.adapter.device()).during("seed of the backward pass")?;
        tape.backward_each(&loss.node, one, done).during("backward pass")?;
        Ok(())
    }

    /// What the model says of a micro-batch without what is trained: hidden states [n, d], and what makes logits of them.
    fn of_base(&self, batch: &Batch) -> Result<(Tensor, Head), TrainError> {
        let hidden = self.model.decoder.forward(&Tape::inference(), batch, &NoHooks)?;
        Ok((hidden.value().clone(), self.model.decoder.head(&NoHooks)?))
    }
}

//! Lion (Chen et al. 2023, arXiv:2302.06675): every parameter moves by the same step, in the direction of the sign.

use super::moments::{Moments, in_place, not_in_parts};
use super::optimizer::{Origin, Rule, State, Step};
use crate::nn::kernels::{cpu, portable, updates};
use crate::nn::{FlatParams, Result};
use candle_core::Tensor;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LionSettings {
    /// Weight of the mean in the direction of an update.
    pub beta1: f64,
    /// How long the mean remembers.
    pub beta2: f64,
    pub weight_decay: f64,
}

const NAMES: [&str; 1] = ["mean_gradient"];

/// With a mean of the gradients, [P].
#[derive(Debug)]
pub(super) struct Lion {
    settings: LionSettings,
    mean: Moments<1>,
}

impl Lion {
    pub(super) fn new(settings: LionSettings, origin: &mut Origin) -> Result<Self> {
        Ok(Self { settings, mean: Moments::new(NAMES, origin)? })
    }

    fn update(&self, step: Step) -> updates::Lion {
        let LionSettings { beta1, beta2, weight_decay } = self.settings;
        let keep = 1.0 - step.learning_rate * weight_decay;
        updates::Lion { beta1, beta2, keep, rate: step.learning_rate, scale: step.scale }
    }
}

impl Rule for Lion {
    fn step(&mut self, params: &mut FlatParams, gradient: &Tensor, step: Step) -> Result<()> {
        let update = self.update(step);
        match &mut self.mean {
            Moments::Numbers(_) => self.step_part(params.values(), 0, gradient, step),
            Moments::Tensors([mean]) => {
                let values;
                [values, *mean] = portable::lion::step(params.values(), mean, gradient, update)?;
                params.set_values(values)
            }
        }
    }

    fn step_part(&mut self, values: &Tensor, start: usize, gradient: &Tensor, step: Step) -> Result<()> {
        let update = self.update(step);
        let Moments::Numbers([mean]) = &mut self.mean else { return not_in_parts() };
        let mean = &mut mean[start..start + gradient.elem_count()];
        in_place(values, gradient, |values, gradient| cpu::lion::step(values, mean, gradient, update))
    }

    fn state(&self) -> Vec<(&'static str, State<'_>)> {
        self.mean.named(NAMES)
    }
}

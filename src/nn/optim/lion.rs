//! Lion (Chen et al. 2023, arXiv:2302.06675): every parameter moves by the same step, in the direction of the sign.

use super::moments::{Moments, in_place};
use super::optimizer::{Origin, Rule, Step};
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
}

impl Rule for Lion {
    fn step(&mut self, params: &mut FlatParams, gradient: &Tensor, step: Step) -> Result<()> {
        let LionSettings { beta1, beta2, weight_decay } = self.settings;
        let keep = 1.0 - step.learning_rate * weight_decay;
        let update = updates::Lion { beta1, beta2, keep, rate: step.learning_rate, scale: step.scale };
        match &mut self.mean {
            Moments::Numbers([mean]) => in_place(params, gradient, |values, gradient| {
                cpu::lion::step(values, mean, gradient, update);
            }),
            Moments::Tensors([mean]) => {
                let values;
                [values, *mean] = portable::lion::step(params.values(), mean, gradient, update)?;
                params.set_values(values)
            }
        }
    }

    fn state(&self) -> Result<Vec<(&'static str, Tensor)>> {
        self.mean.named(NAMES)
    }
}

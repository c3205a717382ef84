//! Gradient descent with momentum (Polyak 1964) as PyTorch's `torch.optim.SGD` has it: no dampening, no look ahead, and
//! weight decay as a part of the gradient.

use super::moments::{Moments, in_place};
use super::optimizer::{Origin, Rule, Step};
use crate::nn::kernels::{cpu, portable, updates};
use crate::nn::{FlatParams, Result};
use candle_core::Tensor;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdSettings {
    pub momentum: f64,
    pub weight_decay: f64,
}

const NAMES: [&str; 1] = ["velocity"];

/// With a velocity, [P].
#[derive(Debug)]
pub(super) struct Sgd {
    settings: SgdSettings,
    velocity: Moments<1>,
}

impl Sgd {
    pub(super) fn new(settings: SgdSettings, origin: &mut Origin) -> Result<Self> {
        Ok(Self { settings, velocity: Moments::new(NAMES, origin)? })
    }
}

impl Rule for Sgd {
    fn step(&mut self, params: &mut FlatParams, gradient: &Tensor, step: Step) -> Result<()> {
        let SgdSettings { momentum, weight_decay } = self.settings;
        let (rate, scale) = (step.learning_rate, step.scale);
        let update = updates::Sgd { momentum, decay: weight_decay, rate, scale };
        match &mut self.velocity {
            Moments::Numbers([velocity]) => in_place(params, gradient, |values, gradient| {
                cpu::sgd::step(values, velocity, gradient, update);
            }),
            Moments::Tensors([velocity]) => {
                let values;
                [values, *velocity] = portable::sgd::step(params.values(), velocity, gradient, update)?;
                params.set_values(values)
            }
        }
    }

    fn state(&self) -> Result<Vec<(&'static str, Tensor)>> {
        self.velocity.named(NAMES)
    }
}

//! Gradient descent with momentum (Polyak 1964) as PyTorch's `torch.optim.SGD` has it: no dampening, no look ahead, and
//! weight decay as a part of the gradient.

use super::moments::{Moments, in_place, not_in_parts};
use super::optimizer::{Origin, Rule, State, Step};
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

    fn update(&self, step: Step) -> updates::Sgd {
        let SgdSettings { momentum, weight_decay } = self.settings;
        updates::Sgd { momentum, decay: weight_decay, rate: step.learning_rate, scale: step.scale }
    }
}

impl Rule for Sgd {
    fn step(&mut self, params: &mut FlatParams, gradient: &Tensor, step: Step) -> Result<()> {
        let update = self.update(step);
        match &mut self.velocity {
            Moments::Numbers(_) => self.step_part(params.values(), 0, gradient, step),
            Moments::Tensors([velocity]) => {
                let values;
                [values, *velocity] = portable::sgd::step(params.values(), velocity, gradient, update)?;
                params.set_values(values)
            }
        }
    }

    fn step_part(&mut self, values: &Tensor, start: usize, gradient: &Tensor, step: Step) -> Result<()> {
        let update = self.update(step);
        let Moments::Numbers([velocity]) = &mut self.velocity else { return not_in_parts() };
        let velocity = &mut velocity[start..start + gradient.elem_count()];
        in_place(values, gradient, |values, gradient| cpu::sgd::step(values, velocity, gradient, update))
    }

    fn state(&self) -> Vec<(&'static str, State<'_>)> {
        self.velocity.named(NAMES)
    }
}

//! AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101).

use super::moments::{Moments, in_place, not_in_parts};
use super::optimizer::{Origin, Rule, State, Step};
use crate::nn::kernels::{cpu, portable, updates};
use crate::nn::{FlatParams, Result};
use candle_core::Tensor;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWSettings {
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub weight_decay: f64,
}

impl AdamWSettings {
    pub(super) fn update(&self, step: Step) -> updates::AdamW {
        let past = |beta: f64| 1.0 - beta.powf(step.update as f64);
        updates::AdamW {
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            keep: 1.0 - step.learning_rate * self.weight_decay,
            rate: step.learning_rate / past(self.beta1),
            unbias: 1.0 / past(self.beta2),
            scale: step.scale,
        }
    }
}

const NAMES: [&str; 2] = ["first_moment", "second_moment"];

/// With first and second moments, [P] each.
#[derive(Debug)]
pub(super) struct AdamW {
    settings: AdamWSettings,
    moments: Moments<2>,
}

impl AdamW {
    pub(super) fn new(settings: AdamWSettings, origin: &mut Origin) -> Result<Self> {
        Ok(Self { settings, moments: Moments::new(NAMES, origin)? })
    }
}

impl Rule for AdamW {
    fn step(&mut self, params: &mut FlatParams, gradient: &Tensor, step: Step) -> Result<()> {
        let update = self.settings.update(step);
        match &mut self.moments {
            Moments::Numbers(_) => self.step_part(params.values(), 0, gradient, step),
            Moments::Tensors([first, second]) => {
                let moved = portable::adamw::step(params.values(), [first, second], gradient, update)?;
                let values;
                [values, *first, *second] = moved;
                params.set_values(values)
            }
        }
    }

    fn step_part(&mut self, values: &Tensor, start: usize, gradient: &Tensor, step: Step) -> Result<()> {
        let update = self.settings.update(step);
        let Moments::Numbers(moments) = &mut self.moments else { return not_in_parts() };
        let [first, second] = moments.each_mut().map(|of| &mut of[start..start + gradient.elem_count()]);
        in_place(values, gradient, |values, gradient| {
            cpu::adamw::step(values, first, second, gradient, update);
        })
    }

    fn state(&self) -> Vec<(&'static str, State<'_>)> {
        self.moments.named(NAMES)
    }
}

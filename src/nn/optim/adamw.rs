//! AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) over one flat f32 buffer.

use crate::nn::kernels::cpu::adamw::{Factors, step};
use crate::nn::kernels::cpu::{Numbers, tensor};
use crate::nn::{FlatParams, Result};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor};
use std::cell::RefCell;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWSettings {
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub weight_decay: f64,
}

/// First and second moments, [P] each, and how many updates they have seen.
#[derive(Debug)]
pub struct AdamW {
    settings: AdamWSettings,
    moments: Moments,
    num_updates: u64,
}

#[derive(Debug)]
enum Moments {
    /// In the memory of the CPU, changed in place.
    Numbers {
        first: Vec<f32>,
        second: Vec<f32>,
    },
    Tensors {
        first: Tensor,
        second: Tensor,
    },
}

impl Moments {
    fn of(first: Tensor, second: Tensor) -> Self {
        match (Numbers::of(&first).map(|x| x.to_vec()), Numbers::of(&second).map(|x| x.to_vec())) {
            (Some(first), Some(second)) => Self::Numbers { first, second },
            _ => Self::Tensors { first, second },
        }
    }
}

impl AdamW {
    pub fn new(settings: AdamWSettings, params: &FlatParams) -> Result<Self> {
        let zeros = params.values().zeros_like()?;
        Ok(Self::restore(settings, zeros.clone(), zeros, 0))
    }

    /// Goes on from saved moments, [P] each.
    pub fn restore(settings: AdamWSettings, first: Tensor, second: Tensor, num_updates: u64) -> Self {
        Self { settings, moments: Moments::of(first, second), num_updates }
    }

    /// Copies of the moments, [P] each, and the number of updates: all of its state.
    pub fn state(&self) -> Result<(Tensor, Tensor, u64)> {
        let (first, second) = match &self.moments {
            Moments::Numbers { first, second } => {
                (tensor(first.clone(), first.len())?, tensor(second.clone(), second.len())?)
            }
            Moments::Tensors { first, second } => (first.clone(), second.clone()),
        };
        Ok((first, second, self.num_updates))
    }

    /// Moves the parameters against `scale` · gradient [P]. On the CPU they change in place: nothing may hold an older view.
    pub fn step(
        &mut self,
        params: &mut FlatParams,
        gradient: &Tensor,
        scale: f64,
        learning_rate: f64,
    ) -> Result<()> {
        let AdamWSettings { beta1, beta2, epsilon, weight_decay } = self.settings;
        self.num_updates += 1;
        let updates = self.num_updates as f64;
        let rate = learning_rate / (1.0 - beta1.powf(updates));
        let unbias = 1.0 / (1.0 - beta2.powf(updates));
        let keep = 1.0 - learning_rate * weight_decay;
        match &mut self.moments {
            Moments::Numbers { first, second } => {
                let factors = Factors {
                    beta1: beta1 as f32,
                    beta2: beta2 as f32,
                    epsilon: epsilon as f32,
                    keep: keep as f32,
                    rate: rate as f32,
                    unbias: unbias as f32,
                    scale: scale as f32,
                };
                let step = Step { factors, moments: RefCell::new((first, second)) };
                params.values().inplace_op2(gradient, &step)
            }
            Moments::Tensors { first, second } => {
                let gradient = (gradient * scale)?;
                // m = β₁ m + (1 - β₁) g;  v = β₂ v + (1 - β₂) g²
                *first = ((&*first * beta1)? + (&gradient * (1.0 - beta1))?)?;
                *second = ((&*second * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
                // θ = (1 - η λ) θ - η / (1 - β₁ᵗ) · m / (sqrt(v / (1 - β₂ᵗ)) + ε)
                let root = ((&*second * unbias)?.sqrt()? + epsilon)?;
                let moved = ((params.values() * keep)? - ((&*first / root)? * rate)?)?;
                params.set_values(moved)
            }
        }
    }
}

/// The parameters in place, with the moments beside them.
struct Step<'a> {
    factors: Factors,
    moments: RefCell<(&'a mut Vec<f32>, &'a mut Vec<f32>)>,
}

impl InplaceOp2 for Step<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        values: &mut CpuStorage,
        values_at: &Layout,
        gradient: &CpuStorage,
        gradient_at: &Layout,
    ) -> Result<()> {
        let (Some(at), Some(gradient_at)) =
            (values_at.contiguous_offsets(), gradient_at.contiguous_offsets())
        else {
            candle_core::bail!("AdamW needs parameters and gradient in one piece")
        };
        let CpuStorage::F32(values) = values else {
            candle_core::bail!("AdamW needs f32 parameters, not {:?}", values.dtype())
        };
        let gradient = &gradient.as_slice::<f32>()?[gradient_at.0..gradient_at.1];
        let (first, second) = &mut *self.moments.borrow_mut();
        if gradient.len() != at.1 - at.0 || gradient.len() != first.len() {
            candle_core::bail!("{} gradients for {} parameters", gradient.len(), at.1 - at.0);
        }
        step(&mut values[at.0..at.1], first, second, gradient, self.factors);
        Ok(())
    }
}

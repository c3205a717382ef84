//! AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) over one flat f32 buffer.

use crate::nn::Result;
use candle_core::{DType, Device, Tensor};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWSettings {
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub weight_decay: f64,
}

/// First and second moments, [P] each, and how many updates they have seen.
#[derive(Debug, Clone)]
pub struct AdamW {
    settings: AdamWSettings,
    first: Tensor,
    second: Tensor,
    num_updates: u64,
}

impl AdamW {
    pub fn new(settings: AdamWSettings, num_values: usize, device: &Device) -> Result<Self> {
        let zeros = Tensor::zeros(num_values, DType::F32, device)?;
        Ok(Self { settings, first: zeros.clone(), second: zeros, num_updates: 0 })
    }

    /// Goes on from saved moments, [P] each.
    pub fn restore(settings: AdamWSettings, first: Tensor, second: Tensor, num_updates: u64) -> Self {
        Self { settings, first, second, num_updates }
    }

    /// The moments, [P] each, and the number of updates: all of its state.
    pub fn state(&self) -> (&Tensor, &Tensor, u64) {
        (&self.first, &self.second, self.num_updates)
    }

    /// values [P], gradient [P] -> new values [P].
    pub fn step(&mut self, values: &Tensor, gradient: &Tensor, learning_rate: f64) -> Result<Tensor> {
        let AdamWSettings { beta1, beta2, epsilon, weight_decay } = self.settings;
        self.num_updates += 1;
        let updates = self.num_updates as f64;
        // m = β₁ m + (1 - β₁) g;  v = β₂ v + (1 - β₂) g²
        self.first = ((&self.first * beta1)? + (gradient * (1.0 - beta1))?)?;
        self.second = ((&self.second * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
        // θ = θ (1 - η λ) - η / (1 - β₁ᵗ) · m / (sqrt(v / (1 - β₂ᵗ)) + ε)
        let root = ((&self.second * (1.0 / (1.0 - beta2.powf(updates))))?.sqrt()? + epsilon)?;
        let step = ((&self.first / root)? * (learning_rate / (1.0 - beta1.powf(updates))))?;
        let kept = if weight_decay > 0.0 {
            (values * (1.0 - learning_rate * weight_decay))?
        } else {
            values.clone()
        };
        kept - step
    }
}

//! The recipe's optimizer in the words of the engine.

use crate::nn::FlatParams;
use crate::nn::optim::{AdamWSettings, LionSettings, OptimizerSettings, SgdSettings};
use crate::recipe::recipe::{Method, Optimizer, OptimizerKind};
use std::ops::Range;

/// Where the learning rate is another one, and what it is multiplied by: B of LoRA+ (Hayou et al. 2024, arXiv:2402.12354).
pub fn rates(method: &Method, params: &FlatParams) -> Vec<(Range<usize>, f64)> {
    let Some(lora) = method.lora().filter(|lora| lora.b_rate_factor != 1.0) else { return Vec::new() };
    let of_b = params.ranges().filter(|(name, _)| name.ends_with("lora_B.weight"));
    of_b.map(|(_, range)| (range, lora.b_rate_factor)).collect()
}

/// The numbers that the chosen kind reads.
pub fn settings(of: &Optimizer) -> OptimizerSettings {
    let Optimizer { beta1, beta2, epsilon, weight_decay, momentum, .. } = *of;
    let adamw = AdamWSettings { beta1, beta2, epsilon, weight_decay };
    match of.kind {
        OptimizerKind::AdamW => OptimizerSettings::AdamW(adamw),
        OptimizerKind::AdamW8Bit => OptimizerSettings::AdamW8Bit(adamw),
        OptimizerKind::Lion => OptimizerSettings::Lion(LionSettings { beta1, beta2, weight_decay }),
        OptimizerKind::Sgd => OptimizerSettings::Sgd(SgdSettings { momentum, weight_decay }),
    }
}

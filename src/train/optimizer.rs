//! The recipe's optimizer in the words of the engine.

use crate::nn::optim::{AdamWSettings, LionSettings, OptimizerSettings, SgdSettings};
use crate::recipe::recipe::{Optimizer, OptimizerKind};

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

//! What is being trained: the parameters of a method, its hooks for one micro-step, and its files.

use super::TrainError;
use super::error::During;
use crate::model::load::LoadedModel;
use crate::nn::Tape;
use crate::peft::{Adapter, LoraHooks, LoraSettings};
use crate::recipe::recipe::Method;

/// A new, untrained adapter for the recipe's method.
pub fn new_adapter(method: &Method, model: &LoadedModel, seed: u64) -> Result<Adapter, TrainError> {
    let Method::Lora(lora) = method;
    let settings = LoraSettings::new(lora.rank, lora.alpha, lora.dropout, &lora.target_modules)?;
    let params =
        settings.init(model.config(), seed, model.decoder.device()).during("make the new parameters")?;
    Ok(Adapter { settings, params, base_model: model.info.source.clone(), config: model.config().clone() })
}

/// Hooks whose parameters are leaves of `tape`. `stream` names the micro-step: [update, micro-step].
pub fn training_hooks(
    adapter: &Adapter,
    tape: &Tape,
    seed: u64,
    stream: [u64; 2],
) -> Result<LoraHooks, TrainError> {
    LoraHooks::trainable(&adapter.settings, &adapter.params, &adapter.config, tape, seed, stream)
        .during("attach the adapter")
}

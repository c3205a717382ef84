//! What is being trained: the parameters of the recipe's method.

use super::TrainError;
use crate::model::load::LoadedModel;
use crate::peft::{Adapter, LoraSettings, Settings};
use crate::recipe::recipe::Method;

/// A new, untrained adapter for the recipe's method.
pub fn new_adapter(method: &Method, model: &LoadedModel, seed: u64) -> Result<Adapter, TrainError> {
    let settings = match method {
        Method::Lora(lora) => {
            let family = model.config().family;
            let targets = &lora.target_modules;
            Settings::Lora(LoraSettings::new(family, lora.rank, lora.alpha, lora.dropout, targets)?)
        }
        Method::Full {} => Settings::Full,
    };
    Ok(Adapter::new(settings, &model.decoder, &model.info.source, seed)?)
}

//! What is being trained: the parameters of the recipe's method.

use super::TrainError;
use crate::model::load::LoadedModel;
use crate::peft::{Adapter, LoraSettings, Settings};
use crate::recipe::recipe::Method;

/// A new, untrained adapter for the recipe's method.
pub fn new_adapter(method: &Method, model: &LoadedModel, seed: u64) -> Result<Adapter, TrainError> {
    let settings = match method {
        Method::Lora(lora) => {
            Settings::Lora(LoraSettings::new(lora.rank, lora.alpha, lora.dropout, &lora.target_modules)?)
        }
        Method::Full {} => Settings::Full,
    };
    Ok(Adapter::new(settings, &model.decoder, &model.info.source, seed)?)
}

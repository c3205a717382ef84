//! What is being trained: the parameters of the recipe's method.

use super::TrainError;
use crate::model::load::LoadedModel;
use crate::peft::Adapter;
use crate::recipe::recipe::Method;

/// A new, untrained adapter for the recipe's method.
pub fn new_adapter(method: &Method, model: &LoadedModel, seed: u64) -> Result<Adapter, TrainError> {
    let settings = method.settings_in(model.config())?;
    Ok(Adapter::new(settings, model, seed)?)
}

//! The trained delta and its settings; switched on and off beside one base model, never merged in place.

use super::{LoraHooks, LoraSettings, PeftError};
use crate::model::config::DecoderConfig;
use crate::nn::FlatParams;
use candle_core::Device;

/// A LoRA adapter in memory, with the name of the model it was made for.
#[derive(Debug, Clone)]
pub struct Adapter {
    pub settings: LoraSettings,
    pub params: FlatParams,
    pub base_model: String,
    /// Of the model it changes.
    pub config: DecoderConfig,
}

impl Adapter {
    /// Hooks for answering with this adapter.
    pub fn hooks(&self) -> Result<LoraHooks, PeftError> {
        LoraHooks::frozen(&self.settings, &self.params, &self.config)
            .map_err(|source| PeftError::Compute { operation: "attach the adapter", source })
    }

    /// The device its parameters live on.
    pub fn device(&self) -> &Device {
        self.params.values().device()
    }
}

//! What a method trains, and what it changes; switched on and off beside one base model, never merged in place.

use super::bottleneck::Bottlenecks;
use super::ia3::Ia3;
use super::{
    Freeze, Full, LoraSettings, PTuningSettings, PeftError, PrefixSettings, PromptSettings, Tuning,
    WithModules,
};
use crate::model::config::DecoderConfig;
use crate::model::error::During;
use crate::model::hooks::Hooks;
use crate::model::load::LoadedModel;
use crate::nn::{FlatGradient, FlatParams, Leaves, Tape};
use candle_core::Device;

/// The trained parameters of a method in memory, with the name of the model they were made for.
#[derive(Debug, Clone)]
pub struct Adapter {
    pub settings: Settings,
    pub params: FlatParams,
    pub base_model: String,
    /// Of the model it changes.
    pub config: DecoderConfig,
}

/// What distinguishes one adapter from another of the same shape.
#[derive(Debug, Clone, PartialEq)]
pub enum Settings {
    Lora(LoraSettings),
    /// All weights, in place of the model's own.
    Full(Full),
    Ia3(Ia3),
    Bottleneck(Bottlenecks),
    /// Some weights, in place of the model's own.
    Freeze(Freeze),
    Prefix(PrefixSettings),
    Prompt(PromptSettings),
    PTuning(PTuningSettings),
    /// One of the others, and modules of the model that are trained whole besides.
    WithModules(WithModules),
}

impl Settings {
    /// The method that these are settings of.
    pub fn tuning(&self) -> &dyn Tuning {
        match self {
            Self::Lora(lora) => lora,
            Self::Full(full) => full,
            Self::Ia3(ia3) => ia3,
            Self::Bottleneck(bottlenecks) => bottlenecks,
            Self::Freeze(freeze) => freeze,
            Self::Prefix(prefix) => prefix,
            Self::Prompt(prompt) => prompt,
            Self::PTuning(p_tuning) => p_tuning,
            Self::WithModules(with_modules) => with_modules,
        }
    }

    /// The method, whatever is trained besides.
    pub fn method(&self) -> &Self {
        match self {
            Self::WithModules(with_modules) => &with_modules.method,
            own => own,
        }
    }

    /// What files of the method call a tensor of a module that is trained whole, from its name in a LoRA's.
    pub(super) fn name_in_files(&self, of_lora: &str) -> String {
        let name = of_lora.strip_prefix("base_model.model.").unwrap_or(of_lora);
        match self.method() {
            Self::Prefix(_) | Self::Prompt(_) | Self::PTuning(_) => format!("base_model.{name}"),
            Self::Bottleneck(_) => name.into(),
            _ => of_lora.into(),
        }
    }
}

/// One micro-step of training, as a method sees it.
pub struct MicroStep<'l, 'a> {
    pub tape: &'l Tape<'a>,
    pub gradient: &'l FlatGradient,
    pub seed: u64,
    /// What tells random numbers apart: `[update, micro-step]`.
    pub stream: [u64; 2],
}

impl Adapter {
    /// Untrained: the model with it answers as the model without, where the method can begin there.
    pub fn new(settings: Settings, model: &LoadedModel, seed: u64) -> Result<Self, PeftError> {
        settings.tuning().check(model.config())?;
        let params = settings.tuning().init(model, seed)?;
        let base_model = model.info.source.clone();
        Ok(Self { settings, params, base_model, config: model.config().clone() })
    }

    /// Hooks for answering with this adapter.
    pub fn hooks(&self) -> Result<Box<dyn Hooks>, PeftError> {
        self.attached(self.params.frozen(), None)
    }

    /// Hooks whose parameters are leaves of a tape.
    pub fn training_hooks(&self, step: &MicroStep) -> Result<Box<dyn Hooks>, PeftError> {
        self.attached(self.params.on(step.tape, step.gradient), Some(step))
    }

    fn attached(&self, leaves: Leaves, step: Option<&MicroStep>) -> Result<Box<dyn Hooks>, PeftError> {
        let hooks = self.settings.tuning().attach(&self.config, leaves, step);
        Ok(hooks.during("attach the adapter")?)
    }

    /// The device its parameters live on.
    pub fn device(&self) -> &Device {
        self.params.values().device()
    }
}

//! A model ready to run: decoder, tokenizer and template. One copy of the base serves everything.

use super::config::DecoderConfig;
use super::decoder::Decoder;
use super::error::During;
use super::files::ModelFiles;
use super::folder::Description;
use super::params::DecoderParams;
use super::text::TextSettings;
use super::{ModelError, device};
use crate::base::{Control, DeviceChoice, Failure, Precision, Progress, hardware};
use crate::data::Tokeniser;
use crate::data::template::Template;
use crate::model::identity::Identity;
use crate::model::info::ModelInfo;
use std::path::Path;
use std::sync::Arc;

/// Where a model is put, and how its frozen weights are kept there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Placement {
    pub device: DeviceChoice,
    pub precision: Precision,
}

impl From<DeviceChoice> for Placement {
    /// In f32.
    fn from(device: DeviceChoice) -> Self {
        Self { device, ..Self::default() }
    }
}

/// The base model in memory. Cloning shares it.
#[derive(Debug, Clone)]
pub struct LoadedModel {
    pub info: ModelInfo,
    pub decoder: Arc<Decoder>,
    pub tokeniser: Arc<Tokeniser>,
    pub template: Arc<Template>,
    pub text: Arc<TextSettings>,
    /// Nothing for weights of no files.
    pub identity: Option<Arc<Identity>>,
}

impl LoadedModel {
    /// Checks all headers, then reads the weights onto the device.
    pub fn load(
        files: &ModelFiles,
        placement: Placement,
        control: &Control,
        progress: &mut dyn Progress,
    ) -> Result<Self, Failure> {
        let tokeniser = files.tokeniser()?;
        let template = files.template()?;
        let decoder = load_decoder(files, placement, control, progress)?;
        Ok(Self {
            identity: Some(Arc::new(files.identity()?)),
            info: files.info.clone(),
            decoder: Arc::new(decoder),
            tokeniser,
            template,
            text: Arc::new(files.text.clone()),
        })
    }

    /// A model of this config with random weights and no words, for measuring what one that is not there would cost.
    pub fn random(source: &str, config: DecoderConfig, placement: Placement) -> Result<Self, Failure> {
        let device = device::open(placement.device)?;
        let compute = device::compute_dtype(&device);
        let params = DecoderParams::random(&config, placement.precision, &device, compute)?;
        Ok(Self {
            info: ModelInfo::of(source, Path::new(source), &config),
            decoder: Arc::new(Decoder::new(config, params, device)?),
            tokeniser: Arc::new(Tokeniser::without_words()?),
            template: Arc::new(Template::plain("", "")),
            text: Arc::default(),
            identity: None,
        })
    }

    /// The same model with the heads of another config; what it has of them stays, the rest is drawn.
    ///
    /// # Errors
    /// [`ModelError::Heads`] for heads that cannot stand in one file.
    pub fn with_config(&self, config: DecoderConfig, seed: u64) -> Result<Self, ModelError> {
        if config == *self.config() {
            return Ok(self.clone());
        }
        Ok(Self { decoder: Arc::new(self.decoder.with_config(config, seed)?), ..self.clone() })
    }

    pub fn config(&self) -> &DecoderConfig {
        self.decoder.config()
    }

    pub fn description(&self) -> Description<'_> {
        let (source, text, tokeniser) = (&self.info.source, &*self.text, &*self.tokeniser);
        let identity = self.identity.as_deref();
        Description { source, config: self.config(), text, tokeniser, identity }
    }

    /// "CPU, 2 threads"
    pub fn device_name(&self) -> String {
        device::describe(self.decoder.device())
    }
}

/// The decoder alone, for models that come without a tokenizer.
pub fn load_decoder(
    files: &ModelFiles,
    placement: Placement,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<Decoder, ModelError> {
    files.weights.check(&files.config)?;
    let device = device::open(placement.device)?;
    let compute = device::compute_dtype(&device);
    let (weights, precision) = (&files.weights, placement.precision);
    let params = DecoderParams::load(weights, &files.config, precision, &device, compute, control, progress)?;
    device.synchronize().during("copy the weights")?;
    // Tensors that were widened or put into other blocks on the way.
    hardware::give_back_freed();
    Decoder::new(files.config.clone(), params, device)
}

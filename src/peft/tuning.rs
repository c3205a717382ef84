//! What every way of tuning has to say of itself: one file of `peft` each, and nothing elsewhere knows them apart.

use super::{Adapter, MicroStep, PeftError};
use crate::model::config::{DecoderConfig, Group, Needed};
use crate::model::flops::Work;
use crate::model::folder::Description;
use crate::model::hooks::Hooks;
use crate::model::load::LoadedModel;
use crate::nn::{FlatParams, Leaves, Result};
use std::path::Path;

/// A way of tuning with its settings.
pub trait Tuning {
    /// Whether a model with this config can be tuned so.
    ///
    /// # Errors
    /// What cannot be, by name.
    fn check(&self, _config: &DecoderConfig) -> std::result::Result<(), PeftError> {
        Ok(())
    }

    /// Names and shapes of what is trained, in the order of the flat buffer.
    fn parameters(&self, config: &DecoderConfig) -> Vec<Needed>;

    /// The tensors of the model that are trained themselves, in the order of the flat buffer, which then holds nothing else; none for
    /// a method that adds something.
    fn own(&self, _config: &DecoderConfig) -> Vec<Group> {
        Vec::new()
    }

    /// New parameters. Where the method can begin there, the model with them answers as the model without.
    fn init(&self, model: &LoadedModel, seed: u64) -> std::result::Result<FlatParams, PeftError>;

    /// The parameters in their places in the forward pass. `step` is there while training, with the tape that the
    /// leaves are on.
    fn attach(
        &self,
        config: &DecoderConfig,
        leaves: Leaves,
        step: Option<&MicroStep>,
    ) -> Result<Box<dyn Hooks>>;

    /// Writes an adapter of `base` into a folder, which must exist. Call inside `storage::create_dir_atomic`.
    fn save(
        &self,
        adapter: &Adapter,
        base: &Description,
        folder: &Path,
    ) -> std::result::Result<(), PeftError>;

    /// Writes what a finished run leaves, as [`Self::save`] does where that is what a person wants in the end.
    fn save_result(
        &self,
        adapter: &Adapter,
        base: &LoadedModel,
        folder: &Path,
    ) -> std::result::Result<(), PeftError> {
        self.save(adapter, &base.description(), folder)
    }

    /// Why what is trained cannot be worked into the model's weights; `None` where it can.
    fn cannot_merge(&self) -> Option<&'static str> {
        None
    }

    /// The lowest block that the way back through the model reaches; 0 where it reaches the embedding.
    fn lowest_block(&self, _config: &DecoderConfig) -> usize {
        0
    }

    /// The floating-point operations of matrix products that one micro-step needs, nothing computed twice.
    fn flops(&self, config: &DecoderConfig, work: Work) -> f64;

    /// Numbers that one token leaves in each block for the way back, besides what the block itself leaves there.
    fn kept(&self, config: &DecoderConfig) -> u64;

    /// Number of values that a finished run leaves in its file.
    fn num_saved(&self, config: &DecoderConfig) -> u64 {
        self.num_values(config)
    }

    /// Number of trained values.
    fn num_values(&self, config: &DecoderConfig) -> u64 {
        let size = |shape: &[usize]| shape.iter().fold(1, |size: u64, n| size.saturating_mul(*n as u64));
        self.parameters(config).iter().fold(0, |sum, needed| sum.saturating_add(size(&needed.shape)))
    }
}

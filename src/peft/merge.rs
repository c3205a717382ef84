//! What was trained, worked into the model's weights: a model folder that needs no adapter.

use super::{Adapter, PeftError, files};
use crate::base::{Control, DeviceChoice, Silent};
use crate::data::{Batch, LossWeights, Sample};
use crate::model::config::DecoderConfig;
use crate::model::decoder::Decoder;
use crate::model::error::During;
use crate::model::files::ModelFiles;
use crate::model::hooks::{Hooks, NoHooks};
use crate::model::load::{LoadedModel, load_decoder};
use crate::model::{ModelError, folder};
use crate::nn::Tape;
use candle_core::{DType, Device, Tensor};
use serde::Serialize;
use std::path::Path;

/// Tokens that the merged and the unmerged model are compared on.
const NUM_TOKENS: usize = 16;

/// How the merged model compares with the adapter beside its base.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Merged {
    /// Between their logits on a few tokens.
    pub largest_difference: f64,
    /// The largest magnitude of a logit there, to see the difference against.
    pub largest_logit: f64,
}

impl Merged {
    /// "Its logits differ from the adapter's by at most 1.2e-5, where the largest is 23.4."
    pub fn describe(&self) -> String {
        format!(
            "Its logits differ from the adapter's by at most {:.1e}, where the largest is {:.1}.",
            self.largest_difference, self.largest_logit
        )
    }
}

/// Writes `base` with what `adapter` trained worked into its weights, as a model folder in f32, and reads it again to compare. A
/// quantised base is merged into its widened weights. `folder` must exist; call inside `storage::create_dir_atomic`.
///
/// # Errors
/// [`PeftError::CannotMerge`] for a method that has no place in the weights, and [`ModelError::Stopped`].
pub fn merge(
    adapter: &Adapter,
    base: &LoadedModel,
    folder: &Path,
    control: &Control,
) -> Result<Merged, PeftError> {
    require_mergeable(adapter)?;
    let hooks = adapter.hooks()?;
    folder::save_changed(base, hooks.as_ref(), folder, control)?;
    files::note_base(&adapter.base_model, &base.description(), folder)?;
    let expected = answers(&base.decoder, hooks.as_ref())?;
    let files = ModelFiles::open(&folder.to_string_lossy(), folder)?;
    let merged = load_decoder(&files, DeviceChoice::Cpu.into(), control, &mut Silent)?;
    let got = answers(&merged, &NoHooks)?;
    Ok(compare(&got, &expected).during("compare the merged model")?)
}

/// Whether what lies in a folder is an adapter for a model of this config that can be merged: before the model is loaded.
///
/// # Errors
/// As [`merge`], and for what cannot be read.
pub fn check(folder: &Path, config: &DecoderConfig) -> Result<(), PeftError> {
    if files::is_model(folder) {
        return Ok(());
    }
    require_mergeable(&files::load(folder, config, &Device::Cpu)?)
}

fn require_mergeable(adapter: &Adapter) -> Result<(), PeftError> {
    match adapter.settings.tuning().cannot_merge() {
        Some(why) => Err(PeftError::CannotMerge(why)),
        None => Ok(()),
    }
}

/// What a model makes of a few tokens spread over the vocabulary, [m], on the CPU: logits of the next ones and of every head, or hidden
/// states where it makes neither.
fn answers(decoder: &Decoder, hooks: &dyn Hooks) -> Result<Tensor, ModelError> {
    let vocabulary = decoder.config().vocabulary;
    let num = NUM_TOKENS.min(decoder.config().context_tokens);
    let mut ids: Vec<u32> = (0..num).map(|i| (vocabulary * i / num) as u32).collect();
    if let Some(encoder) = decoder.config().encoder {
        // Half of them are read.
        ids.retain(|id| *id != encoder.start);
        ids.insert(ids.len() / 2, encoder.start);
    }
    let batch =
        Batch::pack([&Sample { weights: LossWeights::all(1.0, ids.len()), ids, ..Sample::default() }]);
    let tape = Tape::inference();
    let hidden = decoder.forward(&tape, &batch, hooks)?;
    let mut all = Vec::new();
    if decoder.config().predicts_tokens {
        all.push(decoder.logits(hidden.value(), hooks)?);
    }
    for head in 0..decoder.config().heads.len() {
        all.push(decoder.scores(&tape, &hidden, &batch, head, hooks)?.value().clone());
    }
    if all.is_empty() {
        all.push(hidden.value().clone());
    }
    let flat = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.flatten_all();
    let all: crate::nn::Result<Vec<Tensor>> = all.iter().map(flat).collect();
    all.and_then(|all| Tensor::cat(&all, 0)).during("compare the merged model")
}

fn compare(got: &Tensor, expected: &Tensor) -> crate::nn::Result<Merged> {
    let largest = |of: Tensor| of.abs()?.flatten_all()?.max(0)?.to_dtype(DType::F64)?.to_scalar::<f64>();
    Ok(Merged { largest_difference: largest((got - expected)?)?, largest_logit: largest(expected.clone())? })
}

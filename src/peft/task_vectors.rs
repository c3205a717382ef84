//! Arithmetic of task vectors (Ilharco et al. 2022, arXiv:2212.04089): what full tuning changed, added to the base model or
//! taken from it.

use super::compose::{Part, check_weights, refused};
use super::{Adapter, Full, PeftError, Settings, files, full};
use crate::base::{Control, Progress, Unit};
use crate::model::ModelError;
use crate::model::config::Needed;
use crate::model::error::During;
use crate::model::files::ModelFiles;
use crate::model::folder::{self, Description, WEIGHTS_FILE};
use crate::model::weights::save_in_turn;
use crate::nn::FlatParams;
use candle_core::{Device, Tensor};
use std::path::Path;

/// Whether the numbers make sense and all parts are whole models.
///
/// # Errors
/// [`PeftError::Compose`]
pub fn check(parts: &[Part]) -> Result<(), PeftError> {
    check_weights(&parts.iter().map(|part| part.weight).collect::<Vec<_>>())?;
    match parts.iter().find(|part| !files::is_model(&part.folder)) {
        Some(part) => {
            let why = format!("one of them is no whole model ({})", part.folder.display());
            Err(refused(
                why,
                "Task vectors are of whole models: full tuning and freezing. Compose adapters with --how linear or \
                 concatenate, in the window as a mix of runs.",
            ))
        }
        None => Ok(()),
    }
}

/// base + Σ weight · (tuned − base), a tensor at a time.
struct Sum<'a> {
    base: &'a ModelFiles,
    /// Part of the base is what the weights leave of it, so that a single model with weight 1 comes out as it is.
    own_weight: f64,
    tuned: Vec<(ModelFiles, f64)>,
}

impl<'a> Sum<'a> {
    /// # Errors
    /// As [`check`]; and for models of other shapes than the base's.
    fn open(base: &'a ModelFiles, parts: &[Part]) -> Result<Self, PeftError> {
        check(parts)?;
        base.weights.check(&base.config)?;
        let mut sum = Self { base, own_weight: 1.0, tuned: Vec::new() };
        for part in parts.iter().filter(|part| part.weight != 0.0) {
            let files = full::open(&part.folder, &base.config)?;
            files.weights.check(&base.config)?;
            sum.own_weight -= part.weight;
            sum.tuned.push((files, part.weight));
        }
        Ok(sum)
    }

    /// One tensor of the result, in f32 on the CPU.
    fn of(&self, needed: &Needed) -> Result<Tensor, ModelError> {
        let combine = "combine the weights";
        let own = self.base.weights.values(needed, &Device::Cpu)?;
        let mut sum = (own * self.own_weight).during(combine)?;
        for (files, weight) in &self.tuned {
            let change = (files.weights.values(needed, &Device::Cpu)? * *weight).during(combine)?;
            sum = (sum + change).during(combine)?;
        }
        Ok(sum)
    }
}

/// Writes base + Σ weight · (tuned − base) as a model folder, in f32, a tensor at a time. Call inside
/// `storage::create_dir_atomic`.
///
/// # Errors
/// As [`check`]; for models of other shapes than the base's; and [`ModelError::Stopped`].
pub fn save(
    base: &ModelFiles,
    about: &Description,
    parts: &[Part],
    folder: &Path,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<(), PeftError> {
    let sum = Sum::open(base, parts)?;
    folder::save_description(about, folder)?;
    files::note_base(about.source, about, folder)?;
    let tensors = base.config.tensors();
    let shapes: Vec<_> = tensors.iter().map(|t| (t.name.clone(), t.stored_shape())).collect();
    let total = Some(tensors.len() as u64);
    save_in_turn(&shapes, &folder.join(WEIGHTS_FILE), |index| {
        if control.is_stopped() {
            return Err(ModelError::Stopped);
        }
        progress.report("Composing the models", index as u64 + 1, total, Unit::Tensors);
        let needed = &tensors[index];
        needed.form.to_file(&sum.of(needed)?).during("bring a weight into order")
    })?;
    Ok(())
}

/// The same model in the places of the base's weights, to answer at once.
///
/// # Errors
/// As [`save`].
pub fn load(
    base: &ModelFiles,
    parts: &[Part],
    device: &Device,
    control: &Control,
) -> Result<Adapter, PeftError> {
    let sum = Sum::open(base, parts)?;
    let mut named = Vec::new();
    for needed in base.config.tensors() {
        if control.is_stopped() {
            return Err(ModelError::Stopped.into());
        }
        let tensor = sum.of(&needed)?.to_device(device).during("combine the weights")?;
        named.push((needed.name, tensor));
    }
    let params = FlatParams::new(named, device).during("combine the weights")?;
    let base_model = base.info.source.clone();
    Ok(Adapter { settings: Settings::Full(Full {}), params, base_model, config: base.config.clone() })
}

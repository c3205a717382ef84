//! Arithmetic of task vectors (Ilharco et al. 2022, arXiv:2212.04089): what full tuning changed, added to the base model or
//! taken from it.

use super::compose::{Part, check_weights, refused};
use super::{PeftError, files, full};
use crate::base::{Control, Progress, Unit};
use crate::model::ModelError;
use crate::model::error::During;
use crate::model::files::ModelFiles;
use crate::model::folder::{self, Description, WEIGHTS_FILE};
use crate::model::weights::save_in_turn;
use candle_core::Device;
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
                "Task vectors are of full tuning. Compose adapters with --how linear or concatenate.",
            ))
        }
        None => Ok(()),
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
    check(parts)?;
    base.weights.check(&base.config)?;
    let mut tuned = Vec::new();
    // Part of the base is what the weights leave of it, so that a single model with weight 1 comes out as it is.
    let mut own_weight = 1.0;
    for part in parts.iter().filter(|part| part.weight != 0.0) {
        let files = full::open(&part.folder, &base.config)?;
        files.weights.check(&base.config)?;
        own_weight -= part.weight;
        tuned.push((files, part.weight));
    }
    folder::save_description(about, folder)?;
    let tensors = base.config.tensors();
    let shapes: Vec<_> = tensors.iter().map(|t| (t.name.clone(), t.stored_shape())).collect();
    let total = Some(tensors.len() as u64);
    save_in_turn(&shapes, &folder.join(WEIGHTS_FILE), |index| {
        if control.is_stopped() {
            return Err(ModelError::Stopped);
        }
        progress.report("Composing the models", index as u64 + 1, total, Unit::Tensors);
        let needed = &tensors[index];
        let combine = "combine the weights";
        let mut sum = (base.weights.values(needed, &Device::Cpu)? * own_weight).during(combine)?;
        for (files, weight) in &tuned {
            let change = (files.weights.values(needed, &Device::Cpu)? * *weight).during(combine)?;
            sum = (sum + change).during(combine)?;
        }
        needed.form.to_file(&sum).during("bring a weight into order")
    })?;
    Ok(())
}

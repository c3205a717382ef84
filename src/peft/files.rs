//! What a method trained, as a folder: PEFT's two files, or a whole model.

use super::{
    Adapter, BaseModel, PeftError, base_model, bottleneck_files, format, freeze, full, ia3, virtual_files,
};
use crate::model::config::DecoderConfig;
use crate::model::folder::{self, Description};
use crate::model::load::LoadedModel;
use candle_core::Device;
use std::path::Path;

/// Writes an adapter of `base` into a folder, which must exist. Call inside `storage::create_dir_atomic`.
pub fn save(adapter: &Adapter, base: &Description, folder: &Path) -> Result<(), PeftError> {
    adapter.settings.tuning().save(adapter, base, folder)?;
    note_base(adapter, base, folder)
}

/// Writes what a finished run leaves: an adapter, or a whole model. As [`save`].
pub fn save_result(adapter: &Adapter, base: &LoadedModel, folder: &Path) -> Result<(), PeftError> {
    adapter.settings.tuning().save_result(adapter, base, folder)?;
    note_base(adapter, &base.description(), folder)
}

/// Notes the model that something was made of beside it.
pub(super) fn note_base(adapter: &Adapter, base: &Description, folder: &Path) -> Result<(), PeftError> {
    let Some(identity) = base.identity.cloned() else { return Ok(()) };
    BaseModel { name: adapter.base_model.clone(), identity }.save(folder)
}

/// Loads what [`save`], [`save_result`] or PEFT wrote, for a model with this config.
pub fn load(folder: &Path, config: &DecoderConfig, device: &Device) -> Result<Adapter, PeftError> {
    if is_part_of_model(folder) {
        return freeze::load(folder, config, device);
    }
    if is_model(folder) {
        return full::load(folder, config, device);
    }
    let adapter_config = format::read_config(folder)?;
    match adapter_config["peft_type"].as_str() {
        Some(ia3::PEFT_TYPE) => ia3::load(folder, &adapter_config, config, device),
        Some(name) if virtual_files::is_one(name) => {
            virtual_files::load(folder, &adapter_config, config, device)
        }
        None if adapter_config["config"].is_object() => {
            bottleneck_files::load(folder, &adapter_config, config, device)
        }
        _ => format::load(folder, config, device),
    }
}

/// The files that [`save`] wrote into a folder; `None` when one of them is missing.
pub fn names(folder: &Path) -> Option<Vec<&'static str>> {
    let names: &[&str] = if is_part_of_model(folder) {
        &[freeze::CONFIG_FILE, freeze::WEIGHTS_FILE]
    } else if is_model(folder) {
        &folder::FILES
    } else if folder.join(bottleneck_files::WEIGHTS_FILE).is_file() {
        &[format::CONFIG_FILE, bottleneck_files::WEIGHTS_FILE]
    } else {
        &[format::CONFIG_FILE, format::WEIGHTS_FILE]
    };
    let note = Some(base_model::FILE).filter(|name| folder.join(name).is_file());
    let is_whole = names.iter().all(|name| folder.join(name).is_file());
    is_whole.then(|| names.iter().copied().chain(note).collect())
}

/// The model that it says that it was made for; `None` when it does not say, or cannot be read.
pub fn base_model(folder: &Path) -> Option<String> {
    if let Ok(Some(base)) = BaseModel::read(folder) {
        return Some(base.name).filter(|name| !name.is_empty());
    }
    if is_part_of_model(folder) {
        return freeze::base_model(folder);
    }
    if is_model(folder) { full::base_model(folder) } else { format::base_model(folder) }
}

/// Whether it holds some of a model's weights, as the checkpoints of freezing do.
fn is_part_of_model(folder: &Path) -> bool {
    folder.join(freeze::CONFIG_FILE).is_file()
}

/// Whether it is a whole model rather than an addition to one.
pub fn is_model(folder: &Path) -> bool {
    folder.join(full::CONFIG_FILE).is_file() && !folder.join(format::CONFIG_FILE).exists()
}

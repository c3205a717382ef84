//! What a method trained, as a folder: PEFT's two files, or a whole model.

use super::{
    Adapter, BaseModel, PeftError, base_model, bottleneck_files, format, freeze, full, ia3, virtual_files,
    with_modules,
};
use crate::model::config::DecoderConfig;
use crate::model::folder::{self, Description};
use crate::model::load::LoadedModel;
use candle_core::Device;
use std::collections::HashMap;
use std::path::Path;

/// Writes an adapter of `base` into a folder, which must exist. Call inside `storage::create_dir_atomic`.
pub fn save(adapter: &Adapter, base: &Description, folder: &Path) -> Result<(), PeftError> {
    adapter.settings.tuning().save(adapter, base, folder)?;
    note_base(&adapter.base_model, base, folder)
}

/// Writes what a finished run leaves: an adapter, or a whole model. As [`save`].
pub fn save_result(adapter: &Adapter, base: &LoadedModel, folder: &Path) -> Result<(), PeftError> {
    adapter.settings.tuning().save_result(adapter, base, folder)?;
    note_base(&adapter.base_model, &base.description(), folder)
}

/// Says in a folder that what lies there was made of `base`, which has this name.
pub(super) fn note_base(name: &str, base: &Description, folder: &Path) -> Result<(), PeftError> {
    let Some(identity) = base.identity.cloned() else { return Ok(()) };
    BaseModel { name: name.into(), identity }.save(folder)
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
    let load = match adapter_config["peft_type"].as_str() {
        Some(ia3::PEFT_TYPE) => ia3::load,
        Some(name) if virtual_files::is_one(name) => virtual_files::load,
        None if adapter_config["config"].is_object() => {
            return bottleneck_files::load(folder, &adapter_config, config, device);
        }
        _ => return format::load(folder, config, device),
    };
    let modules = format::modules_to_save(&adapter_config, config, folder)?;
    let weights = folder.join(format::WEIGHTS_FILE);
    let (modules_tensors, tensors): (HashMap<_, _>, HashMap<_, _>) = format::load_tensors(&weights)?
        .into_iter()
        .partition(|(name, _)| !modules.is_empty() && !is_of_method(name));
    let adapter = load(folder, &adapter_config, tensors, config, device)?;
    match modules.is_empty() {
        true => Ok(adapter),
        false => with_modules::joined(adapter, modules, modules_tensors, &weights),
    }
}

/// Whether a tensor in one of PEFT's files is of IA3 or of virtual tokens, rather than of a module that is trained whole.
fn is_of_method(name: &str) -> bool {
    name == virtual_files::EMBEDDINGS || name.ends_with(ia3::ENDING)
}

/// Whether [`load`] leaves an encoder in the folder aside, which does not make the virtual tokens that lie beside it.
///
/// # Errors
/// As [`load`].
pub fn has_stale_encoder(folder: &Path, config: &DecoderConfig) -> Result<bool, PeftError> {
    Ok(virtual_files::has_encoder(folder)
        && !virtual_files::are_encoded(&load(folder, config, &Device::Cpu)?.settings))
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
    let head = [bottleneck_files::HEAD_CONFIG_FILE, bottleneck_files::HEAD_FILE];
    let head = head.into_iter().filter(|name| folder.join(name).is_file());
    let note = Some(base_model::FILE).filter(|name| folder.join(name).is_file());
    let is_whole = names.iter().all(|name| folder.join(name).is_file());
    is_whole.then(|| names.iter().copied().chain(head).chain(note).collect())
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

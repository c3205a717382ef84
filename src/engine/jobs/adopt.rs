//! What another program trained, said once to be for a model: its files only name theirs.

use super::model::{adapter_in, open};
use super::reader;
use crate::base::{DeviceChoice, Failure};
use crate::engine::halt::Halt;
use crate::hub::resolve;
use crate::model::device;
use crate::model::files::ModelFiles;
use crate::peft::{BaseModel, files};
use std::path::Path;

/// Notes beside what lies in `folder` that it was tuned from the model `source`, if it fits it.
///
/// # Errors
/// For files that are no adapter of a model of this shape, for what is known by its weights to be another's, and where nothing may be
/// written.
pub fn run(folder: &Path, source: &str) -> Result<(), Halt> {
    let model = open(source)?;
    let folder = adapter_in(folder);
    let identity = model.identity()?;
    if let Some(base) = BaseModel::read(&folder)? {
        return Ok(base.require(&folder, source, &identity, None)?);
    }
    if files::is_model(&folder) {
        require_vocabulary(&folder, &model)?;
    }
    // What learnt a task has a head of its own.
    let task = reader::task(&model, Some(&folder))?;
    let config = task.map_or_else(|| model.config.clone(), |task| task.config(&model.config));
    files::load(&folder, &config, &device::open(DeviceChoice::Cpu)?)?;
    Ok(BaseModel { name: resolve::lasting(source), identity }.save(&folder)?)
}

/// Refuses a whole model that means other words by the same numbers: what it answers would be read by the wrong vocabulary.
pub fn require_vocabulary(folder: &Path, model: &ModelFiles) -> Result<(), Halt> {
    let tuned = ModelFiles::open(&folder.to_string_lossy(), folder)?;
    if tuned.tokeniser()?.has_words_of(&*model.tokeniser()?) {
        return Ok(());
    }
    let why = format!("{} has another vocabulary than {}", folder.display(), model.info.source);
    let hint = "Choose the model that it was tuned from, or choose it as the model itself.";
    Err(Failure::new("The tuned model is for another model", why, hint).into())
}

//! Models: found by name or path, opened by their headers, loaded once.

use super::Report;
use crate::base::Control;
use crate::engine::halt::Halt;
use crate::engine::lane::Sink;
use crate::hub;
use crate::model::files::ModelFiles;
use crate::model::load::{LoadedModel, Placement};
use crate::peft::{Adapter, format};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Finds a model by catalogue name, folder or file, and reads its headers.
pub fn open(source: &str) -> Result<ModelFiles, Halt> {
    let path = hub::resolve::resolve(source)?;
    Ok(ModelFiles::open(source, &path)?)
}

/// What a loaded model is known by: the file may be another one under the same name the next time.
#[derive(Clone, PartialEq)]
struct Key {
    path: PathBuf,
    changed: Option<SystemTime>,
    placement: Placement,
}

/// The one base model in memory, kept from job to job.
#[derive(Default)]
pub struct BaseModel {
    held: Option<(Key, LoadedModel)>,
}

impl BaseModel {
    /// The model of `files` on its place; read from disk only when another one is held.
    pub fn load(
        &mut self,
        files: &ModelFiles,
        placement: Placement,
        control: &Control,
        sink: &mut Sink<'_>,
    ) -> Result<LoadedModel, Halt> {
        let path = files.info.path.clone();
        let changed = std::fs::metadata(&path).and_then(|m| m.modified()).ok();
        let key = Key { path, changed, placement };
        if let Some((held, model)) = &self.held
            && *held == key
        {
            return Ok(model.clone());
        }
        // Two models at once may not fit.
        self.forget();
        let loaded = LoadedModel::load(files, placement, control, &mut Report::to(sink));
        let model = loaded.map_err(|failure| match control.is_stopped() {
            true => Halt::Stopped,
            false => Halt::Failed(failure),
        })?;
        self.held = Some((key, model.clone()));
        Ok(model)
    }

    /// Lets go of the memory.
    pub fn forget(&mut self) {
        self.held = None;
    }
}

/// Reads an adapter for a loaded model.
pub fn adapter(folder: &Path, model: &LoadedModel) -> Result<Adapter, Halt> {
    Ok(format::load(folder, model.config(), model.decoder.device())?)
}

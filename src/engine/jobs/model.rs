//! Models: found by name or path, opened by their headers, loaded once.

use super::{Report, adopt};
use crate::base::{Control, DeviceChoice, Failure, Precision};
use crate::engine::event::EventKind;
use crate::engine::halt::Halt;
use crate::engine::lane::Sink;
use crate::hub;
use crate::model::config::DecoderConfig;
use crate::model::device;
use crate::model::files::ModelFiles;
use crate::model::load::{LoadedModel, Placement};
use crate::peft::{self, Adapter, files};
use crate::project::RunFolder;
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

impl Key {
    fn new(files: &ModelFiles, placement: Placement) -> Self {
        let path = files.info.path.clone();
        let changed = std::fs::metadata(&path).and_then(|m| m.modified()).ok();
        Self { path, changed, placement }
    }

    fn is_of(&self, files: &ModelFiles) -> bool {
        *self == Self::new(files, self.placement)
    }
}

/// Where a model answers best on a device.
pub fn answering(files: &ModelFiles, device: DeviceChoice) -> Placement {
    let precision = if files.weights.are_quick_as_stored() { Precision::Stored } else { Precision::F32 };
    Placement { device, precision }
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
        let key = Key::new(files, placement);
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

    /// The model of `files` for answers: whatever place it has already, or else on the best device, its weights as they are in the
    /// file where answers are quicker so.
    pub fn load_to_answer(
        &mut self,
        files: &ModelFiles,
        control: &Control,
        sink: &mut Sink<'_>,
    ) -> Result<LoadedModel, Halt> {
        let held = self.held.as_ref().map(|(key, _)| key).filter(|key| key.is_of(files));
        let placement = held.map_or_else(|| answering(files, DeviceChoice::Auto), |key| key.placement);
        self.load(files, placement, control, sink)
    }

    /// Lets go of the memory.
    pub fn forget(&mut self) {
        self.held = None;
    }
}

/// The adapter in a folder that may be a run's.
pub fn adapter_in(folder: &Path) -> PathBuf {
    if RunFolder::is_one(folder) { folder.join("adapter") } else { folder.to_path_buf() }
}

/// Refuses what was trained of another model than this one, before any of it is loaded. Files of other programs only name theirs: a
/// name that is none of this model's is refused until somebody says that both are one ([`super::adopt`]).
pub fn require_base(folder: &Path, model: &ModelFiles, sink: &mut Sink<'_>) -> Result<(), Halt> {
    match peft::BaseModel::read(folder)? {
        Some(base) => {
            let made_of = peft::BaseModel::read(&model.info.path).ok().flatten();
            base.require(folder, &model.info.source, &model.identity()?, made_of.as_ref())?;
        }
        None if files::is_model(folder) => {
            // A whole model names whatever it was once saved from.
            adopt::require_vocabulary(folder, model)?;
            sink(EventKind::Notice(format!(
                "{} is a whole model that does not say what it was tuned from: it is taken for a tuned {}.",
                folder.display(),
                model.info.source
            )));
        }
        None => require_name(folder, model)?,
    }
    if files::has_stale_encoder(folder, &model.config)? {
        sink(EventKind::Notice(format!(
            "The adapter's virtual tokens were saved anew without the network that once made them: they answer as they are, and the network is left aside ({}).",
            folder.display()
        )));
    }
    Ok(())
}

fn require_name(folder: &Path, model: &ModelFiles) -> Result<(), Halt> {
    let source = &model.info.source;
    let is_other = |name: &String| !hub::resolve::may_mean(name, source, &model.info.path);
    let Some(name) = files::base_model(folder).filter(is_other) else { return Ok(()) };
    let why =
        format!("it says that it was made for {name}, and the model here is {source} ({})", folder.display());
    let hint = format!(
        "Choose {name} as the model. If both names mean one model, say so once: tunesmith adopt \"{}\" --model {source}; in the playground, \"It is for this model\".",
        folder.display()
    );
    Err(Failure::new("The adapter is for another model", why, hint).into())
}

/// Reads an adapter as [`adapter`] does, to refuse it before a model of this config is loaded. A whole model is not read twice.
pub fn check_adapter(folder: &Path, config: &DecoderConfig) -> Result<(), Halt> {
    if !files::is_model(folder) {
        files::load(folder, config, &device::open(DeviceChoice::Cpu)?)?;
    }
    Ok(())
}

/// Reads an adapter for a loaded model.
pub fn adapter(folder: &Path, model: &LoadedModel) -> Result<Adapter, Halt> {
    Ok(files::load(folder, model.config(), model.decoder.device())?)
}

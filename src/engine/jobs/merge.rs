//! What was trained, worked into the weights of its model.

use super::model::{self, BaseModel};
use super::reader;
use crate::base::{Control, DeviceChoice, Failure, Precision};
use crate::engine::halt::Halt;
use crate::engine::lane::Sink;
use crate::export;
use crate::model::load::Placement;
use crate::peft::merge::Merged;
use crate::peft::{self, files};
use crate::project::RunFolder;
use std::path::Path;

/// What is merged, and where that is computed.
#[derive(Debug, Clone, Copy)]
pub struct From<'a> {
    /// Of a run, or of an adapter.
    pub folder: &'a Path,
    /// The model that the adapter is for; the one that it names when not given.
    pub model: Option<&'a str>,
    pub device: DeviceChoice,
}

/// Writes the merged model to `to`, which must be new or empty, and compares it with the unmerged one.
///
/// # Errors
/// For an adapter that names no model, and whatever [`export::merged`] says.
pub fn run(
    base: &mut BaseModel,
    from: From<'_>,
    to: &Path,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<Merged, Halt> {
    export::check_free(to)?;
    let (run, adapter) = match RunFolder::is_one(from.folder) {
        true => (from.folder.to_path_buf(), from.folder.join("adapter")),
        false => (from.folder.parent().unwrap_or(Path::new("")).to_path_buf(), from.folder.to_path_buf()),
    };
    let named = from.model.map(String::from).or_else(|| files::base_model(&adapter));
    let model_files = model::open(&named.ok_or_else(|| nameless(&adapter))?)?;
    model::require_base(&adapter, &model_files, sink)?;
    // What learnt to judge has heads, which the model itself may lack.
    let task = reader::task_in(&adapter)?;
    let config =
        task.as_ref().map_or_else(|| model_files.config.clone(), |task| task.config(&model_files.config));
    peft::merge::check(&adapter, &config)?;
    // As in its file: what is widened from there is exact.
    let placement = Placement { device: from.device, precision: Precision::Stored };
    let base = base.load(&model_files, placement, control, sink)?.with_config(config, 0)?;
    let adapter = model::adapter(&adapter, &base)?;
    Ok(export::merged(&adapter, &base, task.as_ref(), &run, to, control)?)
}

fn nameless(adapter: &Path) -> Failure {
    Failure::new(
        "The adapter cannot be merged",
        format!("it does not name the model that it is for, or is no adapter ({})", adapter.display()),
        "Name a run or an adapter's folder, and the model with --model.",
    )
}

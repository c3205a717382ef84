//! What was trained, worked into the weights, as a model folder of its own.

use super::adapter::into_new_folder;
use super::{ExportError, card, sentences};
use crate::base::{Control, storage};
use crate::model::load::LoadedModel;
use crate::peft::Adapter;
use crate::peft::merge::{Merged, merge};
use crate::recipe::Task;
use std::path::Path;

/// Merges `adapter` into `base` and writes the model, with a `README.md`, to the folder `to`, which must be new or empty; beside it, what
/// it learnt, where that is a task. `run` is the folder that the card is about.
///
/// # Errors
/// A method that cannot be merged, a folder with something in it, a failed write, or a stop; then nothing is left behind.
pub fn merged(
    adapter: &Adapter,
    base: &LoadedModel,
    task: Option<&Task>,
    run: &Path,
    to: &Path,
    control: &Control,
) -> Result<Merged, ExportError> {
    let mut compared = Merged::default();
    into_new_folder(to, |temporary| {
        compared = merge(adapter, base, temporary, control).map_err(ExportError::Merge)?;
        let card = card::text(run, true);
        let beside = || {
            task.map_or(Ok(()), |task| task.save(temporary))?;
            sentences::note(temporary, task)?;
            storage::write_atomic_bytes(&temporary.join("README.md"), card.as_bytes())
        };
        beside().map_err(|source| ExportError::Write { path: to.to_path_buf(), source })
    })?;
    Ok(compared)
}

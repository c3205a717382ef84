//! What was trained, worked into the weights, as a model folder of its own.

use super::adapter::make_room;
use super::{ExportError, card};
use crate::base::storage;
use crate::model::load::LoadedModel;
use crate::peft::merge::{Merged, merge};
use crate::peft::{Adapter, PeftError};
use std::path::Path;

/// Merges `adapter` into `base` and writes the model, with a `README.md`, to the folder `to`, which must be new or empty. `run` is the
/// folder that the card is about.
///
/// # Errors
/// A method that cannot be merged, a folder with something in it, or a failed write; then nothing is left behind.
pub fn merged(adapter: &Adapter, base: &LoadedModel, run: &Path, to: &Path) -> Result<Merged, ExportError> {
    make_room(to)?;
    let mut compared = Merged::default();
    storage::create_dir_atomic(to, Failed::Write, |temporary| {
        compared = merge(adapter, base, temporary).map_err(Failed::Merge)?;
        let text = card::text(run, true);
        storage::write_atomic_bytes(&temporary.join("README.md"), text.as_bytes()).map_err(Failed::Write)?;
        Ok(())
    })
    .map_err(|failed| match failed {
        Failed::Write(source) => ExportError::Write { path: to.to_path_buf(), source },
        Failed::Merge(error) => ExportError::Merge(error),
    })?;
    Ok(compared)
}

enum Failed {
    Write(std::io::Error),
    Merge(PeftError),
}

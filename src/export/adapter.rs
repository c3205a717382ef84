//! What a run trained as a folder that PEFT or transformers loads, with a model card.

use super::{ExportError, card, sentences};
use crate::base::storage;
use crate::peft::files;
use crate::recipe::Task;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Copies the adapter of a run, in PEFT's format, or the model that full tuning made, with a `README.md` that says what it is, to
/// the folder `to`, which must be new or empty.
///
/// # Errors
/// No adapter, a folder with something in it, or a failed write; then nothing is left behind.
pub fn adapter(run: &Path, to: &Path) -> Result<(), ExportError> {
    let from = run.join("adapter");
    let Some(names) = files::names(&from) else {
        return Err(ExportError::NoAdapter { path: run.to_path_buf() });
    };
    into_new_folder(to, |temporary| {
        let copy = || {
            let task = from.join(Task::FILE).is_file().then_some(Task::FILE);
            for name in names.iter().copied().chain(task) {
                let copy = temporary.join(name);
                fs::copy(from.join(name), &copy)?;
                File::options().write(true).open(&copy)?.sync_all()?;
            }
            let is_model = files::is_model(&from);
            if is_model {
                let task = Task::load(&from).map_err(io::Error::other)?;
                sentences::note(temporary, task.as_ref())?;
            }
            let card = card::text(run, is_model);
            storage::write_atomic_bytes(&temporary.join("README.md"), card.as_bytes())
        };
        copy().map_err(|source| ExportError::Write { path: to.to_path_buf(), source })
    })
}

/// Whether `to` is new or empty: asked before the work, as [`into_new_folder`] asks after it.
///
/// # Errors
/// [`ExportError::Exists`]
pub fn check_free(to: &Path) -> Result<(), ExportError> {
    let is_empty = || fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_none());
    match !to.exists() || is_empty() {
        true => Ok(()),
        false => Err(ExportError::Exists { path: to.to_path_buf() }),
    }
}

/// Fills the folder `to`, which must be new or empty; it is whole or not there.
///
/// # Errors
/// [`ExportError::Exists`], [`ExportError::Write`], and whatever `fill` says.
pub fn into_new_folder<E: From<ExportError>>(
    to: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let write = |source| ExportError::Write { path: to.to_path_buf(), source };
    if to.exists() {
        // Succeeds for an empty folder only.
        fs::remove_dir(to).map_err(|_| ExportError::Exists { path: to.to_path_buf() })?;
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(write)?;
    }
    storage::create_dir_atomic(to, |e| write(e).into(), fill)
}

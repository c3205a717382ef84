//! Whole models that compare texts, as folders of the sentence-transformers library.

use crate::model::files::ModelFiles;
use crate::model::sentence;
use crate::recipe::Task;
use crate::recipe::recipe::Objective;
use std::io;
use std::path::Path;

/// Adds what `SentenceTransformer` opens a folder by to the whole model there, where it learnt to compare texts.
///
/// # Errors
/// A failed write, and a model that cannot be read.
pub(super) fn note(folder: &Path, task: Option<&Task>) -> io::Result<()> {
    let all = task.map(Task::each).unwrap_or_default();
    let pooling = all.iter().find_map(|task| match &task.objective {
        Objective::Contrastive(of) => Some(of.pooling),
        _ => None,
    });
    let Some(pooling) = pooling else { return Ok(()) };
    let files = ModelFiles::open(&folder.to_string_lossy(), folder).map_err(io::Error::other)?;
    sentence::save(folder, pooling, &files.config)
}

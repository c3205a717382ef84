//! The row ledger of each data file of a project, as it was last prepared: for people to read, beside what they train on.

use super::ProjectError;
use crate::base::storage::{self, slug};
use crate::data::ledger::Report;
use crate::data::prepare::{Dataset, PrepareOptions};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};

/// What was prepared, and what became of its rows. Which data it was says the hash of the rows that are kept; every run has the
/// ledger it began with in its own folder.
#[derive(Serialize)]
struct DataLedger<'a> {
    source: &'a Path,
    kept_rows: String,
    options: &'a PrepareOptions,
    #[serde(flatten)]
    report: Report<'a>,
}

/// Writes the ledger of a data set to `datasets/ledgers` of the project, in place of the one that the same file had before.
pub fn save(project: &Path, dataset: &Dataset) -> Result<PathBuf, ProjectError> {
    let folder = project.join("datasets").join("ledgers");
    fs::create_dir_all(&folder).map_err(ProjectError::write(&folder))?;
    let path = folder.join(file_name(&dataset.source));
    let mut hasher = blake3::Hasher::new();
    dataset.rows.iter().for_each(|row| {
        hasher.update(&row.hash.to_le_bytes());
    });
    let ledger = DataLedger {
        source: &dataset.source,
        kept_rows: hasher.finalize().to_hex().to_string(),
        options: &dataset.options,
        report: dataset.ledger.report(),
    };
    storage::write_atomic(&path, |out| Ok(serde_json::to_writer_pretty(out, &ledger)?))
        .map_err(ProjectError::write(&path))?;
    Ok(path)
}

/// The file's name, to be found by people, and the hash of its whole path, because names repeat.
fn file_name(source: &Path) -> String {
    let stem = slug(&source.file_stem().unwrap_or_default().to_string_lossy());
    let place = blake3::hash(source.as_os_str().as_encoded_bytes()).to_hex();
    format!("{stem}-{}.json", &place[..8])
}

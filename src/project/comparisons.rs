//! The comparisons of methods of a project, as they are on disk.

use super::method_comparison::{JSON_FILE, MethodComparison};
use super::{ProjectError, RunFolder, run_folder};
use crate::base::storage::FolderLock;
use std::fs;
use std::path::{Path, PathBuf};

/// Name of their folder in a project.
pub const FOLDER: &str = "comparisons";

/// One comparison; one that cannot be read says why.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub folder: PathBuf,
    /// Folder name: `2026-11-21-143000-fruit-families`.
    pub name: String,
    pub found: Result<MethodComparison, String>,
}

impl Comparison {
    fn read(folder: &Path) -> Self {
        let found = MethodComparison::read(folder).map_err(|error| error.to_string());
        Self { found, ..Self::new(folder, MethodComparison::default()) }
    }

    pub fn new(folder: &Path, comparison: MethodComparison) -> Self {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { folder: folder.to_path_buf(), name, found: Ok(comparison) }
    }
}

/// The run of one method in the folder of a comparison.
pub fn run_folder(comparison: &Path, key: &str) -> PathBuf {
    comparison.join("runs").join(key)
}

/// Takes the lock of a comparison's folder, which is made where there is none: one process at a time writes there.
pub fn lock(comparison: &Path) -> Result<FolderLock, ProjectError> {
    fs::create_dir_all(comparison).map_err(ProjectError::write(comparison))?;
    run_folder::lock(comparison)
}

/// All comparisons of a project, newest first. Folders that are none are passed over.
pub fn list(project: &Path) -> Result<Vec<Comparison>, ProjectError> {
    let folder = project.join(FOLDER);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&folder).map_err(ProjectError::read(&folder))?;
    let paths = entries.flatten().map(|entry| entry.path()).filter(|path| path.join(JSON_FILE).is_file());
    let mut found: Vec<Comparison> = paths.map(|path| Comparison::read(&path)).collect();
    found.sort_by(|a, b| b.name.cmp(&a.name));
    Ok(found)
}

/// Deletes a comparison with its runs. Refuses a folder that does not look like one of a project, and one that is being
/// written to.
pub fn delete(path: &Path) -> Result<(), ProjectError> {
    let is_link = fs::symlink_metadata(path).map_err(ProjectError::read(path))?.file_type().is_symlink();
    let is_in_place = path.file_name().is_some() && path.parent().is_some_and(|p| p.ends_with(FOLDER));
    if is_link || !is_in_place || !path.join(JSON_FILE).is_file() {
        return Err(ProjectError::NotAComparison { path: path.to_path_buf() });
    }
    let runs = fs::read_dir(path.join("runs")).into_iter().flatten().flatten().map(|run| run.path());
    if let Some(path) =
        std::iter::once(path.to_path_buf()).chain(runs).find(|path| RunFolder::is_locked(path))
    {
        return Err(ProjectError::InUse { path });
    }
    fs::remove_dir_all(path).map_err(ProjectError::write(path))
}

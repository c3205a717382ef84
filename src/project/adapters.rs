//! What the project keeps to answer with besides its runs: mixes of them, as adapters or whole models.

use super::ProjectError;
use crate::base::storage::slug;
use crate::peft::files;
use std::fs;
use std::path::{Path, PathBuf};

/// Name of their folder in a project.
pub const FOLDER: &str = "adapters";

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedAdapter {
    pub folder: PathBuf,
    /// Name of the folder.
    pub name: String,
    /// The model that it says that it was made for.
    pub model: Option<String>,
}

/// Where one of this name lies.
pub fn path(project: &Path, name: &str) -> PathBuf {
    project.join(FOLDER).join(slug(name))
}

/// All of a project, by name. Folders that are none are passed over.
pub fn list(project: &Path) -> Result<Vec<SavedAdapter>, ProjectError> {
    let folder = project.join(FOLDER);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&folder).map_err(ProjectError::read(&folder))?.flatten();
    let name_of = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let found = entries.map(|entry| entry.path()).filter(|path| files::names(path).is_some());
    let mut all: Vec<SavedAdapter> = found
        .map(|folder| SavedAdapter { name: name_of(&folder), model: files::base_model(&folder), folder })
        .filter(|saved| !saved.name.starts_with('.'))
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Deletes one of a project. Refuses a folder that does not look like one.
pub fn delete(project: &Path, folder: &Path) -> Result<(), ProjectError> {
    let is_link = fs::symlink_metadata(folder).map_err(ProjectError::read(folder))?.file_type().is_symlink();
    let is_in_place = folder.file_name().is_some() && folder.parent() == Some(&*project.join(FOLDER));
    if is_link || !is_in_place || files::names(folder).is_none() {
        return Err(ProjectError::NotAMix { path: folder.to_path_buf() });
    }
    fs::remove_dir_all(folder).map_err(ProjectError::write(folder))
}

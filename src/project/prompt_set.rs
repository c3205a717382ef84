//! Prompts worth keeping: a set is run as a whole and scored where the right answer is known.

use super::ProjectError;
use crate::base::storage::{self, slug};
pub use crate::data::shots::{Question, Shot};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

const MAX_BYTES: u64 = 16 << 20;
/// So many names may share one beginning before a set is refused.
const MAX_ALIKE: usize = 1000;

/// A named list of prompts with few-shot examples.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PromptSet {
    pub name: String,
    /// How an example becomes a line: `{input}: {output}`.
    pub line_format: String,
    pub shots: Vec<Shot>,
    pub prompts: Vec<Question>,
}

/// All sets in `folder`, by name. Files that are no prompt sets are passed over.
pub fn list(folder: &Path) -> Result<Vec<PromptSet>, ProjectError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).map_err(ProjectError::read(folder))?.flatten();
    let is_toml = |path: &Path| path.extension().is_some_and(|e| e == "toml");
    let mut sets: Vec<PromptSet> =
        entries.map(|e| e.path()).filter(|p| is_toml(p)).filter_map(|p| load(&p).ok()).collect();
    sets.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(sets)
}

/// Reads one set.
pub fn load(path: &Path) -> Result<PromptSet, ProjectError> {
    let text = storage::read_text_bounded(path, MAX_BYTES).map_err(ProjectError::read(path))?;
    toml::from_str(&text)
        .map_err(|e| ProjectError::Damaged { path: path.to_path_buf(), why: e.message().to_string() })
}

/// Writes a set under its name, replacing one of the same name. A set or file of another name is never replaced,
/// however alike the file names would be.
pub fn save(folder: &Path, set: &PromptSet) -> Result<(), ProjectError> {
    fs::create_dir_all(folder).map_err(ProjectError::write(folder))?;
    let path = free_path(folder, &set.name)?;
    let text = toml::to_string_pretty(set)
        .map_err(|e| ProjectError::Damaged { path: path.clone(), why: e.to_string() })?;
    storage::write_atomic_bytes(&path, text.as_bytes()).map_err(ProjectError::write(&path))
}

/// The file of the set called `name`, or one that is not there yet.
fn free_path(folder: &Path, name: &str) -> Result<PathBuf, ProjectError> {
    let stem = slug(name);
    for n in 1..=MAX_ALIKE {
        let file = if n == 1 { format!("{stem}.toml") } else { format!("{stem}-{n}.toml") };
        let path = folder.join(file);
        let is_free = fs::symlink_metadata(&path).is_err();
        if is_free || load(&path).is_ok_and(|there| there.name == name) {
            return Ok(path);
        }
    }
    let why = format!("there are too many prompt sets called {stem}: choose another name");
    Err(ProjectError::Damaged { path: folder.to_path_buf(), why })
}

//! The sample data that comes with Tunesmith, put into a project as files like any others.

use super::ProjectError;
use crate::base::storage;
use std::fs;
use std::path::{Path, PathBuf};

/// Names of fruits and their botanical type: the example of Home and of `quickstart`.
pub const FRUIT: &str = "fruit-families.csv";
pub const FRUIT_TEXT: &str = include_str!("../../assets/samples/fruit-families.csv");
/// Conversations that a sea captain answers: a style rather than facts.
pub const CAPTAIN: &str = "sea-captain.jsonl";

const FILES: [(&str, &str); 2] =
    [(FRUIT, FRUIT_TEXT), (CAPTAIN, include_str!("../../assets/samples/sea-captain.jsonl"))];

/// The samples to choose from: file name, and what it teaches.
pub const ALL: [(&str, &str); 2] = [
    (FRUIT, "Fruit families: one-word answers to learn by heart"),
    (CAPTAIN, "Sea captain: answers in a style of their own (Arr!)"),
];

/// Where a project keeps the sample called `name`.
pub fn path_in(project: &Path, name: &str) -> PathBuf {
    project.join("datasets").join("samples").join(name)
}

/// Writes the samples that a project lacks; one that the user changed stays as it is.
pub fn write_missing(project: &Path) -> Result<(), ProjectError> {
    for (name, text) in FILES {
        let path = path_in(project, name);
        if path.exists() {
            continue;
        }
        let folder = path.parent().unwrap_or(project);
        fs::create_dir_all(folder).map_err(ProjectError::write(folder))?;
        storage::write_atomic_bytes(&path, text.as_bytes()).map_err(ProjectError::write(&path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_gets_the_samples_once_and_keeps_its_own_changes() {
        let project = tempfile::tempdir().unwrap();
        write_missing(project.path()).unwrap();
        assert!(ALL.iter().all(|(name, _)| path_in(project.path(), name).is_file()));
        let path = path_in(project.path(), FRUIT);
        assert!(fs::read_to_string(&path).unwrap().starts_with("question,answer"));
        fs::write(&path, "mine").unwrap();
        write_missing(project.path()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}

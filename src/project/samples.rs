//! The sample data that comes with Tunesmith, put into a project as files like any others.

use super::ProjectError;
use crate::base::storage;
use std::fs;
use std::path::{Path, PathBuf};

const FILES: [(&str, &str); 1] =
    [("fruit-families.csv", include_str!("../../assets/samples/fruit-families.csv"))];

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
        let path = path_in(project.path(), "fruit-families.csv");
        assert!(fs::read_to_string(&path).unwrap().starts_with("question,answer"));
        fs::write(&path, "mine").unwrap();
        write_missing(project.path()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}

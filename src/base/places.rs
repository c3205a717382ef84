//! Where Tunesmith keeps what is not in a project. `TUNESMITH_HOME` moves all of it.

use std::path::PathBuf;

/// The folder of models and settings: `TUNESMITH_HOME`, else the system's place for a program's data.
pub fn data_folder() -> PathBuf {
    if let Some(home) = home_from_env() {
        return home;
    }
    directories::ProjectDirs::from("", "", "tunesmith")
        .map_or_else(|| std::env::temp_dir().join("tunesmith"), |dirs| dirs.data_dir().to_path_buf())
}

/// Downloaded models, one folder each.
pub fn models_folder() -> PathBuf {
    data_folder().join("models")
}

/// The project that opens when none is named: among the user's documents, where it is easily found.
pub fn default_project_folder() -> PathBuf {
    if let Some(home) = home_from_env() {
        return home.join("project");
    }
    directories::UserDirs::new()
        .and_then(|dirs| dirs.document_dir().map(|documents| documents.join("Tunesmith")))
        .unwrap_or_else(|| data_folder().join("project"))
}

fn home_from_env() -> Option<PathBuf> {
    std::env::var_os("TUNESMITH_HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

//! The project folder: `project.toml`, `drafts.json`, `datasets/`, `runs/`, `adapters/`, `exports/`, `prompts/`.

use super::ProjectError;
use crate::base::storage::{self, FolderLock};
use crate::recipe::load;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The format that this version writes.
const FORMAT: u32 = 1;
const FILE: &str = "project.toml";
const DRAFTS: &str = "drafts.json";
const MAX_DRAFTS_BYTES: u64 = 16 << 20;
const PARTS: [&str; 5] = ["datasets", "runs", "adapters", "exports", "prompts"];

/// What the window shows of a project.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProjectView {
    pub folder: PathBuf,
    pub name: String,
    /// What the user had set up when the project was closed.
    pub memory: Remembered,
}

/// What was typed in each place and is in no other file, by the name of the place.
pub type Drafts = BTreeMap<String, serde_json::Value>;

/// What is remembered between two sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Remembered {
    pub model: Option<String>,
    pub data: Option<PathBuf>,
    /// In a file of their own: places write them as they like.
    #[serde(skip)]
    pub drafts: Drafts,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct File {
    format: u32,
    #[serde(default)]
    memory: Remembered,
}

/// An open project; holds the lock on its folder.
#[derive(Debug)]
pub struct Project {
    folder: PathBuf,
    memory: Remembered,
    _lock: FolderLock,
}

impl Project {
    /// Opens the project in `folder`, or makes one there.
    pub fn open(folder: &Path) -> Result<Self, ProjectError> {
        fs::create_dir_all(folder).map_err(ProjectError::write(folder))?;
        let path = folder.join(FILE);
        let mut memory = if path.exists() { read(&path)? } else { Remembered::default() };
        memory.drafts = drafts(&folder.join(DRAFTS));
        let lock = FolderLock::try_acquire(folder).map_err(ProjectError::write(folder))?;
        let Some(lock) = lock else { return Err(ProjectError::InUse { path: folder.to_path_buf() }) };
        for part in PARTS {
            let path = folder.join(part);
            fs::create_dir_all(&path).map_err(ProjectError::write(&path))?;
        }
        let project = Self { folder: folder.to_path_buf(), memory, _lock: lock };
        project.write(&project.memory)?;
        Ok(project)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn runs(&self) -> PathBuf {
        self.folder.join("runs")
    }

    pub fn view(&self) -> ProjectView {
        let name = self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        ProjectView { folder: self.folder.clone(), name, memory: self.memory.clone() }
    }

    /// Remembers what the user has chosen and typed. Only what changed is written.
    pub fn remember(&mut self, memory: Remembered) -> Result<(), ProjectError> {
        if memory.drafts != self.memory.drafts {
            let path = self.folder.join(DRAFTS);
            storage::write_atomic(&path, |out| Ok(serde_json::to_writer_pretty(out, &memory.drafts)?))
                .map_err(ProjectError::write(&path))?;
        }
        if (&memory.model, &memory.data) != (&self.memory.model, &self.memory.data) {
            self.write(&memory)?;
        }
        self.memory = memory;
        Ok(())
    }

    fn write(&self, memory: &Remembered) -> Result<(), ProjectError> {
        let path = self.folder.join(FILE);
        let file = File { format: FORMAT, memory: memory.clone() };
        let text = toml::to_string_pretty(&file)
            .map_err(|e| ProjectError::Damaged { path: path.clone(), why: e.to_string() })?;
        storage::write_atomic_bytes(&path, text.as_bytes()).map_err(ProjectError::write(&path))
    }
}

/// A project opens without its drafts rather than not at all.
fn drafts(path: &Path) -> Drafts {
    let text = storage::read_text_bounded(path, MAX_DRAFTS_BYTES).ok();
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

fn read(path: &Path) -> Result<Remembered, ProjectError> {
    #[derive(Deserialize)]
    struct Version {
        format: i64,
    }
    let damaged = |why: String| ProjectError::Damaged { path: path.to_path_buf(), why };
    let text = storage::read_text_bounded(path, load::MAX_BYTES).map_err(ProjectError::read(path))?;
    let version: Version =
        toml::from_str(&text).map_err(|e| damaged(format!("it is not a project file: {}", e.message())))?;
    if version.format > i64::from(FORMAT) {
        let found = u32::try_from(version.format).unwrap_or(u32::MAX);
        return Err(ProjectError::Newer { path: path.to_path_buf(), found, known: FORMAT });
    }
    let file: File = toml::from_str(&text).map_err(|e| damaged(e.message().to_string()))?;
    Ok(file.memory)
}

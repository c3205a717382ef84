//! Which model was tuned: a note beside the files of a method, which PEFT, adapters and transformers leave alone.

use super::PeftError;
use crate::base::storage;
use crate::model::identity::Identity;
use serde::{Deserialize, Serialize};
use std::path::Path;

pub const FILE: &str = "base_model.json";

const MAX_BYTES: u64 = 1 << 20;

/// A base model by its name and by its weights.
#[derive(Debug, Serialize, Deserialize)]
pub struct BaseModel {
    pub name: String,
    #[serde(flatten)]
    pub identity: Identity,
}

impl BaseModel {
    /// Writes the note into a folder. Call inside `storage::create_dir_atomic`.
    ///
    /// # Errors
    /// [`PeftError::Write`]
    pub fn save(&self, folder: &Path) -> Result<(), PeftError> {
        let path = folder.join(FILE);
        let text = serde_json::to_vec(self)
            .map_err(|e| PeftError::Write { path: path.clone(), source: e.into() })?;
        storage::write_atomic_bytes(&path, &text).map_err(|source| PeftError::Write { path, source })
    }

    /// The note in a folder; nothing where there is none, as beside files of other programs.
    ///
    /// # Errors
    /// [`PeftError::Unreadable`]
    pub fn read(folder: &Path) -> Result<Option<Self>, PeftError> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let unreadable = |why: String| PeftError::Unreadable { path: path.clone(), why };
        let text = storage::read_text_bounded(&path, MAX_BYTES).map_err(|e| unreadable(e.to_string()))?;
        let read = serde_json::from_str(&text);
        read.map(Some).map_err(|e| unreadable(format!("not a note of a base model: {e}")))
    }

    /// Whether what lies in `folder`, which has this note, is for the model that is known by `identity`. Where that one was made of
    /// another by tuning, `origin` is its own note.
    ///
    /// # Errors
    /// [`PeftError::OtherBase`]
    pub fn require(
        &self,
        folder: &Path,
        name: &str,
        identity: &Identity,
        origin: Option<&Self>,
    ) -> Result<(), PeftError> {
        // The few numbers that are known of a quantised model are those of any model that was made of it.
        let is_of_origin = || {
            let origin = origin.filter(|_| self.identity != *identity)?;
            self.identity.difference(&origin.identity).is_none().then(|| {
                "that model has something worked in already, and the adapter was made for it as it was before".into()
            })
        };
        match self.identity.difference(identity).or_else(is_of_origin) {
            None => Ok(()),
            Some(why) => Err(PeftError::OtherBase {
                folder: folder.into(),
                made_for: self.name.clone(),
                chosen: name.into(),
                why,
            }),
        }
    }
}

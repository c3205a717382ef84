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

    /// Whether what lies in `folder`, which has this note, is for the model that is known by `identity`; `made_of` is the note that
    /// the model itself has, where it was tuned, merged or composed.
    ///
    /// # Errors
    /// [`PeftError::OtherBase`]
    pub fn require(
        &self,
        folder: &Path,
        name: &str,
        identity: &Identity,
        made_of: Option<&Self>,
    ) -> Result<(), PeftError> {
        let is_of_base = made_of.is_some_and(|base| self.identity.is_of_base(&base.identity, identity));
        let made_of_base =
            || is_of_base.then(|| "this one was made of that one, and has other weights".into());
        match self.identity.difference(identity).or_else(made_of_base) {
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

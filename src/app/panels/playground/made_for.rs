//! Which model an adapter was made for, as far as it is known, and whether that is the chosen one.

use super::ColumnState;
use crate::app::shared::Shared;
use crate::hub::resolve;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What adapters in folders of the user's say about their model.
#[derive(Debug, Clone, Default)]
pub struct MadeFor {
    told: BTreeMap<PathBuf, String>,
}

impl MadeFor {
    /// An adapter's own words on its model, as they were read.
    pub fn told(&mut self, folder: &Path, model: Option<&String>) {
        match model {
            Some(model) => self.told.insert(folder.to_path_buf(), model.clone()),
            None => self.told.remove(folder),
        };
    }

    /// The other model that the adapter of `column` was made for; nothing when it is the chosen one, or not known.
    pub fn other<'a>(&'a self, column: &'a ColumnState, shared: &'a Shared) -> Option<Other<'a>> {
        let folders = column.adapter.as_ref()?.folders().into_iter();
        let model_of = |folder: &'a Path| {
            let run = shared.runs.iter().find(|run| run.adapter.as_deref() == Some(folder));
            let model = run.map_or_else(|| self.told.get(folder), |run| Some(&run.recipe.model.source))?;
            Some(Other { model, folder, is_run: run.is_some() })
        };
        folders.filter_map(model_of).find(|other| !is_chosen(other.model, shared))
    }
}

/// An adapter that was made for a model of another name.
pub struct Other<'a> {
    pub model: &'a str,
    pub folder: &'a Path,
    /// Made here, so that it is known for sure.
    pub is_run: bool,
}

/// Whether `model` may be a name of the chosen model.
pub fn is_chosen(model: &str, shared: &Shared) -> bool {
    let title = shared.model_entry().map(|entry| entry.title.replace(' ', "-")).unwrap_or_default();
    let lies_in = shared.model.as_ref().map(|info| info.path.as_path()).unwrap_or(Path::new(""));
    [&shared.model_source, &title].iter().any(|source| resolve::may_mean(model, source, lies_in))
}

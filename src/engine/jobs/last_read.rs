//! The table that is in memory already: a file that the window shows is not read a second time to train on it.

use super::data;
use crate::base::Control;
use crate::data::import::{ImportOptions, Imported};
use crate::engine::halt::Halt;
use crate::engine::lane::Sink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

/// The data file read last, as long as somebody holds it: a run shares the table that the window shows instead of
/// having a second one. Clones are the same one.
#[derive(Clone, Default)]
pub struct LastRead(Arc<Mutex<Held>>);

type Held = Option<(Key, Weak<Imported>)>;

/// What a file that was read is known by.
#[derive(PartialEq)]
struct Key {
    path: PathBuf,
    options: ImportOptions,
    num_bytes: u64,
    changed: SystemTime,
}

impl Key {
    /// `None` where the system doesn't tell whether a file has changed.
    fn new(path: &Path, options: &ImportOptions) -> Option<Self> {
        let about = std::fs::metadata(path).ok()?;
        let (path, options) = (path.to_path_buf(), options.clone());
        Some(Self { path, options, num_bytes: about.len(), changed: about.modified().ok()? })
    }
}

impl LastRead {
    /// [`data::read`], unless just this is in memory and the file has not changed since.
    pub fn read(
        &self,
        path: &Path,
        options: &ImportOptions,
        control: &Control,
        sink: &mut Sink<'_>,
    ) -> Result<Arc<Imported>, Halt> {
        // Before reading: a change while it is read counts as one.
        let key = Key::new(path, options);
        let held =
            self.held().as_ref().filter(|(held, _)| key.as_ref() == Some(held)).map(|(_, i)| i.clone());
        if let Some(imported) = held.and_then(|held| held.upgrade()) {
            return Ok(imported);
        }
        let imported = Arc::new(data::read(path, options, control, sink)?);
        *self.held() = key.map(|key| (key, Arc::downgrade(&imported)));
        Ok(imported)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

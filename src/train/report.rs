//! Where a run's events go: to its metrics file first, then to whoever listens.

use super::TrainError;
use crate::project::{RunEvent, RunFolder};

/// Writes each event to disk, then passes it on. The disk is the truth.
pub struct Reporter<'a> {
    folder: &'a RunFolder,
    listener: &'a mut dyn FnMut(RunEvent),
}

impl<'a> Reporter<'a> {
    pub fn new(folder: &'a RunFolder, listener: &'a mut dyn FnMut(RunEvent)) -> Self {
        Self { folder, listener }
    }

    pub fn send(&mut self, event: RunEvent) -> Result<(), TrainError> {
        self.folder.append(&event)?;
        (self.listener)(event);
        Ok(())
    }

    /// Passes an event on even when the disk is full.
    pub fn send_anyway(&mut self, event: RunEvent) {
        let _written = self.folder.append(&event);
        (self.listener)(event);
    }

    /// A line of the run's log.
    pub fn log(&mut self, text: &str) -> Result<(), TrainError> {
        Ok(self.folder.log(text)?)
    }
}

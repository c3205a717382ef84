//! Where a run's events go: to its metrics file first, then to whoever listens.

use super::TrainError;
use crate::base::{Control, Progress};
use crate::project::event::Phase;
use crate::project::{RunEvent, RunFolder};

/// Who follows a run: what comes to pass, and how far work is that is done before the first update.
pub trait Listener: Progress {
    fn take(&mut self, event: RunEvent);
}

/// Writes each event to disk, then passes it on. The disk is the truth.
pub struct Reporter<'a> {
    folder: &'a RunFolder,
    listener: &'a mut dyn Listener,
}

impl<'a> Reporter<'a> {
    pub fn new(folder: &'a RunFolder, listener: &'a mut dyn Listener) -> Self {
        Self { folder, listener }
    }

    pub fn send(&mut self, event: RunEvent) -> Result<(), TrainError> {
        self.folder.append(&event)?;
        self.listener.take(event);
        Ok(())
    }

    /// Passes an event on even when the disk is full.
    pub fn send_anyway(&mut self, event: RunEvent) {
        let _written = self.folder.append(&event);
        self.listener.take(event);
    }

    /// How far it is, which no file keeps.
    pub fn progress(&mut self) -> &mut dyn Progress {
        self.listener
    }

    /// Waits while a person has paused the run, which then goes on with `phase`.
    pub fn wait_while_paused(&mut self, control: &Control, phase: Phase) -> Result<(), TrainError> {
        if !control.is_paused() || control.is_stopped() {
            return Ok(());
        }
        self.send(RunEvent::Phase { phase: Phase::Paused })?;
        control.wait_while_paused();
        self.send(RunEvent::Phase { phase })
    }

    /// A line of the run's log.
    pub fn log(&mut self, text: &str) -> Result<(), TrainError> {
        Ok(self.folder.log(text)?)
    }
}

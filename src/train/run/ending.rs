//! What a run leaves: its checkpoints, the adapter of the best of them, and how it ended.

use super::{Run, TrainError};
use crate::base::Control;
use crate::peft::Adapter;
use crate::project::event::Phase;
use crate::project::{Outcome, RunEvent, RunFolder};
use crate::recipe::Task;
use crate::train::checkpoint;
use crate::train::error::During;
use crate::train::report::Reporter;

impl Run<'_> {
    /// Writes a checkpoint and removes old ones.
    pub(super) fn save(&mut self, reporter: &mut Reporter) -> Result<(), TrainError> {
        let update = self.trainer.position.update.0;
        if self.last_checkpoint == Some(update) {
            return Ok(());
        }
        reporter.send(RunEvent::Phase { phase: Phase::Saving })?;
        let to = self.folder.checkpoint_dir(update);
        match update == self.from_update {
            true => checkpoint::save_position(&self.trainer, &to)?,
            false => checkpoint::save(&self.trainer, &to)?,
        }
        let best = self.trainer.position.validation.best.map(|b| b.update);
        self.folder.prune(self.plan.recipe().checkpoint.keep_last, best)?;
        self.last_checkpoint = Some(update);
        let name = to.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        reporter.send(RunEvent::Checkpoint { update, name, best: best == Some(update) })?;
        reporter.send(RunEvent::Phase { phase: Phase::Training })
    }

    pub(super) fn stop(&mut self, control: &Control, reporter: &mut Reporter) -> Result<Outcome, TrainError> {
        if control.is_discarded() {
            self.folder.remove_checkpoints()?;
            // There is one where the test rows were being measured already.
            let path = self.folder.adapter_dir();
            if path.exists() {
                std::fs::remove_dir_all(&path).map_err(|source| TrainError::Write { path, source })?;
            }
            let update = self.trainer.position.update.0;
            self.end(Outcome::Discarded, update, None, reporter)?;
            return Ok(Outcome::Discarded);
        }
        if self.trainer.position.update.0 > 0 {
            self.save(reporter)?;
        }
        self.finish(Outcome::Stopped, control, reporter)
    }

    /// Saves the adapter: the best checkpoint's, or the last state when nothing was validated.
    pub(super) fn finish(
        &mut self,
        outcome: Outcome,
        control: &Control,
        reporter: &mut Reporter,
    ) -> Result<Outcome, TrainError> {
        let update = self.trainer.position.update.0;
        if update > 0 {
            self.save(reporter)?;
        }
        // The best state may be another one, and as large as the model.
        self.trainer.end_updates();
        let adapter = self.best_adapter(reporter)?;
        let own = self.trainer.adapter.clone();
        let adapter = adapter.as_ref().unwrap_or(&own);
        let folder = self.folder.adapter_dir();
        checkpoint::save_adapter(adapter, self.model, &folder)?;
        if let Some(learnt) = self.tasks.first().filter(|task| self.has_several() || !task.is_supervised()) {
            let path = folder.join(Task::FILE);
            learnt.task.save(&folder).map_err(|source| TrainError::Write { path, source })?;
        }
        if outcome != Outcome::Stopped {
            // What was learnt is on disk already.
            match self.test(Some(adapter), control, reporter) {
                Ok(Some(())) => {}
                // The run goes on with them.
                Ok(None) => return self.stop(control, reporter),
                Err(error) => {
                    self.notice(format!("The test rows could not be measured: {error}"), reporter)?;
                }
            }
        }
        self.model.decoder.device().synchronize().during("finish")?;
        self.end(outcome, update, Some("adapter".into()), reporter)?;
        Ok(outcome)
    }

    /// The adapter of the best checkpoint; `None` when it is the trainer's own, or there is none that can be read.
    pub(super) fn best_adapter(&self, reporter: &mut Reporter) -> Result<Option<Adapter>, TrainError> {
        let best = self.trainer.position.validation.best;
        let Some(best) = best.filter(|best| best.update != self.trainer.position.update.0) else {
            return Ok(None);
        };
        let folder = self.folder.checkpoint_dir(best.update);
        let config = self.model.config();
        match crate::peft::files::load(&folder, config, self.trainer.adapter.device()) {
            Ok(adapter) => Ok(Some(adapter)),
            Err(error) => {
                let text = format!(
                    "The best checkpoint, of update {}, cannot be read: {error}. The adapter is that of the last update.",
                    best.update
                );
                self.notice(text, reporter)?;
                Ok(None)
            }
        }
    }

    pub(super) fn end(
        &mut self,
        outcome: Outcome,
        update: u64,
        adapter: Option<String>,
        reporter: &mut Reporter,
    ) -> Result<(), TrainError> {
        let best = self.trainer.position.validation.best;
        reporter.send(RunEvent::Phase { phase: Phase::Ended })?;
        reporter.log(&format!("Ended at update {update}: {outcome:?}"))?;
        reporter.send(RunEvent::Finished {
            outcome,
            update,
            best_update: best.map(|b| b.update),
            best_loss: best.map(|best| best.found.loss),
            secs: self.secs_before + self.began.elapsed().as_secs_f64(),
            adapter,
        })
    }
}

/// How a run ends that was stopped before it had a state of its own.
pub(super) fn stopped_before(reporter: &mut Reporter, control: &Control, folder: &RunFolder) -> Outcome {
    let outcome = if control.is_discarded() { Outcome::Discarded } else { Outcome::Stopped };
    let update = folder.checkpoints().last().copied().unwrap_or_default();
    reporter.send_anyway(RunEvent::Finished {
        outcome,
        update,
        best_update: None,
        best_loss: None,
        secs: 0.0,
        adapter: None,
    });
    outcome
}

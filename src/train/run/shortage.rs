//! What a run does when memory is short: it deals its micro-batches in halves, and ends with what it has where that is not enough.

use super::{Run, TrainError};
use crate::base::{Control, human};
use crate::train::memory::Shortage;
use crate::train::report::Reporter;

impl Run<'_> {
    /// Where memory may be short, the largest step is made once before the first update, to learn what it takes while nothing is lost
    /// yet. What a device has is not known beforehand.
    pub(super) fn try_memory(
        &mut self,
        control: &Control,
        reporter: &mut Reporter,
    ) -> Result<(), TrainError> {
        let estimated = self.plan.estimate().memory_bytes;
        let limit = self.trainer.meter.limit_bytes();
        let has_plenty = limit.is_none_or(|limit| estimated < limit / 2);
        if has_plenty && self.trainer.adapter.device().is_cpu() {
            return Ok(());
        }
        while !control.is_stopped() {
            match self.trainer.try_largest() {
                Ok(Some((num_tokens, bytes))) => {
                    let of_limit =
                        limit.map_or(String::new(), |l| format!(", and {} are allowed", human::bytes(l)));
                    let text = format!(
                        "The largest micro-batch, of {} tokens, was tried: it takes {} of memory. {} were estimated{of_limit}.",
                        human::count(num_tokens as u64),
                        human::bytes(bytes),
                        human::bytes(estimated),
                    );
                    return self.notice(text, reporter);
                }
                Ok(None) => return Ok(()),
                Err(TrainError::OutOfMemory(shortage)) => self.give_in(shortage, reporter)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Memory is short: from now on micro-batches are dealt in halves. Where that was done before, or nothing can be dealt, the run
    /// ends with what it has.
    pub(super) fn give_in(&mut self, shortage: Shortage, reporter: &mut Reporter) -> Result<(), TrainError> {
        if !self.trainer.can_be_halved() {
            return self.give_up(shortage, reporter);
        }
        self.trainer.position.is_halved = true;
        let text = format!(
            "Memory is short: {shortage}. From update {} on, each micro-batch is dealt in two halves; an update has the same \
             examples as before and takes a little longer.",
            self.trainer.position.update.0 + 1
        );
        self.notice(text, reporter)
    }

    /// The run ends with what it has.
    pub(super) fn give_up(&mut self, shortage: Shortage, reporter: &mut Reporter) -> Result<(), TrainError> {
        if self.trainer.position.update.0 > self.from_update {
            self.save(reporter)?;
        }
        Err(TrainError::OutOfMemory(shortage))
    }
}

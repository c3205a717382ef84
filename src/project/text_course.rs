//! How well the general text was known in the course of a run, from its events.

use super::RunEvent;

/// Perplexities of the held-out general text, in the order of the updates.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TextCourse {
    measured: Vec<(u64, f64)>,
    /// The update whose state the run leaves, once it says.
    left: Option<u64>,
}

impl TextCourse {
    /// Takes an event in; most have no say.
    pub fn take_in(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Started { from_update, .. } => {
                self.measured.retain(|(update, _)| update <= from_update);
                self.left = None;
            }
            RunEvent::GeneralText { update, perplexity, .. } => {
                self.measured.retain(|(at, _)| at < update);
                self.measured.push((*update, *perplexity));
            }
            RunEvent::Finished { update, best_update, .. } => {
                self.left = Some(best_update.unwrap_or(*update))
            }
            _ => {}
        }
    }

    /// Of the base model, and now: of the newest update that was measured, or of the one that the run leaves once it has ended.
    /// `None` until something was measured, and when that one was not.
    pub fn before_and_now(&self) -> Option<(f64, f64)> {
        let left = |(update, _): &&(u64, f64)| self.left.is_none_or(|left| left == *update);
        let (_, now) = self.measured.iter().rev().find(left)?;
        Some((self.before()?, *now))
    }

    /// "12.31 before, 14.02 now"; of a run that was stopped between two measurements "12.31 before, 13.10 at update 5, not measured
    /// since".
    pub fn describe(&self) -> Option<String> {
        let before = self.before()?;
        let now = match (self.before_and_now(), self.measured.last()?) {
            (Some((_, now)), _) => format!("{now:.2} now"),
            (None, (0, _)) => "not measured since".into(),
            (None, (update, last)) => format!("{last:.2} at update {update}, not measured since"),
        };
        Some(format!("{before:.2} before, {now}"))
    }

    fn before(&self) -> Option<f64> {
        self.measured.first().filter(|(update, _)| *update == 0).map(|(_, perplexity)| *perplexity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Outcome;

    fn at(update: u64, perplexity: f64) -> RunEvent {
        RunEvent::GeneralText { update, loss: perplexity.ln(), perplexity }
    }

    fn finished(update: u64, best_update: Option<u64>) -> RunEvent {
        let (outcome, adapter) = (Outcome::Done, None);
        RunEvent::Finished { outcome, update, best_update, best_loss: None, secs: 1.0, adapter }
    }

    fn resumed(from_update: u64) -> RunEvent {
        RunEvent::Started {
            time: String::new(),
            num_updates: 10,
            updates_per_epoch: 10.0,
            num_train: 1,
            num_valid: 0,
            num_trainable_params: 1,
            estimated_memory_bytes: 0,
            estimated_secs: 0.0,
            device: String::new(),
            from_update,
        }
    }

    #[test]
    fn now_is_what_the_run_leaves() {
        let mut course = TextCourse::default();
        assert_eq!(course.describe(), None);
        course.take_in(&at(0, 10.0));
        assert_eq!(course.before_and_now(), Some((10.0, 10.0)));
        [at(5, 12.0), at(10, 20.0)].iter().for_each(|event| course.take_in(event));
        assert_eq!(course.describe().unwrap(), "10.00 before, 20.00 now");
        course.take_in(&finished(10, Some(5)));
        assert_eq!(course.before_and_now(), Some((10.0, 12.0)), "the best state is what is kept");
        course.take_in(&finished(10, None));
        assert_eq!(course.before_and_now(), Some((10.0, 20.0)));
        // A run that is resumed goes on, and a line that comes again counts once.
        course.take_in(&resumed(5));
        course.take_in(&at(5, 13.0));
        assert_eq!(course.before_and_now(), Some((10.0, 13.0)));
    }

    /// No figure of another state is given for it.
    #[test]
    fn a_state_that_was_not_measured_is_said_to_be_none() {
        let mut course = TextCourse::default();
        course.take_in(&at(0, 10.0));
        course.take_in(&finished(0, None));
        assert_eq!(course.describe().unwrap(), "10.00 before, 10.00 now", "stopped before the first update");
        course.take_in(&finished(5, None));
        assert_eq!(course.before_and_now(), None);
        assert_eq!(course.describe().unwrap(), "10.00 before, not measured since");
        course.take_in(&resumed(5));
        course.take_in(&at(8, 12.0));
        course.take_in(&finished(9, None));
        assert_eq!(course.before_and_now(), None);
        assert_eq!(course.describe().unwrap(), "10.00 before, 12.00 at update 8, not measured since");
    }
}

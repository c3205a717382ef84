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
            RunEvent::Finished { best_update, .. } => self.left = *best_update,
            _ => {}
        }
    }

    /// Of the base model, and now: of the newest update that was measured, or of the one that the finished run leaves. `None`
    /// until something was measured.
    pub fn before_and_now(&self) -> Option<(f64, f64)> {
        let (_, before) = self.measured.first().filter(|(update, _)| *update == 0)?;
        let left = self.measured.iter().find(|(update, _)| Some(*update) == self.left);
        left.or(self.measured.last()).map(|(_, now)| (*before, *now))
    }

    /// "12.31 before, 14.02 now"
    pub fn describe(&self) -> Option<String> {
        self.before_and_now().map(|(before, now)| format!("{before:.2} before, {now:.2} now"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Outcome;

    fn at(update: u64, perplexity: f64) -> RunEvent {
        RunEvent::GeneralText { update, loss: perplexity.ln(), perplexity }
    }

    #[test]
    fn now_is_what_the_run_leaves() {
        let mut course = TextCourse::default();
        assert_eq!(course.describe(), None);
        course.take_in(&at(0, 10.0));
        assert_eq!(course.before_and_now(), Some((10.0, 10.0)));
        [at(5, 12.0), at(10, 20.0)].iter().for_each(|event| course.take_in(event));
        assert_eq!(course.describe().unwrap(), "10.00 before, 20.00 now");
        let finished = |best_update| RunEvent::Finished {
            outcome: Outcome::Done,
            update: 10,
            best_update,
            best_loss: None,
            secs: 1.0,
            adapter: None,
        };
        course.take_in(&finished(Some(5)));
        assert_eq!(course.before_and_now(), Some((10.0, 12.0)), "the best state is what is kept");
        course.take_in(&finished(None));
        assert_eq!(course.before_and_now(), Some((10.0, 20.0)));
        // A line that comes again counts once, and a run that is resumed goes on.
        course.take_in(&at(5, 13.0));
        assert_eq!(course.before_and_now(), Some((10.0, 13.0)));
    }
}

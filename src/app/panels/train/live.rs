//! A run as it is drawn: built event by event, live or from `metrics.jsonl`, by the same code.

use crate::app::widgets::chart::ValidPoint;
use crate::app::widgets::chart_series::{Series, Thinned};
use crate::base::{Failure, human};
use crate::eval::reports::RunReport;
use crate::project::event::{self, Answer, OperationCost, Phase};
use crate::project::{Outcome, RunEvent, TextCourse};
use crate::recipe::Recipe;
use egui_plot::PlotPoint;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Lines of the log that are kept; the file on disk has them all.
const MOST_LINES: usize = 5_000;
/// Sets of sample answers that are kept.
const MOST_ANSWERS: usize = 200;

/// What the run said when it began.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Start {
    pub time: String,
    pub num_updates: u64,
    pub updates_per_epoch: f64,
    pub num_train: usize,
    pub num_valid: usize,
    pub num_trainable_params: u64,
    pub estimated_memory_bytes: u64,
    pub estimated_secs: f64,
    pub device: String,
}

/// The newest update.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Last {
    pub update: u64,
    pub epoch: f64,
    pub loss: f64,
    pub tokens_per_second: f64,
    pub memory_bytes: u64,
}

/// Where the time of an update went.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    pub update: u64,
    pub update_secs: f64,
    /// The costliest first.
    pub operations: Vec<OperationCost>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    pub outcome: Outcome,
    pub best_update: Option<u64>,
    pub best_loss: Option<f64>,
    pub secs: f64,
    pub adapter: Option<String>,
}

/// How one of several tasks goes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskCurve {
    pub losses: Thinned,
    /// At each validation.
    pub checks: Vec<PlotPoint>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunView {
    /// Known from the first event on.
    pub folder: Option<PathBuf>,
    /// The frozen recipe, where it is known.
    pub recipe: Option<Recipe>,
    pub start: Option<Start>,
    pub phase: Option<Phase>,
    pub last: Last,
    pub loss: Series,
    pub learning_rate: Thinned,
    pub grad_norm: Thinned,
    pub speed: Thinned,
    /// In bytes.
    pub memory: Thinned,
    /// Tokens of an update by what it has room for; empty without packing. All of them are of the data: nothing is padded.
    pub fill: Thinned,
    /// Loss on the general text that is learnt again; empty without.
    pub replay: Thinned,
    /// From the base model's predictions; empty where nothing is held near them.
    pub divergence: Thinned,
    /// The loss of each of several tasks, by name; empty of one alone.
    pub tasks: BTreeMap<String, TaskCurve>,
    /// Of the newest update that was measured.
    pub profile: Option<Profile>,
    pub valid: Vec<ValidPoint>,
    /// Validations in a row without gain.
    pub without_gain: u32,
    /// How well the general text is known, where there is one.
    pub general_text: TextCourse,
    /// Sample answers by the update at which they were given, newest last.
    pub answers: Vec<(u64, Vec<Answer>)>,
    /// What came of the test rows, a line for each task, and in full once it was read.
    pub tested: Vec<String>,
    pub report: Option<Arc<RunReport>>,
    pub log: Vec<String>,
    pub end: Option<End>,
    pub failure: Option<Failure>,
    /// Sum of the time that updates took.
    pub update_secs: f64,
    pub num_tokens: u64,
    pub peak_memory_bytes: u64,
    /// A moving mean, for the time left.
    mean_update_secs: f64,
}

impl RunView {
    pub fn new(folder: Option<PathBuf>, recipe: Option<Recipe>) -> Self {
        Self { folder, recipe, ..Self::default() }
    }

    /// A run rebuilt from its file.
    pub fn from_events(folder: PathBuf, recipe: Option<Recipe>, events: &[RunEvent], smoothing: f64) -> Self {
        let mut view = Self::new(Some(folder), recipe);
        view.loss = Series::new(smoothing);
        events.iter().for_each(|e| view.apply(e));
        view
    }

    pub fn apply(&mut self, event: &RunEvent) {
        self.general_text.take_in(event);
        match event {
            RunEvent::Started { from_update, .. } => {
                self.begin(event);
                self.forget_after(*from_update);
            }
            RunEvent::Phase { phase } => self.phase = Some(*phase),
            // A line that was read from disk may come again over the channel.
            RunEvent::Update { update, .. } if *update > self.last.update => self.add_update(event),
            RunEvent::Update { .. } => {}
            RunEvent::Profile { update, update_secs, operations } => {
                let (update, update_secs, operations) = (*update, *update_secs, operations.clone());
                self.profile = Some(Profile { update, update_secs, operations });
            }
            RunEvent::Validation { update, loss, best, without_gain, beside_first, metrics } => {
                if self.valid.last().is_some_and(|v| v.update >= *update) {
                    return;
                }
                if *best {
                    self.valid.iter_mut().for_each(|v| v.is_best = false);
                }
                self.valid.push(ValidPoint { update: *update, loss: *loss, is_best: *best });
                self.without_gain = *without_gain;
                self.say(event::validation_words(*update, *loss, *beside_first, metrics, *best));
            }
            RunEvent::TaskLosses { update, losses } => self.add_task_losses(*update, losses),
            RunEvent::TaskValidation { update, task, loss, metrics } => {
                let checks = &mut self.tasks.entry(task.clone()).or_default().checks;
                let point = PlotPoint::new(*update as f64, *loss);
                if point.y.is_finite() && checks.last().is_none_or(|last| last.x < point.x) {
                    checks.push(point);
                }
                self.say(event::task_words(*update, task, *loss, metrics));
            }
            RunEvent::Tested { is_base, loss, num_rows, metrics, task, .. } => {
                let words = event::tested_words(task.as_deref(), *is_base, *loss, *num_rows, metrics);
                // A line that was read from disk may come again over the channel.
                if !is_base && !self.tested.contains(&words) {
                    self.tested.push(words.clone());
                }
                self.say(words);
            }
            RunEvent::GeneralText { update, perplexity, .. } => {
                let update = human::count(*update);
                self.say(format!("update {update}: general text, perplexity {perplexity:.2}"));
            }
            RunEvent::Answers { update, answers } => {
                self.answers.retain(|(u, _)| u != update);
                self.answers.push((*update, answers.clone()));
                if self.answers.len() > MOST_ANSWERS {
                    self.answers.remove(0);
                }
            }
            RunEvent::Checkpoint { update, name, best } => {
                let best = if *best { " (best)" } else { "" };
                self.say(format!("update {}: saved checkpoint {name}{best}", human::count(*update)));
            }
            RunEvent::Notice { text } => self.say(text.clone()),
            RunEvent::Failed { update, failure } => {
                self.say(format!("update {}: {failure}", human::count(*update)));
                self.failure = Some(failure.clone());
            }
            RunEvent::Finished { outcome, best_update, best_loss, secs, adapter, .. } => {
                self.say(format!("{} after {}", outcome_words(*outcome), human::secs(*secs)));
                self.phase = Some(Phase::Ended);
                self.end = Some(End {
                    outcome: *outcome,
                    best_update: *best_update,
                    best_loss: *best_loss,
                    secs: *secs,
                    adapter: adapter.clone(),
                });
            }
        }
    }

    fn begin(&mut self, event: &RunEvent) {
        let RunEvent::Started {
            time,
            num_updates,
            updates_per_epoch,
            num_train,
            num_valid,
            num_trainable_params,
            estimated_memory_bytes,
            estimated_secs,
            device,
            from_update,
        } = event
        else {
            return;
        };
        self.start = Some(Start {
            time: time.clone(),
            num_updates: *num_updates,
            updates_per_epoch: *updates_per_epoch,
            num_train: *num_train,
            num_valid: *num_valid,
            num_trainable_params: *num_trainable_params,
            estimated_memory_bytes: *estimated_memory_bytes,
            estimated_secs: *estimated_secs,
            device: device.clone(),
        });
        (self.end, self.failure, self.report) = (None, None, None);
        self.tested.clear();
        let how = match from_update {
            0 => "started".to_string(),
            n => format!("resumed after update {}", human::count(*n)),
        };
        let rows = human::plural(*num_train as u64, "example");
        let params = human::count(*num_trainable_params);
        self.say(format!("{how} on {device}: {rows} to train on, {params} trained parameters"));
    }

    fn forget_after(&mut self, update: u64) {
        let x = update as f64;
        self.loss.truncate_after(x);
        let small = [
            &mut self.learning_rate,
            &mut self.grad_norm,
            &mut self.speed,
            &mut self.memory,
            &mut self.fill,
            &mut self.replay,
            &mut self.divergence,
        ];
        for points in small {
            points.truncate_after(x);
        }
        for task in self.tasks.values_mut() {
            task.losses.truncate_after(x);
            task.checks.retain(|point| point.x <= x);
        }
        self.valid.retain(|v| v.update <= update);
        self.answers.retain(|(u, _)| *u <= update);
        self.profile = self.profile.take().filter(|p| p.update <= update);
        self.last.update = self.last.update.min(update);
    }

    fn add_update(&mut self, event: &RunEvent) {
        let RunEvent::Update {
            update,
            epoch,
            loss,
            learning_rate,
            grad_norm,
            num_tokens,
            tokens_per_second,
            update_secs,
            memory_bytes,
            replay_loss,
            divergence,
        } = *event
        else {
            return;
        };
        let x = update as f64;
        self.loss.push(x, loss);
        self.learning_rate.push(x, learning_rate);
        self.grad_norm.push(x, grad_norm);
        self.speed.push(x, tokens_per_second);
        for (points, y) in [(&mut self.replay, replay_loss), (&mut self.divergence, divergence)] {
            y.into_iter().for_each(|y| points.push(x, y));
        }
        let room = self.recipe.as_ref().and_then(|recipe| recipe.batch.tokens_of_an_update());
        if let Some(room) = room {
            self.fill.push(x, num_tokens as f64 / room as f64);
        }
        if memory_bytes > 0 {
            self.memory.push(x, memory_bytes as f64);
        }
        self.last = Last { update, epoch, loss, tokens_per_second, memory_bytes };
        self.update_secs += update_secs;
        self.num_tokens += num_tokens;
        self.peak_memory_bytes = self.peak_memory_bytes.max(memory_bytes);
        let old = if self.mean_update_secs > 0.0 { self.mean_update_secs } else { update_secs };
        self.mean_update_secs = 0.9 * old + 0.1 * update_secs;
    }

    fn add_task_losses(&mut self, update: u64, losses: &BTreeMap<String, f64>) {
        let x = update as f64;
        for (task, loss) in losses {
            let points = &mut self.tasks.entry(task.clone()).or_default().losses;
            // As of updates: a line that was read from disk may come again.
            if points.last().is_none_or(|last| last.x < x) {
                points.push(x, *loss);
            }
        }
    }

    fn say(&mut self, line: String) {
        if self.log.len() >= MOST_LINES {
            self.log.drain(..MOST_LINES / 10);
        }
        self.log.push(line);
    }

    pub fn is_ended(&self) -> bool {
        self.end.is_some() || self.phase == Some(Phase::Ended)
    }

    pub fn best(&self) -> Option<&ValidPoint> {
        self.valid.iter().rfind(|v| v.is_best)
    }

    /// Seconds until the last update, once two were seen.
    pub fn secs_left(&self) -> Option<f64> {
        let total = self.start.as_ref()?.num_updates;
        let left = total.saturating_sub(self.last.update);
        (self.mean_update_secs > 0.0 && !self.is_ended()).then_some(left as f64 * self.mean_update_secs)
    }

    /// 0..1
    pub fn fraction(&self) -> Option<f32> {
        let total = self.start.as_ref().map(|s| s.num_updates).filter(|n| *n > 0)?;
        Some((self.last.update as f64 / total as f64).min(1.0) as f32)
    }

    /// From the best validation to where the run would stop early; none while every validation brings a gain.
    pub fn patience_span(&self) -> Option<(f64, f64)> {
        let rules = &self.recipe.as_ref()?.early_stop;
        let (best, last) = (self.best()?, self.valid.last()?);
        if !rules.enabled || self.without_gain == 0 {
            return None;
        }
        let every = last.update.saturating_sub(best.update) as f64 / f64::from(self.without_gain);
        Some((best.update as f64, best.update as f64 + every * f64::from(rules.patience)))
    }

    /// "training: update 84/300, pass 2.3 of 8".
    pub fn phase_words(&self) -> String {
        let phase = match (&self.end, self.phase) {
            (Some(end), _) => outcome_words(end.outcome),
            (None, Some(phase)) => phase.words(),
            (None, None) => "waiting for its turn",
        };
        let Some(start) = &self.start else { return format!("{phase}…") };
        let (now, total) = (human::count(self.last.update), human::count(start.num_updates));
        let mut words = format!("{phase}: update {now}/{total}");
        if start.updates_per_epoch > 0.0 {
            let passes = start.num_updates as f64 / start.updates_per_epoch;
            words.push_str(&format!(", pass {:.1} of {passes:.1}", self.last.epoch));
        }
        words
    }
}

pub fn outcome_words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::StoppedEarly => "stopped early: no more gain",
        Outcome::Stopped => "stopped, can be resumed",
        Outcome::Discarded => "discarded",
        Outcome::Failed => "failed",
    }
}

//! How far a job is, on standard error: a bar on a terminal, plain lines elsewhere.

use super::{ledger, out};
use crate::base::{Unit, human};
use crate::data::Ledger;
use crate::engine::event::EventKind;
use crate::project::RunEvent;
use crate::project::event::{self, Phase};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Seconds between plain lines of one phase.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// What is on while a run makes updates.
const TRAINING: &str = "Training";

pub struct Show {
    bar: Option<ProgressBar>,
    is_terminal: bool,
    phase: String,
    last_line: Option<Instant>,
    /// Of the run that is on.
    num_updates: u64,
}

impl Show {
    pub fn new() -> Self {
        Self {
            bar: None,
            is_terminal: std::io::stderr().is_terminal(),
            phase: String::new(),
            last_line: None,
            num_updates: 0,
        }
    }

    /// Takes what concerns progress; everything else is the caller's.
    pub fn take(&mut self, kind: &EventKind) {
        match kind {
            EventKind::Progress { phase, done, total, unit } => self.progress(phase, *done, *total, *unit),
            EventKind::Rows { ledger, .. } => self.rows(ledger),
            EventKind::Run { event, .. } => self.run_event(event),
            EventKind::Notice(text) => self.say(text),
            _ => {}
        }
    }

    /// A line for people that does not tear the bar.
    pub fn say(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| out::note(text)),
            None => out::note(text),
        }
    }

    /// What became of the rows of a file.
    pub fn rows(&mut self, rows: &Ledger) {
        self.clear();
        self.say(&ledger::few(rows));
    }

    /// Takes the bar away.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.phase.clear();
    }

    fn progress(&mut self, phase: &str, done: u64, total: Option<u64>, unit: Unit) {
        let is_new = self.phase != phase;
        if is_new {
            self.clear();
            self.phase = phase.to_string();
        }
        if self.is_terminal {
            let bar = self.bar.get_or_insert_with(|| new_bar(phase, total, unit));
            if let Some(total) = total {
                bar.set_length(total);
            }
            bar.set_position(done);
            return;
        }
        if is_new || self.is_line_due() {
            self.last_line = Some(Instant::now());
            out::note(plain(phase, done, total, unit));
        }
    }

    fn is_line_due(&self) -> bool {
        self.last_line.is_none_or(|at| at.elapsed() >= PLAIN_EVERY)
    }

    /// The bar of a run, where there are bars.
    fn updates_bar(&mut self, done: u64) {
        self.clear();
        self.phase = TRAINING.into();
        if self.is_terminal {
            let bar = new_bar(TRAINING, Some(self.num_updates), Unit::Examples);
            bar.set_style(style("{msg} {wide_bar} update {pos}/{len}, {eta} left"));
            bar.set_position(done);
            self.bar = Some(bar);
        }
    }

    fn run_event(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Started {
                num_updates,
                num_train,
                num_valid,
                num_trainable_params,
                device,
                from_update,
                ..
            } => {
                self.clear();
                self.say(&format!(
                    "Training {} parameters on {} ({} for validation), {device}{}",
                    human::count(*num_trainable_params),
                    human::plural(*num_train as u64, "row"),
                    human::count(*num_valid as u64),
                    if *from_update > 0 { format!(", from update {from_update}") } else { String::new() },
                ));
                self.num_updates = *num_updates;
                self.updates_bar(*from_update);
            }
            RunEvent::Update { update, loss, tokens_per_second, replay_loss, divergence, .. } => {
                let replay = replay_loss.map(|loss| format!(", replay {loss:.3}")).unwrap_or_default();
                let held = divergence.map(|nats| format!("{replay}, KL {nats:.2e}")).unwrap_or(replay);
                // What is measured in between has a bar of its own.
                if self.phase != TRAINING {
                    self.updates_bar(*update);
                }
                if let Some(bar) = &self.bar {
                    bar.set_position(*update);
                    bar.set_message(format!("loss {loss:.3}{held}, {tokens_per_second:.0} tokens/s"));
                } else if self.is_line_due() {
                    self.last_line = Some(Instant::now());
                    let speed = format!("{tokens_per_second:.0} tokens/s");
                    out::note(format!("update {update}: loss {loss:.4}{held}, {speed}"));
                }
            }
            RunEvent::Validation { update, loss, best, beside_first, metrics, .. } => {
                self.say(&event::validation_words(*update, *loss, *beside_first, metrics, *best));
            }
            RunEvent::TaskValidation { update, task, loss, metrics } => {
                self.say(&event::task_words(*update, task, *loss, metrics));
            }
            RunEvent::Tested { is_base, loss, num_rows, metrics, task, .. } => {
                self.say(&event::tested_words(task.as_deref(), *is_base, *loss, *num_rows, metrics));
            }
            RunEvent::GeneralText { update: 0, perplexity, .. } => {
                self.say(&format!("General text: perplexity {perplexity:.2} before the run"));
            }
            RunEvent::GeneralText { update, perplexity, .. } => {
                self.say(&format!("update {update}: general text, perplexity {perplexity:.2}"));
            }
            RunEvent::Notice { text } => self.say(text),
            RunEvent::Phase { phase: Phase::Ended } => self.clear(),
            RunEvent::Phase { .. }
            | RunEvent::Profile { .. }
            | RunEvent::TaskLosses { .. }
            | RunEvent::Answers { .. }
            | RunEvent::Checkpoint { .. }
            | RunEvent::Failed { .. }
            | RunEvent::Finished { .. } => {}
        }
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        self.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn new_bar(phase: &str, total: Option<u64>, unit: Unit) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(5));
    bar.set_style(match (total, unit) {
        (Some(_), Unit::Bytes) => {
            style("{msg} {wide_bar} {decimal_bytes} of {decimal_total_bytes}, {eta} left")
        }
        (Some(_), _) => style("{msg} {wide_bar} {human_pos} of {human_len}"),
        (None, Unit::Bytes) => style("{msg} {spinner} {decimal_bytes}"),
        (None, _) => style("{msg} {spinner} {human_pos}"),
    });
    bar.set_message(phase.to_string());
    bar
}

fn plain(phase: &str, done: u64, total: Option<u64>, unit: Unit) -> String {
    let show = |n: u64| if unit == Unit::Bytes { human::bytes(n) } else { human::count(n) };
    match total {
        Some(total) if total > 0 => format!("{phase}: {} of {}", show(done), show(total)),
        _ if done > 0 => format!("{phase}: {}", show(done)),
        _ => phase.to_string(),
    }
}

//! What a run measures between updates: its validation rows, and how well the general text is still known.

use super::{Run, TrainError};
use crate::base::Control;
use crate::data::{Reading, Sample};
use crate::eval::seen_rows::SeenText;
use crate::eval::tasks::TaskReport;
use crate::model::hooks::{Hooks, NoHooks};
use crate::objective::{Language, Objective};
use crate::peft::Adapter;
use crate::project::RunEvent;
use crate::project::event::Phase;
use crate::recipe::recipe;
use crate::train::memory::{self, Shortage};
use crate::train::report::Reporter;
use crate::train::validate::{LossTotal, Measured, loss_of, micro_batches};

/// Characters of a row that a report shows.
const MOST_SEEN: usize = 400;

/// Which model is measured.
#[derive(Clone, Copy)]
enum Of {
    Base,
    Tuned,
}

impl<'a> Run<'a> {
    /// Whether the update just made is to be measured.
    pub(super) fn is_validation_due(&self) -> bool {
        let update = self.trainer.position.update.0;
        let is_last = update >= self.plan.num_updates();
        let has_some = !self.valid.is_empty() || self.text.is_some();
        has_some && (is_last || self.is_due(self.plan.validation_every(), update))
    }

    /// The figures of the objective besides the loss; none where the loss says all.
    fn report(&self, total: &LossTotal) -> Option<TaskReport> {
        TaskReport::of(&total.outputs, self.dataset.labels.names(), self.model.config().width)
    }

    /// Measures the rows that nobody trained on: by the model before the run, where it can do what is learnt, and as the run leaves it.
    /// Prompts with answers are not: how they are answered is seen elsewhere. `Ok(None)` when stopped.
    pub(super) fn test(
        &mut self,
        adapter: Option<&Adapter>,
        control: &Control,
        reporter: &mut Reporter,
    ) -> Result<Option<()>, TrainError> {
        let (objective, is_base) = (&self.plan.recipe().objective, adapter.is_none());
        let is_supervised = matches!(objective, recipe::Objective::Supervised { .. });
        if is_supervised || self.dataset.split.test.is_empty() || (is_base && objective.has_head()) {
            return Ok(Some(()));
        }
        let dataset = self.dataset;
        let rows: Vec<&Sample> = dataset.split.test.iter().map(|row| &dataset.samples[*row]).collect();
        let hooks: Box<dyn Hooks> = match adapter {
            Some(adapter) => adapter.hooks()?,
            None => Box::new(NoHooks),
        };
        let measured = Measured {
            model: self.model,
            hooks: hooks.as_ref(),
            objective: self.objective,
            budget_tokens: self.validation_budget(),
        };
        let look = || self.trainer.meter.look();
        let goes_on = &mut |_| Ok(!control.is_stopped());
        let Some(total) = loss_of(measured, &rows, goes_on, &look)? else { return Ok(None) };
        let report = self.report(&total).map(|report| report.with_rows(&total.outputs, &|at| self.seen(at)));
        if let (Some(report), false) = (&report, is_base) {
            self.folder.save_report(report)?;
        }
        reporter.send(RunEvent::Tested {
            update: self.trainer.position.update.0,
            is_base,
            loss: total.mean(),
            num_rows: rows.len(),
            metrics: report.map(|report| report.metrics()).unwrap_or_default(),
        })?;
        Ok(Some(()))
    }

    /// A test row, to be looked at in the report.
    fn seen(&self, at: usize) -> Option<SeenText> {
        let (dataset, row) = (self.dataset, *self.dataset.split.test.get(at)?);
        let text = match (&dataset.options.reading, dataset.example(row)?) {
            // A row makes many pairs.
            (Reading::Sentences { .. }, _) => dataset.tokeniser.decode(&dataset.samples.get(row)?.ids, true),
            (_, example) => match example.second() {
                Some(second) => format!("{}\n{second}", example.subject()),
                None => example.subject().to_string(),
            },
        };
        let text = match text.char_indices().nth(MOST_SEEN) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        };
        Some(SeenText { line: dataset.rows.get(row)?.line, text })
    }

    /// How well the base model knows the general text, before the first update; once, also when the run begins again because it
    /// ended before its first checkpoint. `Ok(None)` when stopped before that was known.
    pub(super) fn measure_before(
        &mut self,
        control: &Control,
        reporter: &mut Reporter,
    ) -> Result<Option<()>, TrainError> {
        let is_first = self.trainer.position.update.0 == 0;
        let is_tested = |event: &RunEvent| matches!(event, RunEvent::Tested { is_base: true, .. });
        if is_first
            && !self.folder.events()?.iter().any(is_tested)
            && self.test(None, control, reporter)?.is_none()
        {
            return Ok(None);
        }
        let is_of_base = |event: &RunEvent| matches!(event, RunEvent::GeneralText { update: 0, .. });
        let is_due = self.text.is_some() && self.trainer.position.update.0 == 0;
        if !is_due || self.folder.events()?.iter().any(is_of_base) {
            return Ok(Some(()));
        }
        reporter.send(RunEvent::Phase { phase: Phase::Validating })?;
        let Some(total) = self.text_loss(Of::Base, control, reporter)? else { return Ok(None) };
        self.report_text(total, reporter)?;
        reporter.send(RunEvent::Phase { phase: Phase::Training })?;
        Ok(Some(()))
    }

    /// Measures the validation rows and the general text, where there are any; true when patience is used up. `Ok(None)` when stopped
    /// before all were measured: what was measured counts for nothing, or the run would not go on exactly.
    pub(super) fn validate(
        &mut self,
        control: &Control,
        reporter: &mut Reporter,
    ) -> Result<Option<bool>, TrainError> {
        reporter.send(RunEvent::Phase { phase: Phase::Validating })?;
        let Some(total) = self.loss(self.objective, &self.valid_samples(), Of::Tuned, control, reporter)?
        else {
            return Ok(None);
        };
        let Some(of_text) = self.text_loss(Of::Tuned, control, reporter)? else { return Ok(None) };
        self.report_text(of_text, reporter)?;
        let is_over = match self.valid.is_empty() {
            true => {
                self.trainer.position.owes_validation = false;
                false
            }
            false => self.judge(total, control, reporter)?,
        };
        reporter.send(RunEvent::Phase { phase: Phase::Training })?;
        Ok(Some(is_over))
    }

    /// Takes in what validation found; true when patience is used up.
    fn judge(
        &mut self,
        total: LossTotal,
        control: &Control,
        reporter: &mut Reporter,
    ) -> Result<bool, TrainError> {
        let update = self.trainer.position.update.0;
        let loss = total.mean();
        if !loss.is_finite() {
            return Err(TrainError::NotFinite { what: "validation loss", value: loss, update });
        }
        self.trainer.position.owes_validation = false;
        let verdict = self.policy.judge(&mut self.trainer.position.validation, update, loss);
        reporter.send(RunEvent::Validation {
            update,
            loss,
            perplexity: total.perplexity(),
            best: verdict.is_best,
            without_gain: self.trainer.position.validation.without_gain,
            metrics: self.report(&total).map(|report| report.metrics()).unwrap_or_default(),
        })?;
        if verdict.is_best {
            self.save(reporter)?;
        }
        self.answer(control, reporter)?;
        Ok(verdict.is_over)
    }

    fn report_text(&self, total: LossTotal, reporter: &mut Reporter) -> Result<(), TrainError> {
        if self.text.is_none() {
            return Ok(());
        }
        let update = self.trainer.position.update.0;
        reporter.send(RunEvent::GeneralText { update, loss: total.mean(), perplexity: total.perplexity() })
    }

    fn text_loss(
        &mut self,
        of: Of,
        control: &Control,
        reporter: &mut Reporter,
    ) -> Result<Option<LossTotal>, TrainError> {
        let held_out: Vec<&Sample> = self.text.iter().flat_map(|text| &text.held_out).collect();
        self.loss(&Language, &held_out, of, control, reporter)
    }

    /// The loss over some samples, with fewer tokens at once where memory is short. `Ok(None)` when stopped.
    fn loss(
        &mut self,
        objective: &dyn Objective,
        samples: &[&Sample],
        of: Of,
        control: &Control,
        reporter: &mut Reporter,
    ) -> Result<Option<LossTotal>, TrainError> {
        loop {
            match self.loss_once(objective, samples, of, control, reporter).map_err(memory::recognised) {
                Err(TrainError::OutOfMemory(shortage)) => {
                    self.give_in_validating(shortage, samples, reporter)?;
                }
                other => return other,
            }
        }
    }

    fn loss_once(
        &self,
        objective: &dyn Objective,
        samples: &[&Sample],
        of: Of,
        control: &Control,
        reporter: &mut Reporter,
    ) -> Result<Option<LossTotal>, TrainError> {
        let hooks: Box<dyn Hooks> = match of {
            Of::Base => Box::new(NoHooks),
            Of::Tuned => self.trainer.adapter.hooks()?,
        };
        let mut goes_on = |_| {
            self.wait_while_paused(Phase::Validating, control, reporter)?;
            Ok(!control.is_stopped())
        };
        let look = || self.trainer.meter.look();
        let (model, hooks, budget_tokens) = (self.model, hooks.as_ref(), self.validation_budget());
        loss_of(Measured { model, hooks, objective, budget_tokens }, samples, &mut goes_on, &look)
    }

    /// As [`Self::give_in`], of validation.
    fn give_in_validating(
        &mut self,
        shortage: Shortage,
        samples: &[&Sample],
        reporter: &mut Reporter,
    ) -> Result<(), TrainError> {
        let is_dealt = micro_batches(samples, self.validation_budget()).iter().any(|rows| rows.len() > 1);
        if self.trainer.position.is_validation_halved || !is_dealt {
            return self.give_up(shortage, reporter);
        }
        self.trainer.position.is_validation_halved = true;
        let text = format!(
            "Memory is short: {shortage}. From here on, validation goes through half as many tokens at once; it measures the \
             same and takes a little longer."
        );
        self.notice(text, reporter)
    }

    fn valid_samples(&self) -> Vec<&'a Sample> {
        let dataset = self.dataset;
        self.valid.iter().map(|i| &dataset.samples[*i]).collect()
    }

    /// Tokens of a validation micro-batch.
    fn validation_budget(&self) -> usize {
        let whole = self.plan.recipe().batch.micro_batch_tokens;
        if self.trainer.position.is_validation_halved { whole / 2 } else { whole }
    }
}

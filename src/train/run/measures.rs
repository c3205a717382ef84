//! What a run measures between updates: its validation rows, and how well the general text is still known.

use super::{Learnt, Run, TrainError};
use crate::base::{Control, Unit};
use crate::data::Sample;
use crate::eval::tasks::TaskReport;
use crate::model::hooks::{Hooks, NoHooks};
use crate::objective::{Language, Objective};
use crate::peft::Adapter;
use crate::project::RunEvent;
use crate::project::event::{PERPLEXITY, Phase};
use crate::train::early_stop::{Found, TaskLoss};
use crate::train::memory::{self, Shortage};
use crate::train::report::Reporter;
use crate::train::validate::{LossTotal, Measured, loss_of, micro_batches};
use std::collections::BTreeMap;

/// Which model is measured.
#[derive(Clone, Copy)]
pub(super) enum Of<'s> {
    Base,
    Tuned,
    /// As it was saved.
    Saved(&'s Adapter),
}

/// What is measured of it, and what the run is said to do meanwhile.
#[derive(Clone, Copy)]
pub(super) struct Look<'s> {
    pub of: Of<'s>,
    pub objective: &'s dyn Objective,
    pub samples: &'s [&'s Sample],
    pub phase: Phase,
}

impl<'a> Run<'a> {
    /// Whether the update just made is to be measured.
    pub(super) fn is_validation_due(&self) -> bool {
        let update = self.trainer.position.update.0;
        let is_last = update >= self.plan.num_updates();
        let has_some = self.has_validation() || self.text.is_some();
        has_some && (is_last || self.is_due(self.plan.validation_every(), update))
    }

    fn has_validation(&self) -> bool {
        self.tasks.iter().any(|task| !task.valid.is_empty())
    }

    /// The figures of the objective besides the loss; none where the loss says all.
    pub(super) fn report(&self, task: &Learnt, total: &LossTotal) -> Option<TaskReport> {
        TaskReport::of(&total.outputs, task.dataset.labels.names(), self.model.config().width)
    }

    /// The figures by their names: of tokens, the perplexity.
    pub(super) fn metrics(report: Option<&TaskReport>, total: &LossTotal) -> BTreeMap<String, f64> {
        let mut metrics = report.map(|report| report.metrics()).unwrap_or_default();
        metrics.extend(total.perplexity().map(|perplexity| (PERPLEXITY.to_string(), perplexity)));
        metrics
    }

    /// How well the base model knows the general text, before the first update; once, also when the run begins again because it
    /// ended before its first checkpoint. `Ok(None)` when stopped before that was known.
    pub(super) fn measure_before(
        &mut self,
        control: &Control,
        reporter: &mut Reporter,
    ) -> Result<Option<()>, TrainError> {
        if self.trainer.position.update.0 == 0 && self.test(None, control, reporter)?.is_none() {
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

    /// Measures the validation rows and the general text, where there are any. `Ok(None)` when stopped
    /// before all were measured: what was measured counts for nothing, or the run would not go on exactly.
    pub(super) fn validate(
        &mut self,
        control: &Control,
        reporter: &mut Reporter,
    ) -> Result<Option<()>, TrainError> {
        reporter.send(RunEvent::Phase { phase: Phase::Validating })?;
        let mut totals = Vec::new();
        for task in 0..self.tasks.len() {
            let (objective, samples) = (self.tasks[task].objective, self.valid_samples(task));
            let look = Look { of: Of::Tuned, objective, samples: &samples, phase: Phase::Validating };
            let Some(total) = self.loss(look, control, reporter)? else { return Ok(None) };
            totals.push(total);
        }
        let Some(of_text) = self.text_loss(Of::Tuned, control, reporter)? else { return Ok(None) };
        self.report_text(of_text, reporter)?;
        match self.has_validation() {
            false => self.trainer.position.owes_validation = false,
            true => self.judge(&totals, control, reporter)?,
        }
        reporter.send(RunEvent::Phase { phase: Phase::Training })?;
        Ok(Some(()))
    }

    /// Takes in what validation found of each task.
    fn judge(
        &mut self,
        totals: &[LossTotal],
        control: &Control,
        reporter: &mut Reporter,
    ) -> Result<(), TrainError> {
        let update = self.trainer.position.update.0;
        let found = self.found(totals);
        let Found { loss, beside_first } = found;
        if !loss.is_finite() {
            return Err(TrainError::NotFinite { what: "validation loss", value: loss, update });
        }
        self.trainer.position.owes_validation = false;
        let is_best = self.policy.judge(&mut self.trainer.position.validation, update, found);
        let metrics =
            |(task, total): (&Learnt, &LossTotal)| Self::metrics(self.report(task, total).as_ref(), total);
        let each: Vec<BTreeMap<String, f64>> = self.tasks.iter().zip(totals).map(metrics).collect();
        if self.has_several() {
            for ((task, total), metrics) in self.tasks.iter().zip(totals).zip(&each) {
                if !task.valid.is_empty() {
                    let (task, loss, metrics) = (task.task.name.clone(), total.mean(), metrics.clone());
                    reporter.send(RunEvent::TaskValidation { update, task, loss, metrics })?;
                }
            }
        }
        let own = each.into_iter().next().filter(|_| !self.has_several());
        reporter.send(RunEvent::Validation {
            update,
            loss,
            best: is_best,
            without_gain: self.trainer.position.validation.without_gain,
            beside_first,
            metrics: own.unwrap_or_default(),
        })?;
        if is_best {
            self.save(reporter)?;
        }
        self.answer(control, reporter)
    }

    /// What the best state is known by.
    fn found(&mut self, totals: &[LossTotal]) -> Found {
        let recipe = self.plan.recipe();
        let each = self.tasks.iter().zip(recipe.task_weights()).zip(totals);
        let measured = each.filter(|((task, _), _)| !task.valid.is_empty());
        let losses: Vec<TaskLoss> = measured
            .map(|((task, weight), total)| TaskLoss { task: &task.task.name, weight, loss: total.mean() })
            .collect();
        Found::of(&losses, &recipe.mixing.best_by, &mut self.trainer.position.validation.first)
    }

    fn report_text(&self, total: LossTotal, reporter: &mut Reporter) -> Result<(), TrainError> {
        if self.text.is_none() {
            return Ok(());
        }
        let update = self.trainer.position.update.0;
        reporter.send(RunEvent::GeneralText { update, loss: total.mean(), perplexity: total.mean().exp() })
    }

    fn text_loss(
        &mut self,
        of: Of<'_>,
        control: &Control,
        reporter: &mut Reporter,
    ) -> Result<Option<LossTotal>, TrainError> {
        let held_out: Vec<&Sample> = self.text.iter().flat_map(|text| &text.held_out).collect();
        let look = Look { of, objective: &Language, samples: &held_out, phase: Phase::Validating };
        self.loss(look, control, reporter)
    }

    /// The loss over some samples, with fewer tokens at once where memory is short. `Ok(None)` when stopped.
    pub(super) fn loss(
        &mut self,
        look: Look<'_>,
        control: &Control,
        reporter: &mut Reporter,
    ) -> Result<Option<LossTotal>, TrainError> {
        loop {
            match self.loss_once(look, control, reporter).map_err(memory::recognised) {
                Err(TrainError::OutOfMemory(shortage)) => {
                    self.give_in_measuring(shortage, look, reporter)?;
                }
                other => return other,
            }
        }
    }

    fn loss_once(
        &self,
        look: Look<'_>,
        control: &Control,
        reporter: &mut Reporter,
    ) -> Result<Option<LossTotal>, TrainError> {
        let Look { of, objective, samples, phase } = look;
        let hooks: Box<dyn Hooks> = match of {
            Of::Base => Box::new(NoHooks),
            Of::Tuned => self.trainer.adapter.hooks()?,
            Of::Saved(adapter) => adapter.hooks()?,
        };
        let mut goes_on = |done: usize| {
            reporter.wait_while_paused(control, phase)?;
            if phase == Phase::Testing {
                let (done, all) = (done as u64, samples.len() as u64);
                reporter.progress().report("Measuring the test rows", done, Some(all), Unit::Rows);
            }
            Ok(!control.is_stopped())
        };
        let look = || self.trainer.meter.look();
        let (model, hooks, budget_tokens) = (self.model, hooks.as_ref(), self.validation_budget());
        loss_of(Measured { model, hooks, objective, budget_tokens }, samples, &mut goes_on, &look)
    }

    /// As [`Self::give_in`], of rows that are only measured.
    fn give_in_measuring(
        &mut self,
        shortage: Shortage,
        look: Look<'_>,
        reporter: &mut Reporter,
    ) -> Result<(), TrainError> {
        let is_dealt =
            micro_batches(look.samples, self.validation_budget()).iter().any(|rows| rows.len() > 1);
        if self.trainer.position.is_validation_halved || !is_dealt {
            return self.give_up(shortage, reporter);
        }
        self.trainer.position.is_validation_halved = true;
        let then = match look.objective.measures_rows_alone() {
            true => "that measures the same and takes a little longer.",
            false => {
                // What was measured before was measured among more.
                self.trainer.position.validation = Default::default();
                "what was measured before is not comparable with it, and the best state is looked for anew."
            }
        };
        let text = format!(
            "Memory is short: {shortage}. From here on, validation and test rows go through half as many tokens at once; {then}"
        );
        self.notice(text, reporter)
    }

    fn valid_samples(&self, task: usize) -> Vec<&'a Sample> {
        let Learnt { dataset, valid, .. } = &self.tasks[task];
        valid.iter().map(|i| &dataset.samples[*i]).collect()
    }

    /// Tokens of a validation micro-batch.
    pub(super) fn validation_budget(&self) -> usize {
        let whole = self.plan.recipe().batch.micro_batch_tokens;
        if self.trainer.position.is_validation_halved { whole / 2 } else { whole }
    }
}

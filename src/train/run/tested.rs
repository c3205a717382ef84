//! The rows that nobody trained on, before a run and after it.

use super::{Learnt, Run, TrainError};
use crate::base::Control;
use crate::data::Sample;
use crate::eval::tasks::TaskReport;
use crate::model::hooks::{Hooks, NoHooks};
use crate::peft::Adapter;
use crate::project::RunEvent;
use crate::train::report::Reporter;
use crate::train::validate::{LossTotal, Measured, loss_of};
use serde::Serialize;
use std::collections::BTreeMap;

/// The report of a run of several tasks.
#[derive(Serialize)]
struct Together<'a> {
    tasks: BTreeMap<&'a str, OfTask>,
}

/// What came of one task's test rows.
#[derive(Serialize)]
struct OfTask {
    loss: f64,
    rows: usize,
    /// Where there is more to say than the loss.
    report: Option<TaskReport>,
}

impl Run<'_> {
    /// Measures the rows that nobody trained on: by the model before the run (no adapter), where it can do what is learnt, and as the run
    /// leaves it. `Ok(None)` when stopped.
    pub(super) fn test(
        &self,
        adapter: Option<&Adapter>,
        control: &Control,
        reporter: &mut Reporter,
    ) -> Result<Option<()>, TrainError> {
        let is_base = adapter.is_none();
        let before = if is_base { self.folder.events()? } else { Vec::new() };
        let mut together = Together { tasks: BTreeMap::new() };
        for learnt in &self.tasks {
            let name = self.has_several().then(|| learnt.task.name.clone());
            let is_this = |event: &RunEvent| matches!(event, RunEvent::Tested { is_base: true, task, .. } if *task == name);
            if !self.is_tested(learnt, is_base) || before.iter().any(is_this) {
                continue;
            }
            let Some(total) = self.test_loss(learnt, adapter, control)? else { return Ok(None) };
            let (loss, rows, report) = (total.mean(), total.num_examples, self.report(learnt, &total));
            reporter.send(RunEvent::Tested {
                update: self.trainer.position.update.0,
                is_base,
                loss,
                num_rows: rows,
                metrics: report.as_ref().map(|report| report.metrics()).unwrap_or_default(),
                task: name,
            })?;
            together.tasks.insert(&learnt.task.name, OfTask { loss, rows, report });
        }
        match (self.has_several(), together.tasks.values().find_map(|of| of.report.as_ref())) {
            _ if is_base || together.tasks.is_empty() => {}
            (true, _) => self.folder.save_report(&together)?,
            (false, Some(only)) => self.folder.save_report(only)?,
            (false, None) => {}
        }
        Ok(Some(()))
    }

    /// Whether its test rows are measured. Prompts with answers alone are not: how they are answered is seen elsewhere.
    fn is_tested(&self, learnt: &Learnt, is_base: bool) -> bool {
        let is_left_out = learnt.is_supervised() && !self.has_several();
        let is_new = is_base && learnt.task.objective.has_head();
        !is_left_out && !is_new && !learnt.dataset.split.test.is_empty()
    }

    fn test_loss(
        &self,
        learnt: &Learnt,
        adapter: Option<&Adapter>,
        control: &Control,
    ) -> Result<Option<LossTotal>, TrainError> {
        let dataset = learnt.dataset;
        let rows: Vec<&Sample> = dataset.split.test.iter().map(|row| &dataset.samples[*row]).collect();
        let hooks: Box<dyn Hooks> = match adapter {
            Some(adapter) => adapter.hooks()?,
            None => Box::new(NoHooks),
        };
        let measured = Measured {
            model: self.model,
            hooks: hooks.as_ref(),
            objective: learnt.objective,
            budget_tokens: self.validation_budget(),
        };
        let look = || self.trainer.meter.look();
        loss_of(measured, &rows, &mut |_| Ok(!control.is_stopped()), &look)
    }
}

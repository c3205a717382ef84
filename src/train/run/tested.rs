//! The rows that nobody trained on, before a run and after it.

use super::measures::{Look, Of};
use super::{Learnt, Run, TrainError};
use crate::base::Control;
use crate::data::prepare::Dataset;
use crate::data::{Reading, Sample};
use crate::eval::reports::{OfTask, RunReport};
use crate::eval::seen_rows::SeenText;
use crate::peft::Adapter;
use crate::project::RunEvent;
use crate::project::event::Phase;
use crate::train::report::Reporter;
use std::collections::BTreeMap;

/// Characters of a row that a report shows.
const MOST_SEEN: usize = 400;

impl Run<'_> {
    /// Measures the rows that nobody trained on: by the model before the run (no adapter), where it can do what is learnt, and as the run
    /// leaves it. `Ok(None)` when stopped.
    pub(super) fn test(
        &mut self,
        adapter: Option<&Adapter>,
        control: &Control,
        reporter: &mut Reporter,
    ) -> Result<Option<()>, TrainError> {
        let is_base = adapter.is_none();
        let of = adapter.map_or(Of::Base, Of::Saved);
        let before = if is_base { self.folder.events()? } else { Vec::new() };
        let mut tasks = BTreeMap::new();
        for task in 0..self.tasks.len() {
            let learnt = &self.tasks[task];
            let name = self.has_several().then(|| learnt.task.name.clone());
            let is_this = |event: &RunEvent| matches!(event, RunEvent::Tested { is_base: true, task, .. } if *task == name);
            if !self.is_tested(learnt, is_base) || before.iter().any(is_this) {
                continue;
            }
            let (objective, dataset) = (learnt.objective, learnt.dataset);
            let samples: Vec<&Sample> = dataset.split.test.iter().map(|row| &dataset.samples[*row]).collect();
            reporter.send(RunEvent::Phase { phase: Phase::Testing })?;
            let look = Look { of, objective, samples: &samples, phase: Phase::Testing };
            let Some(total) = self.loss(look, control, reporter)? else { return Ok(None) };
            let learnt = &self.tasks[task];
            let (loss, rows, report) = (total.mean(), total.num_examples, self.report(learnt, &total));
            let metrics = Self::metrics(report.as_ref(), &total);
            let seen = |at| seen(learnt.dataset, at);
            let report = report.map(|report| report.with_rows(&total.outputs, &seen));
            reporter.send(RunEvent::Tested {
                update: self.trainer.position.update.0,
                is_base,
                loss,
                num_rows: rows,
                metrics,
                task: name,
            })?;
            let loss = Some(loss).filter(|loss| loss.is_finite());
            let perplexity = total.perplexity().filter(|perplexity| perplexity.is_finite());
            tasks.insert(learnt.task.name.clone(), OfTask { loss, perplexity, rows, report });
        }
        if is_base && !tasks.is_empty() {
            reporter.send(RunEvent::Phase { phase: Phase::Training })?;
        }
        let report = match self.has_several() {
            _ if is_base || tasks.is_empty() => None,
            true => Some(RunReport::Together { tasks }),
            false => tasks.into_values().find_map(|of| of.report).map(RunReport::One),
        };
        if let Some(report) = report {
            self.folder.save_report(&report)?;
        }
        Ok(Some(()))
    }

    /// Whether its test rows are measured. Prompts with answers alone are not: how they are answered is seen elsewhere.
    fn is_tested(&self, learnt: &Learnt, is_base: bool) -> bool {
        let is_left_out = learnt.is_supervised() && !self.has_several();
        let is_new = is_base && learnt.task.objective.has_head();
        !is_left_out && !is_new && !learnt.dataset.split.test.is_empty()
    }
}

/// A test row, to be looked at in the report.
fn seen(dataset: &Dataset, at: usize) -> Option<SeenText> {
    let row = *dataset.split.test.get(at)?;
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

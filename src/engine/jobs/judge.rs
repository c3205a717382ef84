//! What a model that was tuned for a task says of texts: classes, numbers, directions.

use super::measure::BUDGET_TOKENS;
use super::model;
use super::reader::{Reader, task_in};
use crate::base::{Control, Failure};
use crate::data::prepare::Dataset;
use crate::data::{Goal, LossWeights, Sample};
use crate::engine::halt::Halt;
use crate::eval::tasks::TaskReport;
use crate::model::load::LoadedModel;
use crate::objective::Objective;
use crate::recipe::Task;
use crate::train::objective;
use crate::train::validate::{LossTotal, Measured, loss_of};
use std::path::Path;

/// A model with what it was tuned for.
pub struct Judge {
    pub reader: Reader,
    pub task: Task,
    objective: Box<dyn Objective>,
}

/// Refuses what was tuned to judge texts, where a model is to write.
///
/// # Errors
/// What it was tuned for, and what to do with it.
pub fn require_writer(adapter: &Path) -> Result<(), Halt> {
    let is_judge = |task: &Task| !task.objective.is_of_tokens();
    let Some(task) = task_in(&model::adapter_in(adapter))?.filter(is_judge) else { return Ok(()) };
    let (why, hint) = match task.is_beside_writing() {
        true => (
            format!("it has heads of several tasks beside what writes ({})", adapter.display()),
            "Let it write with `tunesmith generate`; ask it with `tunesmith predict --task NAME`.",
        ),
        false => (
            format!("it learnt {}, and not to write ({})", task.objective.name(), adapter.display()),
            "Ask it with `tunesmith predict`, or measure it with `tunesmith eval`.",
        ),
    };
    Err(Failure::new("What was trained here judges texts", why, hint).into())
}

impl Judge {
    /// Of a loaded model and, where there is one, the folder of its adapter.
    ///
    /// # Errors
    /// Those of the adapter, and where the vocabulary lacks what the task needs.
    pub fn new(loaded: &LoadedModel, adapter: Option<&Path>, task: Task) -> Result<Self, Halt> {
        let reader = Reader::new(loaded, adapter, Some(task.clone()))?;
        Self::of(reader, task)
    }

    /// Of a reader, by what it was tuned for.
    ///
    /// # Errors
    /// Where the vocabulary lacks what the task needs.
    pub fn of(reader: Reader, task: Task) -> Result<Self, Halt> {
        let objective = objective::of(&task, &reader.model, Vec::new())?;
        Ok(Self { reader, task, objective })
    }

    fn total(&self, samples: &[&Sample], control: &Control) -> Result<LossTotal, Halt> {
        let hooks = self.reader.hooks()?;
        let (model, objective) = (&self.reader.model, &*self.objective);
        let measured = Measured { model, hooks: hooks.as_ref(), objective, budget_tokens: BUDGET_TOKENS };
        let mut goes_on = |_| Ok(!control.is_stopped());
        loss_of(measured, samples, &mut goes_on, &|| Ok(()))?.ok_or(Halt::Stopped)
    }

    /// The loss over rows of a data set, and the figures of the task.
    ///
    /// # Errors
    /// Those of the computation, and a stop.
    pub fn measure(
        &self,
        dataset: &Dataset,
        rows: &[usize],
        control: &Control,
    ) -> Result<(LossTotal, Option<TaskReport>), Halt> {
        let samples: Vec<&Sample> = rows.iter().map(|row| &dataset.samples[*row]).collect();
        let total = self.total(&samples, control)?;
        let report = TaskReport::of(&total.outputs, &self.task.labels, self.reader.model.config().width);
        Ok((total, report))
    }

    /// What is said of each text, or of a text and its second: the probability of each class, a number, or the direction of the text.
    ///
    /// # Errors
    /// Those of the tokenizer and the computation, and a stop.
    pub fn say(&self, texts: &[(&str, Option<&str>)], control: &Control) -> Result<Vec<Vec<f32>>, Halt> {
        let limit = self.reader.model.config().context_tokens;
        let goal = if self.task.has_several() { Goal::Classes(Vec::new()) } else { Goal::Class(0) };
        let sample = |(first, second): &(&str, Option<&str>)| {
            let framed = self.reader.model.tokeniser.with_specials(first, *second, limit)?;
            let weights = LossWeights::all(0.0, framed.ids.len());
            let goal = if self.task.labels.is_empty() { Goal::None } else { goal.clone() };
            Ok(Sample { ids: framed.ids, second: framed.second, weights, goal, ..Sample::default() })
        };
        let samples = texts.iter().map(sample).collect::<Result<Vec<_>, Halt>>()?;
        let total = self.total(&samples.iter().collect::<Vec<_>>(), control)?;
        let width = self.reader.model.config().width;
        // A text alone is read twice where texts are compared.
        let said = |(_, mut said): (Goal, Vec<f32>)| {
            if said.len() == 2 * width {
                said.truncate(width);
            }
            said
        };
        Ok(total.outputs.into_iter().map(said).collect())
    }
}

//! What a model that was tuned for a task says of texts: classes, numbers, directions.

use super::measure::BUDGET_TOKENS;
use super::model;
use crate::base::{Control, Failure};
use crate::data::prepare::Dataset;
use crate::data::{Goal, LossWeights, Sample};
use crate::engine::halt::Halt;
use crate::eval::tasks::TaskReport;
use crate::model::hooks::{Hooks, NoHooks};
use crate::model::load::LoadedModel;
use crate::objective::Objective;
use crate::peft::Adapter;
use crate::recipe::Task;
use crate::train::objective;
use crate::train::validate::{LossTotal, Measured, loss_of};
use std::path::{Path, PathBuf};

/// A model with what it was tuned for.
pub struct Judge {
    pub model: LoadedModel,
    pub task: Task,
    adapter: Option<Adapter>,
    objective: Box<dyn Objective>,
}

/// The task beside an adapter, or else beside the model; `None` where nothing was tuned for one.
pub fn task(source: &str, adapter: Option<&Path>) -> Result<Option<Task>, Halt> {
    let folder = adapter.map_or_else(|| PathBuf::from(source), model::adapter_in);
    Task::load(&folder).map_err(|why| {
        Failure::new("The task cannot be read", why, "Restore the file from a copy, or train again.").into()
    })
}

/// As [`task`], the one of this name where several were learnt together.
///
/// # Errors
/// Those of [`task`]; where no task is called so, and where a name is missing.
pub fn named(source: &str, adapter: Option<&Path>, name: Option<&str>) -> Result<Option<Task>, Halt> {
    let Some(first) = task(source, adapter)? else {
        let unknown = |name: &str| {
            let why = format!("it was not tuned for several tasks, and so for none called {name}");
            Failure::new("There is no such task", why, "Leave out --task.").into()
        };
        return name.map_or(Ok(None), |name| Err(unknown(name)));
    };
    let names = || first.together.iter().map(|task| task.name.as_str()).collect::<Vec<_>>().join(", ");
    match (name, first.together.is_empty()) {
        (None, true) => Ok(Some(first)),
        (None, false) => {
            let why = format!("it learnt several: {}", names());
            Err(Failure::new("Which task is not said", why, "Name it with --task.").into())
        }
        (Some(name), is_one) => match first.together.iter().find(|task| task.name == name) {
            Some(task) => Ok(Some(Task { together: first.together.clone(), ..task.clone() })),
            None => {
                let what = if is_one { "it learnt one alone, without a name".into() } else { names() };
                let hint = if is_one { "Leave out --task." } else { "Name one of these with --task." };
                Err(Failure::new("There is no such task", format!("{name} is none of it: {what}"), hint)
                    .into())
            }
        },
    }
}

/// Refuses what was tuned to judge texts, where a model is to write or to be merged.
///
/// # Errors
/// What it was tuned for, and what to do with it.
pub fn require_writer(adapter: &Path) -> Result<(), Halt> {
    let is_judge = |task: &Task| !task.objective.is_of_tokens();
    let Some(task) = task("", Some(adapter))?.filter(is_judge) else { return Ok(()) };
    let why = format!("it learnt {}, and not to write ({})", task.objective.name(), adapter.display());
    let hint = "Ask it with `tunesmith predict`, or measure it with `tunesmith eval`.";
    Err(Failure::new("What was trained here judges texts", why, hint).into())
}

impl Judge {
    /// Of a loaded model and, where there is one, the folder of its adapter.
    ///
    /// # Errors
    /// Those of the adapter, and where the vocabulary lacks what the task needs.
    pub fn new(loaded: &LoadedModel, adapter: Option<&Path>, task: Task) -> Result<Self, Halt> {
        let model = loaded.with_config(task.config(loaded.config()), 0)?;
        let adapter = adapter.map(|folder| model::adapter(&model::adapter_in(folder), &model)).transpose()?;
        let objective = objective::of(&task, &model, Vec::new())?;
        Ok(Self { model, task, adapter, objective })
    }

    fn hooks(&self) -> Result<Box<dyn Hooks>, Halt> {
        Ok(match &self.adapter {
            Some(adapter) => adapter.hooks()?,
            None => Box::new(NoHooks),
        })
    }

    fn total(&self, samples: &[&Sample], control: &Control) -> Result<LossTotal, Halt> {
        let hooks = self.hooks()?;
        let (model, objective) = (&self.model, &*self.objective);
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
        let report = TaskReport::of(&total.outputs, &self.task.labels, self.model.config().width);
        Ok((total, report))
    }

    /// What is said of each text, or of a text and its second: the probability of each class, a number, or the direction of the text.
    ///
    /// # Errors
    /// Those of the tokenizer and the computation, and a stop.
    pub fn say(&self, texts: &[(&str, Option<&str>)], control: &Control) -> Result<Vec<Vec<f32>>, Halt> {
        let limit = self.model.config().context_tokens;
        let goal = if self.task.has_several() { Goal::Classes(Vec::new()) } else { Goal::Class(0) };
        let sample = |(first, second): &(&str, Option<&str>)| {
            let framed = self.model.tokeniser.with_specials(first, *second, limit)?;
            let weights = LossWeights::all(0.0, framed.ids.len());
            let goal = if self.task.labels.is_empty() { Goal::None } else { goal.clone() };
            Ok(Sample { ids: framed.ids, second: framed.second, weights, goal, ..Sample::default() })
        };
        let samples = texts.iter().map(sample).collect::<Result<Vec<_>, Halt>>()?;
        let total = self.total(&samples.iter().collect::<Vec<_>>(), control)?;
        let width = self.model.config().width;
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

//! The base model or what was tuned from it, where texts are read rather than written.

use super::model;
use crate::base::Failure;
use crate::engine::halt::Halt;
use crate::engine::lane::Sink;
use crate::model::config::Pooling;
use crate::model::files::ModelFiles;
use crate::model::hooks::{Hooks, NoHooks};
use crate::model::load::LoadedModel;
use crate::peft::Adapter;
use crate::recipe::Task;
use crate::recipe::recipe::Objective;
use std::path::Path;

/// A model with the head of its task, and what was trained beside it. Cloning shares it.
#[derive(Clone)]
pub struct Reader {
    pub model: LoadedModel,
    adapter: Option<Adapter>,
    /// What it was tuned for; nothing for a base model.
    pub task: Option<Task>,
}

/// The task that lies in a folder beside what was tuned for it.
pub fn task_in(folder: &Path) -> Result<Option<Task>, Halt> {
    Task::load(folder).map_err(|why| {
        Failure::new("The task cannot be read", why, "Restore the file from a copy, or train again.").into()
    })
}

/// The task beside an adapter, or else beside the model or in its head; `None` where nothing was tuned for one.
pub fn task(files: &ModelFiles, adapter: Option<&Path>) -> Result<Option<Task>, Halt> {
    match adapter {
        Some(adapter) => task_in(&model::adapter_in(adapter)),
        None => Ok(task_in(&files.info.path)?.or_else(|| Task::of_head(&files.config))),
    }
}

/// As [`task`], the one of this name where several were learnt together.
///
/// # Errors
/// Those of [`task`]; where no task is called so, and where a name is missing.
pub fn named(files: &ModelFiles, adapter: Option<&Path>, name: Option<&str>) -> Result<Option<Task>, Halt> {
    let Some(first) = task(files, adapter)? else {
        let unknown = |name: &str| {
            let why = format!("it was not tuned for several tasks, and so for none called {name}");
            Failure::new("There is no such task", why, "Leave out --task.").into()
        };
        return name.map_or(Ok(None), |name| Err(unknown(name)));
    };
    let names = || first.together.iter().map(|task| task.name.as_str()).collect::<Vec<_>>().join(", ");
    match (name, first.together.is_empty()) {
        (None, true) => Ok(Some(first)),
        (None, false) if first.together.len() == 1 => Ok(Some(first)),
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

/// Refuses an adapter that does not fit the model, before the model is loaded. Returns its task.
pub fn check(files: &ModelFiles, adapter: Option<&Path>, sink: &mut Sink<'_>) -> Result<Option<Task>, Halt> {
    let task = task(files, adapter)?;
    if let Some(folder) = adapter {
        let folder = model::adapter_in(folder);
        model::require_base(&folder, files, sink)?;
        let config = task.as_ref().map_or_else(|| files.config.clone(), |task| task.config(&files.config));
        model::check_adapter(&folder, &config)?;
    }
    Ok(task)
}

impl Reader {
    /// Of a loaded model and, where there is one, the folder of its adapter.
    ///
    /// # Errors
    /// Those of the adapter.
    pub fn new(loaded: &LoadedModel, adapter: Option<&Path>, task: Option<Task>) -> Result<Self, Halt> {
        let model = match &task {
            Some(task) => loaded.with_config(task.config(loaded.config()), 0)?,
            None => loaded.clone(),
        };
        let adapter = adapter.map(|folder| model::adapter(&model::adapter_in(folder), &model)).transpose()?;
        Ok(Self { model, adapter, task })
    }

    pub fn hooks(&self) -> Result<Box<dyn Hooks>, Halt> {
        Ok(match &self.adapter {
            Some(adapter) => adapter.hooks()?,
            None => Box::new(NoHooks),
        })
    }

    /// What of the hidden states stands for a text: as it learnt it, as its folder says it, or the mean of all tokens.
    pub fn pooling(&self) -> Pooling {
        let tasks = self.task.iter().flat_map(Task::each);
        let learnt = tasks.filter_map(|task| match task.objective {
            Objective::Contrastive(of) => Some(of.pooling),
            _ => None,
        });
        learnt.into_iter().next().or(self.model.info.pooling).unwrap_or(Pooling::Mean)
    }
}

//! The objective of a recipe, for the data and the model of a run.

use super::TrainError;
use crate::data::Goal;
use crate::data::prepare::Dataset;
use crate::model::load::LoadedModel;
use crate::objective::{self, Distance, Language};
use crate::recipe::recipe::{Objective, ScoreLoss};
use crate::recipe::{Plan, Recipe, Task};

/// What the tasks of a plan take from their data.
pub fn tasks(plan: &Plan, datasets: &[Dataset]) -> Vec<Task> {
    let recipe = plan.recipe();
    let each = recipe.each_task().into_iter().zip(recipe.task_names()).zip(datasets);
    let task = |((recipe, name), data): ((Recipe, &str), &Dataset)| Task {
        name: name.into(),
        ..Task::of(&recipe.objective, data)
    };
    Task::together(each.map(task).collect())
}

/// What a task minimises with a model. `class_weights` are those of [`class_weights`].
///
/// # Errors
/// [`TrainError::NoMask`] and [`TrainError::NoSentinels`].
pub fn of(
    task: &Task,
    model: &LoadedModel,
    class_weights: Vec<f32>,
) -> Result<Box<dyn objective::Objective>, TrainError> {
    let head = task.head(model.config());
    Ok(match &task.objective {
        Objective::Supervised { .. } | Objective::Pretraining(_) => Box::new(Language),
        Objective::Contrastive(of) => Box::new(objective::Contrastive {
            temperature: of.temperature,
            pooling: of.pooling,
            dropout: of.dropout,
            range: task.range,
        }),
        Objective::Masked(of) => Box::new(objective::Masked {
            share: of.share,
            mask: model.tokeniser.mask().ok_or(TrainError::NoMask)?,
            vocabulary: model.config().vocabulary,
            begins_word: of.whole_words.then(|| model.tokeniser.begins_word()),
        }),
        Objective::SpanCorruption(of) => {
            let sentinels = model.tokeniser.sentinels();
            let ends = model.config().encoder.zip(model.text.eos_ids.first());
            let Some((encoder, end)) = ends.filter(|_| !sentinels.is_empty()) else {
                return Err(TrainError::NoSentinels);
            };
            let (share, mean_length) = (of.share, of.mean_length);
            Box::new(objective::Spans { share, mean_length, sentinels, start: encoder.start, end: *end })
        }
        Objective::Sentences(_) => Box::new(objective::Classification { head, weights: Vec::new() }),
        Objective::Classification(_) => Box::new(objective::Classification { head, weights: class_weights }),
        Objective::Regression(of) => Box::new(objective::Regression {
            head,
            distance: match of.loss {
                ScoreLoss::Mse => Distance::Square,
                ScoreLoss::Huber => Distance::Huber,
                ScoreLoss::Soft => {
                    let [low, high] = task.range;
                    Distance::Steps { low, high }
                }
            },
        }),
    })
}

/// Weights of the classes by which all count as much together: rows / (classes · rows of the class), as scikit-learn's `balanced`.
/// None where the objective asks for none.
pub fn class_weights(task: &Task, dataset: &Dataset) -> Vec<f32> {
    if !matches!(&task.objective, Objective::Classification(of) if of.balanced) {
        return Vec::new();
    }
    let mut counts = vec![0usize; dataset.labels.names().len()];
    for sample in dataset.split.train.iter().filter_map(|row| dataset.samples.get(*row)) {
        if let Goal::Class(class) = sample.goal {
            counts[class as usize] += 1;
        }
    }
    let (total, num) = (counts.iter().sum::<usize>() as f32, counts.len() as f32);
    counts.into_iter().map(|count| if count == 0 { 1.0 } else { total / (num * count as f32) }).collect()
}

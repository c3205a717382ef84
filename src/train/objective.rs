//! The objective of a recipe, for the data and the model of a run.

use super::TrainError;
use crate::data::prepare::Dataset;
use crate::data::{Goal, Sample};
use crate::model::load::LoadedModel;
use crate::objective::{self, Distance, Language};
use crate::recipe::Recipe;
use crate::recipe::recipe::{Objective, ScoreLoss};

/// What `recipe` minimises on `dataset`.
pub fn of(
    recipe: &Recipe,
    dataset: &Dataset,
    model: &LoadedModel,
) -> Result<Box<dyn objective::Objective>, TrainError> {
    Ok(match &recipe.objective {
        Objective::Supervised { .. } | Objective::Pretraining(_) => Box::new(Language),
        Objective::Contrastive(of) => Box::new(objective::Contrastive {
            temperature: of.temperature,
            pooling: of.pooling,
            range: range(dataset),
        }),
        Objective::Masked(of) => Box::new(objective::Masked {
            share: of.share,
            mask: dataset.tokeniser.mask().ok_or(TrainError::NoMask)?,
            vocabulary: model.config().vocabulary,
            begins_word: of.whole_words.then(|| dataset.tokeniser.begins_word()),
        }),
        Objective::Sentences(_) => Box::new(objective::Classification { head: 0, weights: Vec::new() }),
        Objective::Classification(of) => {
            let weights = if of.balanced { balanced(dataset) } else { Vec::new() };
            Box::new(objective::Classification { head: 0, weights })
        }
        Objective::Regression(of) => Box::new(objective::Regression {
            head: 0,
            distance: match of.loss {
                ScoreLoss::Mse => Distance::Square,
                ScoreLoss::Huber => Distance::Huber,
                ScoreLoss::Soft => {
                    let [low, high] = range(dataset);
                    Distance::Steps { low, high }
                }
            },
        }),
    })
}

/// The least and the greatest score of the training rows; 0 and 1 where they have none.
fn range(dataset: &Dataset) -> [f64; 2] {
    let train = dataset.split.train.iter().filter_map(|row| dataset.samples.get(*row));
    let score =
        |sample: &Sample| if let Goal::Score(score) = sample.goal { Some(f64::from(score)) } else { None };
    let scores: Vec<f64> = train.filter_map(score).collect();
    match scores.is_empty() {
        true => [0.0, 1.0],
        false => {
            [scores.iter().copied().fold(f64::MAX, f64::min), scores.iter().copied().fold(f64::MIN, f64::max)]
        }
    }
}

/// Weights of the classes by which all count as much together: rows / (classes · rows of the class), as scikit-learn's `balanced`.
fn balanced(dataset: &Dataset) -> Vec<f32> {
    let mut counts = vec![0usize; dataset.labels.names().len()];
    for sample in dataset.split.train.iter().filter_map(|row| dataset.samples.get(*row)) {
        if let Goal::Class(class) = sample.goal {
            counts[class as usize] += 1;
        }
    }
    let (total, num) = (counts.iter().sum::<usize>() as f32, counts.len() as f32);
    counts.into_iter().map(|count| if count == 0 { 1.0 } else { total / (num * count as f32) }).collect()
}

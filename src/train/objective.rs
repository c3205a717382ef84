//! The objective of a recipe, for the data and the model of a run.

use super::TrainError;
use crate::data::prepare::Dataset;
use crate::data::{Goal, Sample};
use crate::model::load::LoadedModel;
use crate::objective::{self, Language};
use crate::recipe::Recipe;
use crate::recipe::recipe::Objective;

/// What `recipe` minimises on `dataset`.
pub fn of(
    recipe: &Recipe,
    dataset: &Dataset,
    _model: &LoadedModel,
) -> Result<Box<dyn objective::Objective>, TrainError> {
    Ok(match &recipe.objective {
        Objective::Supervised { .. } | Objective::Pretraining(_) => Box::new(Language),
        Objective::Contrastive(of) => Box::new(objective::Contrastive {
            temperature: of.temperature,
            pooling: of.pooling,
            range: range(dataset),
        }),
        Objective::Masked(_)
        | Objective::Sentences(_)
        | Objective::Classification(_)
        | Objective::Regression(_) => Box::new(Language),
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

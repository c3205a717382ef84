//! What an update does against forgetting, besides learning from the data: `recipe::Forgetting` says what and how much.

use super::TrainError;
use super::error::During;
use super::feed::Scale;
use crate::base::rng::Rng;
use crate::data::{Batch, Sample};
use crate::model::load::LoadedModel;
use crate::nn::FlatGradient;
use crate::peft::Adapter;
use crate::recipe::Recipe;
use crate::recipe::recipe::Forgetting;

/// Domain of the random streams that shuffle the pieces of text.
const REPLAY: u64 = 0x2E_91;

/// A micro-batch and what is taken of it.
pub struct Step {
    pub batch: Batch,
    /// Factor of the divergence from the base at each row, [n]; empty where none is wanted.
    pub nearness: Vec<f32>,
    /// Its loss is reported.
    pub is_data: bool,
    /// Of which task.
    pub task: usize,
    /// Where there are several tasks.
    pub scale: Option<Scale>,
}

/// The general text as updates take it.
pub struct Replay<'a> {
    pieces: Vec<&'a Sample>,
    /// Pieces of one update; none without text.
    pub num: usize,
    seed: u64,
    weights: Forgetting,
}

impl<'a> Replay<'a> {
    pub fn new(recipe: &Recipe, pieces: &'a [Sample]) -> Self {
        let num = if pieces.is_empty() { 0 } else { recipe.pieces_of_an_update() };
        Self {
            pieces: pieces.iter().collect(),
            num,
            seed: recipe.run.seed,
            weights: recipe.forgetting.clone(),
        }
    }

    /// A micro-batch of the data. Without text the divergence is taken here, where the loss is and with its weights.
    pub fn of_data(&self, batch: Batch) -> Step {
        let kl = self.weights.kl_weight as f32;
        let nearness = match self.num == 0 && kl > 0.0 {
            true => batch.weights.iter().map(|weight| kl * weight).collect(),
            false => Vec::new(),
        };
        Step { batch, nearness, is_data: true, task: 0, scale: None }
    }

    /// The pieces of an update in some parts. Their weights are such that all of them together count as much as the recipe says beside
    /// a data loss whose weights add up to `weight`.
    pub fn of_update(&self, update: u64, weight: f64, num_parts: usize) -> Vec<Step> {
        let pieces = self.pieces_of(update);
        let predicted: usize = pieces.iter().map(|piece| piece.num_trained()).sum();
        let share = weight / predicted.max(1) as f64;
        let step = |pieces: &[&Sample]| {
            let mut batch = Batch::pack(pieces.iter().copied());
            let times = |by: f64| batch.weights.iter().map(|w| (by * share) as f32 * w).collect::<Vec<f32>>();
            let nearness = match self.weights.kl_weight > 0.0 {
                true => times(self.weights.kl_weight),
                false => Vec::new(),
            };
            batch.weights = times(self.weights.replay_weight);
            Step { batch, nearness, is_data: false, task: 0, scale: None }
        };
        pieces.chunks(pieces.len().div_ceil(num_parts).max(1)).map(step).collect()
    }

    /// All pieces come once, in an order that seed and round decide, then all again in another: what an update takes follows from its
    /// number alone.
    fn pieces_of(&self, update: u64) -> Vec<&'a Sample> {
        let (all, first) = (self.pieces.len() as u64, update * self.num as u64);
        let mut taken = Vec::with_capacity(self.num);
        let mut order: Option<(u64, Vec<&Sample>)> = None;
        for place in first..first + self.num as u64 {
            let round = place / all;
            if order.as_ref().is_none_or(|(of, _)| *of != round) {
                let mut pieces = self.pieces.clone();
                Rng::new(self.seed, &[REPLAY, round]).shuffle(&mut pieces);
                order = Some((round, pieces));
            }
            taken.extend(order.as_ref().map(|(_, pieces)| pieces[(place % all) as usize]));
        }
        taken
    }
}

/// Adds weight · (θ - θ₀) to the gradient of the model's own weights: θ₀ is read from the model, a tensor at a time.
pub fn pull_to_base(
    model: &LoadedModel,
    adapter: &Adapter,
    gradient: &FlatGradient,
    weight: f64,
) -> Result<(), TrainError> {
    let mut next = 0;
    for group in adapter.settings.tuning().own(model.config()) {
        let parts = next..next + group.tensors.len();
        next = parts.end;
        let base = model.decoder.tensor(group.part)?;
        let pull = || {
            let values = adapter.params.joined(&parts)?;
            gradient.slot(&adapter.params, parts.clone()).add_pull(&values, &base, weight)
        };
        pull().during("pull to the base model")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::bench::random_samples;

    fn replay<'a>(recipe: &Recipe, pieces: &'a [Sample]) -> Replay<'a> {
        Replay::new(recipe, pieces)
    }

    fn recipe(replay_weight: f64, kl_weight: f64) -> Recipe {
        let mut recipe = Recipe::default();
        recipe.batch.max_tokens = 8;
        recipe.batch.micro_batch_tokens = 30;
        recipe.forgetting =
            Forgetting { text: Some("text.txt".into()), replay_weight, kl_weight, l2_weight: 0.0 };
        recipe
    }

    /// Seven pieces, three an update: in seven updates every piece comes three times, and no round is like the one before.
    #[test]
    fn every_round_takes_every_piece_once_in_an_order_of_its_own() {
        let pieces = random_samples(1000, 7, 8, 1);
        let recipe = recipe(1.0, 0.0);
        let replay = replay(&recipe, &pieces);
        assert_eq!(replay.num, 3);
        let taken: Vec<&Sample> = (0..7).flat_map(|update| replay.pieces_of(update)).collect();
        let rounds: Vec<&[&Sample]> = taken.chunks(7).collect();
        for round in &rounds {
            assert!(pieces.iter().all(|piece| round.contains(&piece)));
        }
        assert!(rounds[0] != rounds[1] && rounds[1] != rounds[2]);
        assert_eq!(replay.pieces_of(5), replay.pieces_of(5));
    }

    /// However they are dealt, the weights of the text add up to the recipe's share of those of the data.
    #[test]
    fn the_text_has_its_share_of_the_loss_in_any_number_of_parts() {
        let pieces = random_samples(1000, 7, 8, 1);
        let (with_kl, text) = (recipe(0.5, 2.0), &pieces);
        let replay = replay(&with_kl, text);
        let sum = |steps: &[Step], of: fn(&Step) -> &Vec<f32>| -> f32 {
            steps.iter().flat_map(|step| of(step).iter().copied()).sum()
        };
        for num_parts in [1, 2] {
            let steps = replay.of_update(3, 40.0, num_parts);
            assert_eq!(steps.len(), num_parts);
            assert!((sum(&steps, |s| &s.batch.weights) - 20.0).abs() < 1e-5);
            assert!((sum(&steps, |s| &s.nearness) - 80.0).abs() < 1e-4);
            assert!(steps.iter().all(|step| !step.is_data && step.nearness.len() == step.batch.len()));
        }
        let data = || Batch::pack(&pieces[..2]);
        assert!(replay.of_data(data()).nearness.is_empty(), "the divergence is taken on the text");
        let without = Replay::new(&recipe(0.0, 2.0), &[]);
        let doubled: Vec<f32> = data().weights.iter().map(|w| 2.0 * w).collect();
        assert_eq!(without.of_data(data()).nearness, doubled);
    }
}

//! Texts that belong together are brought near each other, and away from the other texts of the micro-batch.

use super::{Draw, LossSum, Made, Objective};
use crate::data::{Batch, Goal, Sample};
use crate::model::ModelError;
use crate::model::config::Pooling;
use crate::model::error::During;
use crate::nn::ops::{Judgement, Reference, judged};
use crate::nn::{Node, Result};
use candle_core::{Device, Tensor};
use std::ops::Range;

/// InfoNCE (van den Oord et al. 2018, arXiv:1807.03748) over the second and the unlike texts of all samples of a micro-batch, as
/// sentence-transformers' MultipleNegativesRanking has it. A text alone is its own second text, read with other numbers dropped
/// (SimCSE, Gao et al. 2021, arXiv:2104.08821). Pairs with a score are brought to a cosine of it.
#[derive(Debug, Clone, Copy)]
pub struct Contrastive {
    /// What similarities are divided by.
    pub temperature: f64,
    pub pooling: Pooling,
    /// Share of the model's inner numbers that are dropped.
    pub dropout: f64,
    /// The least and the greatest score, for pairs that have one.
    pub range: [f64; 2],
}

impl Contrastive {
    /// One row for each text, [s, d].
    fn embedded(&self, made: Made) -> std::result::Result<Node, ModelError> {
        made.decoder.pooled(made.tape, made.hidden, made.batch, self.pooling)
    }

    /// A score as a cosine from -1 to 1.
    fn wanted(&self, score: f32) -> f32 {
        let [low, high] = self.range;
        (2.0 * (f64::from(score) - low) / (high - low).max(f64::MIN_POSITIVE) - 1.0) as f32
    }
}

impl Objective for Contrastive {
    /// The others of a micro-batch are what a text is told from.
    fn measures_rows_alone(&self) -> bool {
        false
    }

    fn batch(&self, samples: &[&Sample], _draw: Draw) -> Batch {
        let twice = |sample: &Sample| Sample {
            ids: sample.ids.repeat(2),
            parts: vec![sample.ids.len() as u32, 2 * sample.ids.len() as u32],
            weights: [&sample.weights; 2].into_iter().flat_map(|weights| weights.iter()).collect(),
            ..Sample::default()
        };
        let is_alone = |sample: &&Sample| sample.parts.len() < 2;
        let doubled: Vec<Option<Sample>> =
            samples.iter().map(|sample| is_alone(sample).then(|| twice(sample))).collect();
        Batch::pack(samples.iter().zip(&doubled).map(|(own, doubled)| doubled.as_ref().unwrap_or(own)))
    }

    fn weighs_tokens(&self) -> bool {
        false
    }

    fn weight(&self, batch: &Batch) -> f64 {
        batch.samples().count() as f64
    }

    fn dropout(&self) -> f64 {
        self.dropout
    }

    fn loss(&self, made: Made, _reference: Option<&Reference>) -> std::result::Result<LossSum, ModelError> {
        let texts = self.embedded(made)?;
        let samples: Vec<Range<usize>> = made.batch.samples().collect();
        let scores: Vec<Option<f32>> = made.batch.goals.iter().map(score).collect();
        let wanted: Vec<f32> = scores.iter().flatten().map(|score| self.wanted(*score)).collect();
        let judge = |numbers: &[f32], width: usize| match wanted.len() == samples.len() {
            true => of_cosines(&Directions::of(numbers, width), &samples, &wanted),
            false => info_nce(&Directions::of(numbers, width), &samples, self.temperature as f32),
        };
        let (node, sum) = judged(made.tape, &texts, judge).during("contrastive loss")?;
        Ok(LossSum { node, sum, divergence: 0.0, weight: self.weight(made.batch) })
    }

    /// The directions of a sample's texts, one after the other.
    fn outputs(&self, made: Made) -> std::result::Result<Vec<Vec<f32>>, ModelError> {
        let rows: Vec<Vec<f32>> = self.embedded(made)?.value().to_vec2().during("read the texts")?;
        let normed = |row: &Vec<f32>| {
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
            row.iter().map(|x| x / length).collect::<Vec<f32>>()
        };
        Ok(made.batch.samples().map(|own| rows[own].iter().flat_map(normed).collect()).collect())
    }
}

fn score(goal: &Goal) -> Option<f32> {
    if let Goal::Score(score) = goal { Some(*score) } else { None }
}

/// Rows as directions of length 1, [s, d], with the lengths that they had.
struct Directions {
    rows: Vec<f32>,
    lengths: Vec<f32>,
    width: usize,
}

impl Directions {
    fn of(numbers: &[f32], width: usize) -> Self {
        let mut rows = numbers.to_vec();
        let length = |row: &mut [f32]| {
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
            row.iter_mut().for_each(|x| *x /= length);
            length
        };
        let lengths = rows.chunks_exact_mut(width).map(length).collect();
        Self { rows, lengths, width }
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.rows[row * self.width..][..self.width]
    }

    /// These rows as a matrix.
    fn matrix(&self, rows: &[usize]) -> Result<Tensor> {
        let numbers = rows.iter().flat_map(|row| self.row(*row).iter().copied()).collect();
        Tensor::from_vec(numbers, (rows.len(), self.width), &Device::Cpu)
    }

    /// The gradient by the numbers of that by the directions: `(g - e (e · g)) / length` of each row.
    fn through(&self, of_directions: Vec<f32>) -> Vec<f32> {
        let mut out = of_directions;
        for (row, g) in out.chunks_exact_mut(self.width).enumerate() {
            let e = self.row(row);
            let along: f32 = e.iter().zip(g.iter()).map(|(e, g)| e * g).sum();
            g.iter_mut().zip(e).for_each(|(g, e)| *g = (*g - e * along) / self.lengths[row]);
        }
        out
    }
}

/// Σ -log softmax(cosines / temperature) at the own second text, over the second and the unlike texts of all.
fn info_nce(e: &Directions, samples: &[Range<usize>], temperature: f32) -> Result<Judgement> {
    let queries: Vec<usize> = samples.iter().map(|own| own.start).collect();
    let seconds = samples.iter().map(|own| own.start + 1);
    let others = samples.iter().flat_map(|own| own.start + 2..own.end);
    let candidates: Vec<usize> = seconds.chain(others).collect();
    let (q, c) = (e.matrix(&queries)?, e.matrix(&candidates)?);
    let mut scores: Vec<f32> = q.matmul(&c.t()?)?.flatten_all()?.to_vec1()?; // [q, c]
    let num = candidates.len();
    let mut sum = 0.0;
    for (right, row) in scores.chunks_exact_mut(num).enumerate() {
        row.iter_mut().for_each(|x| *x /= temperature);
        let most = row.iter().copied().fold(f32::MIN, f32::max);
        let total: f64 = row.iter().map(|x| f64::from(x - most).exp()).sum();
        sum += total.ln() - f64::from(row[right] - most);
        row.iter_mut().for_each(|x| *x = (f64::from(*x - most).exp() / total) as f32 / temperature);
        row[right] -= 1.0 / temperature;
    }
    let of_scores = Tensor::from_vec(scores, (queries.len(), num), &Device::Cpu)?;
    let of_queries: Vec<f32> = of_scores.matmul(&c)?.flatten_all()?.to_vec1()?;
    let of_candidates: Vec<f32> = of_scores.t()?.matmul(&q)?.flatten_all()?.to_vec1()?;
    let mut gradient = vec![0.0; e.rows.len()];
    for (rows, from) in [(&queries, of_queries), (&candidates, of_candidates)] {
        for (row, from) in rows.iter().zip(from.chunks_exact(e.width)) {
            gradient[row * e.width..][..e.width].copy_from_slice(from);
        }
    }
    Ok(Judgement { sum, gradient: e.through(gradient) })
}

/// Σ (cosine - wanted)² of the two texts of each sample.
fn of_cosines(e: &Directions, samples: &[Range<usize>], wanted: &[f32]) -> Result<Judgement> {
    let mut gradient = vec![0.0; e.rows.len()];
    let mut sum = 0.0;
    for (own, wanted) in samples.iter().zip(wanted) {
        let (a, b) = (own.start, own.start + 1);
        let cosine: f32 = e.row(a).iter().zip(e.row(b)).map(|(x, y)| x * y).sum();
        let off = cosine - wanted;
        sum += f64::from(off) * f64::from(off);
        for (to, from) in [(a, b), (b, a)] {
            let out = &mut gradient[to * e.width..][..e.width];
            out.iter_mut().zip(e.row(from)).for_each(|(g, x)| *g = 2.0 * off * x);
        }
    }
    Ok(Judgement { sum, gradient: e.through(gradient) })
}

#[cfg(test)]
mod tests {
    use super::super::finite::holds;
    use super::*;
    use crate::base::rng::Rng;

    fn numbers(len: usize) -> Vec<f32> {
        let mut rng = Rng::new(7, &[1]);
        (0..len).map(|_| rng.normal() as f32).collect()
    }

    #[test]
    fn gradients_match_finite_differences() {
        let samples = [0..2, 2..5, 5..7];
        let judge = |x: &[f32]| info_nce(&Directions::of(x, 5), &samples, 0.5).unwrap();
        holds(judge, &numbers(35));
        let pairs = [0..2, 2..4];
        holds(|x| of_cosines(&Directions::of(x, 5), &pairs, &[0.3, -0.8]).unwrap(), &numbers(20));
    }

    /// Where all candidates are alike, each is as likely as any other.
    #[test]
    fn texts_that_are_all_alike_are_told_apart_by_chance() {
        let alike = [1.0, 2.0].repeat(6);
        let found = info_nce(&Directions::of(&alike, 2), &[0..2, 2..4, 4..6], 0.05).unwrap();
        assert!((found.sum - 3.0 * 3f64.ln()).abs() < 1e-5, "{}", found.sum);
    }
}

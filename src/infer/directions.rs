//! Texts as directions: what a model makes of each as a whole, of length 1, so that the product of two is their cosine.

use crate::data::{Batch, Sample};
use crate::model::ModelError;
use crate::model::config::Pooling;
use crate::model::error::During;
use crate::model::hooks::Hooks;
use crate::model::load::LoadedModel;
use crate::nn::Tape;
use candle_core::DType;

/// One direction for each sample that has tokens, [d].
pub fn directions(
    model: &LoadedModel,
    hooks: &dyn Hooks,
    pooling: Pooling,
    samples: &[&Sample],
) -> Result<Vec<Vec<f32>>, ModelError> {
    let batch = Batch::pack(samples.iter().copied());
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let (tape, decoder) = (Tape::inference(), &*model.decoder);
    let hidden = decoder.forward(&tape, &batch, hooks)?;
    let pooled = decoder.pooled(&tape, &hidden, &batch, pooling)?;
    let rows = || pooled.value().to_dtype(DType::F32)?.to_vec2::<f32>();
    Ok(rows().during("read the texts")?.into_iter().map(normed).collect())
}

/// To length 1; what has none stays.
fn normed(mut row: Vec<f32>) -> Vec<f32> {
    let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        row.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
    row
}

/// The rows nearest to one of them by their cosine, at most `top`, the nearest first; what is not finite is left out.
pub fn nearest(query: &[f32], rows: &[Vec<f32>], top: usize) -> Vec<(usize, f32)> {
    let cosine =
        |row: &Vec<f32>| row.iter().zip(query).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let mut found: Vec<(usize, f64)> =
        rows.iter().map(cosine).enumerate().filter(|(_, cosine)| cosine.is_finite()).collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    found.into_iter().take(top).map(|(row, cosine)| (row, cosine as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_come_first_and_equals_as_they_stand() {
        let rows = [[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [f32::NAN, 0.0], [-1.0, 0.0]].map(|r| r.to_vec());
        let found = nearest(&[1.0, 0.0], &rows, 3);
        assert_eq!(found, [(1, 1.0), (2, 1.0), (0, 0.0)]);
        assert_eq!(nearest(&[1.0, 0.0], &[], 3), []);
    }
}

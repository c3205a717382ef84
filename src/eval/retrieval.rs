//! Whether embeddings find what belongs together.

use super::correlation::spearman;
use super::inputs::{MetricError, num_not_finite, same_length, same_width};
use crate::nn::kernels::cpu::lanes::dot;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Queries that are held against each candidate in turn: few enough to stay near the processor.
const BLOCK: usize = 64;

/// The first so many found, of which the right one should be one.
const CUTS: [usize; 3] = [1, 5, 10];

/// Queries held against all candidates. What was not measured is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RetrievalReport {
    /// Queries.
    pub num: usize,
    pub num_candidates: usize,
    /// Rows on either side with numbers that are not finite. With any, nothing is measured.
    pub num_not_finite: usize,
    /// (k, share of queries whose right candidate is among the k nearest) for 1, 5 and 10.
    pub accuracy_at: Vec<(usize, f64)>,
    /// Mean reciprocal rank of the right candidate.
    pub mrr: Option<f64>,
}

impl RetrievalReport {
    /// Rows of length 1, all equally wide; the right candidate of query i is candidate i, and there may be more candidates than
    /// queries. Candidates as near as the right one stand before it.
    ///
    /// # Errors
    /// Where there are fewer candidates than queries, or rows differ in width.
    pub fn of(queries: &[Vec<f32>], candidates: &[Vec<f32>]) -> Result<Self, MetricError> {
        if candidates.len() < queries.len() {
            return Err(MetricError::Lengths { found: candidates.len(), expected: queries.len() });
        }
        let width = queries.first().map_or(0, Vec::len);
        same_width(queries, width)?;
        if !queries.is_empty() {
            same_width(candidates, width)?;
        }
        let num_not_finite = num_not_finite(queries) + num_not_finite(candidates);
        let (num, num_candidates) = (queries.len(), candidates.len());
        let empty = Self { num, num_candidates, num_not_finite, ..Self::default() };
        if queries.is_empty() || num_not_finite > 0 {
            return Ok(empty);
        }
        let ranks = ranks_of_right(queries, candidates);
        let mean = |of: &dyn Fn(usize) -> f64| ranks.iter().map(|rank| of(*rank)).sum::<f64>() / num as f64;
        Ok(Self {
            accuracy_at: CUTS.map(|k| (k, mean(&|rank| if rank <= k { 1.0 } else { 0.0 }))).to_vec(),
            mrr: Some(mean(&|rank| 1.0 / rank as f64)),
            ..empty
        })
    }
}

/// The place, from 1, at which each query finds its candidate.
fn ranks_of_right(queries: &[Vec<f32>], candidates: &[Vec<f32>]) -> Vec<usize> {
    let block = |(block, queries): (usize, &[Vec<f32>])| {
        let first = block * BLOCK;
        let right: Vec<f32> = queries.iter().zip(&candidates[first..]).map(|(q, c)| dot(q, c)).collect();
        let mut ranks = vec![0; queries.len()];
        for candidate in candidates {
            for ((query, right), rank) in queries.iter().zip(&right).zip(&mut ranks) {
                // The right one counts itself, which makes ranks begin at 1. So does what overflows to no number.
                let order = dot(query, candidate).partial_cmp(right);
                *rank += usize::from(order != Some(Ordering::Less));
            }
        }
        ranks
    };
    queries.par_chunks(BLOCK).enumerate().flat_map_iter(block).collect()
}

/// Spearman's correlation of the cosines of pairs of rows of length 1 with the scores people gave them; `None` where either is
/// constant, or something is not finite.
///
/// # Errors
/// Where there are not as many rows on one side as on the other, or as scores, or rows differ in width.
pub fn cosine_spearman(a: &[Vec<f32>], b: &[Vec<f32>], scores: &[f64]) -> Result<Option<f64>, MetricError> {
    same_length(a.len(), scores.len())?;
    same_length(b.len(), scores.len())?;
    let width = a.first().map_or(0, Vec::len);
    same_width(a, width)?;
    same_width(b, width)?;
    let cosine = |(a, b): (&Vec<f32>, &Vec<f32>)| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let cosines: Vec<f64> = a.iter().zip(b).map(cosine).collect();
    Ok(spearman(&cosines, scores))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::fixture;
    use serde_json::Value;

    #[derive(Deserialize)]
    struct Case {
        queries: Vec<Vec<f32>>,
        candidates: Vec<Vec<f32>>,
        report: Value,
        scores: Vec<f64>,
        spearman: Value,
    }

    /// More queries than a block has, and candidates without a query, among them copies of right ones.
    #[test]
    fn as_scikit_learn_and_scipy() {
        let case: Case = fixture::part("retrieval");
        assert!(case.queries.len() > BLOCK && case.candidates.len() > case.queries.len());
        fixture::assert_near(&RetrievalReport::of(&case.queries, &case.candidates).unwrap(), &case.report);
        let partners = &case.candidates[..case.queries.len()];
        let spearman = cosine_spearman(&case.queries, partners, &case.scores).unwrap();
        fixture::assert_near(&spearman, &case.spearman);
    }

    #[test]
    fn embeddings_that_are_all_the_same_find_nothing() {
        let report = RetrievalReport::of(&vec![vec![0.6, 0.8]; 20], &vec![vec![0.6, 0.8]; 20]).unwrap();
        assert_eq!(report.accuracy_at, [(1, 0.0), (5, 0.0), (10, 0.0)]);
        assert!(report.mrr.is_some_and(|mrr| (mrr - 0.05).abs() < 1e-12));
    }

    #[test]
    fn bad_input_is_normal_input() {
        assert_eq!(RetrievalReport::of(&[], &[]), Ok(RetrievalReport::default()));
        let one = [vec![1.0, 0.0]];
        assert_eq!(RetrievalReport::of(&one, &[]), Err(MetricError::Lengths { found: 0, expected: 1 }));
        let width = MetricError::Width { row: 0, found: 1, expected: 2 };
        assert_eq!(RetrievalReport::of(&one, &[vec![1.0]]), Err(width.clone()));
        let broken = RetrievalReport::of(&[vec![f32::NAN]], &[vec![f32::NAN]]).unwrap();
        assert_eq!((broken.num_not_finite, broken.mrr, broken.accuracy_at.len()), (2, None, 0));
        let huge = vec![vec![f32::MAX, f32::MAX], vec![f32::MAX, f32::MIN]];
        assert_eq!(RetrievalReport::of(&huge, &huge).map(|r| r.mrr.is_some_and(f64::is_finite)), Ok(true));
        assert_eq!(cosine_spearman(&[], &[], &[]), Ok(None));
        assert_eq!(cosine_spearman(&one, &[vec![1.0]], &[1.0]), Err(width));
        assert_eq!(cosine_spearman(&one, &one, &[]), Err(MetricError::Lengths { found: 1, expected: 0 }));
        let broken = cosine_spearman(&[vec![f32::NAN], vec![1.0]], &[vec![1.0], vec![1.0]], &[1.0, 2.0]);
        assert_eq!(broken, Ok(None));
    }
}

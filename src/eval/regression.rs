//! A number for each row.

use super::correlation::{deviations, finite, is_constant, pearson, spearman};
use super::inputs::{MetricError, same_length};
use super::markdown;
use super::seen_rows::SeenScore;
use serde::{Deserialize, Serialize};

/// Points of a scatter plot; more only hide each other.
const MOST_POINTS: usize = 2_000;

/// Predictions held against the right numbers. What was not measured is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RegressionReport {
    pub num: usize,
    /// Rows whose prediction or right number is not finite. With any, nothing is measured.
    pub num_not_finite: usize,
    /// `1 - Σ (y - ŷ)² / Σ (y - ȳ)²`; `None` where all right numbers are the same.
    pub r2: Option<f64>,
    /// `None` where either side is constant.
    pub pearson: Option<f64>,
    pub spearman: Option<f64>,
    /// Mean absolute error, and the root of the mean squared one.
    pub mae: Option<f64>,
    pub rmse: Option<f64>,
    /// (right number, prediction) of up to 2,000 rows, evenly spread over them.
    pub points: Vec<(f64, f64)>,
    /// The rows that are furthest off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<SeenScore>,
}

impl RegressionReport {
    /// # Errors
    /// Where there are not as many predictions as right numbers.
    pub fn of(predictions: &[f64], truth: &[f64]) -> Result<Self, MetricError> {
        same_length(predictions.len(), truth.len())?;
        let num = truth.len();
        let is_broken = |(a, b): &(&f64, &f64)| !(a.is_finite() && b.is_finite());
        let num_not_finite = predictions.iter().zip(truth).filter(is_broken).count();
        if num == 0 || num_not_finite > 0 {
            return Ok(Self { num, num_not_finite, ..Self::default() });
        }
        let errors = || predictions.iter().zip(truth).map(|(prediction, truth)| prediction - truth);
        let squares: f64 = errors().map(|e| e * e).sum();
        let total: f64 = deviations(truth).iter().map(|d| d * d).sum();
        let num_points = num.min(MOST_POINTS);
        Ok(Self {
            num,
            num_not_finite,
            r2: finite(total).filter(|_| !is_constant(truth)).and_then(|total| finite(1.0 - squares / total)),
            pearson: pearson(predictions, truth),
            spearman: spearman(predictions, truth),
            mae: finite(errors().map(f64::abs).sum::<f64>() / num as f64),
            rmse: finite((squares / num as f64).sqrt()),
            points: (0..num_points)
                .map(|i| i * num / num_points)
                .map(|i| (truth[i], predictions[i]))
                .collect(),
            rows: Vec::new(),
        })
    }
}

/// A table in Markdown.
impl std::fmt::Display for RegressionReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let figures = vec![
            ("Rows", self.num.to_string()),
            ("R²", markdown::number(self.r2)),
            ("Pearson", markdown::number(self.pearson)),
            ("Spearman", markdown::number(self.spearman)),
            ("Mean absolute error", markdown::number(self.mae)),
            ("Root mean squared error", markdown::number(self.rmse)),
        ];
        f.write_str(&markdown::figures(figures, self.num_not_finite))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::fixture;
    use serde_json::Value;

    #[derive(Deserialize)]
    struct Case {
        predictions: Vec<f64>,
        truth: Vec<f64>,
        report: Value,
    }

    #[test]
    fn as_scikit_learn_and_scipy() {
        let case: Case = fixture::part("regression");
        let report = RegressionReport::of(&case.predictions, &case.truth).unwrap();
        fixture::assert_near(&report, &case.report);
        assert!(report.to_string().contains("| Spearman "));
    }

    #[test]
    fn constant_columns_have_no_correlation() {
        let flat = RegressionReport::of(&[0.1; 3], &[1.0, 2.0, 4.0]).unwrap();
        assert_eq!((flat.pearson, flat.spearman), (None, None));
        assert!(flat.r2.is_some_and(|r2| r2 < 0.0) && flat.mae.is_some());
        let target = RegressionReport::of(&[1.0, 2.0, 4.0], &[0.1; 3]).unwrap();
        assert_eq!((target.r2, target.pearson, target.spearman), (None, None, None));
        assert!(target.rmse.is_some());
    }

    #[test]
    fn bad_input_is_normal_input() {
        assert_eq!(RegressionReport::of(&[], &[]), Ok(RegressionReport::default()));
        let lengths = MetricError::Lengths { found: 1, expected: 2 };
        assert_eq!(RegressionReport::of(&[1.0], &[1.0, 2.0]), Err(lengths));
        let broken = RegressionReport::of(&[1.0, f64::NAN, 3.0], &[1.0, 2.0, f64::INFINITY]).unwrap();
        assert_eq!(broken, RegressionReport { num: 3, num_not_finite: 2, ..RegressionReport::default() });
        assert!(broken.to_string().contains("not measured"));
        let huge = RegressionReport::of(&[1e300, -1e300], &[-1e300, 1e300]).unwrap();
        assert_eq!((huge.r2, huge.rmse, huge.mae), (None, None, Some(2e300)));
        assert_eq!(RegressionReport::of(&[1.0], &[2.0]).map(|r| (r.r2, r.mae)), Ok((None, Some(1.0))));
    }

    #[test]
    fn points_are_spread_over_all_rows() {
        let truth: Vec<f64> = (0..5_000).map(f64::from).collect();
        let points = RegressionReport::of(&truth, &truth).unwrap().points;
        assert_eq!((points.len(), points[0], points[1_999]), (2_000, (0.0, 0.0), (4_997.0, 4_997.0)));
        assert!(points.windows(2).all(|w| [2.0, 3.0].contains(&(w[1].0 - w[0].0))));
    }
}

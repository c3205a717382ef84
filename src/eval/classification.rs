//! One class of several for each row: binary and multi-class.

use super::calibration::{CalibrationBin, calibration, expected_calibration_error};
use super::classes::{ClassRow, Count, class_rows, macro_f1, micro_f1, weighted_f1};
use super::inputs::{MetricError, known_class, num_not_finite, same_length, same_width};
use super::score::ScoreBoard;
use super::seen_rows::SeenClass;
use super::thresholds::BinaryReport;
use serde::{Deserialize, Serialize};

/// With more classes there is no confusion matrix: nobody could read it, and it grows with the square.
const MOST_CONFUSED: usize = 256;

/// Predictions held against the right classes. What was not measured is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassReport {
    pub num: usize,
    /// Rows with probabilities that are no finite numbers. With any, nothing is measured: the model is broken.
    pub num_not_finite: usize,
    /// Share of rows whose likeliest class is right, 0..1.
    pub accuracy: Option<f64>,
    /// Where the true share is, by 95 %.
    pub accuracy_low: Option<f64>,
    pub accuracy_high: Option<f64>,
    /// Mean over the classes that occur, as right ones or as predicted ones.
    pub macro_f1: Option<f64>,
    /// Of all rows together: with one class a row it is the accuracy.
    pub micro_f1: Option<f64>,
    /// Mean by how often each class is right.
    pub weighted_f1: Option<f64>,
    /// Mean cross entropy of the right class, in nats; probabilities no nearer to 0 and 1 than f32 resolves.
    pub log_loss: Option<f64>,
    pub classes: Vec<ClassRow>,
    /// How often a right class (row) was predicted as which (column); empty beyond 256 classes.
    pub confusion: Vec<Vec<usize>>,
    pub calibration: Vec<CalibrationBin>,
    pub expected_calibration_error: Option<f64>,
    /// With two classes.
    pub binary: Option<BinaryReport>,
    /// Some rows of each pair of a right and a predicted class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<SeenClass>,
}

impl ClassReport {
    /// probabilities: a row of `labels.len()` each, after softmax; truth: the number of the right class of each row.
    ///
    /// # Errors
    /// Where there are not as many rows as right classes, a row is not as wide as `labels`, or a right class is beyond them.
    pub fn of(probabilities: &[Vec<f32>], truth: &[u32], labels: &[String]) -> Result<Self, MetricError> {
        same_length(probabilities.len(), truth.len())?;
        same_width(probabilities, labels.len())?;
        for (row, class) in truth.iter().enumerate() {
            known_class(row, *class, labels.len())?;
        }
        let num_not_finite = num_not_finite(probabilities);
        if probabilities.is_empty() || num_not_finite > 0 {
            return Ok(Self { num: truth.len(), num_not_finite, ..Self::default() });
        }
        Ok(Self::measured(probabilities, truth, labels))
    }

    fn measured(probabilities: &[Vec<f32>], truth: &[u32], labels: &[String]) -> Self {
        let rows: Vec<Row> = probabilities.iter().zip(truth).map(|(p, t)| Row::new(p, *t as usize)).collect();
        let score: ScoreBoard = rows.iter().map(Row::is_right).collect();
        let interval = score.interval();
        let counts = counts(&rows, labels.len());
        let calibration = calibration(rows.iter().map(|row| (row.confidence, row.is_right())));
        let second =
            || rows.iter().zip(probabilities).map(|(row, p)| (p[1], row.truth == 1)).collect::<Vec<_>>();
        Self {
            num: rows.len(),
            num_not_finite: 0,
            accuracy: score.share(),
            accuracy_low: interval.map(|i| i.0),
            accuracy_high: interval.map(|i| i.1),
            macro_f1: macro_f1(counts.iter().filter(|c| c.occurs())),
            micro_f1: Some(micro_f1(&counts)),
            weighted_f1: Some(weighted_f1(&counts)),
            log_loss: Some(rows.iter().map(|row| row.loss).sum::<f64>() / rows.len() as f64),
            classes: class_rows(labels, &counts),
            confusion: confusion(&rows, labels.len()),
            expected_calibration_error: expected_calibration_error(&calibration),
            calibration,
            binary: (labels.len() == 2).then(|| BinaryReport::of(&second())),
            rows: Vec::new(),
        }
    }
}

/// A row as it was decided.
struct Row {
    truth: usize,
    /// The likeliest class, the first one of equals.
    predicted: usize,
    confidence: f32,
    loss: f64,
}

impl Row {
    fn new(probabilities: &[f32], truth: usize) -> Self {
        let first = (0, f32::NEG_INFINITY);
        let (predicted, confidence) = probabilities
            .iter()
            .copied()
            .enumerate()
            .fold(first, |best, p| if p.1 > best.1 { p } else { best });
        // As scikit-learn: a probability of 0 for the right class would make the mean infinite.
        let near = f64::from(f32::EPSILON);
        let loss = -f64::from(probabilities[truth]).clamp(near, 1.0 - near).ln();
        Self { truth, predicted, confidence, loss }
    }

    fn is_right(&self) -> bool {
        self.truth == self.predicted
    }
}

fn counts(rows: &[Row], num_classes: usize) -> Vec<Count> {
    let mut counts = vec![Count::default(); num_classes];
    for row in rows {
        counts[row.predicted].predicted += 1;
        counts[row.predicted].hits += usize::from(row.is_right());
        counts[row.truth].support += 1;
    }
    counts
}

fn confusion(rows: &[Row], num_classes: usize) -> Vec<Vec<usize>> {
    if num_classes > MOST_CONFUSED {
        return Vec::new();
    }
    let mut confusion = vec![vec![0; num_classes]; num_classes];
    rows.iter().for_each(|row| confusion[row.truth][row.predicted] += 1);
    confusion
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::fixture;
    use serde_json::Value;

    #[derive(Deserialize)]
    struct Case {
        probabilities: Vec<Vec<f32>>,
        truth: Vec<u32>,
        labels: Vec<String>,
        report: Value,
    }

    fn labels(num: usize) -> Vec<String> {
        (0..num).map(|i| format!("label {i}")).collect()
    }

    #[test]
    fn as_scikit_learn() {
        for name in ["multi_class", "binary"] {
            let case: Case = fixture::part(name);
            let report = ClassReport::of(&case.probabilities, &case.truth, &case.labels).unwrap();
            fixture::assert_near(&report, &case.report);
            let again: ClassReport = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
            fixture::assert_near(&again, &case.report);
        }
    }

    #[test]
    fn what_cannot_be_measured_is_none() {
        assert_eq!(ClassReport::of(&[], &[], &[]), Ok(ClassReport::default()));
        let broken = ClassReport::of(&[vec![0.5, 0.5], vec![f32::NAN, 0.5]], &[0, 1], &labels(2)).unwrap();
        assert_eq!(broken, ClassReport { num: 2, num_not_finite: 1, ..ClassReport::default() });
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let of = |p: &[Vec<f32>], truth: &[u32]| ClassReport::of(p, truth, &labels(2)).unwrap_err();
        assert_eq!(of(&[vec![1.0, 0.0]], &[]), MetricError::Lengths { found: 1, expected: 0 });
        assert_eq!(of(&[vec![1.0]], &[0]), MetricError::Width { row: 0, found: 1, expected: 2 });
        assert_eq!(of(&[vec![1.0, 0.0]], &[2]), MetricError::Class { row: 0, class: 2, num_classes: 2 });
    }

    #[test]
    fn ten_thousand_classes_need_no_matrix() {
        let mut row = vec![0.0; 10_000];
        row[9_999] = 1.0;
        let report = ClassReport::of(&[row], &[9_999], &labels(10_000)).unwrap();
        assert_eq!((report.accuracy, report.macro_f1, report.confusion.len()), (Some(1.0), Some(1.0), 0));
    }
}

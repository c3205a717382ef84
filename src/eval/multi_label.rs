//! Any number of classes for each row.

use super::by_threshold::{AtThreshold, ByThreshold};
use super::classes::{ClassRow, Count, class_rows, macro_f1, micro_f1};
use super::inputs::{MetricError, known_class, num_not_finite, same_length, same_width};
use super::thresholds::{ThresholdRow, best_threshold, is_yes, threshold_rows};
use serde::{Deserialize, Serialize};

/// Predictions held against the right sets of classes. What was not measured is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MultiReport {
    pub num: usize,
    /// Rows with probabilities that are no finite numbers. With any, nothing is measured: the model is broken.
    pub num_not_finite: usize,
    /// From which probability up a class is predicted.
    pub threshold: f64,
    /// Share of rows whose set is right as a whole, 0..1.
    pub subset_accuracy: Option<f64>,
    /// Share of the decisions (rows times classes) that are wrong, 0..1.
    pub hamming_loss: Option<f64>,
    /// Of all decisions together; mean over all classes; mean over rows, 0 for one without any class on either side.
    pub micro_f1: Option<f64>,
    pub macro_f1: Option<f64>,
    pub samples_f1: Option<f64>,
    pub classes: Vec<ClassRow>,
    /// Precision, recall and F1 of all decisions together, for thresholds from 0.00 to 1.00.
    pub thresholds: Vec<ThresholdRow>,
    /// See [`best_threshold`].
    pub best: Option<ThresholdRow>,
    /// Of each class, for the same thresholds; empty in reports of before.
    #[serde(default, skip_serializing_if = "ByThreshold::is_empty")]
    pub by_threshold: ByThreshold,
}

impl MultiReport {
    /// probabilities: a row of `labels.len()` each, after sigmoid; truth: the numbers of the right classes of each row, in any
    /// order.
    ///
    /// # Errors
    /// Where there are not as many rows as right sets, a row is not as wide as `labels`, or a right class is beyond them.
    pub fn of(
        probabilities: &[Vec<f32>],
        truth: &[Vec<u32>],
        labels: &[String],
        threshold: f64,
    ) -> Result<Self, MetricError> {
        same_length(probabilities.len(), truth.len())?;
        same_width(probabilities, labels.len())?;
        for (row, classes) in truth.iter().enumerate() {
            classes.iter().try_for_each(|class| known_class(row, *class, labels.len()))?;
        }
        let num_not_finite = num_not_finite(probabilities);
        let empty = Self { num: truth.len(), num_not_finite, threshold, ..Self::default() };
        if probabilities.is_empty() || labels.is_empty() || num_not_finite > 0 {
            return Ok(empty);
        }
        let is_right: Vec<Vec<bool>> = truth.iter().map(|classes| flags(classes, labels.len())).collect();
        Ok(empty.measured(probabilities, &is_right, labels))
    }

    fn measured(self, probabilities: &[Vec<f32>], is_right: &[Vec<bool>], labels: &[String]) -> Self {
        let num = self.num as f64;
        let mut counts = vec![Count::default(); labels.len()];
        let (mut num_whole, mut num_wrong, mut samples) = (0_usize, 0, 0.0);
        for (probabilities, is_right) in probabilities.iter().zip(is_right) {
            let mut row = Count::default();
            let mut wrong = 0;
            for ((p, &right), count) in probabilities.iter().zip(is_right).zip(&mut counts) {
                let yes = is_yes(*p, self.threshold);
                count.add(yes, right);
                row.add(yes, right);
                wrong += usize::from(yes != right);
            }
            num_whole += usize::from(wrong == 0);
            num_wrong += wrong;
            samples += row.f1();
        }
        let pairs = probabilities.iter().zip(is_right);
        let decisions = pairs.flat_map(|(p, right)| p.iter().copied().zip(right.iter().copied()));
        let thresholds = threshold_rows(decisions);
        let has_yes = counts.iter().any(|c| c.support > 0);
        Self {
            subset_accuracy: Some(num_whole as f64 / num),
            hamming_loss: Some(num_wrong as f64 / (num * labels.len() as f64)),
            micro_f1: Some(micro_f1(&counts)),
            macro_f1: macro_f1(&counts),
            samples_f1: Some(samples / num),
            classes: class_rows(labels, &counts),
            best: best_threshold(&thresholds).filter(|_| has_yes),
            thresholds,
            by_threshold: ByThreshold::of(probabilities, is_right),
            ..self
        }
    }

    /// The same rows at another threshold; as they were measured where the report says no more.
    pub fn at(&self, threshold: f64) -> AtThreshold {
        self.by_threshold.at(threshold, self.num, &self.classes).unwrap_or_else(|| AtThreshold {
            threshold: self.threshold,
            subset_accuracy: self.subset_accuracy,
            hamming_loss: self.hamming_loss,
            micro_f1: self.micro_f1,
            macro_f1: self.macro_f1,
            classes: self.classes.clone(),
        })
    }
}

fn flags(classes: &[u32], num_classes: usize) -> Vec<bool> {
    let mut flags = vec![false; num_classes];
    classes.iter().for_each(|class| flags[*class as usize] = true);
    flags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::fixture;
    use serde_json::Value;

    #[derive(Deserialize)]
    struct Case {
        probabilities: Vec<Vec<f32>>,
        truth: Vec<Vec<u32>>,
        labels: Vec<String>,
        reports: Vec<Value>,
    }

    #[test]
    fn as_scikit_learn() {
        let case: Case = fixture::part("multi_label");
        assert_eq!(case.reports.len(), 2);
        for wanted in &case.reports {
            let threshold = wanted["threshold"].as_f64().unwrap();
            let report = MultiReport::of(&case.probabilities, &case.truth, &case.labels, threshold).unwrap();
            let report = MultiReport { by_threshold: ByThreshold::default(), ..report };
            fixture::assert_near(&report, wanted);
        }
    }

    /// Each threshold by itself is what scikit-learn was asked about.
    #[test]
    fn a_report_says_what_another_threshold_comes_to() {
        let case: Case = fixture::part("multi_label");
        let of =
            |threshold| MultiReport::of(&case.probabilities, &case.truth, &case.labels, threshold).unwrap();
        let report = of(0.5);
        for hundredth in 0..=100 {
            let threshold = f64::from(hundredth) / 100.0;
            let (at, own) = (report.at(threshold), of(threshold));
            assert_eq!((at.threshold, at.classes), (threshold, own.classes));
            assert_eq!((at.subset_accuracy, at.hamming_loss), (own.subset_accuracy, own.hamming_loss));
            assert_eq!((at.micro_f1, at.macro_f1), (own.micro_f1, own.macro_f1));
        }
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<MultiReport>(&text).unwrap(), report);
        // One of before, and one of very many classes, know one threshold.
        let before = MultiReport { by_threshold: ByThreshold::default(), ..report.clone() };
        assert_eq!((before.at(0.9).threshold, before.at(0.9).classes), (0.5, report.classes));
        let many = vec!["x".to_string(); 1_000];
        let report = MultiReport::of(&[vec![0.6; 1_000]], &[vec![1]], &many, 0.5).unwrap();
        assert!(serde_json::to_string(&report).unwrap().len() < 200_000);
        assert_eq!(report.at(0.9).threshold, 0.5);
    }

    #[test]
    fn bad_input_is_normal_input() {
        let labels = ["a".to_string(), "b".to_string()];
        let of = |p: &[Vec<f32>], truth: &[Vec<u32>]| MultiReport::of(p, truth, &labels, 0.5);
        assert_eq!(of(&[], &[]), Ok(MultiReport { threshold: 0.5, ..MultiReport::default() }));
        let broken = of(&[vec![f32::INFINITY, 0.5]], &[vec![]]).unwrap();
        assert_eq!((broken.num, broken.num_not_finite, broken.micro_f1, broken.best), (1, 1, None, None));
        assert_eq!(of(&[], &[vec![]]), Err(MetricError::Lengths { found: 0, expected: 1 }));
        assert_eq!(of(&[vec![0.5]], &[vec![]]), Err(MetricError::Width { row: 0, found: 1, expected: 2 }));
        let class = MetricError::Class { row: 0, class: 2, num_classes: 2 };
        assert_eq!(of(&[vec![0.5, 0.5]], &[vec![0, 2]]), Err(class));
        assert_eq!(MultiReport::of(&[vec![]], &[vec![]], &[], 0.5).map(|r| r.hamming_loss), Ok(None));
    }

    #[test]
    fn a_class_named_twice_is_right_once() {
        let labels = ["a".to_string(), "b".to_string()];
        let report = MultiReport::of(&[vec![0.9, 0.1]], &[vec![0, 0]], &labels, 0.5).unwrap();
        assert_eq!(
            (report.subset_accuracy, report.micro_f1, report.classes[0].support),
            (Some(1.0), Some(1.0), 1)
        );
    }
}

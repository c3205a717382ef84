//! What several classes come to at every hundredth of the threshold: few numbers a class, from which all figures follow.

use super::classes::{ClassRow, Count, class_rows, macro_f1, micro_f1};
use super::thresholds::{ThresholdRow, is_yes, threshold_rows};
use serde::{Deserialize, Serialize};

/// With more classes a report keeps what they come to at one threshold alone.
const MOST_CLASSES: usize = 200;

/// Counts for the thresholds from 0.00 to 1.00; empty where there are too many classes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ByThreshold {
    /// Of each class: right decisions for yes, and all for yes.
    classes: Vec<Vec<[usize; 2]>>,
    /// Rows whose set of classes is right as a whole.
    whole: Vec<usize>,
}

/// The figures at one threshold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AtThreshold {
    pub threshold: f64,
    pub subset_accuracy: Option<f64>,
    pub hamming_loss: Option<f64>,
    pub micro_f1: Option<f64>,
    pub macro_f1: Option<f64>,
    pub classes: Vec<ClassRow>,
}

impl ByThreshold {
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty()
    }

    /// probabilities and is_right: a row each, as wide as there are classes; finite.
    pub fn of(probabilities: &[Vec<f32>], is_right: &[Vec<bool>]) -> Self {
        let num_classes = probabilities.first().map_or(0, Vec::len);
        if num_classes > MOST_CLASSES {
            return Self::default();
        }
        let rows = || probabilities.iter().zip(is_right);
        let of_class = |class: usize| threshold_rows(rows().map(|(p, right)| (p[class], right[class])));
        let counts = |row: ThresholdRow| [row.hits, row.predicted];
        let thresholds = threshold_rows(rows().map(|(p, right)| (p[0], right[0])));
        let mut whole = vec![0; thresholds.len()];
        for (p, right) in rows() {
            // Its right classes reach the threshold, and no other does.
            let of =
                |wanted| p.iter().zip(right).filter(move |(_, right)| **right == wanted).map(|(p, _)| *p);
            let (least, most) = (of(true).fold(f32::INFINITY, f32::min), of(false).fold(f32::MIN, f32::max));
            for (num, row) in whole.iter_mut().zip(&thresholds) {
                *num += usize::from(is_yes(least, row.threshold) && !is_yes(most, row.threshold));
            }
        }
        let classes = (0..num_classes).map(|class| of_class(class).into_iter().map(counts).collect());
        Self { classes: classes.collect(), whole }
    }

    /// The figures of `num` rows at the hundredth nearest to a threshold; `classes` say their names and how often each is right. `None`
    /// where nothing was counted for them.
    pub fn at(&self, threshold: f64, num: usize, classes: &[ClassRow]) -> Option<AtThreshold> {
        if classes.is_empty() || self.classes.len() != classes.len() || num == 0 {
            return None;
        }
        let place = (threshold * (self.whole.len().saturating_sub(1)) as f64).round() as usize;
        let num_whole = *self.whole.get(place)?;
        let count = |(counts, class): (&Vec<[usize; 2]>, &ClassRow)| {
            let [hits, predicted] = *counts.get(place)?;
            Some(Count { hits, predicted, support: class.support })
        };
        let counts: Vec<Count> = self.classes.iter().zip(classes).map(count).collect::<Option<_>>()?;
        let num_wrong: usize = counts.iter().map(|c| c.predicted + c.support - 2 * c.hits).sum();
        let labels: Vec<String> = classes.iter().map(|class| class.label.clone()).collect();
        Some(AtThreshold {
            threshold: place as f64 / (self.whole.len() - 1) as f64,
            subset_accuracy: Some(num_whole as f64 / num as f64),
            hamming_loss: Some(num_wrong as f64 / (num * classes.len()) as f64),
            micro_f1: Some(micro_f1(&counts)),
            macro_f1: macro_f1(&counts),
            classes: class_rows(&labels, &counts),
        })
    }
}

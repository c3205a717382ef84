//! Precision, recall and F1 of classes, and their means. A share of nothing is 0, as scikit-learn's `zero_division=0`.

use serde::{Deserialize, Serialize};

/// What precision, recall and F1 of one class are made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Predicted, and right.
    pub hits: usize,
    pub predicted: usize,
    /// How often it is the right one.
    pub support: usize,
}

fn share(part: f64, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part / whole as f64 }
}

impl Count {
    pub fn add(&mut self, is_predicted: bool, is_right: bool) {
        self.hits += usize::from(is_predicted && is_right);
        self.predicted += usize::from(is_predicted);
        self.support += usize::from(is_right);
    }

    pub fn precision(&self) -> f64 {
        share(self.hits as f64, self.predicted)
    }

    pub fn recall(&self) -> f64 {
        share(self.hits as f64, self.support)
    }

    pub fn f1(&self) -> f64 {
        share(2.0 * self.hits as f64, self.predicted + self.support)
    }

    /// Whether it was predicted or right at all.
    pub fn occurs(&self) -> bool {
        self.predicted + self.support > 0
    }
}

/// One class of a report.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassRow {
    pub label: String,
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
    /// Rows of which it is right.
    pub support: usize,
    /// Rows of which it is predicted.
    pub predicted: usize,
}

/// One row for each label.
pub fn class_rows(labels: &[String], counts: &[Count]) -> Vec<ClassRow> {
    let row = |(label, count): (&String, &Count)| ClassRow {
        label: label.clone(),
        precision: count.precision(),
        recall: count.recall(),
        f1: count.f1(),
        support: count.support,
        predicted: count.predicted,
    };
    labels.iter().zip(counts).map(row).collect()
}

/// The mean of the F1 of these classes; `None` without any.
pub fn macro_f1<'a>(counts: impl IntoIterator<Item = &'a Count>) -> Option<f64> {
    let (sum, num) = counts.into_iter().fold((0.0, 0), |(sum, num), count| (sum + count.f1(), num + 1));
    (num > 0).then(|| sum / f64::from(num))
}

/// The F1 of all decisions together.
pub fn micro_f1(counts: &[Count]) -> f64 {
    let sum = |of: fn(&Count) -> usize| counts.iter().map(of).sum();
    Count { hits: sum(|c| c.hits), predicted: sum(|c| c.predicted), support: sum(|c| c.support) }.f1()
}

/// The mean of the F1, by how often each class is right; 0 where none ever is.
pub fn weighted_f1(counts: &[Count]) -> f64 {
    let support = counts.iter().map(|c| c.support).sum();
    share(counts.iter().map(|c| c.f1() * c.support as f64).sum(), support)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_nothing_is_nought() {
        let none = Count::default();
        assert_eq!((none.precision(), none.recall(), none.f1(), none.occurs()), (0.0, 0.0, 0.0, false));
        assert_eq!((macro_f1(&[]), micro_f1(&[]), weighted_f1(&[none])), (None, 0.0, 0.0));
    }

    #[test]
    fn counts_by_hand() {
        let mut count = Count::default();
        for (is_predicted, is_right) in
            [(true, true), (true, false), (false, true), (false, false), (true, true)]
        {
            count.add(is_predicted, is_right);
        }
        assert_eq!(count, Count { hits: 2, predicted: 3, support: 3 });
        assert_eq!(macro_f1(&[count, Count::default()]), Some(1.0 / 3.0));
        assert_eq!(weighted_f1(&[count, Count::default()]), 2.0 / 3.0);
    }
}

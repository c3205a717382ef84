//! What a threshold on a probability does, for every hundredth; and figures over all thresholds together.

use super::classes::Count;
use super::correlation::ranks;
use serde::{Deserialize, Serialize};

/// The last threshold is 1.00; they are a hundredth apart.
const LAST: usize = 100;

/// A probability counts as a yes from `threshold` up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ThresholdRow {
    pub threshold: f64,
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
    /// Decisions for yes that are right, and all for yes; 0 in reports of before.
    #[serde(default)]
    pub hits: usize,
    #[serde(default)]
    pub predicted: usize,
}

/// Whether a probability counts as a yes. In f32, so that 0.7 reaches a threshold of 0.7.
pub fn is_yes(probability: f32, threshold: f64) -> bool {
    probability >= threshold as f32
}

/// A row for each threshold from 0.00 to 1.00, out of decisions (probability, whether yes is right); none without decisions.
pub fn threshold_rows(decisions: impl IntoIterator<Item = (f32, bool)>) -> Vec<ThresholdRow> {
    let thresholds: Vec<f64> = (0..=LAST).map(|i| i as f64 / LAST as f64).collect();
    // By how many thresholds a probability reaches.
    let mut reached = [Count::default(); LAST + 2];
    for (probability, is_right) in decisions {
        let num = thresholds.partition_point(|&threshold| is_yes(probability, threshold));
        reached[num].add(true, is_right);
    }
    let support = reached.iter().map(|c| c.hits).sum();
    let mut at = Count { hits: 0, predicted: 0, support };
    let mut rows: Vec<ThresholdRow> = Vec::with_capacity(thresholds.len());
    for (i, &threshold) in thresholds.iter().enumerate().rev() {
        at.hits += reached[i + 1].hits;
        at.predicted += reached[i + 1].predicted;
        rows.push(ThresholdRow {
            threshold,
            precision: at.precision(),
            recall: at.recall(),
            f1: at.f1(),
            hits: at.hits,
            predicted: at.predicted,
        });
    }
    rows.reverse();
    if reached.iter().all(|c| c.predicted == 0) { Vec::new() } else { rows }
}

/// The threshold of the highest F1; of equals the one nearest to one half, for the data speak for no other.
pub fn best_threshold(rows: &[ThresholdRow]) -> Option<ThresholdRow> {
    let far = |row: &ThresholdRow| (row.threshold - 0.5).abs();
    let is_better =
        |new: &ThresholdRow, old: &ThresholdRow| new.f1 > old.f1 || (new.f1 == old.f1 && far(new) < far(old));
    rows.iter().copied().reduce(|best, row| if is_better(&row, &best) { row } else { best })
}

/// Two classes, by the probability of the second one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BinaryReport {
    /// How likely a row of the second class gets the higher probability than one of the first; `None` where a class has no rows.
    pub roc_auc: Option<f64>,
    /// Area under precision over recall, as steps; `None` where the second class has no rows.
    pub average_precision: Option<f64>,
    /// Precision, recall and F1 of the second class, from 0.00 to 1.00.
    pub thresholds: Vec<ThresholdRow>,
    /// See [`best_threshold`]; `None` where the second class has no rows, for no threshold finds any.
    pub best: Option<ThresholdRow>,
}

impl BinaryReport {
    /// Out of finite probabilities of the second class, each with whether it is right.
    pub fn of(decisions: &[(f32, bool)]) -> Self {
        let thresholds = threshold_rows(decisions.iter().copied());
        let has_yes = decisions.iter().any(|d| d.1);
        Self {
            roc_auc: roc_auc(decisions),
            average_precision: average_precision(decisions),
            best: best_threshold(&thresholds).filter(|_| has_yes),
            thresholds,
        }
    }
}

/// `(R - m(m+1)/2) / (m n)`: R the sum of the ranks of the m right ones among all (Mann & Whitney 1947).
fn roc_auc(decisions: &[(f32, bool)]) -> Option<f64> {
    let probabilities: Vec<f64> = decisions.iter().map(|d| f64::from(d.0)).collect();
    let yes = decisions.iter().filter(|d| d.1).count() as f64;
    let no = decisions.len() as f64 - yes;
    let sum: f64 =
        ranks(&probabilities).iter().zip(decisions).filter(|(_, d)| d.1).map(|(rank, _)| rank).sum();
    (yes > 0.0 && no > 0.0).then(|| (sum - yes * (yes + 1.0) / 2.0) / (yes * no))
}

/// `Σ (recallₙ - recallₙ₋₁) precisionₙ` over the distinct probabilities, from the highest down.
fn average_precision(decisions: &[(f32, bool)]) -> Option<f64> {
    let mut sorted = decisions.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let support = sorted.iter().filter(|d| d.1).count();
    let mut at = Count { hits: 0, predicted: 0, support };
    let mut sum = 0.0;
    for equals in sorted.chunk_by(|a, b| a.0 == b.0) {
        let before = at.recall();
        at.hits += equals.iter().filter(|d| d.1).count();
        at.predicted += equals.len();
        sum += (at.recall() - before) * at.precision();
    }
    (support > 0).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_reaches_the_threshold_of_its_name() {
        for i in 0..=LAST {
            let name = format!("{}.{:02}", i / 100, i % 100);
            let rows = threshold_rows([(name.parse().unwrap(), true)]);
            let reached: Vec<f64> = rows.iter().filter(|r| r.recall == 1.0).map(|r| r.threshold).collect();
            assert_eq!((reached.len(), reached.last().copied()), (i + 1, Some(i as f64 / 100.0)));
        }
    }

    #[test]
    fn of_equally_good_thresholds_the_middle_one() {
        let apart = BinaryReport::of(&[(0.1, false), (0.9, true)]);
        assert_eq!(apart.best.map(|b| (b.threshold, b.f1)), Some((0.5, 1.0)));
        let low = BinaryReport::of(&[(0.1, false), (0.3, true)]);
        assert_eq!(low.best.map(|b| (b.threshold, b.f1)), Some((0.3, 1.0)));
    }

    #[test]
    fn one_class_alone_has_no_curve() {
        let (yes, no) = (BinaryReport::of(&[(0.4, true)]), BinaryReport::of(&[(0.4, false)]));
        assert_eq!((yes.roc_auc, yes.average_precision), (None, Some(1.0)));
        assert_eq!((no.roc_auc, no.average_precision, no.best), (None, None, None));
        assert_eq!(BinaryReport::of(&[]), BinaryReport::default());
    }
}

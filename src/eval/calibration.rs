//! Whether a model is right as often as it says.

use serde::{Deserialize, Serialize};

const NUM_BINS: usize = 10;

/// Rows whose likeliest class has a probability in `low < p <= high`; the first bin has 0 itself, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    pub low: f64,
    pub high: f64,
    /// Means over the rows of the bin; `None` where it is empty.
    pub mean_confidence: Option<f64>,
    pub accuracy: Option<f64>,
    pub count: usize,
}

/// Ten bins out of rows (probability of the likeliest class, whether it is right).
pub fn calibration(rows: impl IntoIterator<Item = (f32, bool)>) -> Vec<CalibrationBin> {
    let bound = |i: usize| i as f64 / NUM_BINS as f64;
    let mut sums = [(0.0, 0_usize, 0_usize); NUM_BINS];
    for (confidence, is_right) in rows {
        let confidence = f64::from(confidence);
        let bin = (1..NUM_BINS).filter(|&i| confidence > bound(i)).count();
        let (sum, num_right, count) = &mut sums[bin];
        *sum += confidence;
        *num_right += usize::from(is_right);
        *count += 1;
    }
    let bin = |(i, (sum, num_right, count)): (usize, (f64, usize, usize))| CalibrationBin {
        low: bound(i),
        high: bound(i + 1),
        mean_confidence: (count > 0).then(|| sum / count as f64),
        accuracy: (count > 0).then(|| num_right as f64 / count as f64),
        count,
    };
    sums.into_iter().enumerate().map(bin).collect()
}

/// The mean distance of confidence and accuracy, by the rows of each bin (Guo et al. 2017); `None` without rows.
pub fn expected_calibration_error(bins: &[CalibrationBin]) -> Option<f64> {
    let num: usize = bins.iter().map(|b| b.count).sum();
    let sum: f64 =
        bins.iter().filter_map(|b| Some(b.count as f64 * (b.mean_confidence? - b.accuracy?).abs())).sum();
    (num > 0).then(|| sum / num as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_has_its_upper_end() {
        let of = |p: f32| calibration([(p, true)]).iter().position(|b| b.count == 1);
        assert_eq!([0.0, 0.05, 0.5, 0.500_001, 1.0].map(of), [0, 0, 4, 5, 9].map(Some));
        assert_eq!([-1.0, 7.0].map(of), [0, 9].map(Some), "no probability, but no panic either");
    }

    #[test]
    fn the_error_by_hand() {
        let bins = calibration([(0.75, true), (0.75, false), (1.0, true), (1.0, true)]);
        assert_eq!(expected_calibration_error(&bins), Some(0.125));
        assert_eq!(expected_calibration_error(&calibration([])), None);
    }
}

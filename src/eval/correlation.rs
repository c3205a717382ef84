//! How far two columns of numbers go together.

/// The rank of each number from 1 up; equal ones share the mean of theirs. No number may be a NaN.
pub fn ranks(numbers: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
    let mut ranks = vec![0.0; numbers.len()];
    let mut num_before = 0;
    for equals in order.chunk_by(|&a, &b| numbers[a] == numbers[b]) {
        let mean = num_before as f64 + (equals.len() + 1) as f64 / 2.0;
        equals.iter().for_each(|&i| ranks[i] = mean);
        num_before += equals.len();
    }
    ranks
}

/// Pearson's correlation, -1..1. `None` where a column is constant, empty, not of the other's length, or has a number that is
/// not finite.
pub fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    let is_fit = a.len() == b.len() && a.iter().chain(b).all(|x| x.is_finite());
    if !is_fit || is_constant(a) || is_constant(b) {
        return None;
    }
    let (a, b) = (scaled_deviations(a), scaled_deviations(b));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    finite(product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()).map(|r| r.clamp(-1.0, 1.0))
}

/// At most 1, so that squares of the largest and the smallest numbers stay within f64.
fn scaled_deviations(numbers: &[f64]) -> Vec<f64> {
    let deviations = deviations(numbers);
    let largest = deviations.iter().fold(0.0_f64, |largest, d| largest.max(d.abs()));
    deviations.into_iter().map(|d| d / largest).collect()
}

/// Spearman's correlation: Pearson's of the ranks. `None` as there.
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    let is_finite = a.iter().chain(b).all(|x| x.is_finite());
    if is_finite { pearson(&ranks(a), &ranks(b)) } else { None }
}

/// Exactly: a mean may differ from equal numbers by a rounding, and what is made of that is noise.
pub(super) fn is_constant(numbers: &[f64]) -> bool {
    numbers.iter().all(|x| *x == numbers[0])
}

pub(super) fn deviations(numbers: &[f64]) -> Vec<f64> {
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    numbers.iter().map(|x| x - mean).collect()
}

pub(super) fn finite(x: f64) -> Option<f64> {
    x.is_finite().then_some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_share_their_ranks() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0, 3.0]), [4.0, 1.0, 4.0, 2.0, 4.0]);
        assert_eq!(ranks(&[0.0, -0.0]), [1.5, 1.5]);
        assert_eq!(ranks(&[]), [0.0; 0]);
    }

    #[test]
    fn what_cannot_go_together_has_no_correlation() {
        let rising = [1.0, 2.0, 3.0];
        for other in [&[0.1; 3][..], &[1.0, 2.0], &[], &[1.0, f64::NAN, 2.0], &[1.0, f64::INFINITY, 2.0]] {
            assert_eq!((pearson(&rising, other), spearman(other, &rising)), (None, None), "{other:?}");
        }
        assert_eq!((pearson(&[], &[]), pearson(&[1.0], &[2.0])), (None, None));
    }

    #[test]
    fn size_does_not_matter() {
        let rising = [1.0, 2.0, 3.0];
        for size in [1e-300, 1.0, 1e300] {
            let column = [size, -size, 0.0];
            assert!(pearson(&column, &rising).is_some_and(|r| (r + 0.5).abs() < 1e-12), "{size}");
            assert!(spearman(&column, &rising).is_some_and(|r| (r + 0.5).abs() < 1e-12), "{size}");
        }
        assert_eq!(pearson(&[f64::MAX, f64::MAX, 0.0], &rising), None, "the mean is beyond f64");
    }
}

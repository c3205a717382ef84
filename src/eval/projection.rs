//! Embeddings in a plane, for a scatter plot.

use super::inputs::num_not_finite;
use crate::base::rng::Rng;
use rayon::prelude::*;

/// The axes are found by so many rows, evenly spread; more change them little and cost the square of their number.
const MOST_FITTED: usize = 2_048;
const MOST_ROUNDS: usize = 500;
/// Axes that move by less than this have been found.
const STILL: f64 = 1e-10;
/// A second axis with less than this share of the variance of the first is rounding: the points lie on a line.
const LEAST_SHARE: f64 = 1e-12;

/// Principal component analysis (Pearson 1901): the rows, less their mean, on the two axes along which they vary most. The
/// largest component of an axis is positive, so that the same rows always give the same picture.
///
/// rows [n, d] -> n points. Rows that are all the same lie at the origin, rows on a line on the first axis. Nothing where rows
/// differ in width or have a number that is not finite.
pub fn plane(rows: &[Vec<f32>]) -> Vec<[f32; 2]> {
    let width = rows.first().map_or(0, Vec::len);
    if rows.iter().any(|row| row.len() != width) || num_not_finite(rows) > 0 {
        return Vec::new();
    }
    let num_fitted = rows.len().min(MOST_FITTED);
    let fitted: Vec<&Vec<f32>> = (0..num_fitted).map(|i| &rows[i * rows.len() / num_fitted]).collect();
    let mean_of = |c: usize| fitted.iter().map(|row| f64::from(row[c])).sum::<f64>() / num_fitted as f64;
    let mean: Vec<f64> = (0..width).map(mean_of).collect();
    let centred =
        |row: &Vec<f32>| -> Vec<f64> { row.iter().zip(&mean).map(|(x, m)| f64::from(*x) - m).collect() };
    let axes = axes(&fitted.into_iter().map(centred).collect::<Vec<_>>(), width);
    let on =
        |row: &[f64], axis: &[f64]| dot(row, axis).clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
    let point = |row: &Vec<f32>| {
        let row = centred(row);
        [on(&row, &axes[0]), on(&row, &axes[1])]
    };
    rows.par_iter().map(point).collect()
}

/// centred [n, d] -> two axes [d] of length 1; zeros where there is no variance left.
fn axes(rows: &[Vec<f64>], width: usize) -> [Vec<f64>; 2] {
    // The products of rows and the products of columns have the same eigenvalues: the smaller matrix will do.
    let by_rows = rows.len() < width;
    let columns = || (0..width).map(|c| rows.iter().map(|row| row[c]).collect()).collect::<Vec<Vec<f64>>>();
    let products = if by_rows { products(rows) } else { products(&columns()) };
    let mut axes: [Vec<f64>; 2] = leading(&products).map(|vector| match (by_rows, vector.is_empty()) {
        (_, true) => vec![0.0; width],
        (false, _) => vector,
        (true, _) => (0..width).map(|c| rows.iter().zip(&vector).map(|(row, v)| row[c] * v).sum()).collect(),
    });
    for axis in &mut axes {
        normalise(axis);
        let largest = axis.iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
        if largest < 0.0 {
            axis.iter_mut().for_each(|x| *x = -*x);
        }
    }
    axes
}

/// vectors [m, k] -> [m, m]: the product of each with each.
fn products(vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    vectors.par_iter().map(|a| vectors.iter().map(|b| dot(a, b)).collect()).collect()
}

/// The eigenvectors of the two largest eigenvalues of a positive semi-definite matrix, by orthogonal iteration; empty where the
/// eigenvalue is none.
fn leading(matrix: &[Vec<f64>]) -> [Vec<f64>; 2] {
    let times =
        |v: &[f64]| -> Vec<f64> { matrix.par_iter().with_min_len(64).map(|row| dot(row, v)).collect() };
    // Random, so that no data are orthogonal to it; the same each time.
    let mut rng = Rng::new(1, &[]);
    let mut start = || -> Vec<f64> { (0..matrix.len()).map(|_| rng.normal()).collect() };
    let (mut first, mut second) = (start(), start());
    let mut sizes = [0.0; 2];
    for _ in 0..MOST_ROUNDS {
        let (mut next, mut other) = (times(&first), times(&second));
        sizes[0] = normalise(&mut next);
        less(&mut other, &next);
        sizes[1] = normalise(&mut other);
        // Once more: what was left may be small against what was taken away.
        less(&mut other, &next);
        normalise(&mut other);
        let moved = distance(&first, &next).max(distance(&second, &other));
        (first, second) = (next, other);
        if moved < STILL {
            break;
        }
    }
    let is_real = sizes[1] > LEAST_SHARE * sizes[0];
    [if sizes[0] > 0.0 { first } else { Vec::new() }, if is_real { second } else { Vec::new() }]
}

/// With partial sums side by side, which become vector instructions.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; 8];
    for (a, b) in a.zip(b) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// To length 1; zeros stay. Returns the length before.
fn normalise(v: &mut [f64]) -> f64 {
    let length = dot(v, v).sqrt();
    if length > 0.0 {
        v.iter_mut().for_each(|x| *x /= length);
    }
    length
}

/// Takes away the part of `v` along `axis`, which has length 1.
fn less(v: &mut [f64], axis: &[f64]) {
    let part = dot(v, axis);
    v.iter_mut().zip(axis).for_each(|(x, a)| *x -= part * a);
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::fixture;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Case {
        rows: Vec<Vec<f32>>,
        points: Vec<[f64; 2]>,
    }

    /// More rows than columns, more columns than rows, rows on a line, and one axis that counts far more than the other.
    #[test]
    fn as_the_singular_value_decomposition() {
        let cases: Vec<Case> = fixture::part("plane");
        assert_eq!(cases.len(), 4);
        for (number, case) in cases.iter().enumerate() {
            let found = plane(&case.rows);
            assert_eq!(found.len(), case.points.len());
            let largest = case.points.iter().flatten().fold(0.0_f64, |m, x| m.max(x.abs()));
            for axis in 0..2 {
                let pairs = || found.iter().zip(&case.points).map(|(a, b)| (f64::from(a[axis]), b[axis]));
                let sign = pairs().map(|(a, b)| a * b).sum::<f64>().signum();
                let off = pairs().map(|(a, b)| (sign * a - b).abs()).fold(0.0, f64::max);
                assert!(off <= 1e-6 * largest, "case {number}, axis {axis}: {off}");
            }
        }
    }

    #[test]
    fn nothing_to_spread_lies_at_the_origin() {
        assert_eq!(plane(&[]), [[0.0; 2]; 0]);
        assert_eq!(plane(&vec![vec![]; 2]), [[0.0; 2]; 2]);
        assert_eq!(plane(&[vec![3.0, 4.0]]), [[0.0; 2]]);
        assert_eq!(plane(&vec![vec![0.1, 0.7, -0.3]; 7]), [[0.0; 2]; 7]);
        assert_eq!(plane(&[vec![1.0], vec![4.0]]), [[-1.5, 0.0], [1.5, 0.0]]);
    }

    /// Four rows of nine numbers, whose products are rounded.
    #[test]
    fn a_line_has_no_second_axis() {
        let row = |t: u8| (0..9_u8).map(|c| 0.1 * f32::from(t) * (f32::from(c) - 3.3)).collect();
        let points = plane(&(0..4).map(row).collect::<Vec<_>>());
        assert!(
            points.iter().all(|p| p[1] == 0.0) && points.windows(2).all(|w| w[0][0] < w[1][0]),
            "{points:?}"
        );
    }

    #[test]
    fn mirrored_rows_are_a_mirrored_picture() {
        let rows = [vec![0.3, 0.1, 2.0, 0.5], vec![1.0, -2.0, 0.7, 0.9], vec![-1.5, 0.4, 0.2, -0.6]];
        let mirrored = rows.clone().map(|row| row.into_iter().map(|x: f32| -x).collect());
        for (a, b) in plane(&rows).iter().zip(plane(&mirrored)) {
            assert!((a[0] + b[0]).abs() < 1e-5 && (a[1] + b[1]).abs() < 1e-5, "{a:?} {b:?}");
        }
    }

    #[test]
    fn bad_rows_give_no_picture() {
        assert_eq!(plane(&[vec![1.0, 2.0], vec![1.0]]), [[0.0; 2]; 0]);
        assert_eq!(plane(&[vec![1.0, 2.0], vec![f32::NAN, 1.0]]), [[0.0; 2]; 0]);
        let huge = plane(&[vec![f32::MAX, f32::MAX], vec![f32::MIN, f32::MIN]]);
        assert!(huge.len() == 2 && huge.iter().flatten().all(|x| x.is_finite()), "{huge:?}");
    }

    #[test]
    fn more_rows_than_are_fitted_all_get_their_point() {
        let rows: Vec<Vec<f32>> = (0..5_000).map(|i| vec![i as f32, (i % 7) as f32, 1.0]).collect();
        let points = plane(&rows);
        assert_eq!((points.len(), &points), (5_000, &plane(&rows)), "the same each time");
        assert!(points.windows(2).all(|w| w[0][0] < w[1][0]), "the first axis is the one that varies most");
    }
}

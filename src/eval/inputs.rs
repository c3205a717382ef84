//! What metrics are worked out of, checked first.

use crate::base::Explain;

/// Predictions and right answers that do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    #[error("there are {found} predictions for {expected} right answers")]
    Lengths { found: usize, expected: usize },
    #[error("the prediction of row {} has {found} numbers instead of {expected}", row + 1)]
    Width { row: usize, found: usize, expected: usize },
    #[error("the right answer of row {} is class number {class}, but the model has only {num_classes}", row + 1)]
    Class { row: usize, class: u32, num_classes: usize },
}

impl Explain for MetricError {
    fn title(&self) -> String {
        "The predictions cannot be compared with the data".into()
    }

    fn hint(&self) -> String {
        "Measure with data that has the labels, or the pairs, that the model was tuned with.".into()
    }
}

/// A prediction for each right answer.
pub(super) fn same_length(found: usize, expected: usize) -> Result<(), MetricError> {
    if found == expected { Ok(()) } else { Err(MetricError::Lengths { found, expected }) }
}

/// Rows of `width` numbers.
pub(super) fn same_width(rows: &[Vec<f32>], expected: usize) -> Result<(), MetricError> {
    match rows.iter().position(|row| row.len() != expected) {
        Some(row) => Err(MetricError::Width { row, found: rows[row].len(), expected }),
        None => Ok(()),
    }
}

/// A right class that there is.
pub(super) fn known_class(row: usize, class: u32, num_classes: usize) -> Result<(), MetricError> {
    if (class as usize) < num_classes { Ok(()) } else { Err(MetricError::Class { row, class, num_classes }) }
}

/// Rows in which a number is infinite or none.
pub(super) fn num_not_finite(rows: &[Vec<f32>]) -> usize {
    rows.iter().filter(|row| !row.iter().all(|x| x.is_finite())).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Failure;

    #[test]
    fn what_does_not_belong_together_is_said_with_its_row() {
        assert_eq!(same_length(2, 2), Ok(()));
        assert_eq!(same_width(&[vec![0.0; 3], vec![1.0; 3]], 3), Ok(()));
        let width = same_width(&[vec![0.0; 3], vec![1.0; 2]], 3).unwrap_err();
        assert_eq!(width.to_string(), "the prediction of row 2 has 2 numbers instead of 3");
        let class = known_class(4, 3, 3).unwrap_err();
        assert_eq!(
            class.to_string(),
            "the right answer of row 5 is class number 3, but the model has only 3"
        );
        assert!(!Failure::from(class).hint.is_empty());
    }

    #[test]
    fn a_row_counts_once() {
        let rows = [vec![f32::NAN, f32::INFINITY], vec![1.0, 2.0], vec![f32::NEG_INFINITY, 0.0], vec![]];
        assert_eq!(num_not_finite(&rows), 2);
    }
}

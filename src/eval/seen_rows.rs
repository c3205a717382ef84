//! Rows of a report, to look at: what a number is made of.

use crate::data::Goal;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Rows that are kept of each pair of a right and a predicted class, and of all together.
const MOST_OF_A_PAIR: usize = 5;
const MOST: usize = 1_000;
/// Rows that are kept of scores.
const MOST_SCORES: usize = 20;

/// A row of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenText {
    pub line: u64,
    /// The beginning of its text.
    pub text: String,
}

/// A row with one right class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeenClass {
    #[serde(flatten)]
    pub row: SeenText,
    /// Numbers of the right class and of the likeliest one.
    pub right: usize,
    pub predicted: usize,
    /// Of the likeliest one.
    pub probability: f32,
}

/// A row with a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeenScore {
    #[serde(flatten)]
    pub row: SeenText,
    pub right: f64,
    pub predicted: f64,
}

/// Up to five rows of each pair of classes, the surest first. `text_of` is asked for the rows that are kept.
pub(super) fn classes(
    outputs: &[(Goal, Vec<f32>)],
    text_of: &dyn Fn(usize) -> Option<SeenText>,
) -> Vec<SeenClass> {
    let likeliest =
        |said: &[f32]| said.iter().copied().enumerate().reduce(|a, b| if b.1 > a.1 { b } else { a });
    let decided = |(row, (goal, said)): (usize, &(Goal, Vec<f32>))| {
        let Goal::Class(right) = goal else { return None };
        let (predicted, probability) = likeliest(said)?;
        Some((row, *right as usize, predicted, probability))
    };
    let mut rows: Vec<_> = outputs.iter().enumerate().filter_map(decided).collect();
    rows.sort_by(|a, b| b.3.total_cmp(&a.3));
    // Mistakes first: where there are many classes, they are what there is room for.
    rows.sort_by_key(|(_, right, predicted, _)| right == predicted);
    let mut counts: HashMap<(usize, usize), usize> = HashMap::new();
    let mut is_wanted = |right, predicted| {
        let count = counts.entry((right, predicted)).or_default();
        *count += 1;
        *count <= MOST_OF_A_PAIR
    };
    rows.into_iter()
        .filter(|(_, right, predicted, _)| is_wanted(*right, *predicted))
        .take(MOST)
        .filter_map(|(row, right, predicted, probability)| {
            Some(SeenClass { row: text_of(row)?, right, predicted, probability })
        })
        .collect()
}

/// The twenty rows whose numbers are furthest off, the furthest first.
pub(super) fn scores(
    outputs: &[(Goal, Vec<f32>)],
    text_of: &dyn Fn(usize) -> Option<SeenText>,
) -> Vec<SeenScore> {
    let said = |(row, (goal, said)): (usize, &(Goal, Vec<f32>))| {
        let Goal::Score(right) = goal else { return None };
        Some((row, f64::from(*right), f64::from(*said.first()?)))
    };
    let mut rows: Vec<_> = outputs.iter().enumerate().filter_map(said).collect();
    let off = |(_, right, predicted): &(usize, f64, f64)| (predicted - right).abs();
    rows.sort_by(|a, b| off(b).total_cmp(&off(a)));
    let seen = |(row, right, predicted)| Some(SeenScore { row: text_of(row)?, right, predicted });
    rows.into_iter().take(MOST_SCORES).filter_map(seen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(row: usize) -> Option<SeenText> {
        Some(SeenText { line: row as u64 + 2, text: format!("row {row}") })
    }

    #[test]
    fn mistakes_come_first_and_the_surest_of_each_pair() {
        let row = |right: u32, p: f32| (Goal::Class(right), vec![1.0 - p, p]);
        let mut outputs: Vec<(Goal, Vec<f32>)> = (0..8).map(|i| row(1, 0.6 + 0.01 * i as f32)).collect();
        outputs.extend([row(0, 0.7), row(0, 0.9)]);
        let seen = classes(&outputs, &named);
        let pairs: Vec<(usize, usize, u64)> =
            seen.iter().map(|s| (s.right, s.predicted, s.row.line)).collect();
        assert_eq!(pairs[..3], [(0, 1, 11), (0, 1, 10), (1, 1, 9)]);
        assert_eq!(pairs.len(), 2 + MOST_OF_A_PAIR);
        assert_eq!(classes(&outputs, &|_| None), []);
    }

    #[test]
    fn ten_thousand_classes_keep_a_thousand_rows() {
        let outputs: Vec<(Goal, Vec<f32>)> =
            (0..10_000).map(|right| (Goal::Class(right), vec![0.4, 0.6])).collect();
        assert_eq!(classes(&outputs, &named).len(), MOST);
    }

    #[test]
    fn scores_that_are_furthest_off_come_first() {
        let outputs =
            [(1.0, 1.5), (3.0, -1.0), (2.0, 2.0)].map(|(right, said)| (Goal::Score(right), vec![said]));
        let seen = scores(&outputs, &named);
        assert_eq!(seen.iter().map(|s| s.row.line).collect::<Vec<_>>(), [3, 2, 4]);
        assert_eq!((seen[0].right, seen[0].predicted), (3.0, -1.0));
    }
}

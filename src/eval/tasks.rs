//! What a model says of whole rows, held against what it should say: the report of whatever kind of task it is.

use super::classification::ClassReport;
use super::correlation::spearman;
use super::multi_label::MultiReport;
use super::regression::RegressionReport;
use super::retrieval::RetrievalReport;
use super::seen_rows::{self, SeenText};
use crate::data::Goal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// From which probability up a text is said to be of a class.
const THRESHOLD: f64 = 0.5;

/// The figures of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum TaskReport {
    Classes(Box<ClassReport>),
    SeveralClasses(Box<MultiReport>),
    Scores(RegressionReport),
    Alike(AlikeReport),
}

/// How well texts find those that belong to them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AlikeReport {
    /// First texts among all second and unlike ones.
    pub retrieval: RetrievalReport,
    /// Of cosines against scores, where pairs have them.
    pub spearman: Option<f64>,
}

impl TaskReport {
    /// What rows should be said of, and what is: probabilities, a number, or the directions of their texts, [parts · `width`] each. `None` where
    /// there is nothing to measure.
    pub fn of(outputs: &[(Goal, Vec<f32>)], labels: &[String], width: usize) -> Option<Self> {
        let said: Vec<Vec<f32>> = outputs.iter().map(|(_, said)| said.clone()).collect();
        match &outputs.first()?.0 {
            Goal::Class(_) => {
                let truth: Vec<u32> =
                    outputs.iter().map(|(goal, _)| if let Goal::Class(c) = goal { *c } else { 0 }).collect();
                Some(Self::Classes(Box::new(ClassReport::of(&said, &truth, labels).ok()?)))
            }
            Goal::Classes(_) => {
                let classes = |goal: &Goal| if let Goal::Classes(c) = goal { c.clone() } else { Vec::new() };
                let truth: Vec<Vec<u32>> = outputs.iter().map(|(goal, _)| classes(goal)).collect();
                Some(Self::SeveralClasses(Box::new(MultiReport::of(&said, &truth, labels, THRESHOLD).ok()?)))
            }
            Goal::Score(_) if said[0].len() == 1 => {
                let said: Vec<f64> = said.iter().map(|row| f64::from(row[0])).collect();
                Some(Self::Scores(RegressionReport::of(&said, &scores(outputs)).ok()?))
            }
            Goal::Score(_) | Goal::None => AlikeReport::of(outputs, &said, width).map(Self::Alike),
        }
    }

    /// With some of the rows that were measured; `text_of` knows them by their place in `outputs`.
    pub fn with_rows(
        mut self,
        outputs: &[(Goal, Vec<f32>)],
        text_of: &dyn Fn(usize) -> Option<SeenText>,
    ) -> Self {
        match &mut self {
            Self::Classes(of) => of.rows = seen_rows::classes(outputs, text_of),
            Self::Scores(of) => of.rows = seen_rows::scores(outputs, text_of),
            Self::SeveralClasses(_) | Self::Alike(_) => {}
        }
        self
    }

    /// The figures that a run is followed by.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let named: Vec<(&str, Option<f64>)> = match self {
            Self::Classes(of) => vec![("accuracy", of.accuracy), ("macro F1", of.macro_f1)],
            Self::SeveralClasses(of) => {
                vec![("micro F1", of.micro_f1), ("subset accuracy", of.subset_accuracy)]
            }
            Self::Scores(of) => {
                vec![("R²", of.r2), ("Pearson", of.pearson), ("Spearman", of.spearman), ("MAE", of.mae)]
            }
            Self::Alike(of) => {
                let at = |k: usize| {
                    of.retrieval.accuracy_at.iter().find(|(of, _)| *of == k).map(|(_, share)| *share)
                };
                vec![
                    ("accuracy@1", at(1)),
                    ("accuracy@10", at(10)),
                    ("MRR", of.retrieval.mrr),
                    ("Spearman", of.spearman),
                ]
            }
        };
        named.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))).collect()
    }
}

impl std::fmt::Display for TaskReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Classes(of) => of.fmt(f),
            Self::SeveralClasses(of) => of.fmt(f),
            Self::Scores(of) => of.fmt(f),
            Self::Alike(_) => {
                for (name, value) in self.metrics() {
                    writeln!(f, "{name:<14}{value:.4}")?;
                }
                Ok(())
            }
        }
    }
}

impl AlikeReport {
    fn of(outputs: &[(Goal, Vec<f32>)], said: &[Vec<f32>], width: usize) -> Option<Self> {
        let part =
            |row: &Vec<f32>, part: usize| row.get(part * width..(part + 1) * width).map(<[f32]>::to_vec);
        let firsts: Vec<Vec<f32>> = said.iter().map(|row| part(row, 0)).collect::<Option<_>>()?;
        let mut others: Vec<Vec<f32>> = said.iter().map(|row| part(row, 1)).collect::<Option<_>>()?;
        // A text alone would be held against itself.
        if firsts == others {
            return None;
        }
        let cosine = |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum();
        let cosines: Vec<f64> = firsts.iter().zip(&others).map(cosine).collect();
        let has_scores = outputs.iter().all(|(goal, _)| matches!(goal, Goal::Score(_)));
        others.extend(said.iter().filter_map(|row| part(row, 2)));
        Some(Self {
            retrieval: RetrievalReport::of(&firsts, &others).ok()?,
            spearman: if has_scores { spearman(&cosines, &scores(outputs)) } else { None },
        })
    }
}

fn scores(outputs: &[(Goal, Vec<f32>)]) -> Vec<f64> {
    outputs
        .iter()
        .map(|(goal, _)| if let Goal::Score(score) = goal { f64::from(*score) } else { 0.0 })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_row_has_its_report() {
        let labels = ["a", "b"].map(String::from);
        let of = |outputs: &[(Goal, Vec<f32>)], width| {
            TaskReport::of(outputs, &labels, width).map(|r| r.metrics())
        };
        let classes = [(Goal::Class(0), vec![0.9, 0.1]), (Goal::Class(1), vec![0.6, 0.4])];
        assert_eq!(of(&classes, 2).unwrap()["accuracy"], 0.5);
        let several = [(Goal::Classes(vec![0, 1]), vec![0.9, 0.8]), (Goal::Classes(vec![]), vec![0.1, 0.2])];
        assert_eq!(of(&several, 2).unwrap()["subset accuracy"], 1.0);
        let scores =
            [(Goal::Score(1.0), vec![1.5]), (Goal::Score(3.0), vec![2.5]), (Goal::Score(2.0), vec![2.0])];
        assert!((of(&scores, 2).unwrap()["Pearson"] - 1.0).abs() < 1e-9);
        let alike = [(Goal::None, vec![1.0, 0.0, 1.0, 0.0]), (Goal::None, vec![0.0, 1.0, 0.6, -0.8])];
        assert_eq!(of(&alike, 2).unwrap()["accuracy@1"], 0.5);
        let itself = [(Goal::None, vec![1.0, 0.0, 1.0, 0.0])];
        assert_eq!(of(&itself, 2), None);
        assert_eq!(of(&[], 2), None);
    }
}

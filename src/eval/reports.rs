//! What lies in a run's `report.json`: the figures of its task, or of each of several that were learnt together.

use super::tasks::TaskReport;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What came of one task's test rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OfTask {
    /// Mean loss; nothing where it is not finite.
    pub loss: Option<f64>,
    /// Where the loss is of tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<f64>,
    pub rows: usize,
    /// Where there is more to say than the loss.
    pub report: Option<TaskReport>,
}

/// What came of the rows that nobody trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RunReport {
    Together { tasks: BTreeMap<String, OfTask> },
    One(TaskReport),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Goal;

    /// One of several reads as such, and a report of before as one.
    #[test]
    fn both_kinds_come_back_as_they_were() {
        let outputs = [(Goal::Score(1.0), vec![1.5]), (Goal::Score(3.0), vec![2.5])];
        let one = TaskReport::of(&outputs, &[], 2).unwrap();
        let of = |loss| OfTask { loss, perplexity: None, rows: 2, report: Some(one.clone()) };
        let plain = OfTask { loss: Some(0.5), perplexity: Some(1.65), rows: 3, report: None };
        let tasks =
            BTreeMap::from([("a".into(), of(Some(0.25))), ("b".into(), of(None)), ("c".into(), plain)]);
        for report in [RunReport::One(one.clone()), RunReport::Together { tasks }] {
            let text = serde_json::to_string(&report).unwrap();
            assert_eq!(serde_json::from_str::<RunReport>(&text).unwrap(), report, "{text}");
        }
        let alone = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<RunReport>(&alone).unwrap(), RunReport::One(one));
    }
}

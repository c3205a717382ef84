//! How good answers are: text metrics, scores with their uncertainty, base against tuned, and running a set of prompts;
//! how good labels, scores and embeddings are.

pub mod metrics;
pub mod score;
pub mod compare;
pub mod run;
pub mod report;
pub mod inputs;
mod markdown;
pub mod classes;
pub mod by_threshold;
pub mod tasks;
pub mod thresholds;
pub mod calibration;
pub mod classification;
pub mod multi_label;
mod label_tables;
pub mod correlation;
pub mod regression;
pub mod retrieval;
pub mod projection;
pub mod seen_rows;
pub mod reports;

/// What scikit-learn, SciPy and NumPy make of the same numbers.
#[cfg(test)]
mod fixture {
    use serde::de::DeserializeOwned;
    use serde_json::Value;

    /// One part of the fixture.
    pub fn part<T: DeserializeOwned>(name: &str) -> T {
        let text = include_str!("../../tests/fixtures/metrics/metrics.json");
        let mut all: Value = serde_json::from_str(text).unwrap();
        serde_json::from_value(all[name].take()).unwrap()
    }

    /// Numbers within 1e-12 of each other (of their size, above 1), and everything else equal.
    pub fn assert_near(found: &impl serde::Serialize, wanted: &Value) {
        compare(&serde_json::to_value(found).unwrap(), wanted, "");
    }

    fn compare(found: &Value, wanted: &Value, place: &str) {
        match (found, wanted) {
            (Value::Number(a), Value::Number(b)) => {
                let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
                assert!((a - b).abs() <= 1e-12 * b.abs().max(1.0), "{place}: {a} instead of {b}");
            }
            (Value::Array(a), Value::Array(b)) => {
                assert_eq!(a.len(), b.len(), "{place}");
                a.iter().zip(b).enumerate().for_each(|(i, (a, b))| compare(a, b, &format!("{place}[{i}]")));
            }
            (Value::Object(a), Value::Object(b)) => {
                let mut names: [Vec<&String>; 2] = [a.keys().collect(), b.keys().collect()];
                names.iter_mut().for_each(|names| names.sort());
                assert_eq!(names[0], names[1], "{place}");
                a.iter().for_each(|(name, a)| compare(a, &b[name], &format!("{place}.{name}")));
            }
            _ => assert_eq!(found, wanted, "{place}"),
        }
    }
}

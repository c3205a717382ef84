//! What several methods made of the same data, split, seed and number of updates: a row each, as files beside their
//! runs.

use super::ProjectError;
use crate::base::{human, storage};
use serde::Serialize;
use std::fs;
use std::path::Path;

pub const JSON_FILE: &str = "comparison.json";
pub const MARKDOWN_FILE: &str = "comparison.md";

/// Heads of the table's columns.
pub const HEADING: [&str; 8] = [
    "method",
    "trained parameters",
    "adapter file",
    "memory at most",
    "an update",
    "validation loss",
    "exact match",
    "test loss",
];

/// What one method made of it; `None` for what was not measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MethodRow {
    /// As recipes call it.
    pub method: String,
    /// As people call it, with its settings.
    pub name: String,
    /// Why its run has no result.
    pub problem: Option<String>,
    pub learning_rate: f64,
    pub num_updates: u64,
    pub num_trainable_params: Option<u64>,
    pub adapter_bytes: Option<u64>,
    /// The most resident memory of the process while it made updates.
    pub peak_bytes: Option<u64>,
    /// What was expected of the run before.
    pub estimated_bytes: Option<u64>,
    /// Median of the updates.
    pub update_secs: Option<f64>,
    pub best_validation_loss: Option<f64>,
    /// Of the test rows, 0..1.
    pub exact_match: Option<f64>,
    pub test_loss: Option<f64>,
    pub num_tested: usize,
}

/// The method that did best by one measure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Best {
    pub by: &'static str,
    pub method: String,
    /// As the table has it.
    pub figure: String,
}

/// The rows in the order in which they were run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MethodComparison {
    pub model: String,
    pub data: String,
    pub updates: u64,
    pub rows: Vec<MethodRow>,
    pub best: Vec<Best>,
}

/// Name of a measure, its column, a number of a row that is the better the lower it is.
type Measure = (&'static str, usize, fn(&MethodRow) -> Option<f64>);

const MEASURES: [Measure; 6] = [
    ("exact match", 6, |row| row.exact_match.map(|share| -share)),
    ("test loss", 7, |row| row.test_loss),
    ("validation loss", 5, |row| row.best_validation_loss),
    ("time of an update", 4, |row| row.update_secs),
    ("memory", 3, |row| row.peak_bytes.map(|bytes| bytes as f64)),
    ("size of the adapter file", 2, |row| row.adapter_bytes.map(|bytes| bytes as f64)),
];

impl MethodRow {
    /// Under [`HEADING`]; a row without a result says why in its first cell.
    pub fn cells(&self) -> [String; HEADING.len()] {
        let shown = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let loss = |loss: Option<f64>| shown(loss.map(|loss| format!("{loss:.4}")));
        let name = match &self.problem {
            Some(problem) => format!("{} (no result: {problem})", self.name),
            None => self.name.clone(),
        };
        [
            name,
            shown(self.num_trainable_params.map(human::count)),
            shown(self.adapter_bytes.map(human::bytes)),
            shown(self.peak_bytes.map(human::bytes)),
            shown(self.update_secs.map(|secs| format!("{secs:.2} s"))),
            loss(self.best_validation_loss),
            shown(self.exact_match.map(|share| format!("{:.1} %", 100.0 * share))),
            loss(self.test_loss),
        ]
    }
}

impl MethodComparison {
    /// Adds a row and finds anew what is best by what; rows without a result and measures that tell no two apart don't
    /// count.
    pub fn push(&mut self, row: MethodRow) {
        self.rows.push(row);
        let best = |(by, column, number): &Measure| {
            let sound = self.rows.iter().filter(|row| row.problem.is_none());
            let measured = sound.filter_map(|row| Some((row, number(row).filter(|n| n.is_finite())?)));
            let mut measured: Vec<_> = measured.collect();
            measured.sort_by(|a, b| a.1.total_cmp(&b.1));
            match measured.as_slice() {
                [(first, a), (_, b), ..] if a < b => {
                    let figure = first.cells()[*column].clone();
                    Some(Best { by, method: first.method.clone(), figure })
                }
                _ => None,
            }
        };
        self.best = MEASURES.iter().filter_map(best).collect();
    }

    /// "Best by validation loss: lora (1.2345)", a line each.
    pub fn best_in_words(&self) -> Vec<String> {
        let told = |best: &Best| format!("Best by {}: {} ({})", best.by, best.method, best.figure);
        self.best.iter().map(told).collect()
    }

    fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            // A bar would end the cell.
            let cells: Vec<String> =
                cells.iter().map(|cell| cell.replace('|', "\\|").replace(['\n', '\r'], " ")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut text = format!(
            "# Methods compared\n\n{} on {}, {} each.\n\n",
            self.model,
            self.data,
            human::plural(self.updates, "update")
        );
        text.push_str(&line(&HEADING.map(String::from)));
        text.push_str(&line(&HEADING.map(|_| "---".to_string())));
        self.rows.iter().for_each(|row| text.push_str(&line(&row.cells())));
        text.push('\n');
        self.best_in_words().iter().for_each(|best| text.push_str(&format!("- {best}\n")));
        text
    }

    /// Writes both files, each whole, into a folder that is made where there is none.
    pub fn save(&self, folder: &Path) -> Result<(), ProjectError> {
        fs::create_dir_all(folder).map_err(ProjectError::write(folder))?;
        let json = folder.join(JSON_FILE);
        storage::write_atomic(&json, |out| Ok(serde_json::to_writer_pretty(out, self)?))
            .map_err(ProjectError::write(&json))?;
        let markdown = folder.join(MARKDOWN_FILE);
        storage::write_atomic_bytes(&markdown, self.markdown().as_bytes())
            .map_err(ProjectError::write(&markdown))
    }
}

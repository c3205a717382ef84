//! What several methods made of the same data, split, seed and number of updates: a row each, as files beside their
//! runs.

use super::ProjectError;
use crate::base::{human, storage};
use crate::recipe::variants::Contender;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

pub const JSON_FILE: &str = "comparison.json";
pub const MARKDOWN_FILE: &str = "comparison.md";
/// Larger than any comparison of all methods.
const MAX_BYTES: u64 = 1 << 20;

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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MethodRow {
    /// The key of the contender.
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
    /// Under which head of [`HEADING`].
    #[serde(skip)]
    pub column: usize,
}

/// The rows in the order in which they are run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MethodComparison {
    pub model: String,
    pub data: String,
    pub updates: u64,
    /// All methods that it is of, in order and with their settings; those without a row were not run yet.
    pub planned: Vec<Contender>,
    pub rows: Vec<MethodRow>,
    /// Found anew from the rows when it is read.
    #[serde(skip_deserializing)]
    pub best: Vec<Best>,
}

/// A column of [`HEADING`] by which methods are told apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    pub name: &'static str,
    pub column: usize,
    pub is_better_high: bool,
}

pub const MEASURES: [Measure; 6] = [
    Measure { name: "exact match", column: 6, is_better_high: true },
    Measure { name: "test loss", column: 7, is_better_high: false },
    Measure { name: "validation loss", column: 5, is_better_high: false },
    Measure { name: "time of an update", column: 4, is_better_high: false },
    Measure { name: "memory", column: 3, is_better_high: false },
    Measure { name: "size of the adapter file", column: 2, is_better_high: false },
];

impl MethodRow {
    /// What stands under a head of [`HEADING`], as a number; `None` for the name and what was not measured.
    pub fn number(&self, column: usize) -> Option<f64> {
        let number = match column {
            1 => self.num_trainable_params.map(|n| n as f64),
            2 => self.adapter_bytes.map(|n| n as f64),
            3 => self.peak_bytes.map(|n| n as f64),
            4 => self.update_secs,
            5 => self.best_validation_loss,
            6 => self.exact_match,
            7 => self.test_loss,
            _ => None,
        };
        number.filter(|n| n.is_finite())
    }

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
    /// Adds a row in its place and finds anew what is best by what.
    pub fn push(&mut self, row: MethodRow) {
        self.updates = self.updates.max(row.num_updates);
        self.rows.push(row);
        let planned = &self.planned;
        self.rows.sort_by_key(|row| planned.iter().position(|method| method.key() == row.method));
        self.find_best();
    }

    /// Rows without a result and measures that tell no two apart don't count.
    fn find_best(&mut self) {
        let best = |measure: &Measure| {
            let sign = if measure.is_better_high { -1.0 } else { 1.0 };
            let sound = self.rows.iter().filter(|row| row.problem.is_none());
            let measured = sound.filter_map(|row| Some((row, sign * row.number(measure.column)?)));
            let mut measured: Vec<_> = measured.collect();
            measured.sort_by(|a, b| a.1.total_cmp(&b.1));
            match measured.as_slice() {
                [(first, a), (_, b), ..] if a < b => {
                    let column = measure.column;
                    let figure = first.cells()[column].clone();
                    Some(Best { by: measure.name, method: first.method.clone(), figure, column })
                }
                _ => None,
            }
        };
        self.best = MEASURES.iter().filter_map(best).collect();
    }

    /// The row of a contender.
    pub fn row(&self, key: &str) -> Option<&MethodRow> {
        self.rows.iter().find(|row| row.method == key)
    }

    /// Methods that were not run yet, in the order in which they will be.
    pub fn missing(&self) -> impl Iterator<Item = &Contender> {
        self.planned.iter().filter(|method| self.row(&method.key()).is_none())
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

    /// Reads the one that [`Self::save`] wrote into `folder`.
    ///
    /// # Errors
    /// For a file that is not there, too large, or no comparison.
    pub fn read(folder: &Path) -> Result<Self, ProjectError> {
        let path = folder.join(JSON_FILE);
        let text = storage::read_text_bounded(&path, MAX_BYTES).map_err(ProjectError::read(&path))?;
        let read = serde_json::from_str::<Self>(&text);
        let mut read = read.map_err(|error| ProjectError::Damaged { path, why: error.to_string() })?;
        read.find_best();
        Ok(read)
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

//! What several methods made of the same data, split, seed and number of updates: a row each, as files beside their
//! runs.

use super::ProjectError;
use crate::base::{human, storage};
use crate::recipe::variants::Contender;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

pub const JSON_FILE: &str = "comparison.json";
pub const MARKDOWN_FILE: &str = "comparison.md";
/// Larger than any comparison of all methods.
const MAX_BYTES: u64 = 1 << 20;

/// Heads of the table's columns, before those of tasks.
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
    /// Of several tasks, what came of each one's test rows, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskFigure>,
}

/// The figure that says most of one task's test rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskFigure {
    pub task: String,
    /// "accuracy", "loss"
    pub figure: String,
    /// `None` where it is no finite number.
    pub value: Option<f64>,
    pub is_better_high: bool,
}

/// Figures of a task by how much they say of it, the most first. Without any of them it is the loss.
const OF_TASKS: [&str; 4] = ["accuracy", "micro F1", "R²", "MRR"];

impl TaskFigure {
    /// Of what a run told of a task's test rows.
    pub fn of(task: &str, loss: f64, metrics: &BTreeMap<String, f64>) -> Self {
        let found = OF_TASKS.iter().find_map(|name| Some((*name, *metrics.get(*name)?)));
        let (figure, value) = found.unwrap_or(("loss", loss));
        Self {
            task: task.into(),
            figure: figure.into(),
            value: Some(value).filter(|value| value.is_finite()),
            is_better_high: found.is_some(),
        }
    }

    /// "moods: accuracy"
    fn name(&self) -> String {
        format!("{}: {}", self.task, self.figure)
    }
}

/// The method that did best by one measure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Best {
    pub by: String,
    pub method: String,
    /// As the table has it.
    pub figure: String,
    /// Under which head of [`MethodComparison::heading`].
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

/// A column by which methods are told apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    pub name: String,
    pub column: usize,
    pub is_better_high: bool,
}

/// Name and column of the measures that there are of any comparison, and whether more is better.
const MEASURES: [(&str, usize, bool); 6] = [
    ("exact match", 6, true),
    ("test loss", 7, false),
    ("validation loss", 5, false),
    ("time of an update", 4, false),
    ("memory", 3, false),
    ("size of the adapter file", 2, false),
];

impl MethodRow {
    /// What stands in a column, as a number; `None` for the name and what was not measured.
    pub fn number(&self, column: usize) -> Option<f64> {
        let number = match column {
            1 => self.num_trainable_params.map(|n| n as f64),
            2 => self.adapter_bytes.map(|n| n as f64),
            3 => self.peak_bytes.map(|n| n as f64),
            4 => self.update_secs,
            5 => self.best_validation_loss,
            6 => self.exact_match,
            7 => self.test_loss,
            _ => column.checked_sub(HEADING.len()).and_then(|task| self.tasks.get(task)?.value),
        };
        number.filter(|n| n.is_finite())
    }

    /// What was measured, each in its column; a row without a result says why in its first cell.
    pub fn cells(&self) -> Vec<String> {
        let shown = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let loss = |loss: Option<f64>| shown(loss.map(|loss| format!("{loss:.4}")));
        let name = match &self.problem {
            Some(problem) => format!("{} (no result: {problem})", self.name),
            None => self.name.clone(),
        };
        let of_task = |task: &TaskFigure| loss(task.value);
        let all = [
            name,
            shown(self.num_trainable_params.map(human::count)),
            shown(self.adapter_bytes.map(human::bytes)),
            shown(self.peak_bytes.map(human::bytes)),
            shown(self.update_secs.map(|secs| format!("{secs:.2} s"))),
            loss(self.best_validation_loss),
            shown(self.exact_match.map(|share| format!("{:.1} %", 100.0 * share))),
            loss(self.test_loss),
        ];
        all.into_iter().chain(self.tasks.iter().map(of_task)).collect()
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

    /// What the tasks are measured by, where there are several; nothing before the first method is tested.
    pub fn task_figures(&self) -> &[TaskFigure] {
        self.rows.iter().map(|row| &row.tasks[..]).max_by_key(|tasks| tasks.len()).unwrap_or_default()
    }

    /// Heads of the table's columns.
    pub fn heading(&self) -> Vec<String> {
        let fixed = HEADING.into_iter().map(String::from);
        fixed.chain(self.task_figures().iter().map(TaskFigure::name)).collect()
    }

    /// A row under [`Self::heading`].
    pub fn cells(&self, row: &MethodRow) -> Vec<String> {
        let mut cells = row.cells();
        cells.resize(HEADING.len() + self.task_figures().len(), "-".into());
        cells
    }

    /// All by which methods are told apart, what says most first.
    pub fn measures(&self) -> Vec<Measure> {
        let of_task = |(column, task): (usize, &TaskFigure)| Measure {
            name: task.name(),
            column,
            is_better_high: task.is_better_high,
        };
        let fixed = MEASURES.into_iter().map(|(name, column, is_better_high)| Measure {
            name: name.into(),
            column,
            is_better_high,
        });
        (HEADING.len()..).zip(self.task_figures()).map(of_task).chain(fixed).collect()
    }

    /// Rows without a result and measures that tell no two apart don't count.
    fn find_best(&mut self) {
        let best = |measure: Measure| {
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
        self.best = self.measures().into_iter().filter_map(best).collect();
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
        let heading = self.heading();
        text.push_str(&line(&heading));
        text.push_str(&line(&vec!["---".to_string(); heading.len()]));
        self.rows.iter().for_each(|row| text.push_str(&line(&self.cells(row))));
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

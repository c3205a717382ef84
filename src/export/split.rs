//! The rows of a data set as a run divides them, for other programs to learn from and be tested on the same.

use super::{ExportError, into_new_folder};
use crate::base::storage;
use crate::data::prepare::Dataset;
use serde_json::{Map, Value};
use std::io::Write;
use std::path::Path;

/// Writes `train.jsonl`, `valid.jsonl` and `test.jsonl` into the folder `to`, which must be new or empty: the kept rows of each part
/// with the columns of the data file, as text.
///
/// # Errors
/// A folder with something in it, or a failed write; then nothing is left behind.
pub fn split(dataset: &Dataset, to: &Path) -> Result<(), ExportError> {
    let split = &dataset.split;
    let parts = [("train", &split.train), ("valid", &split.valid), ("test", &split.test)];
    into_new_folder(to, |folder| {
        for (name, rows) in parts {
            let path = folder.join(format!("{name}.jsonl"));
            storage::write_atomic(&path, |out| write(dataset, rows, out))
                .map_err(|source| ExportError::Write { path, source })?;
        }
        Ok(())
    })
}

fn write(dataset: &Dataset, rows: &[usize], out: &mut dyn Write) -> std::io::Result<()> {
    let table = &dataset.table;
    // A row that makes several samples is one row.
    let mut indices: Vec<usize> = rows.iter().map(|row| dataset.rows[*row].index).collect();
    indices.sort_unstable();
    indices.dedup();
    for index in indices {
        let cell = |(c, column): (usize, &crate::data::table::Column)| {
            (column.name.clone(), Value::from(table.cell(index, c)))
        };
        let row: Map<String, Value> = table.columns.iter().enumerate().map(cell).collect();
        serde_json::to_writer(&mut *out, &row)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

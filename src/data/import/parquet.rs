//! Parquet, by its record interface: nested lists and structs become JSON text.

use super::binary::Chunks;
use super::header;
use super::job::Job;
use super::rows::{MAX_COLUMNS, MAX_ROW_BYTES, Rows};
use crate::base::human;
use crate::data::{DataError, Table};
use parquet::basic::Compression;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::Value;
use std::fmt::Write;
use std::io::{Read, Seek};

const PHASE: &str = "Reading rows";
/// A column of one row group that claims to be larger is refused before anything is allocated.
const MAX_CHUNK_BYTES: i64 = 4 << 30;
/// No text shrinks to less than a thousandth.
const MAX_RATIO: i64 = 1000;

pub(super) fn read(job: &mut Job) -> Result<Rows, DataError> {
    read_from(job, &mut |job| job.rewound())
}

pub(super) fn read_from<R: Read + Seek + Send + 'static>(
    job: &mut Job,
    open: &mut dyn FnMut(&mut Job) -> Result<R, DataError>,
) -> Result<Rows, DataError> {
    let file = Chunks::new(open(job)?, job);
    let reader = SerializedFileReader::new(file).map_err(|e| damaged(job, &e))?;
    check_sizes(job, &reader)?;
    let metadata = reader.metadata();
    let fields = metadata.file_metadata().schema_descr().root_schema().get_fields();
    if fields.len() > MAX_COLUMNS {
        return Err(
            job.malformed(format!("the file has more than {} columns", human::count(MAX_COLUMNS as u64)))
        );
    }
    let mut rows = Rows::default();
    rows.table = Table::with_columns(header::unique_names(fields.iter().map(|f| f.name().to_string())));
    let num_rows = metadata.file_metadata().num_rows().max(1) as u64;
    let mut cells = vec![String::new(); fields.len()];
    let mut number = 0;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(|e| damaged(job, &e))?;
        for row in group.get_row_iter(None).map_err(|e| damaged(job, &e))? {
            let row = row.map_err(|e| damaged_after(job, number, &e))?;
            number += 1;
            let share = (number as f64 / num_rows as f64).min(1.0);
            job.tick(PHASE, (job.num_bytes as f64 * share) as u64)?;
            push(&mut rows, number, &row, &mut cells);
            rows.check(job)?;
        }
    }
    Ok(rows)
}

fn push(rows: &mut Rows, number: u64, row: &Row, cells: &mut [String]) {
    let mut num_bytes = 0;
    for (cell, (_, field)) in cells.iter_mut().zip(row.get_column_iter()) {
        cell.clear();
        write_cell(cell, field);
        num_bytes += cell.len();
    }
    if num_bytes > MAX_ROW_BYTES {
        rows.too_long(number);
    } else {
        rows.push(number, cells.iter().map(String::as_str));
    }
}

/// Sizes as the file declares them, before they are believed.
fn check_sizes<R: parquet::file::reader::ChunkReader + 'static>(
    job: &Job,
    reader: &SerializedFileReader<R>,
) -> Result<(), DataError> {
    for group in reader.metadata().row_groups() {
        for column in group.columns() {
            let (packed, unpacked) = (column.compressed_size(), column.uncompressed_size());
            let name = column.column_path();
            // A dictionary lies before the pages that refer to it; some writers say 0 where there is none.
            let dictionary = column.dictionary_page_offset().filter(|at| *at > 0);
            let start = column.data_page_offset().min(dictionary.unwrap_or(i64::MAX));
            let length = packed;
            let fits = start >= 0 && length >= 0 && start.saturating_add(length) as u64 <= job.num_bytes;
            if !fits {
                return Err(
                    job.malformed(format!("the file is damaged or cut off: column {name} lies outside it"))
                );
            }
            let is_packed = column.compression() != Compression::UNCOMPRESSED;
            let is_bomb = is_packed && unpacked > 64 << 20 && unpacked / packed.max(1) > MAX_RATIO;
            if !(0..=MAX_CHUNK_BYTES).contains(&unpacked) || is_bomb {
                let size = human::bytes(unpacked.max(0) as u64);
                let why = format!("column {name} claims {size} in {}", human::bytes(packed.max(0) as u64));
                return Err(job.malformed(why));
            }
        }
    }
    Ok(())
}

fn damaged(job: &Job, error: &parquet::errors::ParquetError) -> DataError {
    job.malformed(format!("the Parquet file is damaged or cut off: {error}"))
}

fn damaged_after(job: &Job, number: u64, error: &parquet::errors::ParquetError) -> DataError {
    let rows = human::plural(number, "row");
    job.malformed(format!("the Parquet file is damaged after {rows}: {error}"))
}

fn write_cell(out: &mut String, field: &Field) {
    match field {
        Field::Null => {}
        Field::Str(text) => out.push_str(text),
        Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => {
            // Writing into a string does not fail.
            let _ = write!(out, "{}", json(field));
        }
        other => match json(other) {
            Value::String(text) => out.push_str(&text),
            Value::Null => {}
            value => {
                let _ = write!(out, "{value}");
            }
        },
    }
}

fn json(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(b) => (*b).into(),
        Field::Byte(n) => (*n).into(),
        Field::Short(n) => (*n).into(),
        Field::Int(n) => (*n).into(),
        Field::Long(n) => (*n).into(),
        Field::UByte(n) => (*n).into(),
        Field::UShort(n) => (*n).into(),
        Field::UInt(n) => (*n).into(),
        Field::ULong(n) => (*n).into(),
        Field::Float16(n) => f64::from(*n).into(),
        Field::Float(n) => (*n).into(),
        Field::Double(n) => (*n).into(),
        Field::Str(text) => text.as_str().into(),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => text.into(),
            Err(_) => format!("({} of binary data)", human::bytes(bytes.len() as u64)).into(),
        },
        Field::Group(row) => {
            Value::Object(row.get_column_iter().map(|(name, field)| (name.clone(), json(field))).collect())
        }
        Field::ListInternal(list) => Value::Array(list.elements().iter().map(json).collect()),
        Field::MapInternal(map) => {
            let text = |key: &Field| match json(key) {
                Value::String(text) => text,
                other => other.to_string(),
            };
            Value::Object(map.entries().iter().map(|(key, value)| (text(key), json(value))).collect())
        }
        dates_and_decimals => dates_and_decimals.to_string().into(),
    }
}

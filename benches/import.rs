//! Import against the bare parser crate on the same file: how much the ledger, the encoding check and the
//! table cost. `cargo bench --bench import`, or `--profile dev` for what tests see.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use std::borrow::Cow;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use tunesmith::base::{Control, Silent};
use tunesmith::data::import::{ImportOptions, import};

const NUM_BYTES: u64 = 50_000_000;

/// Rows like those of question-answer sets: some quotes, commas, line breaks and letters beyond ASCII.
fn row(i: u64) -> (String, String) {
    let prompt =
        format!("What is fruit number {i}, and where does it grow? Say \"unknown\" if you don't know.");
    let answer = "It is a drupe; it grows in warm valleys, on rocky soil.\nIn Turkish: çekirdekli meyve. ";
    (prompt, answer.repeat(1 + (i % 5) as usize))
}

fn write(path: &Path, mut line: impl FnMut(&str, &str) -> String) -> u64 {
    let mut out = std::io::BufWriter::new(File::create(path).unwrap());
    let (mut num_bytes, mut i) = (0, 0);
    while num_bytes < NUM_BYTES {
        let (prompt, answer) = row(i);
        let line = line(&prompt, &answer);
        out.write_all(line.as_bytes()).unwrap();
        num_bytes += line.len() as u64;
        i += 1;
    }
    out.flush().unwrap();
    num_bytes
}

fn ours(path: &Path) -> usize {
    let imported = import(path, &ImportOptions::default(), &Control::new(), &mut Silent).unwrap();
    assert!(imported.ledger.entries.is_empty());
    imported.table.num_rows()
}

fn bare_csv(path: &Path) -> usize {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let mut record = csv::ByteRecord::new();
    let mut num_rows = 0;
    while reader.read_byte_record(&mut record).unwrap() {
        num_rows += 1;
        black_box(&record);
    }
    num_rows
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    prompt: Cow<'a, str>,
    #[serde(borrow)]
    completion: Cow<'a, str>,
}

fn bare_jsonl(path: &Path) -> usize {
    let mut reader = BufReader::with_capacity(128 << 10, File::open(path).unwrap());
    let mut line = String::new();
    let mut num_rows = 0;
    while reader.read_line(&mut line).unwrap() > 0 {
        let row: Line = serde_json::from_str(&line).unwrap();
        black_box((&row.prompt, &row.completion));
        num_rows += 1;
        line.clear();
    }
    num_rows
}

fn import_speed(criterion: &mut Criterion) {
    let folder: PathBuf = tempfile::tempdir().unwrap().keep();
    let quote = |s: &str| s.replace('"', "\"\"");
    let csv = folder.join("rows.csv");
    let csv_bytes = write(&csv, |prompt, answer| format!("\"{}\",\"{}\"\n", quote(prompt), quote(answer)));
    let jsonl = folder.join("rows.jsonl");
    let jsonl_bytes = write(&jsonl, |prompt, answer| {
        format!("{}\n", serde_json::json!({ "prompt": prompt, "completion": answer }))
    });
    type Read = fn(&Path) -> usize;
    let pairs: [(&str, &Path, u64, Read); 2] =
        [("csv", &csv, csv_bytes, bare_csv), ("jsonl", &jsonl, jsonl_bytes, bare_jsonl)];
    for (name, path, num_bytes, bare) in pairs {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10).throughput(Throughput::BytesDecimal(num_bytes));
        group.bench_function("import", |bencher| bencher.iter(|| ours(path)));
        group.bench_function("bare parser", |bencher| bencher.iter(|| bare(path)));
        group.finish();
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

criterion_group!(benches, import_speed);
criterion_main!(benches);

//! Splits: shares, labels, groups, duplicates, and rows that stay where they are.

use crate::cli::{Stage, stderr};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap, HashSet};
use tunesmith::base::rng::Rng;
use tunesmith::data::Row;
use tunesmith::data::split::{Split, SplitOptions, split, split_and_count};

/// Row `content` with a label; rows with the same content share a hash.
fn row(index: usize, content: u64, label: usize, group: Option<u64>) -> Row {
    let hash = Rng::new(99, &[content]).at(0);
    Row { index, line: index as u64 + 1, hash, group, label: Some(label as u64) }
}

fn rows(n: usize, num_labels: usize) -> Vec<Row> {
    (0..n).map(|i| row(i, i as u64, i % num_labels, None)).collect()
}

fn options(seed: u64) -> SplitOptions {
    SplitOptions { seed, valid: 0.1, test: 0.2, stratify: true }
}

/// The part of each row, by its hash.
fn parts(rows: &[Row], split: &Split) -> HashMap<u64, HashSet<&'static str>> {
    let mut parts: HashMap<u64, HashSet<&'static str>> = HashMap::new();
    for (name, part) in [("train", &split.train), ("valid", &split.valid), ("test", &split.test)] {
        for index in part {
            parts.entry(rows[*index].hash).or_default().insert(name);
        }
    }
    parts
}

fn all(split: &Split) -> Vec<usize> {
    let mut all = [split.train.clone(), split.valid.clone(), split.test.clone()].concat();
    all.sort_unstable();
    all
}

#[test]
fn every_row_is_in_one_part_and_the_same_seed_gives_the_same_split() {
    for seed in 0..50 {
        let rows = rows(seed as usize * 7, 4);
        let first = split(&rows, &options(seed));
        assert_eq!(all(&first), (0..rows.len()).collect::<Vec<_>>());
        assert_eq!(first, split(&rows, &options(seed)));
    }
    let rows = rows(500, 4);
    assert_ne!(split(&rows, &options(1)), split(&rows, &options(2)));
}

#[test]
fn shares_come_out_as_asked_in_the_whole_and_in_each_label() {
    let rows = rows(6000, 3);
    let split = split(&rows, &options(3));
    let label = |index: usize| index % 3;
    for (part, share) in [(&split.test, 0.2), (&split.valid, 0.1), (&split.train, 0.7)] {
        assert!((part.len() as f64 / 6000.0 - share).abs() < 0.02, "{}", part.len());
        for wanted in 0..3 {
            let of_label = part.iter().filter(|i| label(**i) == wanted).count() as f64 / 2000.0;
            assert!((of_label - share).abs() < 0.04, "{of_label} of {share}");
        }
    }
}

#[test]
fn adding_rows_or_changing_their_order_moves_none() {
    for seed in 0..20 {
        let options = SplitOptions { stratify: false, ..options(seed) };
        let mut rows = rows(300, 5);
        let before = parts(&rows, &split(&rows, &options));
        for added in 0..200 {
            // in front, so that every index and line changes, with labels that were not there
            rows.insert(added, row(0, 10_000 + added as u64, added % 9, None));
        }
        Rng::new(seed, &[5]).shuffle(&mut rows);
        let after = parts(&rows, &split(&rows, &options));
        assert!(before.iter().all(|(hash, part)| after[hash] == *part), "seed {seed}");
    }
}

#[test]
fn spreading_labels_moves_only_rows_that_it_counts() {
    let mut total = 0;
    for seed in 0..40 {
        let rows = rows(200, 10);
        let (spread, num_moved) = split_and_count(&rows, &options(seed));
        let plain = split(&rows, &SplitOptions { stratify: false, ..options(seed) });
        let (spread_parts, plain_parts) = (parts(&rows, &spread), parts(&rows, &plain));
        let differ = spread_parts.iter().filter(|(hash, part)| plain_parts[hash] != **part).count();
        assert!(differ <= num_moved, "seed {seed}: {differ} of {num_moved}");
        total += num_moved;
        for label in 0..10 {
            for part in [&spread.train, &spread.valid, &spread.test] {
                assert!(part.iter().any(|i| i % 10 == label), "seed {seed}, label {label}");
            }
        }
    }
    assert!(total > 0, "without a label to give, this test shows nothing");
    assert!(total < 40 * 10 * 2 / 4, "{total}: far more than chance leaves out");
}

/// A run says which rows do not lie where their content puts them.
#[test]
fn moved_rows_are_counted_with_all_that_hangs_on_them() {
    let rows: Vec<Row> = (0..8).map(|i| row(i, i as u64, 0, Some(i as u64 / 4))).collect();
    let counts = (0..20).map(|seed| split_and_count(&rows, &options(seed)).1);
    let counts: HashSet<usize> = counts.collect();
    assert!(counts.contains(&4), "{counts:?}");
    assert!(counts.iter().all(|n| n % 4 == 0), "groups of four move whole: {counts:?}");
}

#[test]
fn duplicates_and_groups_stay_on_one_side() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed, &[8]);
        // 400 rows of 150 contents in 30 groups or none: ties between groups through equal contents
        let rows: Vec<Row> = (0..400)
            .map(|i| {
                let group = (rng.below(4) > 0).then(|| rng.below(30) as u64);
                row(i, rng.below(150) as u64 * 10, rng.below(3), group)
            })
            .collect();
        let split = split(&rows, &options(seed));
        assert_eq!(all(&split).len(), 400);
        assert!(parts(&rows, &split).values().all(|parts| parts.len() == 1), "seed {seed}");
        let mut groups: HashMap<Option<u64>, HashSet<u8>> = HashMap::new();
        for (name, part) in [&split.train, &split.valid, &split.test].into_iter().enumerate() {
            for row in part.iter().map(|i| &rows[*i]) {
                groups.entry(row.group).or_default().insert(name as u8);
            }
        }
        groups.remove(&None);
        assert!(groups.values().all(|parts| parts.len() == 1), "seed {seed}");
    }
}

#[test]
fn groups_without_ties_get_their_share() {
    let rows: Vec<Row> = (0..3000).map(|i| row(i, i as u64, i % 3, Some(i as u64 / 5))).collect();
    let split = split(&rows, &options(4));
    assert!((split.test.len() as f64 / 3000.0 - 0.2).abs() < 0.05, "{}", split.test.len());
}

#[test]
fn small_data_fills_the_parts_it_can() {
    for seed in 0..30 {
        let sizes = |n: usize| {
            let split = split(&rows(n, 1), &options(seed));
            [split.train.len(), split.valid.len(), split.test.len()]
        };
        assert_eq!(sizes(0), [0, 0, 0]);
        assert_eq!(sizes(1), [1, 0, 0]);
        let two = sizes(2);
        assert!(two[0] == 1 && two[1] + two[2] == 1, "{two:?}");
        for n in 3..12 {
            assert!(sizes(n).iter().all(|size| *size > 0), "seed {seed}, {n}: {:?}", sizes(n));
        }
        let none = SplitOptions { valid: 0.0, test: 0.0, ..options(seed) };
        assert_eq!(split(&rows(20, 2), &none).train.len(), 20);
    }
}

/// Other programs learn from the same rows and are tested on the same.
#[test]
fn a_data_file_is_split_as_a_run_would() {
    let stage = Stage::new();
    let (rows, model) = (stage.rows(), stage.model());
    let args = ["data", "split", &rows, "--model", &model, "--out", "parts"];
    let (code, value) = stage.json(&args);
    assert_eq!(code, 0, "{value}");
    let mut seen = BTreeSet::new();
    let mut num = 0;
    for part in ["train", "valid", "test"] {
        let text = std::fs::read_to_string(stage.path(&format!("parts/{part}.jsonl"))).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(value[format!("num_{part}")], lines.len(), "{part}");
        num += lines.len();
        seen.extend(lines.iter().map(|line| line["question"].as_str().unwrap().to_string()));
    }
    assert_eq!((num, seen.len()), (36, 36), "each row is in one part");
    let (_, inspected) = stage.json(&["data", "inspect", &rows, "--model", &model]);
    assert_eq!(inspected["dataset"]["num_test"], value["num_test"]);
    let again = stage.run(&args);
    assert!(crate::cli::code(&again) == 1 && stderr(&again).contains("parts"), "{}", stderr(&again));
}

/// A text whose score is learnt is not one whose class is tested, and the other way round; nor are texts with two labels torn apart.
#[test]
fn a_text_is_in_one_part_whatever_is_said_of_it() {
    let stage = Stage::new();
    let model = stage.model();
    let mut csv = String::from("text,label,score\n");
    for i in 0..300 {
        csv += &format!("text number {i},{},{}\n", ["a", "b", "c"][i % 3], i % 7);
    }
    // The same texts again, with another label and another score.
    for i in 0..100 {
        csv += &format!("Text  NUMBER {i},{},{}\n", ["b", "c", "a"][i % 3], i % 5 + 8);
    }
    let rows = stage.file("rows.csv", csv);
    let parts = |kind: &str| {
        let recipe = stage.file(&format!("{kind}.toml"), format!("[objective]\nkind = \"{kind}\"\n"));
        let args = ["data", "split", &rows, "--recipe", &recipe, "--model", &model, "--out", kind];
        let (code, value) = stage.json(&args);
        assert_eq!(code, 0, "{value}");
        ["train", "valid", "test"].map(|part| {
            let text = std::fs::read_to_string(stage.path(&format!("{kind}/{part}.jsonl"))).unwrap();
            let texts = text.lines().map(|line| {
                let row: Value = serde_json::from_str(line).unwrap();
                row["text"].as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
            });
            texts.collect::<BTreeSet<_>>()
        })
    };
    let (classes, scores) = (parts("classification"), parts("regression"));
    assert_eq!(classes, scores);
    let [train, valid, test] = &classes;
    assert!(train.is_disjoint(test) && train.is_disjoint(valid) && valid.is_disjoint(test));
    assert_eq!(train.len() + valid.len() + test.len(), 300);
    assert!(test.len() > 15, "{}", test.len());
}

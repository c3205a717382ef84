//! Train / validation / test by content hash: whatever is added later, a row stays where it is.
//!
//! A row's place is a pure function of the seed and of its hash (or of its group's name). Rows with one hash, that
//! is exact and normalised duplicates, and rows of one group form a unit that is never torn apart. The same
//! thresholds within each label give every label about its share. Chance alone can leave a part without a label
//! that has rows to spare, or leave it empty: then the one unit whose place lies nearest is moved, and counted.

use super::Row;
use crate::base::rng::Rng;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Domain of the random numbers that place rows.
const PLACE: u64 = 0x51_17;
/// A label that should have this many units in a part, but has none there, is given one.
const FEW_UNITS: f64 = 2.0;

/// The recipe's section `data.split` as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SplitOptions {
    pub seed: u64,
    /// Share for validation, 0..1.
    pub valid: f64,
    /// Share for the test, 0..1.
    pub test: f64,
    /// Give every label its share of each part.
    pub stratify: bool,
}

impl Default for SplitOptions {
    fn default() -> Self {
        Self { seed: 17, valid: 0.1, test: 0.1, stratify: true }
    }
}

/// Indices into the kept rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    pub train: Vec<usize>,
    pub valid: Vec<usize>,
    pub test: Vec<usize>,
}

/// In the order in which the parts lie between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Test,
    Valid,
    Train,
}

/// Rows that must stay together, with the number in [0, 1) that places them.
struct Unit {
    place: f64,
    rows: Vec<usize>,
    part: Part,
}

/// Splits rows. Labels are spread when `stratify` is on and the answers look like labels.
pub fn split(rows: &[Row], options: &SplitOptions) -> Split {
    split_and_count(rows, options).0
}

/// [`split`], and how many rows lie elsewhere than their hash says, so that no part that was asked for is empty
/// or lacks a common label.
pub fn split_and_count(rows: &[Row], options: &SplitOptions) -> (Split, usize) {
    let mut units = units(rows, options);
    let mut num_moved = 0;
    if let Some(labels) = options.stratify.then(|| labels(rows)).flatten() {
        let mut strata: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (index, unit) in units.iter().enumerate() {
            strata.entry(labels[unit.rows[0]]).or_default().push(index);
        }
        for members in strata.values() {
            num_moved += fill(&mut units, members, options, FEW_UNITS);
        }
    }
    let all: Vec<usize> = (0..units.len()).collect();
    num_moved += fill(&mut units, &all, options, 0.0);
    let mut split = Split::default();
    for unit in &units {
        let part = match unit.part {
            Part::Train => &mut split.train,
            Part::Valid => &mut split.valid,
            Part::Test => &mut split.test,
        };
        part.extend(&unit.rows);
    }
    for part in [&mut split.train, &mut split.valid, &mut split.test] {
        part.sort_unstable();
    }
    (split, num_moved)
}

/// Rows that share a hash or a group, directly or through others, each unit with its place and part.
fn units(rows: &[Row], options: &SplitOptions) -> Vec<Unit> {
    // What ties rows together: (1, hash of the group's name) or (0, hash of the content).
    let keys = |row: &Row| {
        let content = (0u64, row.hash);
        (row.group.map_or(content, |group| (1, group)), content)
    };
    // Disjoint sets over row numbers; the first row with a key stands for it.
    let mut parent: Vec<usize> = (0..rows.len()).collect();
    let mut first: HashMap<(u64, u64), usize> = HashMap::new();
    for (index, row) in rows.iter().enumerate() {
        let (group, content) = keys(row);
        for key in [group, content] {
            let other = *first.entry(key).or_insert(index);
            let (a, b) = (root(&mut parent, other), root(&mut parent, index));
            parent[a.max(b)] = a.min(b);
        }
    }
    // A unit is placed by its smallest key, whatever the order of rows.
    let mut by_root: BTreeMap<usize, ((u64, u64), Vec<usize>)> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        let key = keys(row).0;
        let unit = by_root.entry(root(&mut parent, index)).or_insert((key, Vec::new()));
        unit.0 = unit.0.min(key);
        unit.1.push(index);
    }
    let place = |key: (u64, u64)| Rng::new(options.seed, &[PLACE, key.0, key.1]).uniform();
    by_root
        .into_values()
        .map(|(key, rows)| {
            let place = place(key);
            let part = match place {
                p if p < options.test => Part::Test,
                p if p < options.test + options.valid => Part::Valid,
                _ => Part::Train,
            };
            Unit { place, rows, part }
        })
        .collect()
}

fn root(parent: &mut [usize], mut index: usize) -> usize {
    while parent[index] != index {
        parent[index] = parent[parent[index]];
        index = parent[index];
    }
    index
}

/// Moves one of `members` into each part that was asked for, should have at least `least` of them, and has none. It
/// comes from the fullest part, which keeps one unless training has none. Returns how many rows that moved.
fn fill(units: &mut [Unit], members: &[usize], options: &SplitOptions, least: f64) -> usize {
    let mut num_moved = 0;
    let train = 1.0 - options.valid - options.test;
    for (part, share) in [(Part::Train, train), (Part::Test, options.test), (Part::Valid, options.valid)] {
        let of = |part: Part| -> Vec<usize> {
            members.iter().copied().filter(|i| units[*i].part == part).collect()
        };
        if !of(part).is_empty() || share <= 0.0 || share * (members.len() as f64) < least {
            continue;
        }
        let others = [Part::Test, Part::Valid, Part::Train].into_iter().filter(|other| *other != part);
        let Some(donor) = others.max_by_key(|other| of(*other).len()) else { continue };
        let spare = of(donor);
        if spare.len() < if part == Part::Train { 1 } else { 2 } {
            continue;
        }
        let by_place = |a: &usize, b: &usize| units[*a].place.total_cmp(&units[*b].place);
        let nearest = spare.into_iter();
        let nearest = if donor > part { nearest.min_by(by_place) } else { nearest.max_by(by_place) };
        if let Some(unit) = nearest {
            units[unit].part = part;
            num_moved += units[unit].rows.len();
        }
    }
    num_moved
}

/// At most `max` of some rows, spread evenly, in order.
pub fn spread<T: Copy>(rows: &[T], max: usize) -> Vec<T> {
    if rows.len() <= max {
        return rows.to_vec();
    }
    (0..max).map(|i| rows[i * rows.len() / max]).collect()
}

/// The label of each row, when the answers are few, short and shared.
fn labels(rows: &[Row]) -> Option<Vec<u64>> {
    let labels: Vec<u64> = rows.iter().map(|row| row.label).collect::<Option<_>>()?;
    let distinct: BTreeSet<&u64> = labels.iter().collect();
    (distinct.len() * 2 <= labels.len()).then_some(labels)
}

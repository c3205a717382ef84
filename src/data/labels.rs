//! The classes that texts are sorted into.

use super::DataError;
use std::collections::{BTreeSet, HashMap};

/// Names of classes in their order, and the number of each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Labels {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Labels {
    pub fn new(names: Vec<String>) -> Self {
        let numbers = names.iter().cloned().zip(0..).collect();
        Self { names, numbers }
    }

    /// Of cells, each one class or, where `has_several`, a list of them: numbers by size, other names by the alphabet.
    pub fn of<'a>(cells: impl Iterator<Item = &'a str>, has_several: bool) -> Self {
        let found: BTreeSet<String> = match has_several {
            true => cells.flat_map(several).collect(),
            false => cells.map(|cell| cell.trim().to_string()).collect(),
        };
        let mut names: Vec<String> = found.into_iter().filter(|name| !name.is_empty()).collect();
        let size = |name: &String| name.parse::<f64>().ok().filter(|n| n.is_finite());
        if names.iter().all(|name| size(name).is_some()) {
            names.sort_by(|a, b| size(a).unwrap_or(0.0).total_cmp(&size(b).unwrap_or(0.0)));
        }
        Self::new(names)
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of the class of this name.
    ///
    /// # Errors
    /// [`DataError::Schema`] for a class that there is not.
    pub fn index(&self, name: &str) -> Result<u32, DataError> {
        let name = name.trim();
        let unknown = || {
            let shown: String = name.chars().take(40).collect();
            DataError::Schema { why: format!("the label `{shown}` is none of the model's classes") }
        };
        self.numbers.get(name).copied().ok_or_else(unknown)
    }

    /// The numbers of all classes in a cell, ascending.
    ///
    /// # Errors
    /// As [`Self::index`].
    pub fn indices(&self, cell: &str) -> Result<Vec<u32>, DataError> {
        let mut all = several(cell).iter().map(|name| self.index(name)).collect::<Result<Vec<_>, _>>()?;
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }
}

/// The names in a cell: a list in JSON, or words between bars, semicolons or commas.
fn several(cell: &str) -> Vec<String> {
    let cell = cell.trim();
    if cell.starts_with('[')
        && let Ok(list) = serde_json::from_str::<Vec<serde_json::Value>>(cell)
    {
        let word = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), String::from);
        return list.into_iter().map(word).collect();
    }
    let between = ['|', ';', ','].into_iter().find(|c| cell.contains(*c)).unwrap_or('|');
    cell.split(between).map(|name| name.trim().to_string()).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_by_size_and_words_by_the_alphabet() {
        let names = |cells: &[&str]| Labels::of(cells.iter().copied(), false).names().to_vec();
        assert_eq!(names(&["10", "9", " 9", "-1"]), ["-1", "9", "10"]);
        assert_eq!(names(&["pos", "neg", "10"]), ["10", "neg", "pos"]);
    }

    #[test]
    fn a_cell_may_hold_several() {
        let labels = Labels::of(["a|b", "c", "[\"d\", 7]", "[]"].into_iter(), true);
        assert_eq!(labels.names(), ["7", "a", "b", "c", "d"]);
        assert_eq!(labels.indices("c; a;c").unwrap(), [1, 3]);
        assert_eq!(labels.indices("[]").unwrap(), [0; 0]);
        assert!(labels.indices("a|x").unwrap_err().to_string().contains("`x`"));
    }
}

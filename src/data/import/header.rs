//! Names of columns: whether the first row holds them, and names that are unique.

use crate::data::schema;
use std::collections::HashSet;

const MAX_NAME_CHARS: usize = 64;

/// Whether `first` holds names rather than data, judged against the rows after it.
pub(super) fn is_header(first: &[String], rest: &[Vec<String>]) -> bool {
    if first.iter().any(|cell| schema::is_known_name(cell)) {
        return true;
    }
    let looks_like_names = first.iter().all(|cell| {
        let cell = cell.trim();
        cell.chars().count() <= MAX_NAME_CHARS
            && !cell.contains('\n')
            && !cell.contains("://")
            && cell.parse::<f64>().is_err()
    });
    let num_named = first.iter().filter(|cell| !cell.trim().is_empty()).count();
    if !looks_like_names || num_named * 2 < first.len() || rest.is_empty() {
        return false;
    }
    // A name does not come again as a value of its own column, unless all is one repeated word.
    let recurs = first.iter().enumerate().any(|(column, name)| {
        !name.trim().is_empty() && rest.iter().any(|row| row.get(column).is_some_and(|cell| cell == name))
    });
    !recurs
}

/// The name of a column without one.
fn made_up(index: usize) -> String {
    format!("column_{}", index + 1)
}

pub(super) fn is_made_up(name: &str) -> bool {
    name.strip_prefix("column_").is_some_and(|n| n.parse::<u32>().is_ok())
}

/// Names as people wrote them, without blanks around, each once: `text`, `text_2`.
pub(super) fn unique_names<S: AsRef<str>>(cells: impl IntoIterator<Item = S>) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut names = Vec::new();
    for (index, cell) in cells.into_iter().enumerate() {
        let words: Vec<&str> = cell.as_ref().trim_start_matches('\u{feff}').split_whitespace().collect();
        let plain = if words.is_empty() { made_up(index) } else { words.join(" ") };
        let mut name = plain.clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            name = format!("{plain}_{number}");
            number += 1;
        }
        names.push(name);
    }
    names
}

/// Names for a table without a header.
pub(super) fn numbered(num_columns: usize) -> Vec<String> {
    (0..num_columns).map(made_up).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|c| c.to_string()).collect()
    }

    #[test]
    fn names_become_unique() {
        assert_eq!(unique_names(["a", "", " a ", "a", "x\ny"]), ["a", "column_2", "a_2", "a_3", "x y"]);
        assert_eq!(unique_names(["a", "a_2", "a"]), ["a", "a_2", "a_3"]);
    }

    #[test]
    fn a_header_is_told_from_data() {
        let rest = [row(&["pear", "pome"]), row(&["plum", "drupe"])];
        assert!(is_header(&row(&["fruit", "family"]), &rest));
        assert!(!is_header(&row(&["apple", "pome"]), &rest), "`pome` comes again");
        assert!(!is_header(&row(&["7", "8"]), &rest));
        assert!(!is_header(&row(&["apple", "pome"]), &[]), "one row alone is data");
        assert!(is_header(&row(&["Prompt", "Completion"]), &[]));
    }
}

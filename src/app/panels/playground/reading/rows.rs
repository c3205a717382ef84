//! Rows of the data set as texts to look through, with the class that each has.

use crate::base::human;
use crate::data::Example;
use crate::data::prepare::Dataset;
use std::collections::HashMap;
use std::sync::Arc;

/// Classes that are told apart in a picture; the others are one.
const MOST_NAMES: usize = 12;
/// Answers up to this length may be classes.
const MOST_LABEL: usize = 40;

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownRow {
    pub line: u64,
    /// Of the text alone.
    pub text: String,
    /// What the row says besides: a class, a score, an answer.
    pub besides: Option<String>,
    /// The number of its name.
    pub name: Option<usize>,
}

/// So many rows of a data set, evenly spread.
#[derive(Debug, Default, PartialEq)]
pub struct Rows {
    pub all: Vec<ShownRow>,
    pub texts: Arc<Vec<String>>,
    /// The classes, the commonest first; empty where rows have none.
    pub names: Vec<String>,
}

impl Rows {
    pub fn of(dataset: &Dataset, most: usize) -> Self {
        let mut places: Vec<usize> = (0..dataset.rows.len()).collect();
        places.dedup_by_key(|row| dataset.rows[*row].index);
        let num = places.len().min(most);
        let chosen = (0..num).map(|i| places[i * places.len() / num]);
        let mut all: Vec<ShownRow> = chosen.filter_map(|row| shown(dataset, row)).collect();
        let names = names(&all);
        let numbers: HashMap<&str, usize> = names.iter().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
        for row in &mut all {
            row.name = row.besides.as_deref().and_then(|label| numbers.get(label).copied());
        }
        let texts = Arc::new(all.iter().map(|row| row.text.clone()).collect());
        Self { all, texts, names }
    }
}

fn shown(dataset: &Dataset, row: usize) -> Option<ShownRow> {
    let example = dataset.example(row)?;
    let text = example.subject().trim().to_string();
    let besides = match &example {
        Example::Labelled { label, .. } => Some(label.clone()),
        Example::Scored { score, .. } => Some(format!("{score}")),
        Example::PromptCompletion { completion, .. } => Some(completion.clone()),
        Example::Pair { second, .. } => Some(second.clone()),
        _ => None,
    };
    (!text.is_empty()).then(|| ShownRow { line: dataset.rows[row].line, text, besides, name: None })
}

/// What rows have besides their text, where that makes classes: it is short, and comes again.
fn names(rows: &[ShownRow]) -> Vec<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for label in rows.iter().filter_map(|row| row.besides.as_deref()) {
        if label.chars().count() > MOST_LABEL {
            return Vec::new();
        }
        *counts.entry(label).or_default() += 1;
    }
    if counts.is_empty() || counts.len() * 2 > rows.len() {
        return Vec::new();
    }
    let mut names: Vec<(&str, usize)> = counts.into_iter().collect();
    names.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    names.into_iter().take(MOST_NAMES).map(|(name, _)| name.to_string()).collect()
}

/// The beginning of a text, on one line.
pub fn short(text: &str, chars: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => human::elide(&line, chars),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(label: &str) -> ShownRow {
        ShownRow { line: 2, text: "x".into(), besides: Some(label.into()), name: None }
    }

    #[test]
    fn labels_are_classes_where_they_come_again() {
        let rows: Vec<ShownRow> = ["b", "a", "a", "b", "a"].map(row).to_vec();
        assert_eq!(names(&rows), ["a", "b"]);
        let own: Vec<ShownRow> = (0..9).map(|i| row(&i.to_string())).collect();
        assert!(names(&own).is_empty(), "an answer of its own for each row is no class");
        let long = vec![row(&"word ".repeat(20)); 9];
        assert!(names(&long).is_empty());
    }

    #[test]
    fn the_beginning_of_a_text_stands_on_one_line() {
        assert_eq!(short("one\ntwo   three", 9), "one two t…");
        assert_eq!(short("şehir", 9), "şehir");
    }
}

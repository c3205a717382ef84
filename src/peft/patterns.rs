//! Values of single layers by patterns of their names, as PEFT has them (`rank_pattern`, `alpha_pattern`).

use super::PeftError;
use regex::Regex;

/// A value for each layer whose name ends in a pattern; the first pattern counts.
#[derive(Debug, Clone)]
pub struct Patterns<T>(Vec<(String, Regex, T)>);

impl<T> Default for Patterns<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: PartialEq> PartialEq for Patterns<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|((a, _, x), (b, _, y))| a == b && x == y)
    }
}

impl<T: Copy> Patterns<T> {
    /// # Errors
    /// [`PeftError::Pattern`] for one that is not a regular expression.
    pub fn new(named: impl IntoIterator<Item = (String, T)>) -> Result<Self, PeftError> {
        let compiled = |(pattern, value): (String, T)| {
            // As PEFT's `get_pattern_key` matches.
            match Regex::new(&format!(r"^(.*\.)?({pattern})$")) {
                Ok(regex) => Ok((pattern, regex, value)),
                Err(_) => Err(PeftError::Pattern(pattern)),
            }
        };
        named.into_iter().map(compiled).collect::<Result<_, _>>().map(Self)
    }

    /// The value of a layer, by its whole name; `None` where no pattern matches.
    pub fn of(&self, name: &str) -> Option<T> {
        self.0.iter().find(|(_, regex, _)| regex.is_match(name)).map(|(.., value)| *value)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Patterns with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, T)> {
        self.0.iter().map(|(pattern, _, value)| (pattern.as_str(), *value))
    }

    /// Patterns that match none of these layers.
    pub fn idle<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = &'a str> {
        let is_idle = move |regex: &Regex| !names.iter().any(|name| regex.is_match(name));
        self.0.iter().filter(move |(_, regex, _)| is_idle(regex)).map(|(pattern, ..)| pattern.as_str())
    }
}

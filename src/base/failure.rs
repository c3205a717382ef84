//! How a failure is told to a person: what failed, why, and what to try.

use serde::{Deserialize, Serialize};

/// A failure in words for people. Every module has its own error enum; [`Explain`] turns it into this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What could not be done: "Cannot read the data file".
    pub title: String,
    /// Why, with the place (row, tensor, file) at the end.
    pub detail: String,
    /// What to try. May be empty when there is nothing sensible to say.
    pub hint: String,
}

impl Failure {
    pub fn new(title: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { title: title.into(), detail: detail.into(), hint: hint.into() }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\n{}", self.hint) }
    }
}

impl std::error::Error for Failure {}

/// An error of one module, which knows how to say itself to a person. `Display` is the detail.
pub trait Explain: std::error::Error {
    /// What could not be done, a short sentence without a full stop.
    fn title(&self) -> String;
    /// What to try next.
    fn hint(&self) -> String;
}

impl<E: Explain> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { title: error.title(), detail: error.to_string(), hint: error.hint() }
    }
}

//! What is wrong with a recipe, field by field, with a fix where there is one.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The run may start, but probably not as meant.
    Warning,
    /// The run cannot start.
    Error,
}

/// One problem. `field` is the TOML path, `optimizer.learning_rate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    pub field: String,
    pub severity: Severity,
    /// What is wrong and why, in words for people.
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
}

impl Fix {
    pub(super) fn new(label: &str, field: &str, value: &str) -> Self {
        Self { label: label.into(), field: field.into(), value: value.into() }
    }
}

/// Something a button can do: set one field to a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fix {
    /// What the button says: "Use 8".
    pub label: String,
    pub field: String,
    /// TOML text of the new value.
    pub value: String,
}

//! The row ledger, for people and as JSON.

use crate::data::Ledger;
use serde_json::{Value, json};

/// Lines of the ledger beside a result; `data inspect` has more.
const FEW: usize = 5;

/// Counts, every entry, notes.
pub fn json(ledger: &Ledger) -> Value {
    json!(ledger.report())
}

/// A summary, the first `most` entries, and the notes.
pub fn lines(ledger: &Ledger, most: usize) -> Vec<String> {
    let mut lines = vec![format!("ledger: {}", ledger.summary())];
    lines.extend(ledger.lines(most).into_iter().map(|line| format!("  {line}")));
    lines.extend(ledger.notes.iter().map(|note| format!("  note: {note}")));
    lines
}

/// A few lines for standard error, where the rows are not the matter itself.
pub fn few(ledger: &Ledger) -> String {
    lines(ledger, FEW).join("\n")
}

//! Standard output for results, standard error for people. A closed pipe is not an error.

use crate::base::Failure;
use crate::engine::Halt;
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// One line of result.
pub fn line(text: impl AsRef<str>) {
    let _reader_is_gone = writeln!(std::io::stdout().lock(), "{}", text.as_ref());
}

/// Text without a line break, shown at once.
pub fn piece(text: &str) {
    let mut out = std::io::stdout().lock();
    let _reader_is_gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// One JSON object on one line.
pub fn json(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => line(text),
        Err(error) => note(format!("The result cannot be written as JSON: {error}")),
    }
}

/// Something for people, beside the result.
pub fn note(text: impl AsRef<str>) {
    let _reader_is_gone = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
}

/// Whether colours make sense in the result.
pub fn has_colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Why a job ended before its time.
pub fn halt(halt: &Halt, is_json: bool) {
    let stopped = Failure::new("Stopped", "you asked for it", "");
    let why = match halt {
        Halt::Stopped => &stopped,
        Halt::Failed(failure) => failure,
        Halt::Reported => return,
    };
    if is_json {
        json(&serde_json::json!({ "event": "failed", "failure": why }));
    }
    failure(why);
}

/// A failure for people: what, why, what to try.
pub fn failure(failure: &Failure) {
    note(format!("{}\n  {}", failure.title, failure.detail.replace('\n', "\n  ")));
    if !failure.hint.is_empty() {
        note(format!("  {}", failure.hint.replace('\n', "\n  ")));
    }
}

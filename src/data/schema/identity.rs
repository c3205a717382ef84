//! By what a row is known: a hash of its content that does not mind case, blanks and look-alikes.

use crate::data::Example;
use unicode_normalization::UnicodeNormalization;

/// Stands between the fields, so that `ab|c` and `a|bc` differ.
const BETWEEN: char = '\u{1f}';
/// A longer answer is no label.
const MAX_LABEL_CHARS: usize = 40;

/// First 8 bytes (little endian) of the BLAKE3 hash of the content after NFKC, in lower case, with runs of
/// blanks as one. Rows with the same hash are duplicates.
pub fn content_hash(example: &Example) -> u64 {
    let mut text = String::new();
    match example {
        Example::Text { text: t } => add(&mut text, t),
        Example::PromptCompletion { prompt, completion } => {
            add(&mut text, prompt);
            add(&mut text, completion);
        }
        Example::Chat { messages } => {
            for message in messages {
                add(&mut text, &message.role);
                add(&mut text, &message.content);
            }
        }
        Example::Labelled { text: t, second, label } => {
            add(&mut text, t);
            second.iter().for_each(|t| add(&mut text, t));
            add(&mut text, label);
        }
        Example::Scored { text: t, second, score } => {
            add(&mut text, t);
            second.iter().for_each(|t| add(&mut text, t));
            add(&mut text, &score.to_string());
        }
        Example::Pair { text: t, second, negative } => {
            [t, second].into_iter().chain(negative).for_each(|t| add(&mut text, t));
        }
        Example::Preference { prompt, chosen, rejected } => {
            add(&mut text, prompt);
            add(&mut text, chosen);
            add(&mut text, rejected);
        }
    }
    hash(&text)
}

/// That of the text which something is said of, without what is said: rows that say other things of one text belong in one part of the
/// split, and so do those of another task of the same run.
pub fn subject_hash(example: &Example) -> Option<u64> {
    let (Example::Labelled { text: subject, second, .. } | Example::Scored { text: subject, second, .. }) =
        example
    else {
        return None;
    };
    let mut text = String::new();
    add(&mut text, subject);
    second.iter().for_each(|second| add(&mut text, second));
    Some(hash(&text))
}

/// The hash of the answer, whatever its case, if it may be a label: short, and all that the model learns.
pub fn label_hash(example: &Example) -> Option<u64> {
    let label = match example {
        Example::Labelled { label, .. } => label,
        Example::PromptCompletion { completion, .. } => completion,
        _ => return None,
    };
    let is_short = label.chars().nth(MAX_LABEL_CHARS).is_none();
    is_short.then(|| hash(&label.trim().to_lowercase()))
}

/// First 8 bytes (little endian) of the BLAKE3 hash.
pub fn hash(text: &str) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..8]);
    u64::from_le_bytes(first)
}

fn add(out: &mut String, field: &str) {
    let composed: std::borrow::Cow<str> =
        if field.is_ascii() { field.into() } else { field.nfkc().collect::<String>().into() };
    let lower = composed.to_lowercase();
    let mut words = lower.split_whitespace();
    if let Some(first) = words.next() {
        out.push_str(first);
    }
    for word in words {
        out.push(' ');
        out.push_str(word);
    }
    out.push(BETWEEN);
}

//! The licence of a model, as its own files say it.

use super::weights::GgufHeader;
use crate::base::storage::read_text_bounded;
use std::path::Path;

/// Model cards are pages, not books.
const MAX_CARD_BYTES: u64 = 1 << 20;

/// From the head of the model card (README.md) of a folder: `license_name` where `license` is "other". `None` when it does not
/// say or cannot be read: nothing depends on it.
pub(super) fn of_folder(folder: &Path) -> Option<String> {
    let card = read_text_bounded(&folder.join("README.md"), MAX_CARD_BYTES).ok()?;
    of_card(&card)
}

/// From `general.license` of a GGUF file.
pub(super) fn of_gguf(header: &GgufHeader) -> Option<String> {
    let said = |key: &str| header.text(key).and_then(cleaned);
    said("general.license.name").or_else(|| said("general.license"))
}

fn of_card(card: &str) -> Option<String> {
    let mut lines = card.trim_start_matches('\u{feff}').lines();
    if lines.next()?.trim_end() != "---" {
        return None;
    }
    let head: Vec<&str> = lines.take_while(|line| line.trim_end() != "---").collect();
    let said = |key: &str| {
        let value = head.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        cleaned(value)
    };
    match said("license") {
        Some(other) if other == "other" => said("license_name").or(Some(other)),
        licence => licence,
    }
}

/// One short line without quotes.
fn cleaned(value: &str) -> Option<String> {
    let value = value.trim().trim_matches(['"', '\'']).trim();
    let is_sound = !value.is_empty() && value.chars().count() <= 80 && !value.contains(char::is_control);
    is_sound.then(|| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_model_card_says_the_licence() {
        let cases = [
            ("---\nlanguage: en\nlicense: apache-2.0\ntags:\n- x\n---\n# A model", Some("apache-2.0")),
            ("\u{feff}---\r\nlicense: \"mit\"\r\n---\r\n", Some("mit")),
            ("---\nlicense: other\nlicense_name: gemma\n---\n", Some("gemma")),
            ("---\nlicense: other\n---\n", Some("other")),
            ("---\nlicense_name: x\n---\nlicense: mit", None),
            ("# A model\nlicense: mit", None),
            ("---\nlicense:\n- mit\n---\n", None),
            ("", None),
        ];
        for (card, expected) in cases {
            assert_eq!(of_card(card).as_deref(), expected, "{card:?}");
        }
    }
}

//! Right-to-left text in the order in which it is read. egui shapes Arabic and Hebrew but draws the words of a
//! line from left to right; here each line is put in visual order first.

use std::borrow::Cow;
use unicode_bidi::{BidiInfo, Direction};

/// `text` for display. Text without right-to-left letters comes back as it is, without a copy.
///
/// egui orders the letters *inside* a right-to-left word when it shapes it, so a run keeps its letters in
/// reading order and only runs and words change places.
pub fn display(text: &str) -> Cow<'_, str> {
    if !has_right_to_left(text) {
        return Cow::Borrowed(text);
    }
    let lines: Vec<String> = text.split('\n').map(line_for_display).collect();
    Cow::Owned(lines.join("\n"))
}

fn line_for_display(line: &str) -> String {
    let info = BidiInfo::new(line, None);
    let Some(paragraph) = info.paragraphs.first() else { return line.to_string() };
    if info.levels.iter().all(|l| l.is_ltr()) {
        return line.to_string();
    }
    let (levels, runs) = info.visual_runs(paragraph, paragraph.range.clone());
    let mut out = String::with_capacity(line.len());
    for run in runs {
        let piece = &line[run.clone()];
        if levels[run.start].is_rtl() {
            push_words_backwards(&mut out, piece);
        } else {
            push_digits_backwards(&mut out, piece);
        }
    }
    out
}

/// `one two` becomes `two one`; the spaces keep their places between the words.
fn push_words_backwards(out: &mut String, run: &str) {
    let mut pieces: Vec<&str> = Vec::new();
    let mut start = 0;
    let mut was_space = None;
    for (i, c) in run.char_indices() {
        let is_space = c.is_whitespace();
        if was_space.is_some_and(|w| w != is_space) {
            pieces.push(&run[start..i]);
            start = i;
        }
        was_space = Some(is_space);
    }
    pieces.push(&run[start..]);
    pieces.iter().rev().for_each(|p| out.push_str(p));
}

/// egui draws Arabic-Indic digits from right to left, as it does letters; numbers are read from the left.
fn push_digits_backwards(out: &mut String, run: &str) {
    let mut digits = String::new();
    for c in run.chars() {
        if matches!(c, '\u{0660}'..='\u{0669}' | '\u{06f0}'..='\u{06f9}') {
            digits.push(c);
        } else {
            out.extend(digits.drain(..).rev());
            out.push(c);
        }
    }
    out.extend(digits.drain(..).rev());
}

fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{0590}'..='\u{08ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

/// Whether words of `text` run from right to left: they keep their order only when laid out together.
pub fn has_right_to_left(text: &str) -> bool {
    text.chars().any(is_right_to_left)
}

/// Whether a paragraph begins from the right, so that it should be aligned there.
pub fn begins_right(text: &str) -> bool {
    unicode_bidi::get_base_direction(text) == Direction::Rtl
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_right_to_left_line_change_places() {
        assert_eq!(display("plain text"), "plain text");
        assert_eq!(display("שלום עולם"), "עולם שלום");
        assert_eq!(display("say שלום עולם now"), "say עולם שלום now");
        assert_eq!(display("a\nשלום עולם"), "a\nעולם שלום");
        assert_eq!(display("عام ١٢٣"), "٣٢١ عام");
        assert!(begins_right("مرحبا") && !begins_right("hello"));
    }
}

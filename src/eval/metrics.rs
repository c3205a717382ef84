//! Numbers for answers against what was expected.
//!
//! Exact match forgives what people do not mean: see [`normalise`]. Word metrics take a run of letters and digits as
//! a word, and each character of scripts written without spaces (Chinese, Japanese, Thai).

use std::collections::HashMap;
use unicode_normalization::UnicodeNormalization;

/// Longer texts are compared by their first so many words: the work grows with the square.
const MOST_WORDS: usize = 4_000;

/// The form in which answers are compared: Unicode NFKC, lower case, runs of white space as one space, and no
/// white space or punctuation at the end. A text that is nothing but punctuation keeps it.
pub fn normalise(text: &str) -> String {
    let folded: String = text.nfkc().collect::<String>().to_lowercase().nfkc().collect();
    let spaced = folded.split_whitespace().collect::<Vec<_>>().join(" ");
    let bare = spaced.trim_end_matches(|c: char| c == ' ' || is_ending(c));
    if bare.is_empty() { spaced } else { bare.to_string() }
}

/// Punctuation that ends a sentence or a clause, in the scripts that have their own.
fn is_ending(c: char) -> bool {
    matches!(
        c,
        '.' | ','
            | ';'
            | ':'
            | '!'
            | '?'
            | '。'
            | '、'
            | '।'
            | '॥'
            | '؟'
            | '،'
            | '؛'
            | '۔'
            | '·'
            | '։'
            | '።'
    )
}

/// Exact match after [`normalise`].
pub fn is_match(answer: &str, expected: &str) -> bool {
    normalise(answer) == normalise(expected)
}

/// `exp(sum / weight)` of a summed loss in nats; `None` where nothing was weighed.
pub fn perplexity(sum: f64, weight: f64) -> Option<f64> {
    (weight > 0.0).then(|| (sum / weight).exp())
}

/// Lower-case words of a text, in order.
pub fn words(text: &str) -> Vec<String> {
    let folded: String = text.nfkc().collect::<String>().to_lowercase();
    let mut words: Vec<String> = Vec::new();
    let mut is_open = false;
    for c in folded.chars() {
        if is_alone(c) {
            words.push(c.to_string());
            is_open = false;
        } else if is_separator(c) {
            is_open = false;
        } else if is_open && let Some(word) = words.last_mut() {
            word.push(c);
        } else {
            words.push(c.to_string());
            is_open = true;
        }
    }
    words
}

/// Scripts without spaces between words: kana, Han, Thai, Lao, Khmer, Burmese.
fn is_alone(c: char) -> bool {
    matches!(c as u32, 0x3041..=0x30FA | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x2_0000..=0x3_FFFF
        | 0x0E01..=0x0EDF | 0x1780..=0x17B3 | 0x1000..=0x102A)
}

/// Neither letter, digit nor mark. Marks of Indic scripts belong to their word, so letters alone will not do.
fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || c.is_ascii_punctuation()
        || is_ending(c)
        || matches!(c as u32, 0xA1..=0xBF | 0x2010..=0x206F | 0x3000..=0x303F)
}

/// Harmonic mean of precision and recall.
fn f1(common: usize, num_answer: usize, num_expected: usize) -> f64 {
    match (num_answer, num_expected) {
        (0, 0) => 1.0,
        _ => 2.0 * common as f64 / (num_answer + num_expected) as f64,
    }
}

/// How often each run of `n` words occurs.
fn counts(words: &[String], n: usize) -> HashMap<&[String], usize> {
    let mut counts = HashMap::new();
    for gram in words.windows(n) {
        *counts.entry(gram).or_insert(0) += 1;
    }
    counts
}

/// Runs of `n` words both have, each as often as the rarer side has it.
fn common(answer: &[String], expected: &[String], n: usize) -> usize {
    let expected = counts(expected, n);
    counts(answer, n).iter().map(|(gram, &num)| num.min(expected.get(gram).copied().unwrap_or(0))).sum()
}

/// F1 over words whatever their order (Rajpurkar et al. 2016), 0..1. Two texts without words are alike.
pub fn token_f1(answer: &str, expected: &str) -> f64 {
    let (answer, expected) = (words(answer), words(expected));
    f1(common(&answer, &expected, 1), answer.len(), expected.len())
}

/// ROUGE-L (Lin 2004): F1 over the longest common subsequence of words, 0..1.
pub fn rouge_l(answer: &str, expected: &str) -> f64 {
    let (mut answer, mut expected) = (words(answer), words(expected));
    answer.truncate(MOST_WORDS);
    expected.truncate(MOST_WORDS);
    f1(num_common_in_order(&answer, &expected), answer.len(), expected.len())
}

/// Length of the longest common subsequence.
fn num_common_in_order(a: &[String], b: &[String]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for word in a {
        let mut diagonal = 0;
        for (j, other) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if word == other { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// BLEU over a set of answers (Papineni et al. 2002): runs of 1 to 4 words, brevity penalty, 0..1. From two words
/// up, one is added to both sides of each share (Lin & Och 2004), so that short answers do not all get 0.
pub fn bleu<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> f64 {
    let (mut matches, mut totals) = ([0_usize; 4], [0_usize; 4]);
    let (mut num_answer, mut num_expected) = (0_usize, 0_usize);
    for (answer, expected) in pairs {
        let (answer, expected) = (words(answer), words(expected));
        num_answer += answer.len();
        num_expected += expected.len();
        for n in 1..=4 {
            matches[n - 1] += common(&answer, &expected, n);
            totals[n - 1] += (answer.len() + 1).saturating_sub(n);
        }
    }
    if matches[0] == 0 {
        return 0.0;
    }
    let logs: f64 = (0..4)
        .map(|n| {
            let smooth = if n == 0 { 0.0 } else { 1.0 };
            ((matches[n] as f64 + smooth) / (totals[n] as f64 + smooth)).ln()
        })
        .sum();
    let brevity = (1.0 - num_expected as f64 / num_answer as f64).min(0.0);
    (logs / 4.0 + brevity).exp()
}

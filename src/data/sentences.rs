//! Pairs of sentences out of running text: what a model can learn of how texts go on without anybody's labels.

use crate::base::rng::Rng;
use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

/// Domain of the random streams that pair sentences.
const PAIR: u64 = 0x5E_47;
/// A shorter one says nothing of its neighbours.
const MIN_WORDS: usize = 3;

/// What two sentences are to be told of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pairing {
    /// Whether the second follows the first, or comes from elsewhere (Devlin et al. 2019, arXiv:1810.04805).
    #[default]
    Next,
    /// Whether they stand in their order, or the other way round (Lan et al. 2020, arXiv:1909.11942).
    Order,
}

/// Two sentences and their class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub first: String,
    pub second: String,
    pub class: u32,
}

impl Pairing {
    /// The classes by their numbers: 0 is how the text goes, as BERT's own head has it.
    pub fn labels(self) -> [&'static str; 2] {
        match self {
            Self::Next => ["next", "elsewhere"],
            Self::Order => ["in order", "swapped"],
        }
    }

    /// The pairs of a text: each two neighbours once, half of them as they are. Which half, and what comes in place of a neighbour, follows from
    /// seed and row. `others` gives a sentence's text for a random number, of another row.
    pub fn pairs(self, text: &str, seed: u64, row: u64, others: &dyn Fn(u64) -> Option<String>) -> Vec<Pair> {
        let sentences = sentences(text);
        let mut pairs = Vec::new();
        for (place, two) in sentences.windows(2).enumerate().step_by(2) {
            let mut rng = Rng::new(seed, &[PAIR, row, place as u64]);
            let (first, second) = (two[0].to_string(), two[1].to_string());
            let is_kept = rng.uniform() < 0.5;
            pairs.extend(match (self, is_kept) {
                (_, true) => Some(Pair { first, second, class: 0 }),
                (Self::Order, false) => Some(Pair { first: second, second: first, class: 1 }),
                (Self::Next, false) => others(rng.next_u64()).and_then(|other| {
                    let all = self::sentences(&other);
                    let second = all.get(rng.below(all.len().max(1)))?.to_string();
                    Some(Pair { first, second, class: 1 })
                }),
            });
        }
        pairs
    }
}

/// The sentences of a text that have some words, by Unicode's rules (UAX 29).
fn sentences(text: &str) -> Vec<&str> {
    let is_one = |sentence: &&str| sentence.unicode_words().take(MIN_WORDS).count() == MIN_WORDS;
    text.unicode_sentences().map(str::trim).filter(is_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "The sun rose early. Birds began to sing. Nobody was awake yet. Hm. The day was long. It ended in rain.";

    #[test]
    fn neighbours_are_paired_and_half_of_them_are_changed() {
        let others = |_| Some("Quite another matter altogether.".to_string());
        let mut kept = 0;
        for seed in 0..200 {
            let pairs = Pairing::Next.pairs(TEXT, seed, 3, &others);
            assert_eq!(pairs.len(), 2);
            assert_eq!(pairs, Pairing::Next.pairs(TEXT, seed, 3, &others));
            for pair in pairs {
                kept += usize::from(pair.class == 0);
                assert_eq!(pair.class == 1, pair.second.starts_with("Quite"));
            }
        }
        assert!((150..250).contains(&kept), "{kept} of 400 as they are");
    }

    #[test]
    fn order_swaps_the_same_two() {
        for seed in 0..20 {
            for pair in Pairing::Order.pairs(TEXT, seed, 0, &|_| None) {
                let at = |part: &str| TEXT.find(part).unwrap();
                assert_eq!(pair.class == 1, at(&pair.first) > at(&pair.second));
            }
        }
    }

    #[test]
    fn one_sentence_makes_no_pair() {
        assert!(Pairing::Order.pairs("Only this one here.", 1, 0, &|_| None).is_empty());
        assert!(Pairing::Next.pairs("", 1, 0, &|_| None).is_empty());
    }
}

//! Right answers out of how many, and how much that says.

use serde::{Deserialize, Serialize};

/// Matches out of a number of answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreBoard {
    pub num: usize,
    pub matches: usize,
}

impl ScoreBoard {
    pub fn add(&mut self, is_match: bool) {
        self.num += 1;
        self.matches += usize::from(is_match);
    }

    /// Share of matches, 0..1; `None` without answers.
    pub fn share(&self) -> Option<f64> {
        (self.num > 0).then(|| self.matches as f64 / self.num as f64)
    }

    /// The 95 % interval of the share (Wilson 1927): where the true one is, judged by so few answers.
    ///
    /// `(p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)`
    pub fn interval(&self) -> Option<(f64, f64)> {
        const Z: f64 = 1.959_963_984_540_054;
        let (p, n) = (self.share()?, self.num as f64);
        let centre = p + Z * Z / (2.0 * n);
        let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        Some((((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0)))
    }
}

impl Extend<bool> for ScoreBoard {
    fn extend<I: IntoIterator<Item = bool>>(&mut self, matches: I) {
        matches.into_iter().for_each(|is_match| self.add(is_match));
    }
}

impl FromIterator<bool> for ScoreBoard {
    fn from_iter<I: IntoIterator<Item = bool>>(matches: I) -> Self {
        let mut board = Self::default();
        board.extend(matches);
        board
    }
}

/// `7 of 15 (47 %; 25 to 70 % likely)`.
impl std::fmt::Display for ScoreBoard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.share(), self.interval()) {
            (Some(share), Some((low, high))) => {
                let percent = |x: f64| (x * 100.0).round();
                let (share, low, high) = (percent(share), percent(low), percent(high));
                write!(f, "{} of {} ({share} %; {low} to {high} % likely)", self.matches, self.num)
            }
            _ => write!(f, "not scored"),
        }
    }
}

/// How likely chance alone makes two models on the same questions differ as much as this or more, 0..1: the exact test of
/// McNemar (1947). Only questions that one of them gets right count; `None` without such.
///
/// `2 * sum over i <= min(b, c) of (b+c over i) / 2^(b+c)`, at most 1.
pub fn chance_of_difference(matches: &[(bool, bool)]) -> Option<f64> {
    let only_first = matches.iter().filter(|m| m.0 && !m.1).count();
    let only_second = matches.iter().filter(|m| !m.0 && m.1).count();
    let n = only_first + only_second;
    // In logarithms: 2^n leaves the range of f64 at a thousand questions.
    let mut ln_choose = 0.0_f64;
    let mut sum = 0.0;
    for i in 0..=only_first.min(only_second) {
        sum += (ln_choose - n as f64 * std::f64::consts::LN_2).exp();
        ln_choose += ((n - i) as f64 / (i + 1) as f64).ln();
    }
    (n > 0).then_some((2.0 * sum).min(1.0))
}

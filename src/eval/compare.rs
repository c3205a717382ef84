//! Base against tuned: which words differ, and the matrix of shots by columns.

use super::run::Scored;
use super::score::ScoreBoard;
use serde::{Deserialize, Serialize};

/// Cells of the table behind [`diff`]; beyond that, the middle of both texts counts as different.
const MOST_CELLS: usize = 16_000_000;

/// The tuned answer in pieces, each with whether it differs from the base's answer. The pieces end to end are the tuned answer;
/// words are compared as they are written, white space between them is not.
///
/// What stays is the longest common subsequence of words.
pub fn diff(base: &str, tuned: &str) -> Vec<(String, bool)> {
    let base: Vec<&str> = base.split_whitespace().collect();
    let (lead, pieces) = pieces(tuned);
    let words: Vec<&str> = pieces.iter().map(|p| p.trim_end()).collect();
    let kept = kept_words(&base, &words);
    let mut out: Vec<(String, bool)> = Vec::new();
    if !lead.is_empty() {
        out.push((lead.to_string(), false));
    }
    for (piece, is_kept) in pieces.iter().zip(kept) {
        match out.last_mut() {
            // White space in front takes the colour of the first word.
            Some((text, differs)) if *differs != is_kept || text.trim().is_empty() => {
                *differs = !is_kept;
                text.push_str(piece);
            }
            _ => out.push(((*piece).to_string(), !is_kept)),
        }
    }
    out
}

/// Whether both answers have the same words.
pub fn is_same(base: &str, tuned: &str) -> bool {
    base.split_whitespace().eq(tuned.split_whitespace())
}

/// White space in front, then each word with the white space after it.
fn pieces(text: &str) -> (&str, Vec<&str>) {
    let (lead, mut rest) = text.split_at(text.len() - text.trim_start().len());
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let end = rest[word..].find(|c: char| !c.is_whitespace()).map_or(rest.len(), |space| word + space);
        let (piece, after) = rest.split_at(end);
        pieces.push(piece);
        rest = after;
    }
    (lead, pieces)
}

/// For each word of `b`, whether it belongs to the longest common subsequence with `a`.
fn kept_words(a: &[&str], b: &[&str]) -> Vec<bool> {
    let start = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, rest) = (&a[start..], &b[start..]);
    let end = a.iter().rev().zip(rest.iter().rev()).take_while(|(x, y)| x == y).count();
    let (a, middle) = (&a[..a.len() - end], &rest[..rest.len() - end]);
    let mut kept = vec![true; start];
    kept.extend(kept_in_middle(a, middle));
    kept.resize(b.len(), true);
    kept
}

fn kept_in_middle(a: &[&str], b: &[&str]) -> Vec<bool> {
    const MATCH: u8 = 0;
    const UP: u8 = 1;
    const LEFT: u8 = 2;
    let mut kept = vec![false; b.len()];
    if a.len().saturating_mul(b.len()) > MOST_CELLS {
        return kept;
    }
    let mut ways = vec![LEFT; a.len() * b.len()];
    let mut row = vec![0_u32; b.len() + 1];
    for (i, word) in a.iter().enumerate() {
        let mut diagonal = 0;
        for (j, other) in b.iter().enumerate() {
            let above = row[j + 1];
            let way = if word == other {
                MATCH
            } else if above >= row[j] {
                UP
            } else {
                LEFT
            };
            row[j + 1] = match way {
                MATCH => diagonal + 1,
                UP => above,
                _ => row[j],
            };
            ways[i * b.len() + j] = way;
            diagonal = above;
        }
    }
    let (mut i, mut j) = (a.len(), b.len());
    while i > 0 && j > 0 {
        match ways[(i - 1) * b.len() + j - 1] {
            MATCH => {
                (i, j) = (i - 1, j - 1);
                kept[j] = true;
            }
            UP => i -= 1,
            _ => j -= 1,
        }
    }
    kept
}

/// The numbers of shots a matrix shows: none, one and `k`.
pub fn shot_rows(k: usize) -> Vec<usize> {
    let mut rows = vec![0, 1, k];
    rows.sort_unstable();
    rows.dedup();
    rows.truncate(if k == 0 { 1 } else { rows.len() });
    rows
}

/// One setting, one column: the score and each answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    pub score: ScoreBoard,
    pub answers: Vec<Scored>,
}

impl Cell {
    /// Counts the answers whose expected one is known.
    pub fn new(answers: Vec<Scored>) -> Self {
        Self { score: answers.iter().filter_map(|a| a.is_match).collect(), answers }
    }
}

/// {zero, one, k shots} x columns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    /// Number of shots of each row, rising.
    pub num_shots: Vec<usize>,
    /// Names of the columns: `Base`, `Tuned`…
    pub columns: Vec<String>,
    /// By row, then by column; `None` while it is not measured.
    cells: Vec<Option<Cell>>,
}

impl Matrix {
    pub fn new(num_shots: Vec<usize>, columns: Vec<String>) -> Self {
        let cells = vec![None; num_shots.len() * columns.len()];
        Self { num_shots, columns, cells }
    }

    fn place(&self, row: usize, column: usize) -> Option<usize> {
        let is_inside = row < self.num_shots.len() && column < self.columns.len();
        is_inside.then(|| row * self.columns.len() + column)
    }

    pub fn get(&self, row: usize, column: usize) -> Option<&Cell> {
        self.cells.get(self.place(row, column)?)?.as_ref()
    }

    /// A place outside the matrix is ignored.
    pub fn set(&mut self, row: usize, column: usize, cell: Cell) {
        if let Some(place) = self.place(row, column).and_then(|at| self.cells.get_mut(at)) {
            *place = Some(cell);
        }
    }

    /// The number of shots with which a column does best (the fewest of equals), and its score.
    pub fn best(&self, column: usize) -> Option<(usize, ScoreBoard)> {
        let scores = self.num_shots.iter().enumerate().filter_map(|(row, &num_shots)| {
            let score = self.get(row, column)?.score;
            score.share().map(|share| (num_shots, score, share))
        });
        scores
            .fold(None, |best, next| match best {
                Some((_, _, share)) if share >= next.2 => best,
                _ => Some(next),
            })
            .map(|(num_shots, score, _)| (num_shots, score))
    }

    /// Percentage points that the best of `tuned` is above the best of `base`.
    pub fn gain_points(&self, base: usize, tuned: usize) -> Option<f64> {
        let share = |column| self.best(column).and_then(|(_, score)| score.share());
        Some(100.0 * (share(tuned)? - share(base)?))
    }
}

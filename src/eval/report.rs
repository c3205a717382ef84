//! What an evaluation says: about one model on a set, and about base against tuned on the same set.

use super::compare::is_same;
use super::metrics::{bleu, perplexity, rouge_l, token_f1};
use super::run::Scored;
use super::score::{ScoreBoard, chance_of_difference};
use serde::{Deserialize, Serialize};

/// One model on one set. What was not measured is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Mean loss of a supervised token, in nats.
    pub loss: Option<f64>,
    pub perplexity: Option<f64>,
    /// Share of answers that match exactly, 0..1, of those whose right answer is known.
    pub exact_match: Option<f64>,
    /// Where the true share is, by 95 %.
    pub exact_match_low: Option<f64>,
    pub exact_match_high: Option<f64>,
    /// Means over the answers whose right one is known, 0..1.
    pub token_f1: Option<f64>,
    pub rouge_l: Option<f64>,
    pub bleu: Option<f64>,
    pub num_examples: usize,
    /// Prompts that could not be answered: too long for the context, or empty. They are not scored.
    pub num_unanswered: usize,
    /// Why the first of them could not.
    pub unanswered_because: Option<String>,
}

impl Report {
    pub fn of(answers: &[Scored]) -> Self {
        let score: ScoreBoard = answers.iter().filter_map(|a| a.is_match).collect();
        let interval = score.interval();
        let pairs: Vec<(&str, &str)> = answers
            .iter()
            .filter_map(|a| Some((&*a.answer.as_ref()?.text, a.expected.as_deref()?)))
            .collect();
        let mean = |metric: fn(&str, &str) -> f64| {
            let sum: f64 = pairs.iter().map(|(answer, expected)| metric(answer, expected)).sum();
            (!pairs.is_empty()).then(|| sum / pairs.len() as f64)
        };
        Self {
            loss: None,
            perplexity: None,
            exact_match: score.share(),
            exact_match_low: interval.map(|i| i.0),
            exact_match_high: interval.map(|i| i.1),
            token_f1: mean(token_f1),
            rouge_l: mean(rouge_l),
            bleu: (!pairs.is_empty()).then(|| bleu(pairs.iter().copied())),
            num_examples: answers.len(),
            num_unanswered: answers.iter().filter(|a| a.answer.is_none()).count(),
            unanswered_because: answers.iter().find_map(|a| a.problem.clone()),
        }
    }

    /// Adds the loss, summed over `weight` supervised tokens, of `num_examples` examples.
    pub fn with_loss(mut self, sum: f64, weight: f64, num_examples: usize) -> Self {
        self.loss = (weight > 0.0).then(|| sum / weight);
        self.perplexity = perplexity(sum, weight);
        self.num_examples = self.num_examples.max(num_examples);
        self
    }
}

/// One prompt answered by both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    pub prompt: String,
    pub expected: Option<String>,
    pub base: String,
    pub tuned: String,
    pub is_same: bool,
    pub is_base_match: Option<bool>,
    pub is_tuned_match: Option<bool>,
    /// Why one of them gave no answer; such a pair is not scored.
    pub problem: Option<String>,
}

/// Base against tuned, prompt by prompt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    pub pairs: Vec<Pair>,
    pub base: ScoreBoard,
    pub tuned: ScoreBoard,
    pub num_same: usize,
    /// Prompts that one of them could not answer.
    pub num_unanswered: usize,
    /// How likely chance alone makes a difference this large; see [`chance_of_difference`].
    pub chance: Option<f64>,
}

impl Comparison {
    /// Both answered the same prompts in the same order; where one was stopped earlier, the shorter counts.
    pub fn new(base: &[Scored], tuned: &[Scored]) -> Self {
        let pairs: Vec<Pair> = base.iter().zip(tuned).map(|(base, tuned)| Pair::new(base, tuned)).collect();
        let matches: Vec<(bool, bool)> =
            pairs.iter().filter_map(|p| p.is_base_match.zip(p.is_tuned_match)).collect();
        Self {
            base: matches.iter().map(|m| m.0).collect(),
            tuned: matches.iter().map(|m| m.1).collect(),
            num_same: pairs.iter().filter(|p| p.is_same).count(),
            num_unanswered: pairs.iter().filter(|p| p.problem.is_some()).count(),
            chance: chance_of_difference(&matches),
            pairs,
        }
    }
}

impl Pair {
    fn new(base: &Scored, tuned: &Scored) -> Self {
        Self {
            prompt: base.prompt.clone(),
            expected: base.expected.clone(),
            base: base.text().into(),
            tuned: tuned.text().into(),
            is_same: base.answer.is_some() && tuned.answer.is_some() && is_same(base.text(), tuned.text()),
            is_base_match: base.is_match,
            is_tuned_match: tuned.is_match,
            problem: base.problem.clone().or_else(|| tuned.problem.clone()),
        }
    }
}

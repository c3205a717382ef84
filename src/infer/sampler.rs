//! How the next token is chosen.
//!
//! The order is that of Hugging Face transformers: repetition penalty, temperature, top-k, top-p, min-p,
//! each on what the one before left over. So settings found elsewhere mean the same here.

use crate::base::rng::Rng;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Names the random stream of sampling.
const SAMPLING: u64 = 0x5A4D;

/// Sampling settings. `temperature` 0 is greedy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    pub temperature: f32,
    /// Only the `k` most likely tokens; 0 means all.
    pub top_k: usize,
    /// The fewest tokens whose probabilities sum to `p` (Holtzman et al. 2020); 1 means all.
    pub top_p: f32,
    /// Only tokens at least `p` times as likely as the likeliest (Nguyen et al. 2024); 0 means all.
    pub min_p: f32,
    /// Divides the logits of tokens seen before (Keskar et al. 2019); 1 means none.
    pub repetition_penalty: f32,
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed: 42 }
    }
}

/// A setting out of its range.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingProblem {
    /// Name of the field in [`Sampling`].
    pub field: &'static str,
    /// What is wrong, for people.
    pub text: String,
    /// The nearest value that is allowed.
    pub fix: f32,
}

impl Sampling {
    /// Every setting that is out of its range; empty when all is well.
    pub fn problems(&self) -> Vec<SamplingProblem> {
        let numbers = [
            ("temperature", self.temperature, 0.0, 100.0, 1.0),
            ("top_p", self.top_p, f32::MIN_POSITIVE, 1.0, 1.0),
            ("min_p", self.min_p, 0.0, 1.0, 0.0),
            ("repetition_penalty", self.repetition_penalty, 0.01, 100.0, 1.0),
        ];
        let mut problems = Vec::new();
        for (field, value, least, most, neutral) in numbers {
            if (least..=most).contains(&value) {
                continue;
            }
            let name = field.replace('_', " ");
            let text = if field == "top_p" {
                format!("The {name} is {value}; it must be above 0 and at most 1.")
            } else {
                format!("The {name} is {value}; it must be between {least} and {most}.")
            };
            // A share of zero or below says nothing about the share that was meant.
            let fix = if value.is_nan() || field == "top_p" { neutral } else { value.clamp(least, most) };
            problems.push(SamplingProblem { field, text, fix });
        }
        problems
    }

    /// Whether the likeliest token is always taken, so that the seed does not matter.
    pub fn is_greedy(&self) -> bool {
        self.temperature.is_nan() || self.temperature <= 0.0 || self.top_k == 1
    }
}

/// A token that may be chosen, with its weight `exp((logit - max) / temperature)`.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    id: u32,
    weight: f64,
}

/// Falling weight; equal weights by rising id, so that the order never depends on the sort.
fn by_weight(a: &Candidate, b: &Candidate) -> Ordering {
    b.weight.total_cmp(&a.weight).then(a.id.cmp(&b.id))
}

/// Chooses tokens for one answer. The same settings, seed and logits give the same tokens.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    rng: Rng,
    seen: Vec<u32>,
    candidates: Vec<Candidate>,
}

impl Sampler {
    /// Settings out of range ([`Sampling::problems`]) count as not set.
    pub fn new(sampling: &Sampling) -> Self {
        let rng = Rng::new(sampling.seed, &[SAMPLING]);
        Self { sampling: sampling.clone(), rng, seen: Vec::new(), candidates: Vec::new() }
    }

    /// The next token. `logits` [v] are changed by the penalty; `seen` are the tokens of prompt and answer so
    /// far. NaN counts as impossible; where no logit is above minus infinity ([`is_usable`]), the token is 0.
    pub fn choose(&mut self, logits: &mut [f32], seen: &[u32]) -> u32 {
        self.penalise(logits, seen);
        let best = likeliest(logits);
        if self.sampling.is_greedy() || !is_usable(logits) {
            return best;
        }
        self.collect(logits, best);
        let kept = self.keep();
        let total: f64 = self.candidates[..kept].iter().map(|c| c.weight).sum();
        let mut left = self.rng.uniform() * total;
        for candidate in &self.candidates[..kept] {
            left -= candidate.weight;
            if left < 0.0 {
                return candidate.id;
            }
        }
        // Reached only by rounding, or when nothing could be kept.
        self.candidates[..kept].last().map_or(best, |c| c.id)
    }

    /// Each token seen counts once: `l / p` where the logit is positive, `l * p` where it is negative.
    fn penalise(&mut self, logits: &mut [f32], seen: &[u32]) {
        let penalty = self.sampling.repetition_penalty;
        if !penalty.is_finite() || penalty <= 0.0 || penalty == 1.0 {
            return;
        }
        self.seen.clear();
        self.seen.extend_from_slice(seen);
        self.seen.sort_unstable();
        self.seen.dedup();
        for &id in &self.seen {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
            }
        }
    }

    /// Fills `candidates` with all tokens that are possible at all.
    fn collect(&mut self, logits: &[f32], best: u32) {
        let temperature = f64::from(self.sampling.temperature);
        let max = logits.get(best as usize).copied().map_or(0.0, f64::from);
        self.candidates.clear();
        for (id, &logit) in logits.iter().enumerate() {
            // With infinity among the logits, only those that are infinite are possible.
            let weight = match f64::from(logit) {
                l if l == max => 1.0,
                l if l.is_nan() || max.is_infinite() => 0.0,
                l => ((l - max) / temperature).exp(),
            };
            if weight > 0.0 {
                self.candidates.push(Candidate { id: id as u32, weight });
            }
        }
    }

    /// Applies top-k, top-p and min-p; the first so many candidates are left.
    fn keep(&mut self) -> usize {
        let Sampling { top_k, top_p, min_p, .. } = self.sampling;
        let mut kept = self.candidates.len();
        if top_k > 0 && top_k < kept {
            self.candidates.select_nth_unstable_by(top_k - 1, by_weight);
            self.candidates.truncate(top_k);
            kept = top_k;
        }
        if top_p > 0.0 && top_p < 1.0 {
            kept = self.nucleus(f64::from(top_p));
        } else {
            self.candidates.sort_unstable_by_key(|c| c.id);
        }
        if min_p > 0.0 && min_p <= 1.0 {
            // The likeliest weighs 1, so the share of it is the weight itself.
            self.candidates.truncate(kept);
            self.candidates.retain(|c| c.weight >= f64::from(min_p));
            kept = self.candidates.len();
        }
        kept
    }

    /// Sorts the candidates as far as needed and returns how many make up `p` of the whole.
    fn nucleus(&mut self, p: f64) -> usize {
        let needed = p * self.candidates.iter().map(|c| c.weight).sum::<f64>();
        let (mut sum, mut done) = (0.0, 0);
        // Nearly always a few dozen tokens are enough: sorting the whole vocabulary would be most of the work.
        let mut block = 64;
        while done < self.candidates.len() {
            let rest = &mut self.candidates[done..];
            let take = block.min(rest.len());
            if take < rest.len() {
                rest.select_nth_unstable_by(take - 1, by_weight);
            }
            rest[..take].sort_unstable_by(by_weight);
            for candidate in &rest[..take] {
                sum += candidate.weight;
                done += 1;
                if sum >= needed {
                    return done;
                }
            }
            block *= 8;
        }
        done
    }
}

/// Whether there is anything to choose from: one logit at least that is a number above minus infinity.
pub fn is_usable(logits: &[f32]) -> bool {
    logits.iter().any(|&l| l > f32::NEG_INFINITY)
}

/// The id of the largest logit, the first of equals; 0 where there is none.
fn likeliest(logits: &[f32]) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (id, &logit) in logits.iter().enumerate() {
        if logit > best.1 {
            best = (id as u32, logit);
        }
    }
    best.0
}

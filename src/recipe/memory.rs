//! Whether a run fits into the memory that it may take, and what to change when it does not.

use super::Fix;
use super::check::Findings;
use super::estimate::{Estimate, PROCESS_BYTES, estimate, micro_batch_tokens, sum};
use super::fit::SMALL_MICRO_BATCH;
use super::plan::Facts;
use super::recipe::{Checkpointing, Precision, Recipe};
use crate::base::human;

impl Recipe {
    pub(super) fn check_memory(&self, needed: Estimate, facts: &Facts, found: &mut Findings) {
        let Some(limit) = facts.memory_limit_bytes(self) else { return };
        let of_model = sum(&[needed.weights_bytes, PROCESS_BYTES]);
        if needed.fixed_bytes() > limit
            && of_model <= limit
            && self.check_size_of_method(needed, limit, facts, found)
        {
            return;
        }
        if needed.fixed_bytes() > limit {
            let text = format!(
                "The model alone needs about {}, and {} are the limit.",
                human::bytes(needed.fixed_bytes()),
                human::bytes(limit)
            );
            return self.check_weights(text, needed, facts, found);
        }
        if needed.memory_bytes > limit {
            let text = format!(
                "The run needs about {}, and {} are the limit.",
                human::bytes(needed.memory_bytes),
                human::bytes(limit)
            );
            self.check_activations(text, needed, facts, found);
        }
    }

    /// The model has room, and what the method trains has not: the largest size that fits. Whether there is one.
    fn check_size_of_method(
        &self,
        needed: Estimate,
        limit: u64,
        facts: &Facts,
        found: &mut Findings,
    ) -> bool {
        let mut smaller = self.clone();
        let Some((field, size)) = smaller.method.size_mut() else { return false };
        let mut tried = *size / 2;
        while tried > 0 {
            if let Some((_, size)) = smaller.method.size_mut() {
                *size = tried;
            }
            if estimate(&smaller, facts, 0).is_some_and(|estimate| estimate.fixed_bytes() <= limit) {
                let text = format!(
                    "What {} trains needs about {} besides the model's {}, and {} are the limit. Use {tried}.",
                    self.method.name(),
                    human::bytes(sum(&[needed.trainable_bytes, needed.optimizer_bytes])),
                    human::bytes(needed.weights_bytes),
                    human::bytes(limit)
                );
                found.error(field, text, Some(&tried.to_string()));
                return true;
            }
            tried /= 2;
        }
        false
    }

    /// Nothing that is dealt in smaller pieces helps: fewer bits, or a higher limit where one would do.
    fn check_weights(&self, text: String, needed: Estimate, facts: &Facts, found: &mut Findings) {
        let field = "run.memory_limit";
        if self.base_precision() == Precision::F32 {
            let fix = Fix {
                label: "Keep the model in 8 bits".into(),
                field: "model.precision".into(),
                value: "\"q8_0\"".into(),
            };
            return found.error_fix_elsewhere(
                field,
                format!("{text} Keep the model's weights in 8 bits."),
                fix,
            );
        }
        let most = facts.most_memory_bytes();
        let is_lower = facts.memory_limit_bytes(self).is_some_and(|limit| limit < most);
        if is_lower && needed.memory_bytes <= most {
            return found.error(field, format!("{text} Let the run take all that is free."), Some("1.0"));
        }
        found.error(field, format!("{text} Close other programs, or choose a smaller model."), None);
    }

    /// Run blocks again, keep the weights in fewer bits where they are most of it, halve the micro-batch, then the longest
    /// example; then only a smaller model helps.
    fn check_activations(&self, text: String, needed: Estimate, facts: &Facts, found: &mut Findings) {
        if self.run.checkpointing == Checkpointing::None {
            let text =
                format!("{text} Run the model's blocks again instead of keeping what they worked out.");
            return found.warn("run.checkpointing", text, Some("\"all\""));
        }
        if self.base_precision() == Precision::F32 && needed.weights_bytes > needed.memory_bytes / 2 {
            let text = format!("{text} Keep the model's weights in 8 bits.");
            return found.warn("model.precision", text, Some("\"q8_0\""));
        }
        let field = "batch.micro_batch_tokens";
        let max_tokens = self.batch.max_tokens;
        let longest = facts.data.as_ref().map_or(max_tokens, |data| data.longest_tokens.min(max_tokens));
        let largest = usize::try_from(micro_batch_tokens(self, facts.data.as_ref())).unwrap_or(usize::MAX);
        let smallest = longest.max(SMALL_MICRO_BATCH);
        if self.batch.packing && largest > smallest {
            let half = (largest / 2).max(smallest).to_string();
            found.warn(field, format!("{text} Use {half}."), Some(&half));
        } else if longest > SMALL_MICRO_BATCH {
            let half = (longest / 2).max(SMALL_MICRO_BATCH);
            let fix = Fix {
                label: format!("Use a longest example of {half}"),
                field: "batch.max_tokens".into(),
                value: half.to_string(),
            };
            found.warn_fix_elsewhere(field, format!("{text} Shorten the longest example to {half}."), fix);
        } else {
            found.warn(field, format!("{text} Close other programs, or choose a smaller model."), None);
        }
    }
}

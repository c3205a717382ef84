//! What of a recipe does not fit the model, the data or the machine.

use super::check::Findings;
use super::estimate::estimate;
use super::plan::{DataFacts, Facts};
use super::recipe::{DeviceChoice, Objective, Overlong, Recipe};
use crate::base::human;
use crate::model::config::OwnDropout;

/// Smallest micro-batch that a fix proposes, in tokens.
pub(super) const SMALL_MICRO_BATCH: usize = 64;

impl Recipe {
    pub(super) fn check_own_dropout(&self, facts: &Facts, found: &mut Findings) {
        let Some(config) = facts.model.as_ref().map(|model| &model.config).filter(|_| self.model.dropout)
        else {
            return;
        };
        let title = config.family.table().title;
        let drops_itself =
            |of: &Recipe| matches!(&of.objective, Objective::Contrastive(own) if own.dropout > 0.0);
        let text = if self.each_task().iter().any(drops_itself) {
            "Contrastive learning drops what objective.dropout says; the model's own dropout counts for nothing.".into()
        } else if config.dropout == OwnDropout::default() {
            format!(
                "The config of this {title} names no dropout: nothing of the model's own will be dropped."
            )
        } else {
            return;
        };
        found.warn("model.dropout", text, Some("false"));
    }

    pub(super) fn check_batch(&self, facts: &Facts, found: &mut Findings) {
        let batch = &self.batch;
        if let Some(model) = facts.model.as_ref().map(|m| &m.config).filter(|m| m.context_tokens >= 2)
            && batch.max_tokens > model.context_tokens
        {
            let text = format!(
                "A longest example of {} tokens exceeds the model's context of {}. Use {}.",
                human::count(batch.max_tokens as u64),
                human::count(model.context_tokens as u64),
                model.context_tokens
            );
            found.error("batch.max_tokens", text, Some(&model.context_tokens.to_string()));
        }
        let Some(data) = facts.data.as_ref().filter(|data| data.train_tokens > 0) else { return };
        self.check_batch_against_rows(data, found);
        let longest = data.longest_tokens.min(batch.max_tokens);
        if batch.packing && batch.micro_batch_tokens > 0 && longest > batch.micro_batch_tokens {
            let text = format!(
                "A micro-batch of {} tokens is smaller than the longest example of {}, which then stands alone. Use {longest}.",
                human::count(batch.micro_batch_tokens as u64),
                human::count(longest as u64),
            );
            found.warn("batch.micro_batch_tokens", text, Some(&longest.to_string()));
        }
    }

    /// An update that takes more than all there is.
    fn check_batch_against_rows(&self, data: &DataFacts, found: &mut Findings) {
        let batch = &self.batch;
        let (micro, accumulation) = (batch.micro_batch_tokens as u64, batch.accumulation as u64);
        if micro.saturating_mul(accumulation) <= data.train_tokens {
            return;
        }
        let rows = human::plural(data.num_train as u64, "training example");
        let tokens = human::count(data.train_tokens);
        if micro <= data.train_tokens {
            let fits = (data.train_tokens / micro.max(1)).max(1).to_string();
            let text = format!(
                "{} micro-batches of {} tokens exceed the {rows}, {tokens} tokens together. Use {fits}.",
                human::count(accumulation),
                human::count(micro)
            );
            return found.warn("batch.accumulation", text, Some(&fits));
        }
        // At least four updates a pass, but no micro-batch that the longest example exceeds.
        let longest = data.longest_tokens.min(batch.max_tokens) as u64;
        let fits = (data.train_tokens / 4).max(SMALL_MICRO_BATCH as u64).max(longest);
        let text = format!(
            "A micro-batch of {} tokens exceeds the {rows}, {tokens} tokens together: a pass is one update.",
            human::count(micro)
        );
        if fits <= data.train_tokens {
            found.warn("batch.micro_batch_tokens", format!("{text} Use {fits}."), Some(&fits.to_string()));
        } else {
            found.warn("batch.micro_batch_tokens", text, None);
        }
    }

    pub(super) fn check_data(&self, data: Option<&DataFacts>, found: &mut Findings) {
        let Some(data) = data else {
            if self.data.path.is_none() {
                found.error("data.path", "No data is chosen.", None);
            }
            return;
        };
        self.check_classes(data, found);
        let num_rest = data.num_valid + data.num_test;
        match data.num_train {
            0 if num_rest > 0 => {
                let text = format!(
                    "There is no training example: all {num_rest} are kept for validation and test. Lower their shares, or choose a file with more rows."
                );
                found.error("data.path", text, None);
            }
            0 => found.error("data.path", "There is no training example. Choose a file with more rows.", None),
            1 => found.warn(
                "data.path",
                "There is only one training example: it will be learnt by heart. Choose a file with more rows.",
                None,
            ),
            _ => {}
        }
        if data.num_train > 0 && data.trained_tokens == 0 {
            let text = "Every label is masked: no token would be learnt from. Train on everything, or see in the data which part is the answer.";
            found.error("objective.train_on", text, Some("\"everything\""));
        }
        if data.num_valid == 0 && self.early_stop.enabled {
            let text = "Stopping early needs validation examples, and there is none.";
            found.warn("early_stop.enabled", text, Some("false"));
        }
        if data.num_overlong > 0 {
            let many = data.num_overlong != 1;
            let lost = match data.num_answer_cut {
                0 => String::new(),
                1 => "; 1 of them would lose the whole answer and is left out".into(),
                n => format!(
                    "; {} of them would lose the whole answer and are left out",
                    human::count(n as u64)
                ),
            };
            let text = format!(
                "{} {} longer than {} tokens and {} {}{lost}.",
                human::plural(data.num_overlong as u64, "example"),
                if many { "are" } else { "is" },
                human::count(self.batch.max_tokens as u64),
                if many { "are" } else { "is" },
                if self.data.overlong == Overlong::Drop { "left out" } else { "cut off" },
            );
            found.warn("batch.max_tokens", text, None);
        }
    }

    pub(super) fn check_machine(&self, facts: &Facts, found: &mut Findings) {
        let missing = |name: &str, feature: &str, is_built: bool| {
            if is_built {
                format!("This machine has no {name} device: choose CPU.")
            } else {
                format!("This build has no {name}: build with --features {feature}, or choose CPU.")
            }
        };
        match self.run.device {
            DeviceChoice::Cuda if !facts.has_cuda => {
                let text = missing("CUDA", "cuda", cfg!(feature = "cuda"));
                found.error("run.device", text, Some("\"cpu\""));
            }
            DeviceChoice::Metal if !facts.has_metal => {
                let text = missing("Metal", "metal", cfg!(feature = "metal"));
                found.error("run.device", text, Some("\"cpu\""));
            }
            _ => {}
        }
        let Some(needed) = estimate(self, facts, 0) else { return };
        self.check_memory(needed, facts, found);
        if let Some(free) = facts.free_disk_bytes.filter(|free| needed.disk_bytes > *free) {
            let text = format!(
                "Checkpoints need {}, and {} are free on the disk. Make room, or keep fewer.",
                human::bytes(needed.disk_bytes),
                human::bytes(free)
            );
            found.error("checkpoint.keep_last", text, (self.checkpoint.keep_last > 1).then_some("1"));
        }
    }
}

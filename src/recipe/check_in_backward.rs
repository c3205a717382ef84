//! What moving the weights during the backward pass does not go together with.

use super::Fix;
use super::check::Findings;
use super::plan::Facts;
use super::recipe::{DeviceChoice, Recipe};

impl Recipe {
    pub(super) fn check_in_backward(&self, facts: &Facts, found: &mut Findings) {
        if !self.optimizer.in_backward {
            return;
        }
        let field = "optimizer.in_backward";
        let mut refuse = |text: &str, label: &str, field_to_change: &str, value: &str| {
            let fix = Fix::new(label, field_to_change, value);
            found.error_fix_elsewhere(
                field,
                format!("Weights that move during the backward pass {text}"),
                fix,
            );
        };
        if self.optimizer.clip_norm.is_some() {
            let text = "cannot be clipped by the norm of the whole gradient, which nobody knows yet.";
            refuse(text, "Do not clip", "optimizer.clip_norm", "\"none\"");
        }
        if self.batch.accumulation > 1 {
            let text = "move after each micro-batch: there can be one in an update.";
            refuse(text, "One micro-batch an update", "batch.accumulation", "1");
        }
        let is_pulled = self.forgetting.l2_weight > 0.0 && self.method.makes_model();
        if is_pulled || self.pieces_of_an_update() > 0 {
            let text = "move before the general text is read, and before they are pulled back.";
            refuse(text, "Move them together", field, "false");
        }
        if self.method.lora().is_some_and(|lora| lora.b_rate_factor != 1.0) {
            let text = "have one learning rate.";
            refuse(text, "The same rate for both halves", "method.b_rate_factor", "1.0");
        }
        if self.run.device.resolved(facts.has_cuda, facts.has_metal) != DeviceChoice::Cpu {
            refuse("need the CPU.", "Use the CPU", "run.device", "\"cpu\"");
        }
    }
}

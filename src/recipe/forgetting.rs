//! What holds a model near what it was while it learns something else (catastrophic forgetting).

use super::check::Findings;
use super::recipe::Recipe;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Weights above this leave nothing of the data's own loss.
const MAX_WEIGHT: f64 = 1000.0;

/// Controls against forgetting; all of them are off at first. The loss that an update follows is
///
/// `mean loss on the data + replay_weight · mean loss on the text + kl_weight · mean KL(base || tuned) + l2_weight/2 · ‖θ - θ₀‖²`
///
/// and the loss that is reported is that on the data alone, so that curves of runs compare.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Forgetting {
    /// A plain-text file of what the model shall still be good at. Some pieces of it are held out, and their perplexity is measured
    /// before the run and at each validation.
    pub text: Option<PathBuf>,
    /// Weight of the loss on that text: it is learnt again beside the data (experience replay, Rolnick et al. 2019,
    /// arXiv:1811.11682).
    pub replay_weight: f64,
    /// Weight of the divergence from what the model predicted before it was tuned (Li & Hoiem 2016, arXiv:1606.09282): on the text where
    /// there is one, since that stands for what shall stay; else on the trained tokens of the data.
    pub kl_weight: f64,
    /// Pull of trained weights to where they began (L2-SP, Li et al. 2018, arXiv:1802.01483); for methods that train the model's own.
    pub l2_weight: f64,
}

impl Recipe {
    /// Longest piece of the general text, in tokens: as the longest example, and within a micro-batch.
    pub fn piece_tokens(&self) -> usize {
        let batch = &self.batch;
        if batch.packing { batch.max_tokens.min(batch.micro_batch_tokens) } else { batch.max_tokens }
    }

    /// Pieces of general text in each update, which are a micro-batch of their own; 0 when nothing is taken of them.
    pub fn pieces_of_an_update(&self) -> usize {
        let of = &self.forgetting;
        let is_used = of.text.is_some() && (of.replay_weight > 0.0 || of.kl_weight > 0.0);
        match (is_used, self.batch.packing) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => (self.batch.micro_batch_tokens / self.piece_tokens().max(1)).max(1),
        }
    }

    pub(super) fn check_forgetting(&self, found: &mut Findings) {
        let of = &self.forgetting;
        let weights =
            [("replay_weight", of.replay_weight), ("kl_weight", of.kl_weight), ("l2_weight", of.l2_weight)];
        for (key, weight) in weights {
            found.within(&format!("forgetting.{key}"), weight, 0.0, MAX_WEIGHT, "0.0");
        }
        if of.text.as_ref().is_some_and(|path| path.to_str().is_none()) {
            let text = "The text file's name is not Unicode, which a recipe cannot hold. Rename the file.";
            found.error("forgetting.text", text, None);
        }
        let whole = |path: &Option<PathBuf>| path.as_ref().and_then(|path| std::path::absolute(path).ok());
        if of.text.is_some() && whole(&of.text) == whole(&self.data.path) {
            let text = "It is the file of the data: what is held off is forgetting other text, and test rows may be learnt by it. Choose another.";
            found.warn("forgetting.text", text, None);
        }
        if of.text.is_none() && of.replay_weight > 0.0 {
            let text = "There is no general text to learn again. Choose a text file, or use 0.";
            found.error("forgetting.replay_weight", text, Some("0.0"));
        }
        if of.l2_weight > 0.0 && !self.method.makes_model() {
            let text = format!(
                "{} counts for nothing with {}: it is for full tuning and freezing, which train the model's own weights and nothing else.",
                of.l2_weight,
                self.method.name()
            );
            found.warn("forgetting.l2_weight", text, Some("0.0"));
        }
    }
}

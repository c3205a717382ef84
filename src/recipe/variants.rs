//! Settings of a method that the field knows as methods of their own: comparisons tell them apart by these names.

use super::method::{Bottleneck, Lora, Method, Placement};
use super::options::{MethodOption, option};
use super::plan::Facts;
use super::recipe::Recipe;
use super::virtual_tokens::Prefix;

/// LoRA+'s own (Hayou et al. 2024).
const B_RATE_FACTOR: f64 = 16.0;

impl Method {
    /// The name under which it is compared: that of a variant, or else of its kind.
    pub fn variant(&self) -> &'static str {
        match self {
            Self::Lora(lora) if lora.dora => "dora",
            Self::Lora(lora) if lora.rank_stabilised => "rslora",
            Self::Lora(lora) if lora.b_rate_factor != 1.0 => "lora_plus",
            Self::Bottleneck(bottleneck) if bottleneck.placement == Placement::Pfeiffer => "pfeiffer",
            Self::Prefix(prefix) if prefix.projection => "prefix_mlp",
            other => other.kind(),
        }
    }

    /// All kinds with their usual settings, in the order of [`Method::all`], each followed by its variants.
    pub fn variants() -> Vec<Self> {
        let with_its_own = |method: Self| {
            let own = match &method {
                Self::Lora(lora) => vec![
                    Self::Lora(Lora { dora: true, ..lora.clone() }),
                    Self::Lora(Lora { rank_stabilised: true, ..lora.clone() }),
                    Self::Lora(Lora { b_rate_factor: B_RATE_FACTOR, ..lora.clone() }),
                ],
                Self::Bottleneck(usual) => {
                    vec![Self::Bottleneck(Bottleneck { placement: Placement::Pfeiffer, ..usual.clone() })]
                }
                Self::Prefix(usual) => vec![Self::Prefix(Prefix { projection: true, ..usual.clone() })],
                _ => Vec::new(),
            };
            std::iter::once(method).chain(own)
        };
        Self::all().into_iter().flat_map(with_its_own).collect()
    }
}

/// `recipe` with the method that is compared under a name: its own keeps its settings and its learning rate, another has its usual
/// ones.
pub fn with_variant(recipe: &Recipe, method: &Method) -> Recipe {
    let mut changed = recipe.clone();
    if recipe.method.variant() != method.variant() {
        changed.method = method.clone();
        changed.optimizer.learning_rate = method.usual_learning_rate(recipe.optimizer.kind);
    }
    changed
}

/// What can be compared on the model and the data at hand, in the order of [`Method::variants`].
pub fn compared(recipe: &Recipe, facts: &Facts, micro_batches: u64) -> Vec<MethodOption> {
    let all = Method::variants();
    all.iter().map(|method| option(&with_variant(recipe, method), facts, micro_batches)).collect()
}

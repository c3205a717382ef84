//! Settings of a method that the field knows as methods of their own: comparisons tell them apart by these names.

use super::method::{Bottleneck, Lora, Method, Placement};
use super::options::{MethodOption, option};
use super::plan::Facts;
use super::recipe::{OrderBy, Recipe};
use super::virtual_tokens::Prefix;
use crate::base::storage::slug;
use serde::{Deserialize, Serialize};

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

/// What is compared: a method, and an order of the rows where orders are compared as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contender {
    #[serde(flatten)]
    pub method: Method,
    /// The recipe's own where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderBy>,
}

impl From<Method> for Contender {
    fn from(method: Method) -> Self {
        Self { method, order: None }
    }
}

impl Contender {
    /// What tells it from the others of a comparison, and names the folder of its run.
    pub fn key(&self) -> String {
        let of_order = |order: &OrderBy| format!("-{}", slug(&String::from(order.clone())));
        format!("{}{}", self.method.variant(), self.order.as_ref().map_or(String::new(), of_order))
    }

    /// Whether a name may be the key of one.
    pub fn is_key(name: &str) -> bool {
        let is_of = |method: &Method| {
            name.strip_prefix(method.variant()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        Method::variants().iter().any(is_of)
    }

    /// "LoRA, rank 8, by length".
    pub fn describe(&self) -> String {
        let of_order = |order: &OrderBy| match order {
            OrderBy::Shuffled => ", shuffled".to_string(),
            OrderBy::Length => ", by length".into(),
            OrderBy::Loss => ", by loss".into(),
            OrderBy::Column(name) => format!(", by {name}"),
        };
        format!("{}{}", self.method.describe(), self.order.as_ref().map_or(String::new(), of_order))
    }

    /// `recipe` as it is compared.
    pub fn recipe(&self, recipe: &Recipe) -> Recipe {
        let mut changed = with_variant(recipe, &self.method);
        if let Some(order) = &self.order {
            changed.curriculum.by = order.clone();
        }
        changed
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Comparisons of before are of methods alone.
    #[test]
    fn a_contender_is_read_back_and_a_method_is_one() {
        for method in Method::variants() {
            let alone = serde_json::to_value(&method).unwrap();
            assert_eq!(serde_json::from_value::<Contender>(alone).unwrap(), Contender::from(method.clone()));
            for order in [OrderBy::Shuffled, OrderBy::Column("hard words".into())] {
                let contender = Contender { method: method.clone(), order: Some(order) };
                let told = serde_json::to_value(&contender).unwrap();
                assert_eq!(serde_json::from_value::<Contender>(told).unwrap(), contender);
                assert!(contender.key().starts_with(method.variant()) && Contender::is_key(&contender.key()));
            }
        }
        assert!(!Contender::is_key("2026-11-22-090000-fruit") && !Contender::is_key("lorax"));
        let odd = serde_json::json!({ "kind": "lora", "rnk": 3 });
        assert!(serde_json::from_value::<Contender>(odd).is_err());
    }
}

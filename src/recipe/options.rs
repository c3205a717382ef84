//! The methods side by side: what each would cost on the model and the data at hand.

use super::estimate::{Estimate, estimate};
use super::method::Method;
use super::plan::{Facts, all_tokens};
use super::recipe::Recipe;

/// A method that could be chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodOption {
    /// With the settings that it would begin with, or those that it has.
    pub method: Method,
    /// `None` while no model is known; no time while no data is.
    pub estimate: Option<Estimate>,
    /// It needs more memory than the run may take.
    pub is_too_large: bool,
}

/// The recipe with a method of the same kind as `method`: its own settings if it has that kind, else those of `origin`, else the
/// usual ones.
pub fn with_method(recipe: &Recipe, method: Method, origin: &Recipe) -> Recipe {
    let mut changed = recipe.clone();
    if method.kind() != recipe.method.kind() {
        let is_of_origin = method.kind() == origin.method.kind();
        changed.take_method(if is_of_origin { origin.method.clone() } else { method }, origin);
    }
    changed
}

/// All methods in the order of [`Method::all`]. `micro_batches` are those of one epoch, as the loader deals them.
pub fn options(recipe: &Recipe, origin: &Recipe, facts: &Facts, micro_batches: u64) -> Vec<MethodOption> {
    let all = Method::all().into_iter();
    all.map(|method| option(&with_method(recipe, method, origin), facts, micro_batches)).collect()
}

/// The method of `recipe` with what it would cost.
pub(super) fn option(recipe: &Recipe, facts: &Facts, micro_batches: u64) -> MethodOption {
    let estimate = estimate(recipe, facts, all_tokens(recipe, facts, micro_batches));
    let limit = facts.memory_limit_bytes(recipe).unwrap_or(u64::MAX);
    let is_too_large = estimate.is_some_and(|estimate| estimate.memory_bytes > limit);
    MethodOption { method: recipe.method.clone(), estimate, is_too_large }
}

//! Which method suits the data and the machine at hand, and why.

use super::estimate::{Estimate, estimate};
use super::method::{Ia3, Lora, Method};
use super::plan::{DataFacts, Facts, all_tokens};
use super::recipe::{Precision, Recipe};
use crate::base::human;

/// Up to so many rows, and so many tokens to learn from, anything larger learns them by heart.
const FEW_ROWS: usize = 30;
const FEW_TOKENS: u64 = 5_000;
/// Up to so many rows a low rank is enough.
const SOME_ROWS: usize = 2_000;
/// From so many tokens to learn from on, there is enough to move every weight.
const MANY_TOKENS: u64 = 5_000_000;
/// A run that is longer is not proposed.
const LONGEST_SECS: f64 = 12.0 * 3600.0;

/// A method with its settings, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Recommendation {
    pub method: Method,
    /// How the model is to be kept, where it does not fit as the recipe has it: in 8 or 4 bits.
    pub precision: Option<Precision>,
    /// One or two sentences for people.
    pub reason: String,
}

impl Recommendation {
    /// "LoRA, rank 8, the model in 8 bits".
    pub fn describe(&self) -> String {
        let kept = match self.precision {
            Some(Precision::Q8_0) => ", the model in 8 bits",
            Some(_) => ", the model in 4 bits",
            None => "",
        };
        format!("{}{kept}", self.method.describe())
    }

    /// Whether the recipe has it already. Half or twice the rank is not worth a word, nor is what else may be set of a method.
    pub fn is_followed_by(&self, recipe: &Recipe) -> bool {
        let is_near = match (self.method.lora(), recipe.method.lora()) {
            (Some(own), Some(other)) => own.rank <= 2 * other.rank && other.rank <= 2 * own.rank,
            _ => self.method.kind() == recipe.method.kind(),
        };
        is_near && self.precision.is_none_or(|precision| precision == recipe.model.precision)
    }

    /// Puts it into a recipe that was made from `origin`.
    pub fn apply(&self, recipe: &mut Recipe, origin: &Recipe) {
        recipe.take_method(self.method.clone(), origin);
        if let Some(precision) = self.precision {
            recipe.model.precision = precision;
        }
    }
}

/// What to use for the model and the data; `None` while one of them is not known. `micro_batches` are those of one epoch.
pub fn recommend(recipe: &Recipe, facts: &Facts, micro_batches: u64) -> Option<Recommendation> {
    let data = facts.data.as_ref().filter(|data| data.num_train > 0)?;
    facts.model.as_ref()?;
    let case = Case { recipe, facts, micro_batches };
    let (method, reason) = case.for_data(data);
    Some(case.within_memory(method, reason))
}

/// What a recommendation is for.
struct Case<'a> {
    recipe: &'a Recipe,
    facts: &'a Facts,
    micro_batches: u64,
}

impl Case<'_> {
    fn needs(&self, method: &Method, precision: Precision) -> Estimate {
        let mut recipe = Recipe { method: method.clone(), ..self.recipe.clone() };
        recipe.model.precision = precision;
        let tokens = all_tokens(&recipe, self.facts, self.micro_batches);
        estimate(&recipe, self.facts, tokens).unwrap_or_default()
    }

    fn limit(&self) -> u64 {
        self.facts.memory_limit_bytes(self.recipe).unwrap_or(u64::MAX)
    }

    /// What the amount of data asks for.
    fn for_data(&self, data: &DataFacts) -> (Method, String) {
        let rows = human::plural(data.num_train as u64, "training row");
        let tokens = human::count(data.trained_tokens);
        if data.num_train <= FEW_ROWS && data.trained_tokens <= FEW_TOKENS {
            let method = Method::Ia3(Ia3::default());
            let trained = self.needs(&method, self.recipe.model.precision).num_trainable_params;
            let trained = human::count(trained);
            let are = if data.num_train == 1 { "is" } else { "are" };
            return (
                method,
                format!("{rows} {are} very few: {trained} factors have little room to learn them by heart."),
            );
        }
        if data.trained_tokens >= MANY_TOKENS {
            return self.for_much_data(&rows, &tokens);
        }
        if data.num_train <= SOME_ROWS {
            let reason = format!(
                "{rows} suit a small addition of a low rank: enough for a task, and the model keeps what it knows."
            );
            return (self.lora(8), reason);
        }
        let reason =
            format!("{rows} with {tokens} tokens to learn from can fill a larger addition on all layers.");
        (self.lora(32), reason)
    }

    fn for_much_data(&self, rows: &str, tokens: &str) -> (Method, String) {
        let full = Method::Full {};
        let Estimate { memory_bytes, secs, .. } = self.needs(&full, self.recipe.model.precision);
        let much = format!("{rows} with {tokens} tokens to learn from are enough to train every weight");
        let (memory, time) = (human::bytes(memory_bytes), human::secs(secs));
        if memory_bytes > self.limit() {
            let limit = human::bytes(self.limit());
            let reason = format!(
                "{much}, but that needs about {memory} of memory, and {limit} are the limit: a large addition on all layers comes \
                 near it."
            );
            return (self.lora(64), reason);
        }
        if secs > LONGEST_SECS {
            let reason = format!(
                "{much}, but that would take about {time} on this device: a large addition on all layers comes near it in less time."
            );
            return (self.lora(64), reason);
        }
        (full, format!("{much}, and memory (about {memory}) and time (about {time}) allow it."))
    }

    /// On all layers. What else was set of a LoRA stays.
    fn lora(&self, rank: usize) -> Method {
        let lora = self.recipe.method.lora().cloned().unwrap_or_default();
        let Lora { target_modules, .. } = Lora::default();
        Method::Lora(Lora { rank, alpha: 2.0 * rank as f64, target_modules, ..lora })
    }

    /// The same with the model in fewer bits where it does not fit otherwise.
    fn within_memory(&self, method: Method, reason: String) -> Recommendation {
        let limit = self.limit();
        let needed = self.needs(&method, self.recipe.model.precision).memory_bytes;
        if needed <= limit {
            return Recommendation { method, precision: None, reason };
        }
        let method = match method {
            Method::Full {} => self.lora(8),
            other => other,
        };
        let short = format!("Memory is short: about {} are needed, and", human::bytes(needed));
        for (precision, bits) in [(Precision::Q8_0, 8), (Precision::Q4_0, 4)] {
            let needed = self.needs(&method, precision).memory_bytes;
            if needed <= limit {
                let reason = format!(
                    "{short} {} are the limit. With the model kept in {bits} bits (QLoRA) about {} do.",
                    human::bytes(limit),
                    human::bytes(needed)
                );
                return Recommendation { method, precision: Some(precision), reason };
            }
        }
        let least = human::bytes(self.needs(&method, Precision::Q4_0).memory_bytes);
        let reason = format!(
            "{short} {} are the limit; even with the model in 4 bits it is {least}. Choose a smaller model.",
            human::bytes(limit)
        );
        Recommendation { method, precision: Some(Precision::Q4_0), reason }
    }
}

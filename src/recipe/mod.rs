//! What the user asks for, checked: `Recipe` -> `Problem`s -> `Plan`.

#[expect(clippy::module_inception, reason = "the recipe is what this module is about")]
pub mod recipe;
mod method;
mod method_words;
mod objective;
mod objective_words;
mod task;
mod tasks;
pub mod options;
pub mod recommend;
pub mod problem;
mod check;
mod check_in_backward;
mod check_method;
mod curriculum;
mod fit;
mod forgetting;
mod memory;
pub mod memory_limit;
mod number_or_none;
mod virtual_tokens;
pub mod plan;
mod activations;
pub mod estimate;
mod field;
pub mod load;
mod load_tasks;
pub mod preset;
pub mod variants;

pub use memory_limit::MemoryLimit;
pub use options::MethodOption;
pub use plan::Plan;
pub use problem::{Fix, Problem, Severity};
pub use recipe::Recipe;
pub use recommend::Recommendation;
pub use task::Task;
pub use tasks::shared_config;

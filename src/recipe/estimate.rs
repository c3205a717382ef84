//! Memory, time and disk of a run before it starts, from shapes alone.
//!
//! A micro-step of `n` tokens saves, per layer and token, in f32: two block inputs and two normed inputs (4 d),
//! queries and their rotation (2 h e), keys, values and rotated keys (3 k e), the attention's output and its
//! projection's input (2 h e), gate, up and their product (3 f), and about as much again in short-lived
//! gradients of one layer. Logits exist for 128 rows at a time, four tensors of them.

use super::plan::{DataFacts, ModelFacts};
use super::recipe::{Method, Recipe};

/// What two CPU cores of 2023 do in f32, measured with `tunesmith bench train`; the window replaces it by what
/// this machine did last.
pub const DEFAULT_FLOPS_PER_SECOND: f64 = 8e10;

/// Bytes and seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Estimate {
    pub weights_bytes: u64,
    pub trainable_bytes: u64,
    pub optimizer_bytes: u64,
    pub activation_bytes: u64,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
    pub num_trainable_params: u64,
    pub secs: f64,
}

/// Parameters that the recipe's method trains: `rank * (in + out)` for each chosen layer of each block.
pub fn num_trainable(recipe: &Recipe, model: &ModelFacts) -> u64 {
    let Method::Lora(lora) = &recipe.method;
    let wide = |n: usize| n as u64;
    let q = product(&[wide(model.num_heads), wide(model.head_width)]);
    let kv = product(&[wide(model.num_kv_heads), wide(model.head_width)]);
    let per_rank = lora.target_modules.iter().map(|name| match name.as_str() {
        "q_proj" | "o_proj" => q.saturating_add(wide(model.width)),
        "k_proj" | "v_proj" => kv.saturating_add(wide(model.width)),
        "gate_proj" | "up_proj" | "down_proj" => wide(model.ffn_width).saturating_add(wide(model.width)),
        _ => 0,
    });
    product(&[per_rank.fold(0, u64::saturating_add), wide(lora.rank), wide(model.num_layers)])
}

/// Tokens of the largest micro-batch: the budget or the longest example, but never more than there are to train on.
pub(super) fn micro_batch_tokens(recipe: &Recipe, data: Option<&DataFacts>) -> u64 {
    let batch = &recipe.batch;
    let longest = match data {
        Some(data) => data.longest_tokens.min(batch.max_tokens),
        None => batch.max_tokens,
    };
    let budget = if batch.packing { batch.micro_batch_tokens.max(longest) } else { longest };
    (budget as u64).min(data.map_or(u64::MAX, |data| data.train_tokens))
}

/// `trained_tokens` are the tokens of all updates together. Absurd numbers give the largest number, never a panic.
pub fn estimate(
    recipe: &Recipe,
    model: &ModelFacts,
    data: Option<&DataFacts>,
    trained_tokens: u64,
    flops_per_second: f64,
) -> Estimate {
    let num_trainable_params = num_trainable(recipe, model);
    let n = micro_batch_tokens(recipe, data);
    let q = product(&[model.num_heads as u64, model.head_width as u64]);
    let kv = product(&[model.num_kv_heads as u64, model.head_width as u64]);
    let per_token = sum(&[
        product(&[4, model.width as u64]),
        product(&[4, q]),
        product(&[3, kv]),
        product(&[3, model.ffn_width as u64]),
    ]);
    let logits = product(&[4, 128, model.vocabulary as u64]);
    let hidden = product(&[per_token, n, sum(&[model.num_layers as u64, 2])]);
    let activation_bytes = product(&[4, sum(&[hidden, logits])]);
    let weights_bytes = product(&[4, model.num_params]);
    let trainable_bytes = product(&[4, num_trainable_params]);
    // moments, the flat gradient, and the values being replaced
    let optimizer_bytes = product(&[16, num_trainable_params]);
    // the best checkpoint besides the last ones
    let num_kept = sum(&[recipe.checkpoint.keep_last as u64, 1]);
    // a checkpoint holds the adapter and two moments; the finished adapter lies beside them
    let disk_bytes = sum(&[product(&[num_kept, 12, num_trainable_params]), trainable_bytes]);
    Estimate {
        weights_bytes,
        trainable_bytes,
        optimizer_bytes,
        activation_bytes,
        memory_bytes: sum(&[weights_bytes, trainable_bytes, optimizer_bytes, activation_bytes]),
        disk_bytes,
        num_trainable_params,
        // forward and backward without the gradient of frozen weights: 4 operations a weight and token
        secs: 4.0 * model.num_params as f64 * trained_tokens as f64 / flops_per_second.max(1.0),
    }
}

fn product(factors: &[u64]) -> u64 {
    factors.iter().copied().fold(1, u64::saturating_mul)
}

fn sum(terms: &[u64]) -> u64 {
    terms.iter().copied().fold(0, u64::saturating_add)
}

//! The numbers of a micro-step that live until the way back needs them, from shapes alone.

use super::estimate::{product, sum};
use crate::model::config::DecoderConfig;
use crate::model::families::QkNorm;
use crate::model::hooks::NormAt;

/// Rows of logits that exist at a time.
const LOGIT_ROWS: u64 = 256;

/// What decides how much is kept, besides the model.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    /// Numbers of one token that the method keeps in each block.
    pub of_method: u64,
    /// Tokens of the micro-step.
    pub n: u64,
    /// So many the way back reaches; what lies below keeps nothing.
    pub num_blocks: u64,
    /// Of a block only its input is kept, and of one of them all while it is run again.
    pub has_checkpoints: bool,
    /// Its predictions are held against those of the base.
    pub is_held: bool,
}

/// Numbers that live at the height of a micro-step: where the loss is, or in the last block's feed-forward on the way back.
pub(super) fn activations(config: &DecoderConfig, kept: Kept) -> u64 {
    let Kept { of_method, n, num_blocks, has_checkpoints, is_held } = kept;
    // A token goes through one of two stacks.
    let deepest = config.num_encoder_layers().max(config.num_layers - config.num_encoder_layers());
    let num_blocks = num_blocks.min(deepest as u64);
    let at_the_loss = at_the_loss(config, n, is_held);
    let block = product(&[n, sum(&[kept_in_block(config), of_method])]);
    let inputs = product(&[n, num_blocks, config.width as u64]);
    match has_checkpoints {
        true => sum(&[inputs, at_the_loss.max(sum(&[block, on_the_way_back(config, n)]))]),
        false => sum(&[product(&[num_blocks, block]), at_the_loss.max(on_the_way_back(config, n))]),
    }
}

/// Of one token: the inputs of the norms, q | k | v as attention reads them, what it makes with the sums of its scores,
/// and what is bent. The norms' results and the activation's are made again.
fn kept_in_block(config: &DecoderConfig) -> u64 {
    let table = config.family.table();
    let has = |at: NormAt| table.norms.iter().any(|(own, _)| *own == at);
    // Both halves of a parallel block read the same.
    let is_shared = config.is_parallel && has(NormAt::BeforeAttention) && has(NormAt::BeforeFeedForward);
    let num_norms = table.norms.len() as u64 - u64::from(is_shared);
    let (q, qkv) = head_widths(config);
    let num_qkv = match table.qk_norm {
        Some(QkNorm::EachHead | QkNorm::Whole) => 2,
        None => 1,
    };
    sum(&[
        product(&[num_norms, config.width as u64]),
        product(&[num_qkv, qkv]),
        q,
        config.num_heads as u64,
        // Queries, keys and values between two stacks, and what attention makes of them.
        if config.encoder.is_some() { sum(&[q, qkv]) } else { 0 },
        product(&[num_bent(config), config.ffn_width as u64]),
    ])
}

/// Widths of the queries, and of q | k | v.
fn head_widths(config: &DecoderConfig) -> (u64, u64) {
    let q = product(&[config.num_heads as u64, config.head_width as u64]);
    (q, sum(&[q, product(&[2, config.num_kv_heads as u64, config.head_width as u64])]))
}

/// Products of the feed-forward that go into its activation.
fn num_bent(config: &DecoderConfig) -> u64 {
    if config.family.table().is_gated() { 2 } else { 1 }
}

/// The last block's sum, that normed, its gradient in pieces and put together, and some rows of logits; or, a moment
/// later, that gradient on its way. What the base says, its last state and its logits, lies beside it.
fn at_the_loss(config: &DecoderConfig, n: u64, is_held: bool) -> u64 {
    let (width, vocabulary) = (config.width as u64, config.vocabulary as u64);
    let vocabulary = if config.predicts_tokens { vocabulary } else { 0 };
    let logits = product(&[n.min(LOGIT_ROWS), vocabulary]);
    let of_base = if is_held { sum(&[product(&[n, width]), logits]) } else { 0 };
    sum(&[product(&[4, n, width]), logits, of_base]).max(product(&[6, n, width]))
}

/// The gradients of the stream, of the activation's result, and of what it was made of.
fn on_the_way_back(config: &DecoderConfig, n: u64) -> u64 {
    let ffn = product(&[sum(&[num_bent(config), 1]), config.ffn_width as u64]);
    product(&[n, sum(&[config.width as u64, ffn])])
}

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
    /// Those of them that are read by a stack of their own.
    pub num_read: u64,
    /// So many the way back reaches; what lies below keeps nothing.
    pub num_blocks: u64,
    /// Of a block only its input is kept, and of one of them all while it is run again.
    pub has_checkpoints: bool,
    /// Its predictions are held against those of the base.
    pub is_held: bool,
}

/// Blocks alike, and the rows that go through them.
struct Stack {
    num_blocks: u64,
    n: u64,
    /// Numbers that each block keeps.
    kept: u64,
}

/// Numbers that live at the height of a micro-step: where the loss is, or in the last block's feed-forward on the way back.
pub(super) fn activations(config: &DecoderConfig, kept: Kept) -> u64 {
    let width = config.width as u64;
    let stacks = stacks(config, kept);
    let of_stacks = |numbers: &dyn Fn(&Stack) -> u64| sum(&stacks.iter().map(numbers).collect::<Vec<_>>());
    // The rows that are read, normed and before it, and the gradient that all blocks that look at them add to.
    let of_read = product(&[kept.num_read, width]);
    let between = product(&[3, of_read]);
    let at_the_loss = at_the_loss(config, kept.n, kept.is_held);
    let last = stacks.last().map_or(0, |stack| stack.n);
    let back = sum(&[on_the_way_back(config, last), of_read]);
    match kept.has_checkpoints {
        true => {
            let largest = stacks.iter().map(|stack| stack.kept).max().unwrap_or(0);
            let inputs = of_stacks(&|stack| product(&[stack.num_blocks, stack.n, width]));
            sum(&[inputs, between, at_the_loss.max(sum(&[largest, back]))])
        }
        false => {
            let blocks = of_stacks(&|stack| product(&[stack.num_blocks, stack.kept]));
            sum(&[blocks, between, at_the_loss.max(back)])
        }
    }
}

/// Of one stack all there is; of two the one that reads, then the one that writes.
fn stacks(config: &DecoderConfig, kept: Kept) -> Vec<Stack> {
    let table = config.family.table();
    let num_written = kept.n - kept.num_read.min(kept.n);
    let num_writing = (config.num_layers - config.num_encoder_layers()) as u64;
    let norms = |norms: &[(NormAt, &str)]| norms.len() as u64;
    let of_rows = |n, num_norms| product(&[n, sum(&[kept_in_block(config, num_norms), kept.of_method])]);
    let (q, qkv) = head_widths(config);
    let Some(reading) = table.encoder else {
        // Both halves of a parallel block read the same.
        let has = |at: NormAt| table.norms.iter().any(|(own, _)| *own == at);
        let is_shared = config.is_parallel && has(NormAt::BeforeAttention) && has(NormAt::BeforeFeedForward);
        let kept_here = of_rows(kept.n, norms(table.norms) - u64::from(is_shared));
        return vec![Stack { num_blocks: kept.num_blocks, n: kept.n, kept: kept_here }];
    };
    // Besides its own: queries and what they find, of what it writes; keys and values, of what is read.
    let of_looking = product(&[num_written, sum(&[2 * q, config.num_heads as u64])]);
    let of_read = product(&[kept.num_read, qkv - q]);
    let writing = sum(&[of_rows(num_written, norms(table.norms)), of_looking, of_read]);
    vec![
        Stack {
            num_blocks: kept.num_blocks.saturating_sub(num_writing),
            n: kept.num_read,
            kept: of_rows(kept.num_read, norms(reading.norms)),
        },
        Stack { num_blocks: kept.num_blocks.min(num_writing), n: num_written, kept: writing },
    ]
}

/// Of one token: the inputs of the norms, q | k | v as attention reads them, what it makes with the sums of its scores,
/// and what is bent. The norms' results and the activation's are made again.
fn kept_in_block(config: &DecoderConfig, num_norms: u64) -> u64 {
    let (q, qkv) = head_widths(config);
    let num_qkv = match config.family.table().qk_norm {
        Some(QkNorm::EachHead | QkNorm::Whole) => 2,
        None => 1,
    };
    sum(&[
        product(&[num_norms, config.width as u64]),
        product(&[num_qkv, qkv]),
        q,
        config.num_heads as u64,
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

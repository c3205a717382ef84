//! Where the CPU's kernels put the gradient of a parameter.

use crate::nn::kernels::cpu::tensor;
use crate::nn::{Node, Result};
use candle_core::Tensor;

/// Lets `fill` write the gradient of `leaf` into its slot and returns none; or makes a tensor where there is no slot. What
/// stands in the slice means nothing when the second argument of `fill` is true, and is to be added to otherwise.
pub(super) fn made_in_place(leaf: &Node, fill: impl FnOnce(&mut [f32], bool)) -> Result<Option<Tensor>> {
    if let Some(slot) = leaf.slot().filter(|slot| slot.is_on_cpu()) {
        slot.fill(fill)?;
        return Ok(None);
    }
    let mut numbers = vec![0.0; leaf.value().elem_count()];
    fill(&mut numbers, true);
    Ok(Some(tensor(numbers, leaf.value().shape())?))
}

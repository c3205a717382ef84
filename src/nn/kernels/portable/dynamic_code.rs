//! Eight bits a number, in blocks with a largest magnitude each.

use crate::nn::Result;
use crate::nn::kernels::dynamic_code::{BLOCK, DynamicCode, NUM_DECADES};
use candle_core::{D, DType, Tensor};

/// Codes [P] u8 and the largest magnitude of each block [B] -> [P] in the type of the latter.
pub fn widen(codes: &Tensor, largest: &Tensor, code: &DynamicCode) -> Result<Tensor> {
    let table = Tensor::new(&code.table, codes.device())?.to_dtype(largest.dtype())?;
    let shares = table.index_select(&codes.to_dtype(DType::U32)?, 0)?; // [P]
    let of_block = largest.unsqueeze(1)?.expand((largest.dim(0)?, BLOCK))?.contiguous()?.flatten_all()?; // [B·256]
    shares * of_block.narrow(0, 0, codes.dim(0)?)?
}

/// [P], at least one number -> codes [P] u8 and the largest magnitude of each block [B].
pub fn encode(x: &Tensor, code: &DynamicCode) -> Result<[Tensor; 2]> {
    let len = x.dim(0)?;
    let blocks = len.div_ceil(BLOCK);
    let x = x.pad_with_zeros(0, 0, blocks * BLOCK - len)?.reshape((blocks, BLOCK))?;
    let magnitude = x.abs()?;
    let largest = magnitude.max_keepdim(D::Minus1)?; // [B, 1]
    let magnitude = magnitude.broadcast_div(&largest.maximum(f64::from(f32::MIN_POSITIVE))?)?;
    let mut lifted = magnitude.clone();
    let mut cells = (lifted.ones_like()? * f64::from(code.top_cells))?;
    for _ in 1..NUM_DECADES {
        let is_low = lifted.lt(0.1)?;
        lifted = is_low.where_cond(&(&lifted * 10.0)?, &lifted)?;
        cells = is_low.where_cond(&(&cells * 0.5)?, &cells)?;
    }
    let cell = ((lifted - 0.1)? * (&cells / 0.9)?)?.minimum(&(&cells - 1.0)?)?.maximum(0.0)?;
    let codes = ((&cells + cell)?.floor()? - f64::from(code.less))?;
    let is_negative = x.lt(0.0)?;
    let of_negatives = (&codes + f64::from(code.negative))?;
    let codes = is_negative.where_cond(&of_negatives, &codes)?;
    let one = (codes.ones_like()? * f64::from(code.one))?;
    let is_one = (magnitude.gt(f64::from(code.one_above()))? * is_negative.eq(0u8)?)?;
    let codes = is_one.where_cond(&one, &codes)?;
    let is_zero = magnitude.le(f64::from(code.zero_up_to))?;
    let codes = is_zero.where_cond(&codes.zeros_like()?, &codes)?;
    let codes = codes.to_dtype(DType::U8)?.flatten_all()?.narrow(0, 0, len)?.contiguous()?;
    Ok([codes, largest.squeeze(1)?])
}

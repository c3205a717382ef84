//! The tensors of an adapter's file against those that its settings name.

use super::PeftError;
use crate::model::config::Needed;
use crate::model::error::During;
use candle_core::Tensor;
use std::collections::HashMap;
use std::path::Path;

/// Puts the tensors of the file at `path` in the order of `needed`. Their shapes must be the ones named.
///
/// # Errors
/// [`PeftError::Tensor`] for the first one that is missing or has another shape, or for one that has no place.
pub fn in_order(
    mut tensors: HashMap<String, Tensor>,
    needed: Vec<Needed>,
    path: &Path,
) -> Result<Vec<(String, Tensor)>, PeftError> {
    let wrong = |tensor: String, why: String| PeftError::Tensor { path: path.to_path_buf(), tensor, why };
    let mut named = Vec::with_capacity(needed.len());
    for needed in needed {
        let (name, shape) = (needed.name.clone(), needed.stored_shape());
        let Some(tensor) = tensors.remove(&name) else { return Err(wrong(name, "it is missing".into())) };
        if tensor.dims() != shape {
            let why = format!("its shape is {:?} where {shape:?} is needed", tensor.dims());
            return Err(wrong(name, why));
        }
        let values = needed.form.from_file(&tensor).during("read the adapter")?;
        named.push((name, values));
    }
    match tensors.into_keys().min() {
        Some(name) => Err(wrong(name, "the model has no place for it".into())),
        None => Ok(named),
    }
}

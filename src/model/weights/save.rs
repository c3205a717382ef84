//! Safetensors files, written.

use crate::base::storage;
use crate::model::ModelError;
use crate::nn::kernels::cpu::Numbers;
use candle_core::{Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensorError, View};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Error;
use std::path::Path;

/// Writes named tensors as one safetensors file, whole or not at all, one after the other: a model is not copied to be saved.
pub fn save_safetensors(named: &[(String, Tensor)], path: &Path) -> Result<(), ModelError> {
    let failed = |source| ModelError::Write { path: path.to_path_buf(), source };
    let mut on_cpu = Vec::with_capacity(named.len());
    for (name, tensor) in named {
        let tensor = tensor.to_device(&Device::Cpu).and_then(|tensor| tensor.contiguous());
        on_cpu.push((name.as_str(), tensor.map_err(|e| failed(Error::other(e)))?));
    }
    let views = on_cpu.iter().map(|(name, tensor)| (*name, Saved { tensor, numbers: Numbers::of(tensor) }));
    let metadata = Some(HashMap::from([("format".to_string(), "pt".to_string())]));
    storage::create_file_atomic(path, |temporary| {
        // The library makes a file that only its owner may read.
        let usual = File::create(temporary)?.metadata()?.permissions();
        safetensors::serialize_to_file(views, metadata, temporary).map_err(|error| match error {
            SafeTensorError::IoError(error) => error,
            other => Error::other(other),
        })?;
        fs::set_permissions(temporary, usual)
    })
    .map_err(failed)
}

/// A tensor on the CPU, in one piece.
struct Saved<'a> {
    tensor: &'a Tensor,
    numbers: Option<Numbers<'a>>,
}

impl View for Saved<'_> {
    fn dtype(&self) -> Dtype {
        View::dtype(&self.tensor)
    }

    fn shape(&self) -> &[usize] {
        self.tensor.dims()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match &self.numbers {
            Some(numbers) if cfg!(target_endian = "little") => Cow::Borrowed(bytemuck::cast_slice(numbers)),
            _ => Cow::Owned(View::data(&self.tensor).into_owned()),
        }
    }

    fn data_len(&self) -> usize {
        View::data_len(&self.tensor)
    }
}

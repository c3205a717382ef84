//! Safetensors files, written.

use crate::base::storage;
use crate::model::ModelError;
use crate::nn::kernels::cpu::Numbers;
use candle_core::{Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensorError, View};
use serde_json::{Map, json};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Error, Write};
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

/// Writes f32 tensors of these shapes as a safetensors file, each made when its turn comes: no two are in memory at once.
///
/// # Errors
/// [`ModelError::Write`], and the first error of `make`; the file is then not whole.
pub fn save_in_turn(
    shapes: &[(String, Vec<usize>)],
    path: &Path,
    mut make: impl FnMut(usize) -> Result<Tensor, ModelError>,
) -> Result<(), ModelError> {
    let failed = |source| ModelError::Write { path: path.to_path_buf(), source };
    let mut header = Map::from_iter([("__metadata__".to_string(), json!({ "format": "pt" }))]);
    let mut start = 0;
    for (name, shape) in shapes {
        let end = start + shape.iter().product::<usize>() * size_of::<f32>();
        header.insert(name.clone(), json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, end] }));
        start = end;
    }
    let mut text = serde_json::to_string(&header).map_err(|e| failed(e.into()))?;
    // The numbers begin at a multiple of their size.
    text.push_str(&" ".repeat(text.len().next_multiple_of(8) - text.len()));
    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
    file.write_all(&(text.len() as u64).to_le_bytes()).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    for (index, (name, shape)) in shapes.iter().enumerate() {
        let tensor = make(index)?;
        if tensor.dims() != shape {
            let (tensor, expected, got) = (name.clone(), shape.clone(), tensor.dims().to_vec());
            return Err(ModelError::Shape { path: path.into(), tensor, expected, got });
        }
        let flat = tensor.to_device(&Device::Cpu).and_then(|t| t.flatten_all()?.to_vec1::<f32>());
        for value in flat.map_err(|e| failed(Error::other(e)))? {
            file.write_all(&value.to_le_bytes()).map_err(failed)?;
        }
    }
    file.into_inner().map_err(|e| failed(e.into_error()))?.sync_all().map_err(failed)
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

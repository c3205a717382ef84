//! Safetensors files, written.

use crate::base::storage;
use crate::model::ModelError;
use crate::nn::kernels::cpu::Numbers;
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensorError, View};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Error;
use std::path::Path;

/// Writes named tensors as one safetensors file, whole or not at all, one after the other: a model is not copied to be saved.
pub fn save_safetensors(named: &[(String, Tensor)], path: &Path) -> Result<(), ModelError> {
    let mut on_cpu = Vec::with_capacity(named.len());
    for (name, tensor) in named {
        let tensor = tensor.to_device(&Device::Cpu).and_then(|tensor| tensor.contiguous());
        let tensor =
            tensor.map_err(|e| ModelError::Write { path: path.to_path_buf(), source: Error::other(e) })?;
        on_cpu.push((name.as_str(), tensor));
    }
    let views = on_cpu.iter().map(|(name, tensor)| (*name, Saved { tensor, numbers: Numbers::of(tensor) }));
    write(views, path, || Ok(()))
}

/// Writes f32 tensors of which each is made when its turn comes, so that there is one at a time. Names and shapes are those of
/// `needed`.
pub fn save_safetensors_made(
    needed: &[(String, Vec<usize>)],
    make: &dyn Fn(usize) -> Result<Tensor, ModelError>,
    path: &Path,
) -> Result<(), ModelError> {
    let failure = RefCell::new(None);
    let views = needed
        .iter()
        .enumerate()
        .map(|(index, (name, shape))| (name.as_str(), Made { index, shape, make, failure: &failure }));
    write(views, path, || failure.take().map_or(Ok(()), |error: ModelError| Err(Error::other(error))))
}

/// Writes what `views` give; `verdict` is asked at the end whether they could give it.
fn write<'a, V: View>(
    views: impl Iterator<Item = (&'a str, V)>,
    path: &Path,
    verdict: impl FnOnce() -> Result<(), Error>,
) -> Result<(), ModelError> {
    let metadata = Some(HashMap::from([("format".to_string(), "pt".to_string())]));
    storage::create_file_atomic(path, |temporary| {
        // The library makes a file that only its owner may read.
        let usual = File::create(temporary)?.metadata()?.permissions();
        safetensors::serialize_to_file(views, metadata, temporary).map_err(|error| match error {
            SafeTensorError::IoError(error) => error,
            other => Error::other(other),
        })?;
        verdict()?;
        fs::set_permissions(temporary, usual)
    })
    .map_err(|source| ModelError::Write { path: path.to_path_buf(), source })
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

/// A tensor that is made when its bytes are asked for. The library cannot be told of a failure; it gets zeros, and the failure is kept.
struct Made<'a> {
    index: usize,
    shape: &'a [usize],
    make: &'a dyn Fn(usize) -> Result<Tensor, ModelError>,
    failure: &'a RefCell<Option<ModelError>>,
}

impl Made<'_> {
    fn bytes(&self) -> Result<Vec<u8>, ModelError> {
        let wrong = |why: String| ModelError::Device(why);
        let tensor = (self.make)(self.index)?;
        let tensor = tensor.to_device(&Device::Cpu).and_then(|t| t.to_dtype(DType::F32)?.contiguous());
        let tensor = tensor.map_err(|e| wrong(e.to_string()))?;
        if tensor.dims() != self.shape {
            return Err(wrong(format!(
                "a tensor of shape {:?} where {:?} is needed",
                tensor.dims(),
                self.shape
            )));
        }
        Ok(View::data(&&tensor).into_owned())
    }
}

impl View for Made<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.bytes().unwrap_or_else(|error| {
            self.failure.borrow_mut().get_or_insert(error);
            vec![0; self.data_len()]
        }))
    }

    fn data_len(&self) -> usize {
        4 * self.shape.iter().product::<usize>()
    }
}

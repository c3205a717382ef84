//! Safetensors files, written.

use crate::base::storage;
use crate::model::ModelError;
use crate::nn::kernels::cpu::Numbers;
use crate::nn::optim::State;
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
    save_state(
        &named.iter().map(|(name, tensor)| (name.as_str(), State::Tensor(tensor))).collect::<Vec<_>>(),
        path,
    )
}

/// The same with numbers that need not be tensors, such as an optimizer's.
pub fn save_state(named: &[(&str, State)], path: &Path) -> Result<(), ModelError> {
    let failed = |source| ModelError::Write { path: path.to_path_buf(), source };
    let mut on_cpu = Vec::with_capacity(named.len());
    for (_, state) in named {
        let State::Tensor(tensor) = state else {
            on_cpu.push(None);
            continue;
        };
        let tensor = tensor.to_device(&Device::Cpu).and_then(|tensor| tensor.contiguous());
        on_cpu.push(Some(tensor.map_err(|e| failed(Error::other(e)))?));
    }
    let views =
        named.iter().zip(&on_cpu).map(|((name, state), tensor)| (*name, Saved::new(*state, tensor.as_ref())));
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

/// Numbers on the CPU, in one piece.
struct Saved<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    place: Place<'a>,
}

enum Place<'a> {
    Locked(Numbers<'a>),
    Floats(&'a [f32]),
    Bytes(&'a [u8]),
    Tensor(&'a Tensor),
}

impl<'a> Saved<'a> {
    /// `tensor` is the state's where it is one.
    fn new(state: State<'a>, tensor: Option<&'a Tensor>) -> Self {
        match (state, tensor) {
            (State::Numbers(numbers), _) => {
                Self { dtype: Dtype::F32, shape: vec![numbers.len()], place: Place::Floats(numbers) }
            }
            (State::Codes(codes), _) => {
                Self { dtype: Dtype::U8, shape: vec![codes.len()], place: Place::Bytes(codes) }
            }
            (State::Tensor(own), tensor) => {
                let tensor = tensor.unwrap_or(own);
                let place = Numbers::of(tensor).map_or(Place::Tensor(tensor), Place::Locked);
                Self { dtype: View::dtype(&tensor), shape: tensor.dims().to_vec(), place }
            }
        }
    }
}

impl View for Saved<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match &self.place {
            Place::Locked(numbers) => little_endian(numbers),
            Place::Floats(numbers) => little_endian(numbers),
            Place::Bytes(bytes) => Cow::Borrowed(bytes),
            Place::Tensor(tensor) => Cow::Owned(View::data(tensor).into_owned()),
        }
    }

    fn data_len(&self) -> usize {
        match &self.place {
            Place::Locked(numbers) => size_of_val::<[f32]>(numbers),
            Place::Floats(numbers) => size_of_val(*numbers),
            Place::Bytes(bytes) => bytes.len(),
            Place::Tensor(tensor) => View::data_len(tensor),
        }
    }
}

/// As files have them.
fn little_endian(numbers: &[f32]) -> Cow<'_, [u8]> {
    match cfg!(target_endian = "little") {
        true => Cow::Borrowed(bytemuck::cast_slice(numbers)),
        false => Cow::Owned(numbers.iter().flat_map(|number| number.to_le_bytes()).collect()),
    }
}

//! Bytes of a file -> f32 values.

use crate::model::ModelError;
use crate::model::error::During;
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Tensor};
use half::{bf16, f16};
use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// A file is read in pieces of this size, so that only the result is as large as the tensor.
const PIECE_BYTES: usize = 1 << 20;

/// Number types that need no dequantisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    F32,
    F16,
    Bf16,
}

impl Plain {
    pub(super) fn num_bytes(self) -> usize {
        if self == Self::F32 { 4 } else { 2 }
    }

    fn extend(self, bytes: &[u8], out: &mut Vec<f32>) {
        let pair = |b: &[u8]| [b[0], b[1]];
        match self {
            Self::F32 => {
                out.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
            }
            Self::F16 => out.extend(bytes.chunks_exact(2).map(|b| f16::from_le_bytes(pair(b)).to_f32())),
            Self::Bf16 => out.extend(bytes.chunks_exact(2).map(|b| bf16::from_le_bytes(pair(b)).to_f32())),
        }
    }
}

pub(super) fn unreadable(path: &Path, e: &std::io::Error) -> ModelError {
    ModelError::of_file(path, e)
}

/// Opens `path` at `offset`, after a check that `num_bytes` are still there.
fn open_at(path: &Path, offset: u64, num_bytes: u64) -> Result<File, ModelError> {
    let open = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(offset))?;
        Ok::<_, std::io::Error>((file, length))
    };
    let (file, length) = open().map_err(|e| unreadable(path, &e))?;
    if offset.checked_add(num_bytes).is_none_or(|end| end > length) {
        return Err(ModelError::Corrupt {
            path: path.into(),
            why: "it became shorter while it was in use".into(),
        });
    }
    Ok(file)
}

/// Reads `count` numbers that begin at `offset`.
pub(super) fn read_plain(
    path: &Path,
    offset: u64,
    count: usize,
    plain: Plain,
) -> Result<Vec<f32>, ModelError> {
    let mut left = count * plain.num_bytes();
    let mut file = open_at(path, offset, left as u64)?;
    let mut out = Vec::with_capacity(count);
    let mut piece = vec![0; left.min(PIECE_BYTES)];
    while left > 0 {
        let part = &mut piece[..left.min(PIECE_BYTES)];
        file.read_exact(part).map_err(|e| unreadable(path, &e))?;
        plain.extend(part, &mut out);
        left -= part.len();
    }
    Ok(out)
}

/// Reads `count` numbers as they are stored.
pub(super) fn read_stored(
    path: &Path,
    offset: u64,
    count: usize,
    dtype: GgmlDType,
) -> Result<Vec<u8>, ModelError> {
    let num_bytes = count / dtype.block_size() * dtype.type_size();
    let mut file = open_at(path, offset, num_bytes as u64)?;
    let mut bytes = vec![0; num_bytes];
    file.read_exact(&mut bytes).map_err(|e| unreadable(path, &e))?;
    Ok(bytes)
}

/// Reads and dequantises `count` numbers in blocks of a GGML type.
pub(super) fn read_quantised(
    path: &Path,
    offset: u64,
    count: usize,
    dtype: GgmlDType,
) -> Result<Vec<f32>, ModelError> {
    let bytes = read_stored(path, offset, count, dtype)?;
    let dequantise = || {
        let storage = QStorage::from_data(Cow::Owned(bytes), &Device::Cpu, dtype)?;
        let tensor: Tensor = QTensor::new(storage, count)?.dequantize(&Device::Cpu)?;
        tensor.to_vec1::<f32>()
    };
    dequantise().during("dequantising a weight")
}

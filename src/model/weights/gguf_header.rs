//! The header of a GGUF file: metadata and the list of tensors.
//!
//! Parsed here and not by candle, whose reader divides by the file's own alignment, keeps 32 bytes for each
//! array element and finds a cut only when a tensor is read. <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>

use super::block::unreadable;
use crate::base::human;
use crate::model::ModelError;
use candle_core::quantized::GgmlDType;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 4] = b"GGUF";
/// Vocabularies with their merges come to 20 MB in the largest models.
const MAX_HEADER_BYTES: u64 = 256 << 20;
const MAX_ELEMENTS: u64 = 1 << 24;
const MAX_ENTRIES: u64 = 1 << 17;
const MAX_NAME_BYTES: u64 = 1 << 16;
const DEFAULT_ALIGNMENT: u64 = 32;

/// A value of the metadata; all whole numbers are i64, all fractions f64.
#[derive(Debug, Clone, PartialEq)]
pub enum GgufValue {
    Integer(i64),
    Number(f64),
    Flag(bool),
    Text(String),
    Integers(Vec<i64>),
    Numbers(Vec<f32>),
    Texts(Vec<String>),
}

impl GgufValue {
    pub fn integer(&self) -> Option<i64> {
        if let Self::Integer(n) = self { Some(*n) } else { None }
    }

    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(x) => Some(*x),
            Self::Integer(n) => Some(*n as f64),
            _ => None,
        }
    }

    pub fn flag(&self) -> Option<bool> {
        if let Self::Flag(b) = self { Some(*b) } else { None }
    }

    pub fn text(&self) -> Option<&str> {
        if let Self::Text(s) = self { Some(s) } else { None }
    }

    pub fn integers(&self) -> Option<&[i64]> {
        if let Self::Integers(v) = self { Some(v) } else { None }
    }

    pub fn texts(&self) -> Option<&[String]> {
        if let Self::Texts(v) = self { Some(v) } else { None }
    }
}

/// A tensor of the file, under its GGUF name.
#[derive(Debug, Clone)]
pub struct GgufTensor {
    /// Outermost first, matrices as [out, in].
    pub shape: Vec<usize>,
    pub dtype: GgmlDType,
    /// From the start of the file.
    pub offset: u64,
}

/// All that a GGUF file says before its data.
#[derive(Debug)]
pub struct GgufHeader {
    pub path: PathBuf,
    pub num_bytes: u64,
    metadata: BTreeMap<String, GgufValue>,
    tensors: BTreeMap<String, GgufTensor>,
}

impl GgufHeader {
    /// Reads the header and checks that the data of every tensor is there.
    ///
    /// # Errors
    /// [`ModelError::Corrupt`] for a header that is cut off or lies, [`ModelError::Tensor`] for a tensor that ends
    /// after the file or has a type that cannot be read.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let file = File::open(path).map_err(|e| unreadable(path, &e))?;
        let num_bytes = file.metadata().map_err(|e| unreadable(path, &e))?.len();
        let mut reader = Reader {
            path,
            file: BufReader::new(file),
            at: 0,
            end: num_bytes.min(MAX_HEADER_BYTES),
            elements: 0,
        };
        let mut magic = [0; 4];
        if num_bytes < 4 || reader.fill(&mut magic).is_err() || &magic != MAGIC {
            return Err(reader.corrupt("it does not begin as a GGUF file does"));
        }
        let version = reader.u32()?;
        if !(2..=3).contains(&version) {
            return Err(reader.corrupt(&format!("it has version {version}; supported are 2 and 3")));
        }
        let (num_tensors, num_values) = (reader.count(MAX_ENTRIES, 24)?, reader.count(MAX_ENTRIES, 13)?);
        let mut metadata = BTreeMap::new();
        for _ in 0..num_values {
            let key = reader.text(MAX_NAME_BYTES)?;
            let kind = reader.u32()?;
            metadata.insert(key, reader.value(kind)?);
        }
        let mut tensors = BTreeMap::new();
        for _ in 0..num_tensors {
            let (name, tensor) = reader.tensor()?;
            tensors.insert(name, tensor);
        }
        let alignment = match metadata.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(value) => value
                .integer()
                .and_then(|n| u64::try_from(n).ok())
                .filter(|n| (1..=1 << 16).contains(n) && n.is_multiple_of(8))
                .ok_or_else(|| reader.corrupt("its alignment makes no sense"))?,
        };
        let data_start = reader.at.next_multiple_of(alignment);
        for (name, tensor) in &mut tensors {
            place(path, name, tensor, data_start, num_bytes)?;
        }
        Ok(Self { path: path.into(), num_bytes, metadata, tensors })
    }

    pub fn value(&self, key: &str) -> Option<&GgufValue> {
        self.metadata.get(key)
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.value(key).and_then(GgufValue::text)
    }

    /// By its GGUF name, `blk.0.attn_q.weight`.
    pub fn tensor(&self, name: &str) -> Option<&GgufTensor> {
        self.tensors.get(name)
    }

    pub fn tensors(&self) -> impl Iterator<Item = (&str, &GgufTensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }
}

/// Turns the offset in the data into one in the file and checks that the tensor ends inside it.
fn place(
    path: &Path,
    name: &str,
    tensor: &mut GgufTensor,
    data_start: u64,
    num_bytes: u64,
) -> Result<(), ModelError> {
    let wrong = |why: String| ModelError::Tensor { path: path.into(), tensor: human::elide(name, 120), why };
    let count = tensor.shape.iter().try_fold(1u64, |n, size| n.checked_mul(*size as u64));
    let block = tensor.dtype.block_size() as u64;
    let row = tensor.shape.last().copied().unwrap_or(1) as u64;
    let (Some(count), true) = (count, row.is_multiple_of(block)) else {
        return Err(wrong(format!(
            "has a shape that {} cannot hold: {:?}",
            dtype_name(tensor.dtype),
            tensor.shape
        )));
    };
    tensor.offset = tensor.offset.saturating_add(data_start);
    let end = (count / block).checked_mul(tensor.dtype.type_size() as u64);
    if end.and_then(|n| n.checked_add(tensor.offset)).is_none_or(|end| end > num_bytes) {
        return Err(wrong(format!("ends after the file does, which has {num_bytes} bytes: it is cut off")));
    }
    Ok(())
}

/// The name by which people know a type: `Q4_K`, `BF16`.
pub(super) fn dtype_name(dtype: GgmlDType) -> String {
    let name = format!("{dtype:?}");
    match name.strip_suffix('K') {
        Some(bits) if !bits.ends_with('_') => format!("{bits}_K"),
        _ => name,
    }
}

fn dtype_of(code: u32) -> Option<GgmlDType> {
    Some(match code {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        30 => GgmlDType::BF16,
        _ => return None,
    })
}

/// Names of types that exist and are not read here.
fn foreign_dtype(code: u32) -> String {
    let names = ["IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS"];
    match code {
        16..=23 => names[code as usize - 16].into(),
        29 => "IQ1_M".into(),
        39 => "MXFP4".into(),
        _ => format!("type {code}"),
    }
}

/// Reads forward with a limit, so that no length in the file is believed before it is checked.
struct Reader<'a> {
    path: &'a Path,
    file: BufReader<File>,
    at: u64,
    end: u64,
    elements: u64,
}

impl Reader<'_> {
    fn corrupt(&self, why: &str) -> ModelError {
        ModelError::Corrupt { path: self.path.into(), why: why.into() }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ModelError> {
        if bytes.len() as u64 > self.end - self.at {
            return Err(self.corrupt("its header is cut off or claims too much"));
        }
        self.at += bytes.len() as u64;
        self.file.read_exact(bytes).map_err(|e| unreadable(self.path, &e))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, ModelError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ModelError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number of things of at least `least_bytes` each.
    fn count(&mut self, most: u64, least_bytes: u64) -> Result<u64, ModelError> {
        let n = self.u64()?;
        if n > most || n.saturating_mul(least_bytes) > self.end - self.at {
            return Err(self.corrupt(&format!("its header claims {n} entries, for which it has no room")));
        }
        Ok(n)
    }

    fn text(&mut self, most: u64) -> Result<String, ModelError> {
        let n = self.count(most, 1)?;
        let mut bytes = vec![0; n as usize];
        self.fill(&mut bytes)?;
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        Ok(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
        })
    }

    fn value(&mut self, kind: u32) -> Result<GgufValue, ModelError> {
        Ok(match kind {
            0..=5 | 10 | 11 => GgufValue::Integer(self.integer(kind)?),
            6 => GgufValue::Number(decimal(self.f32()?)),
            12 => GgufValue::Number(self.array().map(f64::from_le_bytes)?),
            7 => GgufValue::Flag(self.array::<1>()? != [0]),
            8 => GgufValue::Text(self.text(MAX_HEADER_BYTES)?),
            9 => self.values()?,
            other => {
                return Err(self.corrupt(&format!("its metadata has a value of the unknown kind {other}")));
            }
        })
    }

    fn f32(&mut self) -> Result<f32, ModelError> {
        self.array().map(f32::from_le_bytes)
    }

    fn integer(&mut self, kind: u32) -> Result<i64, ModelError> {
        Ok(match kind {
            0 => i64::from(u8::from_le_bytes(self.array()?)),
            1 => i64::from(i8::from_le_bytes(self.array()?)),
            2 => i64::from(u16::from_le_bytes(self.array()?)),
            3 => i64::from(i16::from_le_bytes(self.array()?)),
            4 => i64::from(self.u32()?),
            5 => i64::from(i32::from_le_bytes(self.array()?)),
            10 => i64::try_from(self.u64()?).unwrap_or(i64::MAX),
            _ => i64::from_le_bytes(self.array()?),
        })
    }

    fn values(&mut self) -> Result<GgufValue, ModelError> {
        let kind = self.u32()?;
        let least_bytes = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            9 => return Err(self.corrupt("its metadata has arrays inside arrays")),
            other => {
                return Err(self.corrupt(&format!("its metadata has an array of the unknown kind {other}")));
            }
        };
        let n = self.count(MAX_ELEMENTS - self.elements, least_bytes)?;
        self.elements += n;
        Ok(match kind {
            6 => GgufValue::Numbers((0..n).map(|_| self.f32()).collect::<Result<_, _>>()?),
            12 => {
                let one = |_| self.array().map(|bytes| f64::from_le_bytes(bytes) as f32);
                GgufValue::Numbers((0..n).map(one).collect::<Result<_, _>>()?)
            }
            7 => GgufValue::Integers((0..n).map(|_| self.integer(0)).collect::<Result<_, _>>()?),
            8 => GgufValue::Texts((0..n).map(|_| self.text(MAX_NAME_BYTES)).collect::<Result<_, _>>()?),
            _ => GgufValue::Integers((0..n).map(|_| self.integer(kind)).collect::<Result<_, _>>()?),
        })
    }

    fn tensor(&mut self) -> Result<(String, GgufTensor), ModelError> {
        let name = self.text(MAX_NAME_BYTES)?;
        let num_dims = self.u32()?;
        let wrong = |path: &Path, why: String| ModelError::Tensor {
            path: path.into(),
            tensor: human::elide(&name, 120),
            why,
        };
        if num_dims > 4 {
            return Err(wrong(self.path, format!("has {num_dims} dimensions; at most 4 are possible")));
        }
        let mut shape = Vec::with_capacity(num_dims as usize);
        for _ in 0..num_dims {
            let size = self.u64()?;
            shape.push(usize::try_from(size).map_err(|_| wrong(self.path, format!("has a side of {size}")))?);
        }
        shape.reverse();
        let code = self.u32()?;
        let offset = self.u64()?;
        let dtype = dtype_of(code).ok_or_else(|| {
            wrong(self.path, format!("is stored as {}, which cannot be read", foreign_dtype(code)))
        })?;
        Ok((name, GgufTensor { shape, dtype, offset }))
    }
}

/// The decimal number that was meant: 1e-5 stored as f32 is 1e-5 again, not 9.99999974e-6.
fn decimal(x: f32) -> f64 {
    x.to_string().parse().unwrap_or_else(|_| f64::from(x))
}

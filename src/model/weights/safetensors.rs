//! A folder of safetensors files: one, or shards with `model.safetensors.index.json`.
//!
//! The header is parsed here and not by the `safetensors` crate, so that an error can name the tensor.

use super::block::{Plain, read_plain, read_stored, unreadable};
use crate::base::human;
use crate::base::storage::{read_text_bounded, stays_inside};
use crate::model::ModelError;
use candle_core::quantized::GgmlDType;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Real headers and indices are below 10 MB.
const MAX_HEADER_BYTES: u64 = 64 << 20;
const MAX_SHARDS: usize = 4_096;

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    num_bytes: u64,
}

/// Where a tensor lies.
#[derive(Debug)]
struct Place {
    shard: usize,
    dtype: String,
    shape: Vec<usize>,
    offset: u64,
}

/// The tensors of a model folder.
#[derive(Debug)]
pub struct Safetensors {
    folder: PathBuf,
    shards: Vec<Shard>,
    tensors: BTreeMap<String, Place>,
}

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "__metadata__", default)]
    _metadata: serde::de::IgnoredAny,
    #[serde(flatten)]
    tensors: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Safetensors {
    /// Reads the headers of the weights in `folder`.
    ///
    /// # Errors
    /// [`ModelError::Missing`] for absent files, [`ModelError::Corrupt`] for a header or an index that lies.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let mut out = Self { folder: folder.into(), shards: Vec::new(), tensors: BTreeMap::new() };
        if folder.join(SINGLE).exists() {
            out.add(folder.join(SINGLE), None)?;
        } else if folder.join(INDEX).exists() {
            out.add_indexed(&folder.join(INDEX))?;
        } else {
            return Err(nothing_to_open(folder));
        }
        Ok(out)
    }

    fn add_indexed(&mut self, path: &Path) -> Result<(), ModelError> {
        let corrupt = |why: String| ModelError::Corrupt { path: path.into(), why };
        let text = read_text_bounded(path, MAX_HEADER_BYTES).map_err(|e| unreadable(path, &e))?;
        let index: Index = serde_json::from_str(&text).map_err(|e| corrupt(format!("not an index: {e}")))?;
        let mut shards = BTreeMap::<&str, BTreeSet<&str>>::new();
        for (tensor, file) in &index.weight_map {
            if !stays_inside(file) {
                let why =
                    format!("tensor {tensor} points outside the folder, at {}", human::elide(file, 120));
                return Err(corrupt(why));
            }
            shards.entry(file).or_default().insert(tensor);
        }
        if shards.len() > MAX_SHARDS {
            return Err(corrupt(format!("it names {} files; at most {MAX_SHARDS} are read", shards.len())));
        }
        for (file, tensors) in shards {
            self.add(self.folder.join(file), Some(&tensors))?;
        }
        Ok(())
    }

    /// Adds the tensors of one file; with `listed` only those, all of which must be there.
    fn add(&mut self, path: PathBuf, listed: Option<&BTreeSet<&str>>) -> Result<(), ModelError> {
        if !path.exists() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Err(ModelError::Missing { path, what: format!("the file {name}") });
        }
        let (header, data_start, num_bytes) = read_header(&path)?;
        let shard = self.shards.len();
        if let Some(name) = listed.and_then(|names| names.iter().find(|n| !header.tensors.contains_key(**n)))
        {
            return Err(ModelError::Missing { path, what: format!("tensor {name}") });
        }
        for (name, entry) in header.tensors {
            if listed.is_none_or(|names| names.contains(name.as_str())) {
                let place = Place {
                    shard,
                    dtype: entry.dtype,
                    shape: entry.shape,
                    offset: data_start + entry.data_offsets[0],
                };
                self.tensors.insert(modern(name), place);
            }
        }
        self.shards.push(Shard { path, num_bytes });
        Ok(())
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.tensors.keys().map(String::as_str).collect()
    }

    /// Where a tensor lies. Files of a model without its head (GPT-2's, for one) leave the first word of names out.
    fn place(&self, name: &str) -> Option<&Place> {
        let without_first_word = || self.tensors.get(name.split_once('.')?.1);
        self.tensors.get(name).or_else(without_first_word)
    }

    pub(super) fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.place(name).map(|place| place.shape.clone())
    }

    pub(super) fn dtype(&self, name: &str) -> Option<String> {
        self.place(name).map(|place| place.dtype.clone())
    }

    pub(super) fn is_supported(&self, name: &str) -> bool {
        self.place(name).is_some_and(|place| plain(&place.dtype).is_some())
    }

    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        match (self.place(name), self.shards.as_slice()) {
            (Some(place), shards) => shards[place.shard].path.clone(),
            (None, [only]) => only.path.clone(),
            (None, _) => self.folder.clone(),
        }
    }

    pub(super) fn files(&self) -> Vec<(PathBuf, u64)> {
        self.shards.iter().map(|shard| (shard.path.clone(), shard.num_bytes)).collect()
    }

    /// A tensor's bytes as they are stored, and what they mean; `None` for types without a packed form.
    pub(super) fn read_stored(&self, name: &str) -> Result<Option<(Vec<u8>, GgmlDType)>, ModelError> {
        let Some(place) = self.place(name) else { return Ok(None) };
        let dtype = match plain(&place.dtype) {
            Some(Plain::F16) => GgmlDType::F16,
            Some(Plain::Bf16) => GgmlDType::BF16,
            Some(Plain::F32) | None => return Ok(None),
        };
        let bytes = read_stored(&self.path_of(name), place.offset, place.shape.iter().product(), dtype)?;
        Ok(Some((bytes, dtype)))
    }

    pub(super) fn read(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let (path, place, plain) = self.found(name)?;
        read_plain(&path, place.offset, place.shape.iter().product(), plain)
    }

    /// Single numbers of a tensor.
    pub(super) fn values_at(&self, name: &str, places: &[usize]) -> Result<Vec<f32>, ModelError> {
        let (path, place, plain) = self.found(name)?;
        let mut values = Vec::new();
        for at in places {
            values.extend(read_plain(&path, place.offset + (at * plain.num_bytes()) as u64, 1, plain)?);
        }
        Ok(values)
    }

    fn found(&self, name: &str) -> Result<(PathBuf, &Place, Plain), ModelError> {
        let path = self.path_of(name);
        let Some(place) = self.place(name) else {
            return Err(ModelError::Missing { path, what: format!("tensor {name}") });
        };
        let Some(plain) = plain(&place.dtype) else {
            let why = format!("is stored as {}; supported are F32, F16 and BF16", place.dtype);
            return Err(ModelError::Tensor { path, tensor: name.into(), why });
        };
        Ok((path, place, plain))
    }
}

/// Early BERTs call a norm's numbers otherwise.
fn modern(name: String) -> String {
    for (old, new) in [(".LayerNorm.gamma", ".LayerNorm.weight"), (".LayerNorm.beta", ".LayerNorm.bias")] {
        if let Some(path) = name.strip_suffix(old) {
            return format!("{path}{new}");
        }
    }
    name
}

fn nothing_to_open(folder: &Path) -> ModelError {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let is_pickle = |name: &String| {
        [".bin", ".bin.index.json", ".pt", ".pth", ".ckpt"].iter().any(|end| name.ends_with(end))
    };
    // The same one every time.
    match names.map(|name| name.to_string_lossy().into_owned()).filter(is_pickle).min() {
        Some(file) => ModelError::Pickle { path: folder.into(), file: human::elide(&file, 80) },
        None => ModelError::Missing { path: folder.into(), what: SINGLE.into() },
    }
}

fn plain(dtype: &str) -> Option<Plain> {
    match dtype {
        "F32" => Some(Plain::F32),
        "F16" => Some(Plain::F16),
        "BF16" => Some(Plain::Bf16),
        _ => None,
    }
}

fn element_bytes(dtype: &str) -> Option<u64> {
    match dtype {
        "F64" | "I64" | "U64" => Some(8),
        "F32" | "I32" | "U32" => Some(4),
        "F16" | "BF16" | "I16" | "U16" => Some(2),
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" => Some(1),
        _ => None,
    }
}

/// The header, where the data starts and how long the file is: 8 bytes of length, JSON, data without gaps.
fn read_header(path: &Path) -> Result<(Header, u64, u64), ModelError> {
    let corrupt = |why: String| ModelError::Corrupt { path: path.into(), why };
    let mut file = File::open(path).map_err(|e| unreadable(path, &e))?;
    let num_bytes = file.metadata().map_err(|e| unreadable(path, &e))?.len();
    let mut length = [0; 8];
    if num_bytes < 8 {
        return Err(corrupt(format!("it has {} where a header must be", human::plural(num_bytes, "byte"))));
    }
    file.read_exact(&mut length).map_err(|e| unreadable(path, &e))?;
    let length = u64::from_le_bytes(length);
    if length > num_bytes - 8 || length > MAX_HEADER_BYTES {
        let why = format!("its header claims {length} bytes of a file of {}", human::bytes(num_bytes));
        return Err(corrupt(why));
    }
    let mut text = vec![0; length as usize];
    file.read_exact(&mut text).map_err(|e| unreadable(path, &e))?;
    let header: Header =
        serde_json::from_slice(&text).map_err(|e| corrupt(format!("its header is not readable: {e}")))?;
    check_entries(path, &header, num_bytes - 8 - length)?;
    Ok((header, 8 + length, num_bytes))
}

/// Every tensor as long as its shape says, one after the other, up to the end of the file.
fn check_entries(path: &Path, header: &Header, data_bytes: u64) -> Result<(), ModelError> {
    let mut spans = Vec::with_capacity(header.tensors.len());
    for (name, entry) in &header.tensors {
        let wrong =
            |why: String| ModelError::Tensor { path: path.into(), tensor: human::elide(name, 120), why };
        let [start, end] = entry.data_offsets;
        if start > end || end > data_bytes {
            let why = format!(
                "lies at bytes {start} to {end} of {data_bytes}: the file is cut off or its header is wrong"
            );
            return Err(wrong(why));
        }
        let count = entry.shape.iter().try_fold(1u64, |n, size| n.checked_mul(*size as u64));
        if let Some(size) = element_bytes(&entry.dtype)
            && count.and_then(|n| n.checked_mul(size)) != Some(end - start)
        {
            let why =
                format!("has {} bytes, which is not {} of shape {:?}", end - start, entry.dtype, entry.shape);
            return Err(wrong(why));
        }
        spans.push((start, end, name));
    }
    spans.sort_unstable();
    let mut at = 0;
    for (start, end, name) in spans {
        if start != at {
            let why = format!("begins at byte {start} of the data where {at} is expected");
            return Err(ModelError::Tensor { path: path.into(), tensor: human::elide(name, 120), why });
        }
        at = end;
    }
    if at != data_bytes {
        let why = format!("its tensors end at byte {at} of {data_bytes}");
        return Err(ModelError::Corrupt { path: path.into(), why });
    }
    Ok(())
}

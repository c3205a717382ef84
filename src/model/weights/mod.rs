//! Weights on disk, by their Hugging Face names, whatever the file is.
//!
//! Opening reads headers only and checks them against the length of the file; [`Weights::check`] compares
//! them with the config; only [`Weights::read`] allocates, one tensor at a time. Files are read, not mapped:
//! a file that is cut while it is open becomes an error and not a signal that ends the process.

mod block;
mod finite;
mod gguf;
mod gguf_header;
mod safetensors;
mod save;

use finite::are_finite;
pub use gguf::Gguf;
pub use gguf_header::{GgufHeader, GgufTensor, GgufValue};
pub use safetensors::Safetensors;
pub use save::{save_in_turn, save_safetensors, save_state};

use super::ModelError;
use super::config::{DecoderConfig, Form, Needed};
use super::error::During;
use crate::base::Precision;
use crate::nn::Weight;
use crate::nn::kernels::Packed;
use candle_core::quantized::GgmlDType;
use candle_core::{Device, Tensor};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// What blocks a precision asks for, whatever the file holds; `None` for f32.
pub fn blocks_of(precision: Precision) -> Option<GgmlDType> {
    match precision {
        Precision::F32 | Precision::Stored => None,
        Precision::Bf16 => Some(GgmlDType::BF16),
        Precision::Q8_0 => Some(GgmlDType::Q8_0),
        Precision::Q5_0 => Some(GgmlDType::Q5_0),
        Precision::Q4_0 => Some(GgmlDType::Q4_0),
    }
}

/// The weights of one model.
#[derive(Debug)]
pub enum Weights {
    /// A folder with `model.safetensors`, or with shards and their index.
    Safetensors(Safetensors),
    /// One GGUF file.
    Gguf(Gguf),
}

impl Weights {
    /// Opens a folder in Hugging Face's layout or a GGUF file. Reads headers only.
    ///
    /// # Errors
    /// [`ModelError`] when a file is missing, truncated or damaged.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        if path.is_dir() {
            Safetensors::open(path).map(Self::Safetensors)
        } else {
            Gguf::open(path).map(Self::Gguf)
        }
    }

    /// Hugging Face names, sorted.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Safetensors(files) => files.names(),
            Self::Gguf(file) => file.names(),
        }
    }

    /// Matrices as [out, in].
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        match self {
            Self::Safetensors(files) => files.shape(name),
            Self::Gguf(file) => file.shape(name),
        }
    }

    /// How a tensor is stored: `BF16`, `F32`, `Q4_1`…
    pub fn dtype(&self, name: &str) -> Option<String> {
        match self {
            Self::Safetensors(files) => files.dtype(name),
            Self::Gguf(file) => file.dtype(name),
        }
    }

    /// The file that holds a tensor; the folder or file itself for a tensor that is not there.
    pub fn path_of(&self, name: &str) -> PathBuf {
        match self {
            Self::Safetensors(files) => files.path_of(name),
            Self::Gguf(file) => file.path().to_path_buf(),
        }
    }

    /// Name and size in bytes of each file with weights.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        match self {
            Self::Safetensors(files) => files.files(),
            Self::Gguf(file) => vec![(file.path().to_path_buf(), file.num_bytes())],
        }
    }

    /// By what the weights can be known again: a hash of every file's length and of pages spread over it, so that
    /// another tuning of the same model is seen without reading gigabytes.
    ///
    /// # Errors
    /// [`ModelError::Unreadable`].
    pub fn fingerprint(&self) -> Result<String, ModelError> {
        const PAGES: u64 = 256;
        const PAGE_BYTES: u64 = 4096;
        let mut hasher = blake3::Hasher::new();
        for (path, num_bytes) in self.files() {
            let mut add = || -> std::io::Result<()> {
                let mut file = std::fs::File::open(&path)?;
                hasher.update(&num_bytes.to_le_bytes());
                let mut page = Vec::new();
                for i in 0..PAGES {
                    file.seek(SeekFrom::Start(num_bytes / PAGES * i))?;
                    page.clear();
                    (&file).take(PAGE_BYTES).read_to_end(&mut page)?;
                    hasher.update(&page);
                }
                Ok(())
            };
            add().map_err(|e| ModelError::Unreadable { path: path.clone(), why: e.to_string() })?;
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// Whether all matrices are in f32 or in blocks that can be multiplied as they are, so that nothing is gained by widening them
    /// for answers.
    pub fn are_quick_as_stored(&self) -> bool {
        let is_matrix = |name: &&str| self.shape(name).is_some_and(|shape| shape.len() == 2);
        self.names().into_iter().filter(is_matrix).all(|name| match self {
            Self::Safetensors(_) => true,
            Self::Gguf(file) => file.ggml_dtype(name).is_some_and(Packed::multiplies),
        })
    }

    /// Reads a tensor as f32, dequantised where needed.
    ///
    /// # Errors
    /// [`ModelError::Missing`], [`ModelError::Tensor`] for a type that is not supported or for values that are not
    /// finite, [`ModelError::Unreadable`] when the file has changed or cannot be read.
    pub fn read(&self, name: &str, device: &Device) -> Result<Tensor, ModelError> {
        let missing = || ModelError::Missing { path: self.path_of(name), what: format!("tensor {name}") };
        let shape = self.shape(name).ok_or_else(missing)?;
        let values = match self {
            Self::Safetensors(files) => files.read(name)?,
            Self::Gguf(file) => file.read(name)?,
        };
        if !values.iter().all(|x| x.is_finite()) {
            return Err(self.not_finite(name));
        }
        Tensor::from_vec(values, shape, device).during("placing a weight on the device")
    }

    /// The numbers of a tensor at these places of its file, where all kinds of files keep them as they were: any of a folder, vectors of
    /// a GGUF file.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn plain_values(&self, name: &str, places: &[usize]) -> Result<Option<Vec<f32>>, ModelError> {
        match self {
            Self::Safetensors(files) => files.values_at(name, places).map(Some),
            Self::Gguf(file) if file.shape(name).is_some_and(|shape| shape.len() == 1) => {
                let values = file.read(name)?;
                Ok(places.iter().map(|place| values.get(*place).copied()).collect())
            }
            Self::Gguf(_) => Ok(None),
        }
    }

    /// Reads a tensor as the forward pass wants it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn values(&self, needed: &Needed, device: &Device) -> Result<Tensor, ModelError> {
        self.form(needed).from_file(&self.read(&needed.name, device)?).during("bringing a weight into order")
    }

    /// How a tensor of these files differs from what the forward pass reads: llama.cpp stores every family as that does.
    fn form(&self, needed: &Needed) -> Form {
        match self {
            Self::Safetensors(_) => needed.form,
            Self::Gguf(_) => Form::default(),
        }
    }

    /// Reads a matrix [o, i] to keep it in `precision`.
    ///
    /// # Errors
    /// As [`Self::read`]; and [`ModelError::Tensor`] for a matrix whose rows are no whole number of blocks.
    pub fn weight(
        &self,
        needed: &Needed,
        precision: Precision,
        device: &Device,
    ) -> Result<Weight, ModelError> {
        let name = needed.name.as_str();
        let mut blocks = blocks_of(precision);
        if precision == Precision::Stored {
            if self.form(needed) == Form::default() {
                if let Some(packed) = self.stored(name, device)? {
                    return Ok(Weight::Packed(packed));
                }
            } else {
                blocks = self.half_of(name);
            }
        }
        let dense = self.values(needed, device)?;
        let width = dense.dims().last().copied().unwrap_or(0);
        match blocks {
            None => Ok(dense.into()),
            Some(dtype) if width.is_multiple_of(dtype.block_size()) => {
                Ok(Weight::Packed(Packed::quantise(&dense, dtype).during("quantising a weight")?))
            }
            Some(dtype) => {
                let why =
                    format!("has rows of {width} numbers, which are no whole number of {dtype:?} blocks");
                Err(ModelError::Tensor { path: self.path_of(name), tensor: name.into(), why })
            }
        }
    }

    /// The half precision that a tensor is stored in, if it is: numbers brought into another order lose nothing in it.
    fn half_of(&self, name: &str) -> Option<GgmlDType> {
        match self.dtype(name)?.as_str() {
            "BF16" => Some(GgmlDType::BF16),
            "F16" => Some(GgmlDType::F16),
            _ => None,
        }
    }

    /// The blocks of the file; `None` where they are plain f32.
    fn stored(&self, name: &str, device: &Device) -> Result<Option<Packed>, ModelError> {
        let found = match self {
            Self::Safetensors(files) => files.read_stored(name)?,
            Self::Gguf(file) => Some(file.read_stored(name)?).filter(|(_, dtype)| *dtype != GgmlDType::F32),
        };
        let (Some((bytes, dtype)), Some(&[rows, width])) =
            (found, self.shape(name).as_deref().and_then(|s| s.as_array()))
        else {
            return Ok(None);
        };
        if !are_finite(&bytes, dtype) {
            return Err(self.not_finite(name));
        }
        Packed::new(&bytes, dtype, [rows, width], device).during("keeping a weight in blocks").map(Some)
    }

    fn not_finite(&self, name: &str) -> ModelError {
        let why = "holds values that are not finite numbers".into();
        ModelError::Tensor { path: self.path_of(name), tensor: name.into(), why }
    }

    /// Whether every tensor that the model needs is there, with the right shape and a type that can be read.
    /// Allocates nothing by what the files say.
    pub fn check(&self, config: &DecoderConfig) -> Result<(), ModelError> {
        for needed in config.tensors() {
            let expected = Needed { form: self.form(&needed), ..needed.clone() }.stored_shape();
            let name = needed.name;
            let path = self.path_of(&name);
            let Some(got) = self.shape(&name) else {
                return Err(ModelError::Missing { path, what: format!("tensor {name}") });
            };
            if got != expected {
                return Err(ModelError::Shape { path, tensor: name, expected, got });
            }
            let (is_supported, supported) = match self {
                Self::Safetensors(files) => (files.is_supported(&name), "F32, F16 and BF16"),
                // Types that GGUF files may have but that cannot be read end the opening already.
                Self::Gguf(_) => (true, ""),
            };
            if !is_supported {
                let why = format!(
                    "is stored as {}; supported are {supported}",
                    self.dtype(&name).unwrap_or_default()
                );
                return Err(ModelError::Tensor { path, tensor: name, why });
            }
        }
        Ok(())
    }

    /// How most of the values of `config`'s tensors are stored.
    pub fn main_dtype(&self, config: &DecoderConfig) -> String {
        let mut totals = std::collections::BTreeMap::<String, usize>::new();
        for Needed { name, shape, .. } in config.tensors() {
            *totals.entry(self.dtype(&name).unwrap_or_default()).or_default() +=
                shape.iter().product::<usize>();
        }
        totals.into_iter().max_by_key(|(_, n)| *n).map(|(dtype, _)| dtype).unwrap_or_default()
    }
}

//! Safetensors files, written.

use crate::base::storage;
use crate::model::ModelError;
use candle_core::{Device, Tensor};
use std::collections::HashMap;
use std::io::{Error, Write};
use std::path::Path;

/// Writes named tensors as one safetensors file, whole or not at all.
pub fn save_safetensors(named: &[(String, Tensor)], path: &Path) -> Result<(), ModelError> {
    let metadata = Some(HashMap::from([("format".to_string(), "pt".to_string())]));
    let write = || -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let mut views = Vec::new();
        for (name, tensor) in named {
            views.push((name.as_str(), tensor.to_device(&Device::Cpu)?.contiguous()?));
        }
        Ok(safetensors::serialize(views.iter().map(|(n, t)| (*n, t)), metadata)?)
    };
    let failed = |source| ModelError::Write { path: path.to_path_buf(), source };
    let bytes = write().map_err(|e| failed(Error::other(e.to_string())))?;
    storage::write_atomic(path, |out| out.write_all(&bytes)).map_err(failed)
}

//! From the device a person asked for to the one that computes.

use super::ModelError;
use crate::base::DeviceChoice;
use candle_core::{DType, Device, Tensor};
use std::sync::OnceLock;

/// Opens the device, or says why it is not there.
pub fn open(choice: DeviceChoice) -> Result<Device, ModelError> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda => cuda(),
        DeviceChoice::Metal => metal(),
        DeviceChoice::Auto => Ok(cuda().or_else(|_| metal()).unwrap_or(Device::Cpu)),
    }
}

/// What a model computes in there: f32 on the CPU, bf16 on other devices, if they know it (NVIDIA's before 2020 don't).
pub fn compute_dtype(device: &Device) -> DType {
    let knows_bf16 = || -> candle_core::Result<()> {
        let x = Tensor::ones((8, 8), DType::BF16, device)?;
        x.matmul(&x)?.exp()?.to_dtype(DType::F32)?.to_vec2::<f32>().map(drop)
    };
    if !device.is_cpu() && knows_bf16().is_ok() { DType::BF16 } else { DType::F32 }
}

/// Whether this build and machine have an NVIDIA card that can be used. Asked once: opening one takes a while.
pub fn has_cuda() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| cuda().is_ok())
}

/// Whether this build and machine have Metal.
pub fn has_metal() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| metal().is_ok())
}

/// "CPU, 2 threads", "CUDA", "Metal".
pub fn describe(device: &Device) -> String {
    let choice = match device {
        Device::Cpu => DeviceChoice::Cpu,
        Device::Cuda(_) => DeviceChoice::Cuda,
        Device::Metal(_) => DeviceChoice::Metal,
    };
    choice.describe(crate::base::hardware::num_threads())
}

/// In one line: below it, candle tells where in the program the error arose when RUST_BACKTRACE asks for that.
#[cfg(any(feature = "cuda", feature = "metal"))]
fn not_there(name: &str, error: &candle_core::Error) -> ModelError {
    let why = error.to_string();
    ModelError::Device(format!("no {name} device: {}", why.lines().next().unwrap_or_default()))
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<Device, ModelError> {
    let device = Device::new_cuda(0).map_err(|e| not_there("CUDA", &e))?;
    if let Device::Cuda(cuda) = &device {
        // SAFETY: all tensors of this device live on the one compute thread, on one stream.
        unsafe { cuda.disable_event_tracking() };
    }
    Ok(device)
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<Device, ModelError> {
    Err(ModelError::Device("this build has no CUDA: build it with --features cuda".into()))
}

#[cfg(feature = "metal")]
fn metal() -> Result<Device, ModelError> {
    Device::new_metal(0).map_err(|e| not_there("Metal", &e))
}

#[cfg(not(feature = "metal"))]
fn metal() -> Result<Device, ModelError> {
    Err(ModelError::Device("this build has no Metal: build it on a Mac with --features metal".into()))
}

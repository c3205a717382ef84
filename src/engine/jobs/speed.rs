//! How fast this machine multiplies matrices: measured once for each device, then remembered beside the models.

use crate::base::{DeviceChoice, Failure, hardware, places, storage};
use crate::model::device;
use crate::nn::peak;
use crate::recipe::plan::Speed;
use std::collections::BTreeMap;
use std::path::PathBuf;

const MAX_BYTES: u64 = 1 << 16;

fn file() -> PathBuf {
    places::data_folder().join("speed.json")
}

/// Another machine may share the folder, and another number of threads is another speed.
fn key(device: DeviceChoice) -> String {
    let machine = hardware::host_name().unwrap_or_default();
    format!("{machine}: {}", device.describe(hardware::num_threads()))
}

/// FLOPs a second by device. A file that cannot be read is the same as none: it can be measured again.
fn remembered() -> BTreeMap<String, f64> {
    let text = storage::read_text_bounded(&file(), MAX_BYTES).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn best_device() -> DeviceChoice {
    DeviceChoice::Auto.resolved(device::has_cuda(), device::has_metal())
}

/// What was measured before of the device that is taken when none is named.
pub fn known() -> Option<Speed> {
    let device = best_device();
    let flops_per_second = remembered().get(&key(device)).copied().filter(|f| f.is_finite() && *f > 0.0)?;
    Some(Speed { device, flops_per_second })
}

/// As [`known`], measured where it is not: for two seconds at most, on the thread that computes.
pub fn measured() -> Result<Speed, Failure> {
    if let Some(speed) = known() {
        return Ok(speed);
    }
    let device = best_device();
    let open = device::open(device)?;
    let flops_per_second = peak::flops_per_second(&open, device::compute_dtype(&open)).map_err(|error| {
        Failure::new("Cannot measure the machine", error.to_string(), "Estimates of time stay rough.")
    })?;
    let speed = Speed { device, flops_per_second };
    remember(speed);
    Ok(speed)
}

/// Replaces what is known of a device: it may have been busy when it was measured.
pub fn remember(speed: Speed) {
    let mut all = remembered();
    all.insert(key(speed.device), speed.flops_per_second);
    let text = serde_json::to_vec_pretty(&all).unwrap_or_default();
    // Where it cannot be kept it is measured again the next time.
    let _kept = std::fs::create_dir_all(places::data_folder())
        .and_then(|()| storage::write_atomic_bytes(&file(), &text));
}

//! The memory of the process held against the run's limit, so that the run gives in before the system ends it.

use super::TrainError;
use crate::base::human;
use std::cell::Cell;
use std::fmt;

/// What a device's library says when it has no room, in lower case: CUDA, its library of products, and Metal, of a buffer and of
/// a command.
const NO_ROOM: [&str; 5] = [
    "out of memory",
    "out_of_memory",
    "cublas_status_alloc_failed",
    "failed to create metal resource",
    "callbackerroroutofmemory",
];

/// What it says when the device stopped working, after which nothing of this process can be computed there (errors that the
/// manual of CUDA's driver calls the end of the context), in lower case.
const LOST: [&str; 18] = [
    "cuda_error_deinitialized",
    "cuda_error_no_device",
    "cuda_error_device_unavailable",
    "cuda_error_ecc_uncorrectable",
    "cuda_error_nvlink_uncorrectable",
    "cuda_error_contained",
    "cuda_error_illegal_address",
    "cuda_error_launch_timeout",
    "cuda_error_context_is_destroyed",
    "cuda_error_hardware_stack_error",
    "cuda_error_illegal_instruction",
    "cuda_error_misaligned_address",
    "cuda_error_invalid_pc",
    "cuda_error_launch_failed",
    "cuda_error_external_device",
    "cuda_error_unknown",
    "cublas_status_execution_failed",
    "command buffer had following error",
];

/// Reads the memory of the process, and remembers the most it had since [`Self::begin`].
pub struct Meter<'a> {
    resident_bytes: &'a dyn Fn() -> u64,
    limit_bytes: Option<u64>,
    highest: Cell<u64>,
}

impl<'a> Meter<'a> {
    pub fn new(resident_bytes: &'a dyn Fn() -> u64, limit_bytes: Option<u64>) -> Self {
        Self { resident_bytes, limit_bytes, highest: Cell::new(0) }
    }

    pub fn limit_bytes(&self) -> Option<u64> {
        self.limit_bytes
    }

    pub fn now_bytes(&self) -> u64 {
        (self.resident_bytes)()
    }

    pub fn begin(&self) {
        self.highest.set(0);
    }

    pub fn highest_bytes(&self) -> u64 {
        self.highest.get()
    }

    /// Takes a reading.
    ///
    /// # Errors
    /// When it lies above the limit.
    pub fn look(&self) -> Result<(), TrainError> {
        let used_bytes = self.now_bytes();
        self.highest.set(self.highest.get().max(used_bytes));
        match self.limit_bytes {
            Some(limit_bytes) if used_bytes > limit_bytes => {
                Err(TrainError::OutOfMemory(Shortage::Limit { used_bytes, limit_bytes }))
            }
            _ => Ok(()),
        }
    }
}

/// Which memory ran out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortage {
    /// The process has more than the run may take.
    Limit { used_bytes: u64, limit_bytes: u64 },
    /// The device had no room for a tensor, in its own words.
    Device(String),
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit { used_bytes, limit_bytes } => write!(
                f,
                "the run takes {} of memory, and its limit is {}",
                human::bytes(*used_bytes),
                human::bytes(*limit_bytes)
            ),
            Self::Device(said) => write!(f, "the device has no memory left ({})", human::elide(said, 120)),
        }
    }
}

/// The same error, known as a shortage, or as the loss of the device, when its library means one.
pub fn recognised(error: TrainError) -> TrainError {
    let said = error.to_string();
    let lower = said.to_lowercase();
    match error {
        TrainError::OutOfMemory(_) | TrainError::DeviceLost(_) => error,
        _ if NO_ROOM.iter().any(|words| lower.contains(words)) => {
            TrainError::OutOfMemory(Shortage::Device(said))
        }
        _ if LOST.iter().any(|words| lower.contains(words)) => TrainError::DeviceLost(said),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_room_is_recognised_by_its_words() {
        let said = |text: &str| {
            let source = candle_core::Error::Msg(text.into());
            recognised(TrainError::Compute { operation: "loss", source })
        };
        for text in [
            "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")",
            "CublasError(CUBLAS_STATUS_ALLOC_FAILED)",
            "Metal error Failed to create metal resource: Buffer",
            "Metal error Command buffer had following error: Insufficient Memory \
             (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
        ] {
            assert!(matches!(said(text), TrainError::OutOfMemory(Shortage::Device(_))), "{text}");
        }
        for text in [
            "DriverError(CUDA_ERROR_ECC_UNCORRECTABLE, \"uncorrectable ECC error encountered\")",
            "DriverError(CUDA_ERROR_LAUNCH_FAILED, \"unspecified launch failure\")",
            "DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"an illegal memory access was encountered\")",
            "DriverError(CUDA_ERROR_UNKNOWN, \"unknown error\")",
            "CublasError(CUBLAS_STATUS_EXECUTION_FAILED)",
            "Metal error Command buffer had following error: Caused GPU Hang Error \
             (00000003:kIOGPUCommandBufferCallbackErrorHang)",
        ] {
            assert!(matches!(said(text), TrainError::DeviceLost(_)), "{text}");
        }
        for text in [
            "shape mismatch in add",
            "DriverError(CUDA_ERROR_INVALID_VALUE, \"invalid argument\")",
            "DriverError(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, \"too many resources requested for launch\")",
        ] {
            assert!(matches!(said(text), TrainError::Compute { .. }), "{text}");
        }
    }

    #[test]
    fn a_lost_device_is_told_with_the_checkpoint_that_is_kept() {
        use crate::base::Explain;
        let said = "DriverError(CUDA_ERROR_ECC_UNCORRECTABLE, \"uncorrectable ECC error encountered\")";
        let source = candle_core::Error::Msg(said.into());
        let error = Box::new(recognised(TrainError::Compute { operation: "backward pass", source }));
        assert!(error.to_string().contains("uncorrectable ECC error"), "{error}");
        let failed = crate::train::Failed { error, kept: Some(40) };
        assert_eq!(failed.title(), "The graphics card was lost");
        assert!(
            failed.hint().contains("start it again") && failed.hint().contains("update 40"),
            "{failed:?}"
        );
    }

    #[test]
    fn a_meter_minds_its_limit_and_remembers_the_most() {
        let now = Cell::new(5);
        let read = || now.get();
        let meter = Meter::new(&read, Some(10));
        assert!(meter.look().is_ok());
        now.set(11);
        let told = meter.look().unwrap_err().to_string();
        assert_eq!(told, "the run takes 11 B of memory, and its limit is 10 B");
        now.set(3);
        assert!(meter.look().is_ok() && meter.highest_bytes() == 11);
        meter.begin();
        assert_eq!(meter.highest_bytes(), 0);
        now.set(u64::MAX);
        assert!(Meter::new(&read, None).look().is_ok());
    }
}

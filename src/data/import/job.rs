//! What every reader needs: the file, the options, the flag that stops it, and who looks at the progress.

use super::ImportOptions;
use crate::base::{Control, Progress, Unit};
use crate::data::DataError;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

/// Progress is told about so often.
const REPORT_EVERY_BYTES: u64 = 1 << 20;
const SAMPLE_BYTES: usize = 64 << 10;

pub(super) struct Job<'a> {
    pub path: &'a Path,
    pub options: &'a ImportOptions,
    pub control: &'a Control,
    pub num_bytes: u64,
    file: File,
    progress: &'a mut dyn Progress,
    reported: u64,
}

impl<'a> Job<'a> {
    pub fn open(
        path: &'a Path,
        options: &'a ImportOptions,
        control: &'a Control,
        progress: &'a mut dyn Progress,
    ) -> Result<Self, DataError> {
        let unreadable = |why: String| DataError::Unreadable { path: path.to_path_buf(), why };
        let about = std::fs::metadata(path).map_err(|e| unreadable(io_words(&e)))?;
        if about.is_dir() {
            return Err(unreadable("this is a folder, not a file: choose one file inside it".into()));
        }
        if !about.is_file() {
            return Err(unreadable("this is a device or a pipe, not a file".into()));
        }
        let file = File::open(path).map_err(|e| unreadable(io_words(&e)))?;
        if about.len() == 0 {
            return Err(DataError::Empty { path: path.to_path_buf() });
        }
        Ok(Self { path, options, control, num_bytes: about.len(), file, progress, reported: 0 })
    }

    /// The file's own handle, at its start. All handles share one position: use one at a time.
    pub fn rewound(&mut self) -> Result<File, DataError> {
        self.file.rewind().and_then(|()| self.file.try_clone()).map_err(|e| self.unreadable(&e))
    }

    /// The first bytes of the file.
    pub fn sample(&mut self) -> Result<Vec<u8>, DataError> {
        let mut sample = Vec::with_capacity(SAMPLE_BYTES);
        let file = self.rewound()?;
        file.take(SAMPLE_BYTES as u64).read_to_end(&mut sample).map_err(|e| self.unreadable(&e))?;
        Ok(sample)
    }

    /// The file name's ending in lower case, without the dot.
    pub fn extension(&self) -> String {
        self.path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
    }

    /// Called at each block: says how far the job is, and ends it when it was stopped.
    pub fn tick(&mut self, phase: &str, done: u64) -> Result<(), DataError> {
        if self.control.is_stopped() {
            return Err(DataError::Stopped);
        }
        if done < self.reported || done >= self.reported + REPORT_EVERY_BYTES || done >= self.num_bytes {
            self.reported = done;
            self.progress.report(phase, done.min(self.num_bytes), Some(self.num_bytes), Unit::Bytes);
        }
        Ok(())
    }

    pub fn unreadable(&self, error: &io::Error) -> DataError {
        DataError::Unreadable { path: self.path.to_path_buf(), why: io_words(error) }
    }

    pub fn malformed(&self, why: impl Into<String>) -> DataError {
        DataError::Malformed { path: self.path.to_path_buf(), why: why.into() }
    }

    pub fn empty(&self) -> DataError {
        DataError::Empty { path: self.path.to_path_buf() }
    }
}

fn io_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => "you have no permission to read this file".into(),
        _ => format!("the file could not be read: {error}"),
    }
}

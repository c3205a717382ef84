//! A fence around parsers of binary files: a panic inside one is a damaged file, not our end.

use super::job::Job;
use super::rows::Rows;
use crate::base::Control;
use crate::data::DataError;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a reader of a binary format. Damaged files make the libraries panic at places (found by flipping
/// bits); whatever the reader had is thrown away then.
pub(super) fn guarded(
    job: &mut Job,
    read: fn(&mut Job) -> Result<Rows, DataError>,
) -> Result<Rows, DataError> {
    let result = catch_unwind(AssertUnwindSafe(|| read(job)));
    let result =
        result.unwrap_or_else(|_| Err(job.malformed("the file is damaged: it could not be decoded")));
    // A stop reaches the libraries as a read error, which they wrap in words of their own.
    if job.control.is_stopped() { Err(DataError::Stopped) } else { result }
}

/// A file whose reads fail once the job was stopped, so that a long decode inside a library ends.
pub(super) struct Watched {
    pub file: File,
    pub control: Control,
}

impl Read for Watched {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.control.is_stopped() {
            return Err(io::Error::other("stopped"));
        }
        self.file.read(buf)
    }
}

impl Seek for Watched {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        self.file.seek(pos)
    }
}

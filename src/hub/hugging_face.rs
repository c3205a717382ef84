//! A model from the Hugging Face hub into its cache: config first, so that what is not supported costs nothing.

use super::transfer::{Transfer, check_part};
use super::{HubError, Options, cache};
use crate::base::storage::{FolderLock, stays_inside, write_atomic_bytes};
use crate::base::{Control, Progress, Unit, hardware};
use crate::model::config::DecoderConfig;
use crate::model::files::ModelFiles;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

const MAX_LISTING_BYTES: u64 = 32 << 20;
const MAX_SMALL_BYTES: u64 = 64 << 20;
const PHASE: &str = "Downloading the model";
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Downloaded where they exist.
const SETTINGS: [&str; 9] = [
    CONFIG,
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "LICENSE",
    // The model card, which says the licence.
    "README.md",
];

/// What the hub says about a model.
#[derive(Deserialize)]
struct Listing {
    sha: String,
    siblings: Vec<Remote>,
}

#[derive(Deserialize)]
struct Remote {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Large>,
}

#[derive(Deserialize)]
struct Large {
    sha256: Option<String>,
    oid: Option<String>,
    size: Option<u64>,
}

impl Remote {
    /// The SHA-256 of a large file, whose git object is only a pointer to it; the git object id of a small one.
    fn checksum(&self) -> Option<&str> {
        match &self.lfs {
            Some(lfs) => lfs.sha256.as_deref().or(lfs.oid.as_deref()).filter(|s| s.len() == 64),
            None => self.blob_id.as_deref(),
        }
        .filter(|s| cache::is_checksum(s))
    }

    fn num_bytes(&self) -> Option<u64> {
        self.lfs.as_ref().and_then(|lfs| lfs.size).or(self.size)
    }

    /// The name of its blob in the cache: its checksum, as Python's tools have it, or one that cannot be taken for
    /// a checksum.
    fn blob(&self, commit: &str) -> String {
        let place = || super::checksum::hex(Sha256::new_with_prefix(format!("{commit}/{}", self.rfilename)));
        self.checksum().map_or_else(|| format!("unchecked-{}", place()), str::to_lowercase)
    }
}

/// One model's download.
struct Fetch<'a> {
    id: &'a str,
    options: &'a Options,
    control: &'a Control,
    transfer: Transfer<'a>,
    listing: Listing,
    /// Bytes that are whole, and bytes of all.
    done_bytes: u64,
    total_bytes: u64,
}

/// Downloads what is missing of a model and says where its snapshot lies.
pub(super) fn fetch(
    id: &str,
    options: &Options,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<PathBuf, HubError> {
    let transfer = Transfer::new(options);
    progress.report("Asking the Hugging Face hub", 0, None, Unit::Bytes);
    let url = format!("{}/api/models/{id}/revision/main?blobs=true", options.endpoint);
    let text = transfer.text(&url, id, MAX_LISTING_BYTES)?;
    let answer = |why: &str| HubError::Answer { endpoint: options.endpoint.clone(), why: why.into() };
    let listing: Listing = serde_json::from_str(&text).map_err(|_| answer("a list that is not one"))?;
    if !cache::is_checksum(&listing.sha) {
        return Err(answer("a commit that is not one"));
    }
    let folder = cache::folder(&options.hub_cache, id);
    std::fs::create_dir_all(folder.join("blobs")).map_err(|e| HubError::storage(&folder, &e))?;
    let lock = FolderLock::try_acquire(&folder).map_err(|e| HubError::storage(&folder, &e))?;
    let _lock = lock.ok_or_else(|| HubError::Busy { path: folder.clone() })?;
    Fetch { id, options, control, transfer, listing, done_bytes: 0, total_bytes: 0 }.run(progress)
}

impl Fetch<'_> {
    fn run(mut self, progress: &mut dyn Progress) -> Result<PathBuf, HubError> {
        let snapshot = cache::snapshot_folder(&self.options.hub_cache, self.id, &self.listing.sha);
        if self.remote(CONFIG).is_none() {
            let what = format!("{CONFIG} of {}", self.id);
            return Err(HubError::NotFound { endpoint: self.options.endpoint.clone(), what });
        }
        let config = self.small(CONFIG, &snapshot, progress)?;
        DecoderConfig::from_json(&snapshot.join(CONFIG), &config)?;
        let weights = self.weights(&snapshot, progress)?;
        let settings = SETTINGS.iter().map(|name| (*name).to_string());
        let wanted: Vec<String> =
            settings.filter(|name| self.remote(name).is_some()).chain(weights).collect();
        self.total_bytes = wanted.iter().filter_map(|name| self.remote(name)?.num_bytes()).sum();
        self.done_bytes = 0;
        self.check_space(&wanted)?;
        for name in &wanted {
            self.one(name, &snapshot, progress)?;
        }
        ModelFiles::open(self.id, &snapshot)?;
        let main = cache::main_ref(&self.options.hub_cache, self.id);
        let failed = |e: std::io::Error| HubError::storage(&main, &e);
        std::fs::create_dir_all(main.parent().unwrap_or(&main)).map_err(failed)?;
        // Last: only now does the model count as being here.
        write_atomic_bytes(&main, self.listing.sha.as_bytes()).map_err(failed)?;
        Ok(snapshot)
    }

    fn remote(&self, name: &str) -> Option<&Remote> {
        self.listing.siblings.iter().find(|file| file.rfilename == name)
    }

    /// The weight files: one, or the index and its shards.
    fn weights(&mut self, snapshot: &Path, progress: &mut dyn Progress) -> Result<Vec<String>, HubError> {
        if self.remote(WEIGHTS).is_some() {
            return Ok(vec![WEIGHTS.into()]);
        }
        if self.remote(INDEX).is_none() {
            return Err(HubError::NoWeights { name: self.id.into() });
        }
        let index = self.small(INDEX, snapshot, progress)?;
        let answer = |why: String| HubError::Answer { endpoint: self.options.endpoint.clone(), why };
        let shards = cache::shards(&index).ok_or_else(|| answer(format!("a {INDEX} that cannot be used")))?;
        if let Some(name) = shards.iter().find(|name| self.remote(name).is_none()) {
            return Err(answer(format!("a list without {name}")));
        }
        Ok(shards.into_iter().chain([INDEX.to_string()]).collect())
    }

    /// A small file that is needed before the others, as text.
    fn small(
        &mut self,
        name: &str,
        snapshot: &Path,
        progress: &mut dyn Progress,
    ) -> Result<String, HubError> {
        self.total_bytes = self.remote(name).and_then(Remote::num_bytes).unwrap_or(0);
        if self.total_bytes > MAX_SMALL_BYTES {
            let why = format!("a {name} of {} bytes", self.total_bytes);
            return Err(HubError::Answer { endpoint: self.options.endpoint.clone(), why });
        }
        self.one(name, snapshot, progress)?;
        let path = snapshot.join(name);
        crate::base::storage::read_text_bounded(&path, MAX_SMALL_BYTES)
            .map_err(|e| HubError::storage(&path, &e))
    }

    fn check_space(&self, wanted: &[String]) -> Result<(), HubError> {
        let length = |path: PathBuf| std::fs::metadata(path).map_or(0, |m| m.len());
        let missing = |name: &String| {
            let remote = self.remote(name)?;
            let blob = self.blob_path(remote);
            let here = length(blob.clone()).max(length(part_of(&blob)));
            Some(remote.num_bytes()?.saturating_sub(here))
        };
        let needed: u64 = wanted.iter().filter_map(missing).sum();
        let path = &self.options.hub_cache;
        // A little more than the files: a disk that is full to the last byte helps nobody.
        let needed = needed + needed / 50;
        match hardware::free_disk_bytes(path) {
            Some(free) if free < needed => Err(HubError::NoSpace { path: path.clone(), needed, free }),
            _ => Ok(()),
        }
    }

    fn blob_path(&self, remote: &Remote) -> PathBuf {
        cache::blob(&self.options.hub_cache, self.id, &remote.blob(&self.listing.sha))
    }

    /// Makes sure that one file is whole and in the snapshot.
    fn one(&mut self, name: &str, snapshot: &Path, progress: &mut dyn Progress) -> Result<(), HubError> {
        let Some(remote) = self.remote(name).filter(|_| stays_inside(name)) else {
            return Err(HubError::Answer {
                endpoint: self.options.endpoint.clone(),
                why: format!("no {name}"),
            });
        };
        let endpoint = &self.options.endpoint;
        let Some(num_bytes) = remote.num_bytes() else {
            return Err(HubError::Answer { endpoint: endpoint.clone(), why: format!("no size of {name}") });
        };
        let blob = self.blob_path(remote);
        if std::fs::metadata(&blob).is_ok_and(|m| m.len() == num_bytes) {
            progress.report(PHASE, self.done_bytes + num_bytes, Some(self.total_bytes), Unit::Bytes);
        } else {
            let part = part_of(&blob);
            let url = format!("{endpoint}/{}/resolve/{}/{name}", self.id, self.listing.sha);
            let (done, total) = (self.done_bytes, self.total_bytes);
            let mut on_bytes = |n: u64| progress.report(PHASE, done + n, Some(total), Unit::Bytes);
            self.transfer.file(&url, &part, num_bytes, self.control, &mut on_bytes)?;
            if let Some(expected) = remote.checksum() {
                check_part(&part, name, expected, self.control, progress)?;
            }
            std::fs::rename(&part, &blob).map_err(|e| HubError::storage(&blob, &e))?;
        }
        self.done_bytes += num_bytes;
        point_at(&blob, &snapshot.join(name)).map_err(|e| HubError::storage(snapshot, &e))
    }
}

fn part_of(blob: &Path) -> PathBuf {
    blob.with_extension("part")
}

/// Makes `pointer` a link to the blob, or a copy where the system has no links.
fn point_at(blob: &Path, pointer: &Path) -> std::io::Result<()> {
    if let Some(parent) = pointer.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let is_same =
        std::fs::canonicalize(pointer).ok().is_some_and(|p| std::fs::canonicalize(blob).ok() == Some(p));
    if is_same {
        return Ok(());
    }
    if pointer.symlink_metadata().is_ok() {
        std::fs::remove_file(pointer)?;
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(std::fs::canonicalize(blob)?, pointer)
    }
    #[cfg(not(unix))]
    {
        std::fs::hard_link(blob, pointer).or_else(|_| std::fs::copy(blob, pointer).map(|_| ()))
    }
}

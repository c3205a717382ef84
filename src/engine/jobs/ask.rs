//! Texts that models read: their classes or scores, what is hidden in them, and which rows are like them. Base and tuned in turn.

use super::embed::{Embedded, embed};
use super::judge::Judge;
use super::model::{self, BaseModel};
use super::reader::{self, Reader};
use crate::base::{Control, Failure};
use crate::engine::command::{Ask, AskRequest, ReadText};
use crate::engine::event::{EventKind, Told};
use crate::engine::halt::Halt;
use crate::engine::lane::Sink;
use crate::eval::projection;
use crate::infer::directions::nearest;
use crate::infer::fill_mask::fill_mask;
use crate::recipe::Task;
use crate::recipe::recipe::Objective;
use std::path::Path;
use std::sync::Arc;

/// Asks each column in turn. One that cannot answer says why and takes nothing from the others.
///
/// # Errors
/// Those of the model, and what keeps the last column from answering where none can.
pub fn run(
    base: &mut BaseModel,
    embedded: &mut Embedded,
    request: &AskRequest,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<(), Halt> {
    let files = model::open(&request.model)?;
    let mut checked = Vec::new();
    for adapter in &request.columns {
        checked.push(reader::check(&files, adapter.as_deref(), sink));
    }
    // Not loaded for nothing.
    if checked.iter().all(Result::is_err) {
        return checked.pop().map_or(Ok(()), |last| last.map(|_| ()));
    }
    let loaded = base.load_to_answer(&files, control, sink)?;
    let mut refusals = Vec::new();
    for (column, (adapter, task)) in request.columns.iter().zip(checked).enumerate() {
        if control.is_stopped() {
            return Err(Halt::Stopped);
        }
        let reader = task.and_then(|task| Reader::new(&loaded, adapter.as_deref(), task));
        let answered = reader.and_then(|reader| match &request.ask {
            Ask::Judge { texts } => {
                let all = judged(&reader, texts, control)?;
                all.into_iter().for_each(|told| sink(EventKind::Told { column, told }));
                Ok(())
            }
            Ask::FillMask { text, top } => {
                filled(&reader, text, *top).map(|told| sink(EventKind::Told { column, told }))
            }
            Ask::Nearest { text, rows, top } => {
                let asked = Like { text, rows, top: *top, adapter: adapter.as_deref(), column };
                like(&reader, asked, embedded, control, sink)
            }
        });
        match answered {
            Err(Halt::Failed(failure)) => {
                sink(EventKind::Told { column, told: Told::Refused(failure.clone()) });
                refusals.push(failure);
            }
            other => other?,
        }
    }
    match refusals.pop() {
        Some(failure) if refusals.len() + 1 == request.columns.len() => Err(failure.into()),
        _ => Ok(()),
    }
}

/// The classes or the score of each text, by each task that says one.
fn judged(reader: &Reader, texts: &[ReadText], control: &Control) -> Result<Vec<Told>, Halt> {
    let Some(first) = &reader.task else {
        let why = "it has no head for classes or scores, which a run that learns them makes";
        let hint = "Ask a run that learnt classes or scores, or train one (Train, What is learnt).";
        return Err(Failure::new("The base model judges no texts", why, hint).into());
    };
    let tasks: Vec<Task> = first.each().into_iter().filter(|task| task.objective.has_head()).collect();
    if tasks.is_empty() {
        let why = format!("it learnt {}", first.objective.name());
        let hint = "Ask a run that learnt classes or scores, or choose what this one learnt above.";
        return Err(Failure::new("This run judges no texts", why, hint).into());
    }
    if let Some(empty) = texts.iter().position(|text| text.first.trim().is_empty()) {
        let why = format!("text {} is empty", empty + 1);
        return Err(Failure::new("A text is empty", why, "Write something, or leave it out.").into());
    }
    let limit = reader.model.config().context_tokens;
    let is_long = |text: &ReadText| {
        let framed = reader.model.tokeniser.with_specials(&text.first, text.second.as_deref(), limit)?;
        Ok::<bool, Halt>(framed.num_tokens > limit)
    };
    let is_cut = texts.iter().map(is_long).collect::<Result<Vec<bool>, Halt>>()?;
    tasks.into_iter().map(|task| said(Judge::of(reader.clone(), task)?, texts, &is_cut, control)).collect()
}

/// What one task says of each text.
fn said(judge: Judge, texts: &[ReadText], is_cut: &[bool], control: &Control) -> Result<Told, Halt> {
    let pairs: Vec<_> = texts.iter().map(|text| (text.first.as_str(), text.second.as_deref())).collect();
    let said = judge.say(&pairs, control)?;
    if said.iter().flatten().any(|x| !x.is_finite()) {
        let why = "what it says of a text are no finite numbers";
        return Err(
            Failure::new("The model is broken", why, "Train again, with a lower learning rate.").into()
        );
    }
    let (task, is_cut) = (judge.task, is_cut.to_vec());
    let (name, has_several) = (task.name.clone(), task.has_several());
    Ok(match task.objective {
        Objective::Regression(_) => {
            let said = said.into_iter().map(|row| row.first().copied().unwrap_or(0.0)).collect();
            Told::Scores { task: name, range: task.range, said, is_cut }
        }
        _ => Told::Classes { task: name, has_several, labels: task.labels, said, is_cut },
    })
}

/// The likeliest tokens of each hidden place.
pub fn filled(reader: &Reader, text: &str, top: usize) -> Result<Told, Halt> {
    if let (false, Some(task)) = (reader.model.config().has_masked_head(), &reader.task) {
        let why = format!(
            "it learnt {}, and the part that guesses words was left out of it",
            task.objective.name()
        );
        let hint = "Ask the base model, or a run that learnt hidden words.";
        return Err(Failure::new("This run guesses no hidden words", why, hint).into());
    }
    let hooks = reader.hooks()?;
    Ok(Told::Filled(fill_mask(&reader.model, hooks.as_ref(), text, top).map_err(Failure::from)?))
}

/// What one column is asked of likeness.
struct Like<'a> {
    text: &'a str,
    rows: &'a [String],
    top: usize,
    adapter: Option<&'a Path>,
    column: usize,
}

/// The rows in a plane, and those nearest to a text where there is one.
fn like(
    reader: &Reader,
    asked: Like,
    embedded: &mut Embedded,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<(), Halt> {
    let Like { text, rows, top, adapter, column } = asked;
    let directions = embedded.of(reader, adapter, rows, control, sink)?;
    let points = Arc::new(projection::plane(&directions));
    sink(EventKind::Told { column, told: Told::Map(points) });
    if !text.trim().is_empty() {
        let own = embed(reader, &[text], control, &mut |_| ())?;
        let found = own.first().map_or(Vec::new(), |own| nearest(own, &directions, top));
        sink(EventKind::Told { column, told: Told::Nearest(found) });
    }
    Ok(())
}

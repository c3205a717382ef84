//! Rows of a data set as directions, held from question to question.

use super::measure::BUDGET_TOKENS;
use super::reader::Reader;
use super::{Report, model};
use crate::base::{Control, Failure, Progress, Unit};
use crate::data::{LossWeights, Sample};
use crate::engine::halt::Halt;
use crate::engine::lane::Sink;
use crate::infer::directions::directions;
use crate::model::config::Pooling;
use crate::train::validate::micro_batches;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Sets of directions that are held: base and tuned of two data sets.
const MOST_HELD: usize = 4;

/// What a set of directions was made by, and of what.
#[derive(Clone, PartialEq)]
struct Key {
    model: Stamp,
    adapter: Option<Stamp>,
    pooling: Pooling,
    rows: blake3::Hash,
}

/// A file or folder as it is now.
type Stamp = (PathBuf, Option<SystemTime>);

fn stamp(path: &Path) -> Stamp {
    (path.to_path_buf(), std::fs::metadata(path).and_then(|found| found.modified()).ok())
}

/// The directions of the last data sets, the newest last.
#[derive(Default)]
pub struct Embedded {
    held: Vec<(Key, Arc<Vec<Vec<f32>>>)>,
}

impl Embedded {
    /// The directions of rows by a reader whose adapter lies in a folder: those that are held, or new ones.
    ///
    /// # Errors
    /// As [`embed`].
    pub fn of(
        &mut self,
        reader: &Reader,
        adapter: Option<&Path>,
        rows: &[String],
        control: &Control,
        sink: &mut Sink<'_>,
    ) -> Result<Arc<Vec<Vec<f32>>>, Halt> {
        let mut hasher = blake3::Hasher::new();
        for row in rows {
            hasher.update(&row.len().to_le_bytes()).update(row.as_bytes());
        }
        let key = Key {
            model: stamp(&reader.model.info.path),
            adapter: adapter.map(|folder| stamp(&model::adapter_in(folder))),
            pooling: reader.pooling(),
            rows: hasher.finalize(),
        };
        if let Some((_, found)) = self.held.iter().find(|(held, _)| *held == key) {
            return Ok(Arc::clone(found));
        }
        let texts: Vec<&str> = rows.iter().map(String::as_str).collect();
        let made = Arc::new(embed(reader, &texts, control, sink)?);
        if self.held.len() >= MOST_HELD {
            self.held.remove(0);
        }
        self.held.push((key, Arc::clone(&made)));
        Ok(made)
    }

    /// Lets go of the memory.
    pub fn forget(&mut self) {
        self.held.clear();
    }
}

/// The direction of each text, what is beyond the model's context left out.
///
/// # Errors
/// Those of tokenizer and model, a model that says no numbers, and a stop.
pub fn embed(
    reader: &Reader,
    texts: &[&str],
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<Vec<Vec<f32>>, Halt> {
    let (model, total) = (&reader.model, texts.len());
    if model.config().encoder.is_some() {
        let why = "it reads with one stack and writes with another: nothing in it stands for a whole text";
        let hint = "Choose an encoder, such as all-minilm-l6-v2.";
        return Err(Failure::new("This model's texts cannot be compared", why, hint).into());
    }
    let mut report = Report::to(sink);
    let mut samples = Vec::with_capacity(total);
    for text in texts {
        let framed = model.tokeniser.with_specials(text, None, model.config().context_tokens)?;
        let weights = LossWeights::all(0.0, framed.ids.len());
        samples.push(Sample { ids: framed.ids, weights, ..Sample::default() });
    }
    // A decoder's tokenizer makes nothing of an empty text.
    if let Some(empty) = samples.iter().position(Sample::is_empty) {
        let why = format!("text {} has nothing to read", empty + 1);
        return Err(Failure::new("A text is empty", why, "Write something, or leave it out.").into());
    }
    let hooks = reader.hooks()?;
    let all: Vec<&Sample> = samples.iter().collect();
    let mut made = Vec::with_capacity(total);
    for batch in micro_batches(&all, BUDGET_TOKENS) {
        if control.is_stopped() {
            return Err(Halt::Stopped);
        }
        report.report("Reading the rows", made.len() as u64, Some(total as u64), Unit::Examples);
        made.extend(directions(model, hooks.as_ref(), reader.pooling(), batch)?);
    }
    report.report("Reading the rows", total as u64, Some(total as u64), Unit::Examples);
    if made.iter().flatten().any(|x| !x.is_finite()) {
        let why = "what it says of a text are no finite numbers";
        return Err(
            Failure::new("The model is broken", why, "Train again, with a lower learning rate.").into()
        );
    }
    Ok(made)
}

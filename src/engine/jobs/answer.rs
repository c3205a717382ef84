//! Prompts answered in columns: one base model, an adapter or none in each.

use super::model::{self, BaseModel};
use super::{compose, judge};
use crate::base::Control;
use crate::engine::command::GenerateRequest;
use crate::engine::event::{EventKind, GenerationEvent};
use crate::engine::halt::Halt;
use crate::engine::lane::Sink;
use crate::eval::metrics::is_match;
use crate::infer::batch::{Batch, Job, News};
use crate::infer::generate::{Answer, Finish, GenerateOptions};
use crate::infer::session::Session;
use crate::model::files::ModelFiles;
use crate::model::load::LoadedModel;
use crate::peft::Adapter;
use crate::peft::compose::Source;

/// Columns whose answers go through the model together: the same weights and adapter, whatever their sampling.
struct Group<'m> {
    adapter: Option<Source>,
    session: Session<'m>,
    columns: Vec<usize>,
}

/// Answers every prompt in all columns. Columns with the same adapter share their passes, and what the prompts have in common is
/// fed once; the others take turns. An adapter that cannot be loaded fails the job before anything is answered.
pub fn run(
    base: &mut BaseModel,
    request: &GenerateRequest,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<(), Halt> {
    let files = model::open(&request.model)?;
    files.config.check_writes()?;
    for source in request.columns.iter().filter_map(|column| column.adapter.as_ref()) {
        for folder in source.folders() {
            model::require_base(folder, &files, sink)?;
            judge::require_writer(folder)?;
            model::check_adapter(folder, &files.config)?;
        }
        if let Source::Composed(composition) = source {
            composition.require(&files.config)?;
        }
    }
    let model = base.load_to_answer(&files, control, sink)?;
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (column, asked) in request.columns.iter().enumerate() {
        if let Some(group) = groups.iter_mut().find(|group| group.adapter == asked.adapter) {
            group.columns.push(column);
            continue;
        }
        let adapter = asked
            .adapter
            .as_ref()
            .map(|source| adapter(source, &files, &model, control, sink))
            .transpose()?;
        let session = Session::new(&model.decoder, adapter.as_ref())?;
        groups.push(Group { adapter: asked.adapter.clone(), session, columns: vec![column] });
    }
    let options: Vec<_> = request.columns.iter().map(|c| options(request, &model, &c.sampling)).collect();
    let mut prompts = Vec::new();
    for asked in &request.prompts {
        prompts.push(asked.rendered.ids(&model.tokeniser)?);
    }
    let mut turns = Vec::new();
    for group in &mut groups {
        let (mut places, mut jobs) = (Vec::new(), Vec::new());
        for (prompt, ids) in prompts.iter().enumerate() {
            for &column in &group.columns {
                places.push((column, prompt));
                let pieces = Box::new(model.tokeniser.stream());
                jobs.push(Job { prompt: ids, pieces, options: &options[column] });
            }
        }
        turns.push(Turn { places, batch: Batch::new(&mut group.session, jobs) });
    }
    let mut refusal = None;
    let mut tell = |(column, prompt): (usize, usize), news: News<'_>| {
        let asked = &request.prompts[prompt];
        let event = match news {
            News::Began => GenerationEvent::Began { prompt_tokens: prompts[prompt].len() },
            News::Text(text) => GenerationEvent::Text(text.to_string()),
            News::Ended(Ok(answer)) => ended(answer, asked.expected.as_deref()),
            News::Ended(Err(error)) => {
                let why = error.to_string();
                refusal = Some(error);
                GenerationEvent::Refused { why }
            }
        };
        sink(EventKind::Generation { column, prompt, event });
    };
    take_turns(turns, control, &mut tell)?;
    // One prompt of many, such as the one with the most examples, does not fail the others.
    match refusal {
        Some(error) if request.prompts.len() == 1 => Err(error.into()),
        _ => Ok(()),
    }
}

fn adapter(
    source: &Source,
    files: &ModelFiles,
    model: &LoadedModel,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<Adapter, Halt> {
    match source {
        Source::Folder(folder) => model::adapter(folder, model),
        Source::Composed(composition) => compose::adapter(composition, model, sink),
        Source::TaskVectors { task_vectors } => compose::task_vectors(task_vectors, files, model, control),
    }
}

/// The answers of one group, and the column and prompt of each.
struct Turn<'a> {
    places: Vec<(usize, usize)>,
    batch: Batch<'a, Session<'a>>,
}

/// A pass of each batch, again and again, until the last one is over.
fn take_turns(
    mut turns: Vec<Turn<'_>>,
    control: &Control,
    tell: &mut dyn FnMut((usize, usize), News<'_>),
) -> Result<(), Halt> {
    let mut is_stopped = false;
    while !turns.is_empty() {
        let mut going = Vec::with_capacity(turns.len());
        for Turn { places, mut batch } in turns {
            let mut on_news = |job: usize, news: News<'_>| {
                is_stopped |= matches!(&news, News::Ended(Ok(answer)) if answer.finish == Finish::Stopped);
                tell(places[job], news);
            };
            if batch.step(control, &mut on_news)? {
                going.push(Turn { places, batch });
            } else {
                is_stopped |= !batch.is_done();
            }
        }
        turns = going;
    }
    if is_stopped { Err(Halt::Stopped) } else { Ok(()) }
}

fn options(
    request: &GenerateRequest,
    model: &LoadedModel,
    sampling: &crate::infer::sampler::Sampling,
) -> GenerateOptions {
    GenerateOptions {
        max_tokens: request.max_tokens,
        sampling: sampling.clone(),
        stop: request.stop.clone(),
        eos_ids: model.text.eos_ids.clone(),
    }
}

fn ended(answer: Answer, expected: Option<&str>) -> GenerationEvent {
    GenerationEvent::Ended {
        is_match: expected.map(|e| answer.finish != Finish::Stopped && is_match(&answer.text, e)),
        finish: answer.finish,
        num_tokens: answer.token_ids.len(),
        time_to_first_token_secs: answer.time_to_first_token_secs,
        tokens_per_second: answer.tokens_per_second,
        text: answer.text,
    }
}

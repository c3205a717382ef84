//! Prompts answered in columns: one base model, an adapter or none in each.

use super::model::{self, BaseModel};
use crate::base::Control;
use crate::engine::command::GenerateRequest;
use crate::engine::event::{EventKind, GenerationEvent};
use crate::engine::halt::Halt;
use crate::engine::lane::Sink;
use crate::eval::metrics::is_match;
use crate::infer::generate::{Answer, Finish, GenerateOptions, Generation};
use crate::infer::session::Session;
use crate::model::ModelError;
use crate::model::load::LoadedModel;

/// Answers every prompt in all columns at once, prompt by prompt. An adapter that cannot be loaded fails the job before
/// anything is answered.
pub fn run(
    base: &mut BaseModel,
    request: &GenerateRequest,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<(), Halt> {
    let files = model::open(&request.model)?;
    let model = base.load_to_answer(&files, control, sink)?;
    let mut columns = Vec::new();
    for column in &request.columns {
        let adapter = column.adapter.as_deref().map(|folder| model::adapter(folder, &model)).transpose()?;
        columns.push((
            Session::new(&model.decoder, adapter.as_ref())?,
            options(request, &model, &column.sampling),
        ));
    }
    let is_set = request.prompts.len() > 1;
    for (prompt, asked) in request.prompts.iter().enumerate() {
        let ids = asked.rendered.ids(&model.tokeniser)?;
        let mut turns = Vec::new();
        for (column, (session, options)) in columns.iter_mut().enumerate() {
            let event = GenerationEvent::Began { prompt_tokens: ids.len() };
            sink(EventKind::Generation { column, prompt, event });
            match Generation::begin(session, Box::new(model.tokeniser.stream()), &ids, options) {
                Ok(generation) => turns.push((column, session, generation)),
                // One prompt of many, such as the one with the most examples, does not end the others.
                Err(e @ (ModelError::EmptyPrompt | ModelError::PromptTooLong { .. })) if is_set => {
                    let event = GenerationEvent::Refused { why: e.to_string() };
                    sink(EventKind::Generation { column, prompt, event });
                }
                Err(e) => return Err(e.into()),
            }
        }
        take_turns(turns, prompt, asked.expected.as_deref(), control, sink)?;
    }
    Ok(())
}

/// A step in each column, again and again, until the last one has ended.
fn take_turns(
    mut turns: Vec<(usize, &mut Session<'_>, Generation<'_>)>,
    prompt: usize,
    expected: Option<&str>,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<(), Halt> {
    let mut is_stopped = false;
    while !turns.is_empty() {
        let mut going = Vec::with_capacity(turns.len());
        for (column, session, mut generation) in turns {
            let mut say = |event| sink(EventKind::Generation { column, prompt, event });
            let mut on_text = |text: &str| say(GenerationEvent::Text(text.to_string()));
            match generation.step(session, control, &mut on_text)? {
                Some(answer) => {
                    is_stopped |= answer.finish == Finish::Stopped;
                    say(ended(answer, expected));
                }
                None => going.push((column, session, generation)),
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

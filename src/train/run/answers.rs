//! Sample answers to validation rows, to look at while a run goes.

use super::{Run, TrainError, spread};
use crate::base::Control;
use crate::eval::run::{Asked, Scored, answer_all};
use crate::infer::generate::GenerateOptions;
use crate::infer::sampler::Sampling;
use crate::infer::session::Session;
use crate::project::RunEvent;
use crate::project::event::{Answer, Phase};
use crate::train::report::Reporter;

/// Longest sample answer during a run, in tokens.
const MAX_ANSWER_TOKENS: usize = 48;

impl Run<'_> {
    /// Answers a few validation rows with the base and the tuned model, to look at. What cannot be answered is left
    /// out and told, once a run.
    pub(super) fn answer(&mut self, control: &Control, reporter: &mut Reporter) -> Result<(), TrainError> {
        let Some(task) = self.tasks.iter().find(|task| task.is_supervised()) else { return Ok(()) };
        let (dataset, chat) = (task.dataset, task.chat);
        let chosen = spread(&dataset.split.valid, self.plan.recipe().validation.num_answers);
        let mut problem = None;
        let mut prompts = Vec::new();
        for example in chosen.into_iter().filter_map(|row| dataset.example(row)) {
            let prompt = dataset.template.example_prompt(&example, chat);
            match prompt.and_then(|(prompt, right)| Asked::new(prompt, &self.model.tokeniser, right)) {
                Ok(asked) => prompts.push(asked),
                Err(error) => problem = Some(error.to_string()),
            }
        }
        if self.base_answers.is_none() {
            let mut base = Session::new(&self.model.decoder, None)?;
            self.base_answers = Some(self.answers(&mut base, &prompts, control, reporter)?);
        }
        let mut tuned = Session::new(&self.model.decoder, Some(&self.trainer.adapter))?;
        let tuned = self.answers(&mut tuned, &prompts, control, reporter)?;
        if control.is_stopped() {
            return Ok(()); // they were cut off
        }
        let base = self.base_answers.iter().flatten().cloned();
        let mut answers = Vec::new();
        for ((asked, base), tuned) in prompts.into_iter().zip(base).zip(tuned) {
            match base.and_then(|base| Ok((base, tuned?))) {
                Ok((base, tuned)) => {
                    let expected = asked.expected.unwrap_or_default();
                    answers.push(Answer { prompt: asked.text, expected, base, tuned });
                }
                Err(why) => problem = Some(why),
            }
        }
        if let Some(why) = problem.filter(|_| !std::mem::replace(&mut self.has_told_unanswered, true)) {
            self.notice(format!("Not every sample question can be answered: {why}."), reporter)?;
        }
        let update = self.trainer.position.update.0;
        reporter.send(RunEvent::Answers { update, answers })
    }

    /// The answer to each prompt, or why there is none. A stop leaves some out; a failure is no reason to end the run.
    fn answers(
        &self,
        session: &mut Session<'_>,
        prompts: &[Asked],
        control: &Control,
        reporter: &mut Reporter,
    ) -> Result<Vec<Result<String, String>>, TrainError> {
        reporter.wait_while_paused(control, Phase::Validating)?;
        let options = GenerateOptions {
            max_tokens: MAX_ANSWER_TOKENS,
            sampling: Sampling::default(),
            stop: Vec::new(),
            eos_ids: self.model.text.eos_ids.clone(),
        };
        Ok(match answer_all(session, &self.model.tokeniser, prompts, &options, control, &mut |_| {}) {
            Ok(scored) => {
                let said = |s: Scored| s.answer.map(|a| a.text).ok_or_else(|| s.problem.unwrap_or_default());
                scored.into_iter().map(said).collect()
            }
            Err(error) => vec![Err(error.to_string()); prompts.len()],
        })
    }
}

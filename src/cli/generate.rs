//! `tunesmith generate`

use super::asking::{self, Model};
use super::show::Show;
use super::{number, out};
use crate::base::{Control, Failure};
use crate::data::shots::{LineFormat, read_shots};
use crate::engine::Halt;
use crate::engine::jobs::measure::Style;
use crate::infer::beam::{BeamOptions, EarlyStopping, beam_search};
use crate::infer::generate::{Answer, Finish, GenerateOptions, generate};
use crate::infer::sampler::Sampling;
use crate::infer::session::Session;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Each has a cache of its own.
const MOST_BEAMS: usize = 64;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: Model,
    /// The text to answer
    #[arg(long)]
    prompt: String,
    /// File of examples to show before the prompt: question and answer in each row
    #[arg(long, value_name = "FILE")]
    shots: Option<PathBuf>,
    /// How many of the examples to show; all of them when not given
    #[arg(long, value_name = "COUNT", requires = "shots", value_parser = number::count)]
    num_shots: Option<usize>,
    /// How an example becomes a line, and the prompt the last one
    #[arg(long, default_value = "{input}: {output}")]
    format: String,
    /// Longest answer, in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 128, value_parser = number::at_least_one)]
    max_tokens: usize,
    /// 0 takes the likeliest token each time; 1 draws by likelihood; higher is more varied
    #[arg(long, default_value_t = 0.0, value_parser = number::decimal)]
    temperature: f32,
    /// Draw from so many likeliest tokens only; 0 means all
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = number::count)]
    top_k: usize,
    /// Draw from the likeliest tokens whose chances add up to this; 1 means all
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = number::decimal)]
    top_p: f32,
    /// Draw from tokens whose chance is at least this share of the likeliest one's; 0 means all
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = number::decimal)]
    min_p: f32,
    /// Above 1, words used before become less likely; 1 changes nothing
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = number::decimal)]
    repetition_penalty: f32,
    /// The same seed draws the same answer; of no effect at temperature 0
    #[arg(long, default_value_t = 42, value_parser = number::seed)]
    seed: u64,
    /// The answer ends before this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Write so many answers side by side and take the likeliest as a whole; nothing is drawn then
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = number::at_least_one)]
    beams: usize,
    /// Of beams: above 0 long answers gain, below it short ones
    #[arg(long, value_name = "POWER", default_value_t = 1.0, value_parser = number::decimal, allow_hyphen_values = true)]
    length_penalty: f32,
    /// Of beams: when no more answers are looked for: `unlikely`, when none better is likely; `full`, when there are as many as beams;
    /// `impossible`, when none can become better
    #[arg(long, value_name = "WHEN", default_value = "unlikely")]
    early_stopping: EarlyStopping,
    /// Send the prompt as a chat message, with the model's chat template; instruct models expect it
    #[arg(long)]
    chat: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

impl Arguments {
    fn sampling(&self) -> Result<Sampling, Failure> {
        let sampling = Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
        };
        match sampling.problems().first() {
            None => Ok(sampling),
            Some(problem) => Err(Failure::new(
                "A sampling setting is out of its range",
                problem.text.clone(),
                format!("Use --{} {}.", problem.field.replace('_', "-"), problem.fix),
            )),
        }
    }

    /// `None` where one answer is written.
    fn beams(&self, sampling: &Sampling) -> Result<Option<BeamOptions>, Failure> {
        if self.beams == 1 {
            return Ok(None);
        }
        if self.beams > MOST_BEAMS {
            let what = "Too many answers side by side";
            let why = format!("{} beams were asked for, and there is room for {MOST_BEAMS}.", self.beams);
            return Err(Failure::new(what, why, format!("Use --beams {MOST_BEAMS} or fewer.")));
        }
        if !sampling.is_greedy() || sampling.repetition_penalty != 1.0 {
            return Err(Failure::new(
                "Beams draw nothing",
                "Beam search takes the likeliest answer; temperature and repetition penalty have no place in it.",
                "Leave out --temperature and --repetition-penalty, or --beams.",
            ));
        }
        let length_penalty = f64::from(self.length_penalty);
        Ok(Some(BeamOptions { num_beams: self.beams, length_penalty, early_stopping: self.early_stopping }))
    }

    fn style(&self, control: &Control) -> Result<Style, Halt> {
        let format = LineFormat::parse(&self.format)?;
        let shots = match &self.shots {
            Some(path) if self.num_shots != Some(0) => {
                let found = read_shots(path, &format, control)?;
                asking::tell_skipped(&found.skipped, "examples");
                asking::need_shots(found.shots.len(), self.num_shots.unwrap_or(0), "the file", path)?;
                found.shots
            }
            _ => Vec::new(),
        };
        let num_shots = self.num_shots.unwrap_or(shots.len());
        Ok(Style { chat: self.chat, format, shots, num_shots })
    }
}

pub fn run(a: &Arguments, control: &Control) -> Result<(), Halt> {
    let sampling = a.sampling()?;
    let beams = a.beams(&sampling)?;
    let style = a.style(control)?;
    let mut show = Show::new();
    let loaded = asking::load(&a.model, control, &mut show)?;
    let model = &loaded.model;
    if a.chat {
        asking::need_chat(model)?;
    }
    let asked = style.ask(model, &a.prompt, None)?;
    let mut stop = a.stop.clone();
    stop.extend(style.stop(model));
    let options =
        GenerateOptions { max_tokens: a.max_tokens, sampling, stop, eos_ids: model.text.eos_ids.clone() };
    let mut session = Session::new(&model.decoder, loaded.adapter.as_ref())?;
    show.clear();
    let mut on_text = |text: &str| {
        if !a.json {
            out::piece(text);
        }
    };
    let answer = match beams {
        Some(beams) => {
            let (tokeniser, ids) = (&model.tokeniser, &asked.ids);
            let answer = beam_search(&mut session, tokeniser, ids, &options, &beams, control)?;
            on_text(&answer.text);
            answer
        }
        None => generate(&mut session, &model.tokeniser, &asked.ids, &options, control, &mut on_text)?,
    };
    if a.json {
        out::json(&json!({
            "text": answer.text,
            "token_ids": answer.token_ids,
            "prompt": asked.text,
            "prompt_tokens": answer.prompt_tokens,
            "finish": answer.finish,
            "time_to_first_token_secs": answer.time_to_first_token_secs,
            "tokens_per_second": answer.tokens_per_second,
        }));
    } else {
        out::line("");
        out::note(figures(&answer));
    }
    if answer.finish == Finish::Stopped { Err(Halt::Stopped) } else { Ok(()) }
}

fn figures(answer: &Answer) -> String {
    format!(
        "{} tokens after {} of prompt, first after {:.2} s, then {:.1} tokens/s",
        answer.token_ids.len(),
        answer.prompt_tokens,
        answer.time_to_first_token_secs,
        answer.tokens_per_second
    )
}

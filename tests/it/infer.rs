//! Sampling against probabilities worked out by hand, and the generation loop against a scripted model.

use std::collections::BTreeMap;
use tunesmith::base::{Control, Explain};
use tunesmith::data::Tokeniser;
use tunesmith::eval::run::{Asked, answer_pieces};
use tunesmith::infer::generate::{
    Answer, Finish, GenerateOptions, NextLogits, TextPieces, generate, generate_pieces,
};
use tunesmith::infer::sampler::{Sampler, Sampling, is_usable};
use tunesmith::infer::session::Session;
use tunesmith::infer::stop::StopFilter;
use tunesmith::model::ModelError;

/// Tokens are bytes; this one ends the text.
const EOS: u32 = 256;

/// The logits of a model that wants to say this token.
type LogitsOf = fn(u32) -> Vec<f32>;

/// Says a text byte by byte, whatever it is asked. Counts what it is fed.
struct Script {
    says: Vec<u32>,
    prompt_tokens: usize,
    fed: usize,
    context: usize,
    /// Sizes of what was fed at once.
    chunks: Vec<usize>,
    stop_after_chunks: Option<(usize, Control)>,
    logits_of: LogitsOf,
}

fn sure_of(id: u32) -> Vec<f32> {
    let mut logits = vec![0.0; 257];
    logits[id as usize] = 10.0;
    logits
}

impl Script {
    fn new(prompt_tokens: usize, text: &str) -> Self {
        let says = text.bytes().map(u32::from).chain([EOS]).collect();
        Self {
            says,
            prompt_tokens,
            fed: 7,
            context: 4096,
            chunks: Vec::new(),
            stop_after_chunks: None,
            logits_of: sure_of,
        }
    }
}

impl NextLogits for Script {
    fn next(&mut self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        self.fed += tokens.len();
        self.chunks.push(tokens.len());
        assert!(self.fed <= self.context, "fed {} of {} tokens", self.fed, self.context);
        if let Some((after, control)) = &self.stop_after_chunks
            && self.chunks.len() == *after
        {
            control.stop();
        }
        let at = self.fed.saturating_sub(self.prompt_tokens);
        Ok((self.logits_of)(self.says.get(at).copied().unwrap_or(EOS)))
    }

    fn num_fed(&self) -> usize {
        self.fed
    }

    fn context_tokens(&self) -> usize {
        self.context
    }

    fn reset(&mut self) {
        self.fed = 0;
    }
}

/// Bytes -> text; an unfinished character waits.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl TextPieces for Bytes {
    fn push(&mut self, id: u32) -> Option<String> {
        self.0.push(u8::try_from(id).unwrap());
        let text = std::str::from_utf8(&self.0).ok()?.to_string();
        self.0.clear();
        Some(text)
    }

    fn finish(&mut self) -> Option<String> {
        let rest = String::from_utf8_lossy(&std::mem::take(&mut self.0)).into_owned();
        (!rest.is_empty()).then_some(rest)
    }
}

fn options(max_tokens: usize, stop: &[&str]) -> GenerateOptions {
    let stop = stop.iter().map(|s| (*s).to_string()).collect();
    GenerateOptions { max_tokens, stop, eos_ids: vec![EOS], ..GenerateOptions::default() }
}

fn answer(model: &mut Script, options: &GenerateOptions) -> (Answer, Vec<String>) {
    let prompt: Vec<u32> = (0..model.prompt_tokens as u32).map(|i| i % 256).collect();
    let mut heard = Vec::new();
    let control = model.stop_after_chunks.as_ref().map_or_else(Control::new, |(_, c)| c.clone());
    let answer =
        generate_pieces(model, Box::new(Bytes::default()), &prompt, options, &control, &mut |text| {
            heard.push(text.to_string());
        })
        .unwrap();
    assert_eq!(heard.concat(), answer.text, "what was streamed is the answer");
    assert!(heard.iter().all(|h| !h.is_empty()));
    (answer, heard)
}

/// What the model wants to say, max tokens, stop strings; then text, number of tokens, and why it ended.
type Ending = (&'static str, usize, &'static [&'static str], &'static str, usize, Finish);

#[test]
fn an_answer_ends_for_the_right_reason() {
    let cases: &[Ending] = &[
        (" drupe", 10, &[], " drupe", 6, Finish::EndOfText),
        (" drupe", 6, &[], " drupe", 6, Finish::MaxTokens),
        (" drupe", 3, &[], " dr", 3, Finish::MaxTokens),
        (" drupe", 0, &[], "", 0, Finish::MaxTokens),
        ("", 10, &[], "", 0, Finish::EndOfText),
        ("pome\nlemon: ", 50, &["\n"], "pome", 5, Finish::StopString),
        ("pome###x", 50, &["###"], "pome", 7, Finish::StopString),
        ("pome##", 50, &["###"], "pome##", 6, Finish::EndOfText),
        ("pome##", 5, &["###"], "pome#", 5, Finish::MaxTokens),
        // the stop string is the first token
        ("xyz", 50, &["x"], "", 1, Finish::StopString),
        // an empty stop string is none
        ("xyz", 50, &[""], "xyz", 3, Finish::EndOfText),
        ("aab", 50, &["", "ab"], "a", 3, Finish::StopString),
        // a character of four bytes, and a stop string of such
        ("🍋 ok", 50, &[], "🍋 ok", 7, Finish::EndOfText),
        ("a🍋🍏b", 50, &["🍏"], "a🍋", 9, Finish::StopString),
        // cut inside a character: what is there is replaced, not lost without a sign
        ("a🍋", 3, &[], "a\u{fffd}", 3, Finish::MaxTokens),
    ];
    for (says, max_tokens, stop, text, num_tokens, finish) in cases {
        let (answer, _) = answer(&mut Script::new(5, says), &options(*max_tokens, stop));
        let got = (answer.text.as_str(), answer.token_ids.len(), answer.finish);
        assert_eq!(got, (*text, *num_tokens, *finish), "{says:?} {stop:?}");
        assert_eq!(answer.prompt_tokens, 5);
    }
}

#[test]
fn nothing_of_a_stop_string_is_streamed() {
    let (_, heard) = answer(&mut Script::new(1, "one\n\ntwo\n\n\nthree"), &options(99, &["\n\n\n"]));
    assert_eq!(heard, ["o", "n", "e", "\n\nt", "w", "o"]);
}

#[test]
fn a_long_prompt_is_fed_in_chunks_and_can_be_stopped() {
    let mut model = Script::new(600, "ok");
    assert_eq!(answer(&mut model, &options(9, &[])).0.text, "ok");
    assert_eq!(model.chunks, [256, 256, 88, 1, 1]);

    let control = Control::new();
    let mut model = Script::new(600, "ok");
    model.stop_after_chunks = Some((2, control));
    let (stopped, _) = answer(&mut model, &options(9, &[]));
    assert_eq!((stopped.finish, stopped.text.as_str()), (Finish::Stopped, ""));
    assert_eq!(model.chunks, [256, 256]);
    assert_eq!(stopped.time_to_first_token_secs, 0.0);
}

#[test]
fn a_stop_keeps_what_was_said() {
    let mut model = Script::new(2, "hello");
    // stopped inside the fourth pass, whose token is kept
    model.stop_after_chunks = Some((4, Control::new()));
    let (stopped, _) = answer(&mut model, &options(9, &[]));
    assert_eq!((stopped.finish, stopped.text.as_str()), (Finish::Stopped, "hell"));
    assert_eq!(model.chunks.len(), 4);
}

#[test]
fn a_full_context_ends_the_answer() {
    for (context, text) in [(5, "a"), (6, "ab"), (8, "abcd")] {
        let mut model = Script::new(5, "abcdefgh");
        model.context = context;
        let (full, _) = answer(&mut model, &options(99, &[]));
        assert_eq!((full.finish, full.text.as_str()), (Finish::ContextFull, text));
    }
}

#[test]
fn prompts_that_cannot_be_answered_are_said() {
    let cases: [(usize, LogitsOf, &str); 5] = [
        (0, sure_of, "the prompt is empty"),
        (9, sure_of, "the prompt has 9 tokens, but the model's context holds 8"),
        (3, |_| vec![f32::NAN; 257], "at position 3 the model gave no number"),
        (3, |_| vec![f32::NEG_INFINITY; 257], "at position 3 the model gave no number"),
        (3, |_| Vec::new(), "at position 3 the model gave no number"),
    ];
    for (prompt_tokens, logits_of, message) in cases {
        let mut model = Script::new(prompt_tokens, "x");
        model.context = 8;
        model.logits_of = logits_of;
        let prompt = vec![1; prompt_tokens];
        let error = generate_pieces(
            &mut model,
            Box::new(Bytes::default()),
            &prompt,
            &options(4, &[]),
            &Control::new(),
            &mut |_| {},
        )
        .unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(error.title(), "The prompt cannot be answered");
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn the_same_seed_gives_the_same_answer() {
    let said = |seed| {
        let mut model = Script::new(4, "");
        model.logits_of = |_| (0..257).map(|i| if i == EOS { -9.0 } else { (i % 7) as f32 }).collect();
        let mut options = options(40, &[]);
        options.sampling = Sampling { temperature: 1.0, seed, ..Sampling::default() };
        answer(&mut model, &options).0.token_ids
    };
    assert_eq!(said(1), said(1));
    assert_ne!(said(1), said(2));
}

#[test]
fn stop_strings_do_not_depend_on_how_text_is_cut() {
    let text = "ababac🍋🍋🍏 aab\u{301}c and abcd then more";
    let sets: &[&[&str]] = &[
        &[],
        &["abac"],
        &["abcd", "c"],
        &["🍏"],
        &["🍋🍏", "🍋🍋🍋"],
        &["then more!"],
        &["b\u{301}"],
        &["e"],
    ];
    for stops in sets {
        let stops: Vec<String> = stops.iter().map(|s| (*s).to_string()).collect();
        let mut answers = std::collections::BTreeSet::new();
        for size in 1..=text.len() {
            let mut filter = StopFilter::new(&stops);
            let (mut out, mut from) = (String::new(), 0);
            for at in (size..=text.len() + size).map(|end| text.floor_char_boundary(end)) {
                if at - from >= size || at == text.len() {
                    out.push_str(&filter.push(&text[from..at]));
                    // never shows what may be part of a stop string
                    assert!(stops.iter().all(|s| !out.contains(s.as_str())), "{stops:?} {out}");
                    from = at;
                }
            }
            if !filter.is_stopped() {
                out.push_str(&filter.finish());
            }
            answers.insert(out);
        }
        assert_eq!(answers.len(), 1, "{stops:?}: {answers:?}");
    }
}

/// How often each token is chosen in many draws, as shares.
fn shares(sampling: &Sampling, logits: &[f32], seen: &[u32]) -> BTreeMap<u32, f64> {
    const NUM: usize = 40_000;
    let mut sampler = Sampler::new(sampling);
    let mut counts = BTreeMap::new();
    for _ in 0..NUM {
        *counts.entry(sampler.choose(&mut logits.to_vec(), seen)).or_insert(0_usize) += 1;
    }
    counts.into_iter().map(|(id, n)| (id, n as f64 / NUM as f64)).collect()
}

/// Name, settings, tokens seen before; then each token that may be chosen, with its probability.
type Shares = (&'static str, Sampling, &'static [u32], &'static [(u32, f64)]);

#[test]
fn the_distribution_is_as_worked_out_by_hand() {
    let one = Sampling { temperature: 1.0, ..Sampling::default() };
    // Probabilities 0.1, 0.4, 0.3, 0.2 at temperature 1.
    let logits = [0.1_f32, 0.4, 0.3, 0.2].map(f32::ln);
    let cases: &[Shares] = &[
        ("plain", one.clone(), &[], &[(0, 0.1), (1, 0.4), (2, 0.3), (3, 0.2)]),
        // squared and scaled: 0.01, 0.16, 0.09, 0.04 of 0.30
        (
            "temperature 0.5",
            Sampling { temperature: 0.5, ..one.clone() },
            &[],
            &[(0, 0.01 / 0.3), (1, 0.16 / 0.3), (2, 0.3), (3, 0.04 / 0.3)],
        ),
        ("top-k 2", Sampling { top_k: 2, ..one.clone() }, &[], &[(1, 4.0 / 7.0), (2, 3.0 / 7.0)]),
        ("top-k 9", Sampling { top_k: 9, ..one.clone() }, &[], &[(0, 0.1), (1, 0.4), (2, 0.3), (3, 0.2)]),
        // 0.4 + 0.3 reaches 0.65
        ("top-p 0.65", Sampling { top_p: 0.65, ..one.clone() }, &[], &[(1, 4.0 / 7.0), (2, 3.0 / 7.0)]),
        // 0.4 alone does not reach 0.41
        ("top-p 0.41", Sampling { top_p: 0.41, ..one.clone() }, &[], &[(1, 4.0 / 7.0), (2, 3.0 / 7.0)]),
        ("top-p tiny", Sampling { top_p: 1e-6, ..one.clone() }, &[], &[(1, 1.0)]),
        // of what top-k left over (4/7, 3/7) the first alone reaches 0.5; of the whole it does not
        ("top-k then top-p", Sampling { top_k: 2, top_p: 0.5, ..one.clone() }, &[], &[(1, 1.0)]),
        // at least 0.6 * 0.4 = 0.24
        ("min-p 0.6", Sampling { min_p: 0.6, ..one.clone() }, &[], &[(1, 4.0 / 7.0), (2, 3.0 / 7.0)]),
        ("min-p 1", Sampling { min_p: 1.0, ..one.clone() }, &[], &[(1, 1.0)]),
        // temperature before min-p: shares of the best are 0.0625, 1, 0.5625, 0.25
        (
            "temperature then min-p",
            Sampling { temperature: 0.5, min_p: 0.6, ..one.clone() },
            &[],
            &[(1, 1.0)],
        ),
        // ln 0.4 is negative, so penalty 2 makes it 0.16; twice seen counts once; unknown ids are ignored
        (
            "penalty",
            Sampling { repetition_penalty: 2.0, ..one.clone() },
            &[1, 1, 99_999],
            &[(0, 0.1 / 0.76), (1, 0.16 / 0.76), (2, 0.3 / 0.76), (3, 0.2 / 0.76)],
        ),
    ];
    for (name, sampling, seen, expected) in cases {
        let got = shares(sampling, &logits, seen);
        assert_eq!(
            got.keys().copied().collect::<Vec<_>>(),
            expected.iter().map(|e| e.0).collect::<Vec<_>>(),
            "{name}"
        );
        for (id, share) in *expected {
            // Four standard deviations of 40,000 draws are at most 0.01.
            assert!((got[id] - share).abs() < 0.01, "{name}: token {id} has {} and not {share}", got[id]);
        }
    }
}

#[test]
fn a_positive_logit_is_divided_and_a_negative_one_multiplied() {
    let sampling = Sampling { repetition_penalty: 2.0, ..Sampling::default() };
    let mut logits = [4.0, 3.0, -1.0, -3.0];
    assert_eq!(Sampler::new(&sampling).choose(&mut logits, &[0, 2]), 1);
    assert_eq!(logits, [2.0, 3.0, -2.0, -3.0]);
}

#[test]
fn greedy_takes_the_first_of_the_best() {
    let mut sampler = Sampler::new(&Sampling::default());
    assert_eq!(sampler.choose(&mut [1.0, 3.0, 3.0, 2.0], &[]), 1);
    let one = Sampling { temperature: 5.0, top_k: 1, ..Sampling::default() };
    assert_eq!(Sampler::new(&one).choose(&mut [1.0, 3.0, 3.0, 2.0], &[]), 1);
}

#[test]
fn broken_logits_do_no_harm() {
    const NAN: f32 = f32::NAN;
    const INFINITY: f32 = f32::INFINITY;
    const NEG_INFINITY: f32 = f32::NEG_INFINITY;
    let cases: &[(&[f32], &[u32])] = &[
        (&[NAN, 1.0, NAN], &[1]),
        (&[NAN, NEG_INFINITY, -3e38], &[2]),
        (&[INFINITY, 1.0, INFINITY, NAN], &[0, 2]),
        (&[NAN, NAN], &[0]),
        (&[NEG_INFINITY, NEG_INFINITY], &[0]),
        (&[], &[0]),
        (&[f32::MAX, f32::MIN, f32::MAX], &[0, 2]),
    ];
    for temperature in [0.0, 1e-30, 1.0, 100.0] {
        for (logits, allowed) in cases {
            for (top_k, top_p, min_p) in [(0, 1.0, 0.0), (2, 0.9, 0.1), (0, 0.5, 1.0)] {
                let sampling = Sampling {
                    temperature,
                    top_k,
                    top_p,
                    min_p,
                    repetition_penalty: 1.5,
                    ..Sampling::default()
                };
                let mut sampler = Sampler::new(&sampling);
                for _ in 0..50 {
                    let id = sampler.choose(&mut logits.to_vec(), &[]);
                    assert!(allowed.contains(&id), "{logits:?} {sampling:?}: {id}");
                }
            }
        }
    }
    assert!(is_usable(&[NAN, 0.0]) && !is_usable(&[NAN, NEG_INFINITY]) && !is_usable(&[]));
}

#[test]
fn a_large_vocabulary_is_cut_exactly_where_top_p_says() {
    // 100,000 tokens that fall slowly: more than one block has to be sorted.
    let logits: Vec<f32> = (0..100_000).map(|i| -(((i * 7919) % 100_000) as f32) * 1e-3).collect();
    let sampling = Sampling { temperature: 1.0, top_p: 0.95, ..Sampling::default() };
    let weights: Vec<f64> = (0..100_000).map(|rank| (-rank as f64 * 1e-3).exp()).collect();
    let whole: f64 = weights.iter().sum();
    let mut sum = 0.0;
    let cut = weights.iter().take_while(|w| {
        let is_inside = sum < 0.95 * whole;
        sum += **w;
        is_inside
    });
    let cut = cut.count();
    assert!((2_900..3_100).contains(&cut), "{cut}");
    let mut sampler = Sampler::new(&sampling);
    let mut deepest = 0;
    for _ in 0..1_500 {
        let id = sampler.choose(&mut logits.clone(), &[]) as usize;
        deepest = deepest.max((id * 7919) % 100_000);
    }
    assert!(deepest <= cut && deepest > cut - 500, "{deepest} of {cut}");
}

#[test]
fn settings_out_of_range_are_named_with_a_fix() {
    assert!(Sampling::default().problems().is_empty());
    let wrong = Sampling {
        temperature: -1.0,
        top_p: 0.0,
        min_p: 1.5,
        repetition_penalty: f32::NAN,
        ..Sampling::default()
    };
    let problems = wrong.problems();
    let found: Vec<_> = problems.iter().map(|p| (p.field, p.fix)).collect();
    assert_eq!(found, [("temperature", 0.0), ("top_p", 1.0), ("min_p", 1.0), ("repetition_penalty", 1.0)]);
    assert_eq!(problems[0].text, "The temperature is -1; it must be between 0 and 100.");
    assert_eq!(problems[1].text, "The top p is 0; it must be above 0 and at most 1.");
    // and the sampler does not mind them
    assert_eq!(Sampler::new(&wrong).choose(&mut [0.0, 1.0], &[0]), 1);
    let odd = Sampling { temperature: 1.0, top_p: f32::NAN, min_p: f32::NAN, top_k: usize::MAX, ..wrong };
    assert!(Sampler::new(&odd).choose(&mut [0.0, 1.0], &[0]) < 2);
}

#[test]
fn a_real_model_answers_the_same_when_prompts_begin_alike() {
    let decoder = crate::parity::decoder("parity/tiny-llama/model");
    let mut session = Session::new(&decoder, None).unwrap();
    let prompts: Vec<Vec<u32>> =
        (0..4).map(|p| (0..30).map(|i| if i < 25 { i * 7 + 3 } else { i * 5 + p } % 512).collect()).collect();
    let options = GenerateOptions { max_tokens: 12, ..GenerateOptions::default() };
    let mut alone = Vec::new();
    for ids in &prompts {
        let answer =
            generate_pieces(&mut session, Box::new(Numbers), ids, &options, &Control::new(), &mut |_| {})
                .unwrap();
        assert_eq!((answer.token_ids.len(), answer.finish), (12, Finish::MaxTokens));
        alone.push(answer.token_ids);
    }
    let asked: Vec<Asked> = prompts.into_iter().map(|ids| Asked { ids, ..Asked::default() }).collect();
    let pieces = || Box::new(Numbers) as Box<dyn TextPieces>;
    let set = answer_pieces(&mut session, pieces, &asked, &options, &Control::new(), &mut |_| {}).unwrap();
    let together: Vec<_> = set.into_iter().map(|s| s.answer.unwrap().token_ids).collect();
    assert_eq!(together, alone);
    // and by hand: what was forgotten has no influence
    session.reset();
    let first = session.next(&asked[0].ids).unwrap();
    let mut other = asked[0].ids[..20].to_vec();
    other.extend([1, 2, 3]);
    session.begin(&other);
    assert_eq!(session.num_fed(), 20);
    session.next(&other[20..]).unwrap();
    // a token outside the vocabulary is refused, and changes nothing
    assert!(session.next(&[1, 99_999]).is_err());
    session.begin(&asked[0].ids);
    assert_eq!(session.num_fed(), 20);
    let again = session.next(&asked[0].ids[20..]).unwrap();
    assert!(first.iter().zip(&again).all(|(a, b)| (a - b).abs() < 1e-4));
    session.begin(&asked[0].ids);
    assert_eq!(session.num_fed(), asked[0].ids.len() - 1, "the last token is fed again");
    session.begin(&[]);
    assert_eq!(session.num_fed(), 0);
}

/// Tokens written as numbers.
pub struct Numbers;

impl TextPieces for Numbers {
    fn push(&mut self, id: u32) -> Option<String> {
        Some(format!("{id} "))
    }

    fn finish(&mut self) -> Option<String> {
        None
    }
}

/// A model that says the tokens of a text after a prompt, by a real tokenizer.
fn says(tokeniser: &Tokeniser, prompt_tokens: usize, text: &str) -> Script {
    let mut model = Script::new(prompt_tokens, "");
    model.says = tokeniser.encode(text).unwrap();
    model.says.push(2);
    model.logits_of = |id| {
        let mut logits = vec![0.0; 49_152];
        logits[id as usize] = 1.0;
        logits
    };
    model
}

#[test]
fn a_real_tokenizer_streams_whole_characters() {
    let (tokeniser, _) = crate::tokenise::smollm2();
    let text = " Zürich\n🍋‍🟩 苹果是仁果 🧑🏽‍🌾\n\nहाँ, İstanbul ###END and more";
    let prompt = tokeniser.encode("lemon:").unwrap();
    let cases: &[(&[&str], &str, Finish)] = &[
        (&[], text, Finish::EndOfText),
        (&["###END"], " Zürich\n🍋‍🟩 苹果是仁果 🧑🏽‍🌾\n\nहाँ, İstanbul ", Finish::StopString),
        (&["\n\n"], " Zürich\n🍋‍🟩 苹果是仁果 🧑🏽‍🌾", Finish::StopString),
        (&["果是", "zzz"], " Zürich\n🍋‍🟩 苹", Finish::StopString),
        (&["🟩"], " Zürich\n🍋‍", Finish::StopString),
    ];
    for (stop, expected, finish) in cases {
        let mut options = options(200, stop);
        options.eos_ids = vec![2];
        let mut heard = Vec::new();
        let mut model = says(&tokeniser, prompt.len(), text);
        let answer = generate(&mut model, &tokeniser, &prompt, &options, &Control::new(), &mut |piece| {
            heard.push(piece.to_string());
        })
        .unwrap();
        assert_eq!((answer.text.as_str(), answer.finish), (*expected, *finish), "{stop:?}");
        assert_eq!(heard.concat(), answer.text);
        assert!(heard.len() > 3 && heard.iter().all(|piece| !piece.contains('\u{fffd}')), "{heard:?}");
    }
    // Cut anywhere, also inside a character: what was whole is there.
    let num_tokens = tokeniser.encode(text).unwrap().len();
    for max_tokens in 1..=num_tokens {
        let mut model = says(&tokeniser, prompt.len(), text);
        let options = options(max_tokens, &[]);
        let cut =
            generate(&mut model, &tokeniser, &prompt, &options, &Control::new(), &mut |_| {}).unwrap().text;
        assert!(text.starts_with(cut.trim_end_matches('\u{fffd}')), "{cut}");
    }
}

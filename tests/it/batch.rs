//! Answers made together against the same answers made alone, on real decoders of every family.

use crate::infer::Numbers;
use crate::parity::{FAMILIES, fixture};
use candle_core::Device;
use tunesmith::base::{Control, DeviceChoice, Precision, Silent};
use tunesmith::infer::batch::{Batch, Job, News};
use tunesmith::infer::generate::{Answer, Finish, GenerateOptions, NextLogits, Together, generate_pieces};
use tunesmith::infer::sampler::Sampling;
use tunesmith::infer::session::Session;
use tunesmith::model::ModelError;
use tunesmith::model::decoder::Decoder;
use tunesmith::model::files::ModelFiles;
use tunesmith::model::load::{Placement, load_decoder};
use tunesmith::peft::{Adapter, format};

fn decoder(family: &str, precision: Precision) -> Decoder {
    let name = format!("parity/{family}/model");
    let files = ModelFiles::open(&name, &fixture(&name)).unwrap();
    let placement = Placement { device: DeviceChoice::Cpu, precision };
    load_decoder(&files, placement, &Control::new(), &mut Silent).unwrap()
}

fn adapter(family: &str, decoder: &Decoder) -> Adapter {
    let folder = fixture(&format!("parity/{family}/adapter_after_10"));
    format::load(&folder, decoder.config(), &Device::Cpu).unwrap()
}

/// Prompts of different lengths: with the same first `head` tokens, then each its own.
fn prompts(num: usize, head: usize) -> Vec<Vec<u32>> {
    let token = |p: usize, i: usize| if i < head { i * 7 + 3 } else { i * 5 + p * 31 } as u32 % 500;
    (0..num).map(|p| (0..head + 1 + p * 3 % 11).map(|i| token(p, i)).collect()).collect()
}

/// Different for each prompt: the longest answer, stop strings, the end of the text, and chance.
fn options(num: usize) -> Vec<GenerateOptions> {
    let sampling = |i: usize| Sampling {
        temperature: if i.is_multiple_of(2) { 0.0 } else { 0.8 },
        top_p: 0.95,
        repetition_penalty: 1.2,
        seed: i as u64,
        ..Sampling::default()
    };
    let of = |i: usize| GenerateOptions {
        max_tokens: [9, 3, 14, 0, 1][i % 5],
        sampling: sampling(i),
        stop: if i.is_multiple_of(3) { vec!["1".into()] } else { Vec::new() },
        eos_ids: (0..40).map(|id| id * 11 + i as u32).collect(),
    };
    (0..num).map(of).collect()
}

fn alone(session: &mut Session<'_>, prompt: &[u32], options: &GenerateOptions) -> Answer {
    session.reset();
    generate_pieces(session, Box::new(Numbers), prompt, options, &Control::new(), &mut |_| {}).unwrap()
}

fn together<M: Together>(
    model: &mut M,
    prompts: &[Vec<u32>],
    options: &[GenerateOptions],
) -> Vec<Result<Answer, ModelError>> {
    let job = |(prompt, options)| Job { prompt, pieces: Box::new(Numbers), options };
    let jobs = prompts.iter().map(Vec::as_slice).zip(options).map(job).collect();
    let mut batch = Batch::new(model, jobs);
    let mut texts: Vec<Option<String>> = vec![None; prompts.len()];
    let mut answers: Vec<Option<Result<Answer, ModelError>>> = prompts.iter().map(|_| None).collect();
    let mut on_news = |job: usize, news: News<'_>| match news {
        News::Began => assert!(texts[job].replace(String::new()).is_none()),
        News::Text(text) => texts[job].as_mut().unwrap().push_str(text),
        News::Ended(result) => assert!(answers[job].replace(result).is_none()),
    };
    while batch.step(&Control::new(), &mut on_news).unwrap() {}
    assert!(batch.is_done());
    for (text, answer) in texts.iter().zip(&answers) {
        let answer = answer.as_ref().unwrap().as_ref().ok();
        assert_eq!(text.as_ref(), answer.map(|a| &a.text), "what was streamed is the answer");
    }
    answers.into_iter().flatten().collect()
}

/// Without the times.
fn essence(answer: &Answer) -> (&[u32], &str, usize, Finish) {
    (&answer.token_ids, &answer.text, answer.prompt_tokens, answer.finish)
}

#[test]
fn answers_made_together_are_those_made_alone() {
    let mut endings = Vec::new();
    for family in FAMILIES {
        for precision in [Precision::F32, Precision::Q8_0] {
            let decoder = decoder(family, precision);
            let tuned = adapter(family, &decoder);
            for adapter in [None, Some(&tuned)] {
                // More than fit at once, so that some begin when others have ended; with a common head and without.
                for head in [0, 40] {
                    let (prompts, options) = (prompts(21, head), options(21));
                    let mut session = Session::new(&decoder, adapter).unwrap();
                    let together = together(&mut session, &prompts, &options);
                    for ((prompt, options), got) in prompts.iter().zip(&options).zip(together) {
                        let (got, alone) = (got.unwrap(), alone(&mut session, prompt, options));
                        assert_eq!(essence(&got), essence(&alone), "{family} {precision:?} {prompt:?}");
                        endings.push(got.finish);
                    }
                }
            }
        }
    }
    for finish in [Finish::EndOfText, Finish::StopString, Finish::MaxTokens] {
        assert!(endings.contains(&finish), "no answer ends by {finish:?}");
    }
}

#[test]
fn logits_made_together_are_those_made_alone_but_for_rounding() {
    let decoder = decoder("tiny-qwen3", Precision::F32);
    let session = Session::new(&decoder, Some(&adapter("tiny-qwen3", &decoder))).unwrap();
    let prompts = prompts(9, 20);
    let mut rows: Vec<_> = prompts.iter().map(|_| session.fork().unwrap()).collect();
    // Each prompt in two pieces, cut at a place of its own.
    let cut = |i: usize| 1 + i * 2;
    let mut feed = |piece: &dyn Fn(usize) -> std::ops::Range<usize>| {
        let of = |(i, row)| (row, &prompts[i][piece(i)]);
        Session::next_together(&mut rows.iter_mut().enumerate().map(of).collect::<Vec<_>>()).unwrap()
    };
    feed(&|i| 0..cut(i));
    let together = feed(&|i| cut(i)..prompts[i].len());
    for (prompt, got) in prompts.iter().zip(together) {
        let expected = session.fork().unwrap().next(prompt).unwrap();
        let most = expected.iter().fold(0f32, |most, l| most.max(l.abs()));
        assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5 * most));
    }
}

#[test]
fn a_head_in_common_is_fed_once() {
    let decoder = decoder("tiny-llama", Precision::F32);
    let mut session = Session::new(&decoder, None).unwrap();
    let (prompts, options) = (prompts(3, 40), options(3));
    together(&mut session, &prompts, &options);
    assert_eq!(session.num_fed(), 40, "the head, and nothing of one prompt alone");
    // A fork has buffers of its own.
    let mut fork = session.fork().unwrap();
    let one = session.next(&[5]).unwrap();
    fork.next(&[6]).unwrap();
    session.begin(&prompts[0][..40]);
    session.next(&[prompts[0][39], 5]).unwrap();
    fork.begin(&prompts[0][..40]);
    let again = fork.next(&[prompts[0][39], 5]).unwrap();
    assert!(one.iter().zip(&again).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[test]
fn a_prompt_that_cannot_be_answered_fails_alone() {
    let decoder = decoder("tiny-llama", Precision::F32);
    let mut session = Session::new(&decoder, None).unwrap();
    let (mut prompts, options) = (prompts(4, 0), options(4));
    let context = decoder.config().context_tokens;
    prompts[1] = Vec::new();
    prompts[2] = vec![1; context + 1];
    let got = together(&mut session, &prompts, &options);
    assert!(matches!(got[1], Err(ModelError::EmptyPrompt)));
    assert!(matches!(got[2], Err(ModelError::PromptTooLong { .. })));
    for i in [0, 3] {
        let alone = alone(&mut session, &prompts[i], &options[i]);
        assert_eq!(essence(got[i].as_ref().unwrap()), essence(&alone));
    }
    assert!(together(&mut session, &[], &[]).is_empty());
}

#[test]
fn a_stop_ends_what_is_under_way_and_begins_nothing_more() {
    let decoder = decoder("tiny-llama", Precision::F32);
    let mut session = Session::new(&decoder, None).unwrap();
    let prompts = prompts(20, 40);
    let options = GenerateOptions { max_tokens: 50, ..GenerateOptions::default() };
    let jobs = prompts.iter().map(|prompt| Job { prompt, pieces: Box::new(Numbers), options: &options });
    let mut batch = Batch::new(&mut session, jobs.collect());
    let (control, mut num_begun, mut ends) = (Control::new(), 0, Vec::new());
    let mut num_texts = 0;
    loop {
        let mut on_news = |_: usize, news: News<'_>| match news {
            News::Began => num_begun += 1,
            News::Text(_) => num_texts += 1,
            News::Ended(result) => ends.push(result.unwrap()),
        };
        if !batch.step(&control, &mut on_news).unwrap() {
            break;
        }
        if num_texts >= 40 {
            control.stop();
        }
    }
    assert!(!batch.is_done());
    assert_eq!((num_begun, ends.len()), (16, 16));
    assert!(ends.iter().all(|a| a.finish == Finish::Stopped && (2..=4).contains(&a.token_ids.len())));
}

//! Metrics against values worked out by hand, the difference of two answers, and running a set of prompts.

use std::cell::Cell as Counter;
use std::rc::Rc;
use tunesmith::base::Control;
use tunesmith::data::shots::{LineFormat, Question, Shot};
use tunesmith::data::template::Template;
use tunesmith::eval::compare::{Cell, Matrix, diff, is_same, shot_rows};
use tunesmith::eval::metrics::{bleu, is_match, normalise, perplexity, rouge_l, token_f1, words};
use tunesmith::eval::report::{Comparison, Report};
use tunesmith::eval::run::{Asked, Asking, Scored, answer_all, answer_pieces};
use tunesmith::eval::score::{ScoreBoard, chance_of_difference};
use tunesmith::infer::generate::{Answer, Finish, GenerateOptions, NextLogits, TextPieces, Together};
use tunesmith::infer::session::Session;
use tunesmith::model::ModelError;

#[test]
fn exact_match_forgives_what_people_do_not_mean() {
    let same = [
        ("drupe", " Drupe.\n"),
        ("a  berry", "A berry!"),
        ("ｐｏｍｅ", "pome"),
        ("café", "cafe\u{301}"),
        ("ÇİLEK", "çi\u{307}lek"),
        ("STRASSE", "strasse"),
        ("苹果。", "苹果"),
        ("हाँ।", "हाँ"),
        ("yes…", "Yes"),
        ("", "  "),
        ("?", "?"),
        ("3.14", "3.14."),
    ];
    for (a, b) in same {
        assert!(is_match(a, b) && is_match(b, a), "{a:?} {b:?}: {:?} {:?}", normalise(a), normalise(b));
    }
    let different = [
        ("drupe", "drupes"),
        ("", "."),
        ("?", "!"),
        ("a berry", "berry"),
        ("3.14", "314"),
        ("-1", "1"),
        ("café", "cafe"),
    ];
    for (a, b) in different {
        assert!(!is_match(a, b), "{a:?} {b:?}");
    }
}

#[test]
fn words_of_any_script() {
    assert_eq!(words("The apple's red, isn't it?"), ["the", "apple", "s", "red", "isn", "t", "it"]);
    assert_eq!(words("苹果 is 红"), ["苹", "果", "is", "红"]);
    assert_eq!(words("नमस्ते दुनिया।"), ["नमस्ते", "दुनिया"]);
    assert_eq!(words("« déjà » — vu"), ["déjà", "vu"]);
    assert!(words(" ... \0 ").is_empty());
}

fn close(got: f64, expected: f64) {
    assert!((got - expected).abs() < 1e-9, "{got} is not {expected}");
}

#[test]
fn metrics_are_as_worked_out_by_hand() {
    // common: the, cat (2) of 3 and 4 words -> 2 * 2 / 7
    close(token_f1("the cat ran", "the big black cat"), 4.0 / 7.0);
    // a word counts as often as the rarer side has it
    close(token_f1("a a a", "a"), 0.5);
    close(token_f1("x", "y"), 0.0);
    close(token_f1("", ""), 1.0);
    close(token_f1("", "y"), 0.0);
    // Lin 2004: police killed the gunman / police kill the gunman: 3 of 4 and 4
    close(rouge_l("police kill the gunman", "police killed the gunman"), 0.75);
    // order matters here: longest common subsequence is "the gunman"
    close(rouge_l("the gunman kill police", "police killed the gunman"), 0.5);
    close(rouge_l("", ""), 1.0);
    close(perplexity(4.0, 2.0).unwrap(), 2.0_f64.exp());
    assert_eq!(perplexity(0.0, 0.0), None);
    // 1-gram 5/6, 2-gram (3+1)/(5+1), 3-gram (1+1)/(4+1), 4-gram (0+1)/(3+1); same length
    let expected = (5.0 / 6.0 * 4.0 / 6.0 * 2.0 / 5.0 * 1.0 / 4.0_f64).powf(0.25);
    close(bleu([("the cat sat on the mat", "the cat is on the mat")]), expected);
    close(bleu([("one two three four five", "one two three four five")]), 1.0);
    // two words of four: brevity exp(1 - 2); 2/2, (1+1)/(1+1), 1/1, 1/1
    close(bleu([("one two", "one two three four")]), (-1.0_f64).exp());
    close(bleu([("", "x")]), 0.0);
    close(bleu([]), 0.0);
}

#[test]
fn long_texts_are_compared_in_bounded_time() {
    let long = "a b ".repeat(200_000);
    let started = std::time::Instant::now();
    close(rouge_l(&long, &long), 1.0);
    let other = "c ".repeat(400_000);
    let pieces = diff(&long, &other);
    assert_eq!(pieces, [(other, true)]);
    assert!(started.elapsed().as_secs() < 30);
}

/// Base, tuned, and the tuned answer in pieces.
type Marked = (&'static str, &'static str, &'static [(&'static str, bool)]);

#[test]
fn words_that_differ_are_marked() {
    let cases: &[Marked] = &[
        ("a drupe", "a pome", &[("a ", false), ("pome", true)]),
        ("same  words", "same words ", &[("same words ", false)]),
        ("", "new words", &[("new words", true)]),
        ("old", "", &[]),
        ("", "", &[]),
        ("x", "  \n", &[("  \n", false)]),
        ("b", " a b", &[(" a ", true), ("b", false)]),
        (
            "the fig is a fruit",
            "the ripe fig is fruit",
            &[("the ", false), ("ripe ", true), ("fig is fruit", false)],
        ),
        ("a b c d e", "a x c y e", &[("a ", false), ("x ", true), ("c ", false), ("y ", true), ("e", false)]),
        ("🍋 苹果", "🍋 红苹果", &[("🍋 ", false), ("红苹果", true)]),
    ];
    for (base, tuned, expected) in cases {
        let got = diff(base, tuned);
        assert_eq!(
            got.iter().map(|(t, d)| (t.as_str(), *d)).collect::<Vec<_>>(),
            *expected,
            "{base:?} {tuned:?}"
        );
        assert_eq!(got.iter().map(|p| p.0.as_str()).collect::<String>(), *tuned);
    }
    assert!(is_same("a  b", " a b\n") && !is_same("a b", "a B"));
}

#[test]
fn a_score_says_how_sure_it_is() {
    let board: ScoreBoard = (0..15).map(|i| i < 7).collect();
    assert_eq!(board, ScoreBoard { num: 15, matches: 7 });
    let (low, high) = board.interval().unwrap();
    // Wilson for 7 of 15, from the formula by hand
    assert!((low - 0.248_1).abs() < 1e-3 && (high - 0.698_8).abs() < 1e-3, "{low} {high}");
    assert_eq!(board.to_string(), "7 of 15 (47 %; 25 to 70 % likely)");
    assert_eq!(ScoreBoard::default().to_string(), "not scored");
    assert_eq!((ScoreBoard::default().share(), ScoreBoard::default().interval()), (None, None));
    let (low, high) = ScoreBoard { num: 10, matches: 10 }.interval().unwrap();
    assert!((low - 0.722_5).abs() < 1e-3 && high > 0.999_999, "{low} {high}");
}

fn cell(num: usize, matches: usize) -> Cell {
    let scored = |i| Scored {
        prompt: String::new(),
        expected: Some(String::new()),
        answer: None,
        problem: None,
        is_match: Some(i < matches),
    };
    Cell::new((0..num).map(scored).collect())
}

#[test]
fn the_matrix_knows_its_best_cells() {
    assert_eq!(shot_rows(0), [0]);
    assert_eq!(shot_rows(1), [0, 1]);
    assert_eq!(shot_rows(3), [0, 1, 3]);
    let mut matrix = Matrix::new(shot_rows(3), vec!["Base".into(), "Tuned".into()]);
    assert_eq!((matrix.best(0), matrix.gain_points(0, 1)), (None, None));
    matrix.set(0, 0, cell(10, 1));
    matrix.set(1, 0, cell(10, 3));
    matrix.set(2, 0, cell(10, 3));
    matrix.set(0, 1, cell(10, 8));
    matrix.set(9, 0, cell(10, 10));
    matrix.set(0, 2, cell(10, 10));
    assert_eq!(matrix.best(0), Some((1, ScoreBoard { num: 10, matches: 3 })));
    assert_eq!(matrix.best(1), Some((0, ScoreBoard { num: 10, matches: 8 })));
    assert!(matrix.get(1, 1).is_none() && matrix.get(0, 2).is_none());
    close(matrix.gain_points(0, 1).unwrap(), 50.0);
    let text = serde_json::to_string(&matrix).unwrap();
    assert_eq!(serde_json::from_str::<Matrix>(&text).unwrap(), matrix);
}

/// Says the last token of the prompt once more, then ends with 256.
#[derive(Clone)]
struct Echo {
    fed: usize,
    last: u32,
    stop_at: Option<(u32, Control)>,
}

impl NextLogits for Echo {
    fn next(&mut self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        let is_answer = self.fed > 0;
        self.fed += tokens.len();
        self.last = tokens[tokens.len() - 1];
        if let Some((at, control)) = &self.stop_at
            && *at == self.last
        {
            control.stop();
        }
        if self.last == 0 {
            return Err(ModelError::Device("it broke".into()));
        }
        let mut logits = vec![0.0; 257];
        logits[if is_answer { 256 } else { self.last as usize }] = 1.0;
        Ok(logits)
    }
    fn num_fed(&self) -> usize {
        self.fed
    }
    fn context_tokens(&self) -> usize {
        8
    }
    fn reset(&mut self) {
        self.fed = 0;
    }
}

/// One after the other: what matters here is which conversation is fed what.
fn each_alone<M: NextLogits>(rows: &mut [(&mut M, &[u32])]) -> Result<Vec<Vec<f32>>, ModelError> {
    rows.iter_mut().map(|(model, tokens)| model.next(tokens)).collect()
}

impl Together for Echo {
    fn fork(&self) -> Result<Self, ModelError> {
        Ok(self.clone())
    }
    fn next_together(rows: &mut [(&mut Self, &[u32])]) -> Result<Vec<Vec<f32>>, ModelError> {
        each_alone(rows)
    }
}

/// [`Echo`] that can go back, and keeps what it was fed.
#[derive(Clone)]
struct Rewinds {
    echo: Echo,
    fed: Vec<u32>,
    /// By all forks.
    num_fed: Rc<Counter<usize>>,
    prompt: usize,
}

impl Together for Rewinds {
    fn fork(&self) -> Result<Self, ModelError> {
        Ok(self.clone())
    }
    fn next_together(rows: &mut [(&mut Self, &[u32])]) -> Result<Vec<Vec<f32>>, ModelError> {
        each_alone(rows)
    }
}

impl NextLogits for Rewinds {
    fn next(&mut self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        self.num_fed.set(self.num_fed.get() + tokens.len());
        self.fed.extend(tokens);
        self.echo.fed = self.fed.len().saturating_sub(self.prompt);
        self.echo.next(tokens)
    }
    fn num_fed(&self) -> usize {
        self.fed.len()
    }
    fn context_tokens(&self) -> usize {
        64
    }
    fn reset(&mut self) {
        self.fed.clear();
    }
    fn begin(&mut self, prompt_ids: &[u32]) {
        let common = self.fed.iter().zip(prompt_ids).take_while(|(a, b)| a == b).count();
        self.fed.truncate(common.min(prompt_ids.len() - 1));
    }
}

#[test]
fn prompts_that_begin_alike_are_fed_once() {
    let prompts: Vec<_> = ["shots: a", "shots: b", "shots: b", "shots: c"].map(|p| ask(p, None)).to_vec();
    let echo = Echo { fed: 0, last: 0, stop_at: None };
    // The echo is an answer once the prompt's 8 tokens are fed, however many of them were kept.
    let mut model = Rewinds { echo, fed: Vec::new(), num_fed: Rc::default(), prompt: 8 };
    let options = GenerateOptions { eos_ids: vec![256], max_tokens: 1, ..GenerateOptions::default() };
    let all = answer_pieces(&mut model, || Box::new(Ascii), &prompts, &options, &Control::new(), &mut |_| {});
    let said: Vec<_> = all.unwrap().into_iter().map(|s| s.answer.unwrap().text).collect();
    assert_eq!(said, ["a", "b", "b", "c"]);
    assert_eq!(model.num_fed.get(), 7 + 4);
}

struct Ascii;

impl TextPieces for Ascii {
    fn push(&mut self, id: u32) -> Option<String> {
        char::from_u32(id).map(String::from)
    }
    fn finish(&mut self) -> Option<String> {
        None
    }
}

fn ask(text: &str, expected: Option<&str>) -> Asked {
    Asked {
        text: text.into(),
        ids: text.bytes().map(u32::from).collect(),
        expected: expected.map(str::to_string),
    }
}

fn run_all(prompts: &[Asked], stop_at: Option<u32>) -> (Result<Vec<Scored>, ModelError>, Vec<usize>) {
    let control = Control::new();
    let mut model = Echo { fed: 0, last: 0, stop_at: stop_at.map(|at| (at, control.clone())) };
    let options = GenerateOptions { eos_ids: vec![256], ..GenerateOptions::default() };
    let mut seen = Vec::new();
    let all = answer_pieces(&mut model, || Box::new(Ascii), prompts, &options, &control, &mut |reached| {
        assert!(reached.num_tokens <= reached.most_tokens);
        let Some(scored) = reached.last else { return };
        assert!(!scored.prompt.is_empty() || scored.problem.is_some());
        seen.push(reached.num_done);
    });
    (all, seen)
}

#[test]
fn a_set_is_answered_and_scored() {
    let prompts = [
        ask("xa", Some("A.")),
        ask("xb", Some("no")),
        ask("xc", None),
        ask("", Some("")),
        ask("too long!", Some("!")),
    ];
    let (all, seen) = run_all(&prompts, None);
    let all = all.unwrap();
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    let matches: Vec<_> = all.iter().map(|s| s.is_match).collect();
    assert_eq!(matches, [Some(true), Some(false), None, None, None]);
    assert_eq!(all[2].answer.as_ref().unwrap().text, "c");
    assert_eq!(all[3].problem.as_deref(), Some("the prompt is empty"));
    assert!(all[4].problem.as_ref().unwrap().contains("9 tokens"));
    // What was not answered is counted apart, and neither as right nor as wrong.
    let report = Report::of(&all);
    assert_eq!((report.num_examples, report.num_unanswered), (5, 2));
    assert_eq!(report.unanswered_because.as_deref(), Some("the prompt is empty"));
    let both = Comparison::new(&all, &all);
    assert_eq!((both.base.num, both.tuned.num, both.num_unanswered, both.num_same), (2, 2, 2, 3));
    assert_eq!(Cell::new(all).score, ScoreBoard { num: 2, matches: 1 });
}

#[test]
fn a_set_can_be_stopped_and_a_broken_model_is_an_error() {
    // The first sixteen are answered together; the last one's turn comes when they have ended.
    let mut prompts = vec![ask("a", None); 16];
    prompts.push(ask("b", None));
    let (all, seen) = run_all(&prompts, Some(u32::from(b'b')));
    assert_eq!((all.unwrap().len(), seen), (16, (1..=16).collect()));
    let (all, seen) = run_all(&prompts, Some(u32::from(b'a')));
    assert_eq!((all.unwrap().len(), seen), (0, vec![]));
    let (all, _) = run_all(&[ask("a", None), ask("\0", None)], None);
    assert!(matches!(all, Err(ModelError::Device(_))));
    assert!(run_all(&[], None).0.unwrap().is_empty());
}

fn scored(expected: Option<&str>, text: &str) -> Scored {
    let answer = Answer {
        text: text.into(),
        token_ids: vec![],
        prompt_tokens: 1,
        finish: Finish::EndOfText,
        time_to_first_token_secs: 0.0,
        tokens_per_second: 0.0,
        secs: 0.0,
    };
    Scored {
        prompt: "p".into(),
        expected: expected.map(str::to_string),
        is_match: expected.map(|e| is_match(text, e)),
        answer: Some(answer),
        problem: None,
    }
}

#[test]
fn a_report_counts_what_is_known() {
    let mut unanswered = scored(Some("x y"), "");
    (unanswered.answer, unanswered.is_match) = (None, None);
    let answers = [
        scored(Some("a drupe"), "A drupe."),
        scored(Some("a pome"), "a berry"),
        scored(None, "hm"),
        unanswered,
    ];
    let report = Report::of(&answers).with_loss(6.0, 4.0, 2);
    close(report.exact_match.unwrap(), 1.0 / 2.0);
    assert!(report.exact_match_low.unwrap() < 0.1 && report.exact_match_high.unwrap() > 0.9);
    close(report.token_f1.unwrap(), (1.0 + 0.5) / 2.0);
    close(report.rouge_l.unwrap(), (1.0 + 0.5) / 2.0);
    assert!(report.bleu.unwrap() > 0.0);
    assert_eq!((report.num_examples, report.num_unanswered), (4, 1));
    close(report.loss.unwrap(), 1.5);
    close(report.perplexity.unwrap(), 1.5_f64.exp());
    let nothing = Report::of(&[]).with_loss(0.0, 0.0, 0);
    assert_eq!(nothing, Report::default());
}

#[test]
fn base_and_tuned_are_compared_prompt_by_prompt() {
    let base = [scored(Some("a"), "b"), scored(Some("a"), " a"), scored(None, "x"), scored(Some("a"), "?")];
    let tuned = [scored(Some("a"), "a"), scored(Some("a"), "a "), scored(None, "y")];
    let both = Comparison::new(&base, &tuned);
    assert_eq!(both.pairs.len(), 3);
    assert_eq!(
        (both.base, both.tuned),
        (ScoreBoard { num: 2, matches: 1 }, ScoreBoard { num: 2, matches: 2 })
    );
    assert_eq!((both.num_same, both.chance), (1, Some(1.0)));
    assert_eq!(Comparison::new(&[], &[]), Comparison::default());
}

#[test]
fn chance_is_as_worked_out_by_hand() {
    let make = |both: usize, first: usize, second: usize| {
        let parts = [(both, (true, true)), (first, (true, false)), (second, (false, true))];
        parts.iter().flat_map(|&(n, m)| std::iter::repeat_n(m, n)).collect::<Vec<_>>()
    };
    assert_eq!(chance_of_difference(&make(5, 0, 0)), None);
    assert_eq!(chance_of_difference(&make(0, 3, 3)), Some(1.0));
    // 2 * (1 + 6) / 64, and 2 / 256
    close(chance_of_difference(&make(9, 1, 5)).unwrap(), 14.0 / 64.0);
    close(chance_of_difference(&make(9, 5, 1)).unwrap(), 14.0 / 64.0);
    close(chance_of_difference(&make(0, 0, 8)).unwrap(), 2.0 / 256.0);
    // far beyond 2^1024, and still a number
    let large = chance_of_difference(&make(0, 1000, 1100)).unwrap();
    assert!((0.02..0.04).contains(&large), "{large}");
}

#[test]
fn questions_become_prompts_of_lines_or_of_turns() {
    let (tokeniser, template) = crate::tokenise::smollm2();
    let shots = vec![Shot::new("apple", "pome"), Shot::new("plum", "drupe")];
    let lines = Asking {
        format: Some(LineFormat::default()),
        shots: shots.clone(),
        num_shots: 1,
        ..Asking::default()
    };
    let asked = lines
        .all(
            &template,
            &tokeniser,
            &[Question::new("lemon", Some("hesperidium".into())), Question::new("fig", None)],
        )
        .unwrap();
    assert_eq!(asked[0].text, "apple: pome\nlemon:");
    assert_eq!(asked[0].expected.as_deref(), Some("hesperidium"));
    assert_eq!((asked[1].text.as_str(), &asked[1].expected), ("apple: pome\nfig:", &None));
    assert_eq!(asked[0].ids, tokeniser.encode("apple: pome\nlemon:").unwrap());
    assert_eq!(lines.stop(), ["\n"]);
    // What was not asked for is not there, and a shot more is one more turn.
    let mut turns = Asking { instruction: Some("Say the type.".into()), shots, ..Asking::default() };
    let none = turns.prompt(&template, "lemon").unwrap().text;
    assert!(none.ends_with("<|im_start|>user\nlemon<|im_end|>\n<|im_start|>assistant\n"), "{none}");
    assert!(none.starts_with("<|im_start|>system\nSay the type.<|im_end|>\n") && !none.contains("apple"));
    turns.num_shots = 2;
    let two = turns.prompt(&template, "lemon").unwrap().text;
    let turn = "<|im_start|>user\nplum<|im_end|>\n<|im_start|>assistant\ndrupe<|im_end|>\n";
    assert!(two.contains(turn) && two.contains("apple"), "{two}");
    assert!(turns.stop().is_empty());
}

#[test]
fn a_base_model_without_examples_gets_the_question_as_it_stands() {
    let (_, template) = crate::tokenise::smollm2();
    let mut lines = Asking { format: Some(LineFormat::default()), ..Asking::default() };
    let say = |asking: &Asking, template: &Template| asking.prompt(template, "lemon").unwrap().text;
    assert_eq!(say(&lines, &template), "lemon");
    // What a base model reads begins as its training texts began.
    let with_bos = Template::plain("<s>", "</s>");
    assert_eq!(say(&lines, &with_bos), "<s>lemon");
    lines.instruction = Some("Say the type.".into());
    assert_eq!(say(&lines, &with_bos), "<s>Say the type.\n\nlemon:");
}

#[test]
fn a_set_is_answered_with_a_real_tokenizer() {
    let (tokeniser, template) = crate::tokenise::smollm2();
    let asking = Asking { format: Some(LineFormat::default()), ..Asking::default() };
    let prompts = asking.all(&template, &tokeniser, &[Question::new("a", Some("a".into()))]).unwrap();
    // The tiny model knows 512 tokens; its answer is a random one, but always the same.
    let decoder = crate::parity::decoder("parity/tiny-llama/model");
    let mut session = Session::new(&decoder, None).unwrap();
    let options = GenerateOptions { max_tokens: 4, stop: asking.stop(), ..GenerateOptions::default() };
    let prompts: Vec<Asked> =
        prompts.into_iter().map(|asked| Asked { ids: vec![5, 9, 17], ..asked }).collect();
    let mut run =
        || answer_all(&mut session, &tokeniser, &prompts, &options, &Control::new(), &mut |_| {}).unwrap();
    let (first, second) = (run(), run());
    assert_eq!(first[0].text(), second[0].text());
    assert!(!first[0].answer.as_ref().unwrap().token_ids.is_empty());
    assert_eq!(first[0].is_match, Some(false));
}

//! Controls against forgetting: what they add to an update, exact resume with them, and files that are no text.

use crate::cli::{Stage, code, stderr};
use crate::train::{Finished, dataset, losses, model, plan, recipe, run, whole_and_resumed};
use std::path::Path;
use tunesmith::base::{Control, Silent};
use tunesmith::data::prepare::Dataset;
use tunesmith::data::{Batch, DataError, GeneralText, LossWeights, Sample};
use tunesmith::model::hooks::NoHooks;
use tunesmith::model::load::LoadedModel;
use tunesmith::nn::Tape;
use tunesmith::objective::Language;
use tunesmith::project::{Outcome, RunEvent, runs};
use tunesmith::recipe::plan::Facts;
use tunesmith::recipe::recipe::Method;
use tunesmith::recipe::{Recipe, Severity, load};
use tunesmith::train::bench::random_samples;
use tunesmith::train::feed::Rows;
use tunesmith::train::memory::Meter;
use tunesmith::train::trainer::{Trainer, UpdateReport};

/// Pieces of 16 tokens, two of them held out.
fn text() -> GeneralText {
    let mut pieces = random_samples(512, 11, 16, 99);
    GeneralText { held_out: pieces.split_off(9), rest: pieces, is_cut: false }
}

fn with_text(model: &LoadedModel, num: usize) -> Dataset {
    Dataset { general_text: Some(text()), ..dataset(model, num) }
}

/// Pieces of 16 tokens that the model itself goes on with, always by the likeliest token: it knows them well.
fn own_text(model: &LoadedModel) -> GeneralText {
    let mut pieces: Vec<Sample> = random_samples(512, 16, 1, 3);
    for _ in 1..16 {
        let batch = Batch::pack(&pieces);
        let hidden = model.decoder.forward(&Tape::inference(), &batch, &NoHooks).unwrap();
        let logits = model.decoder.logits(hidden.value(), &NoHooks).unwrap();
        let next = logits.argmax(1).unwrap().to_vec1::<u32>().unwrap();
        let len = pieces[0].len();
        for (index, piece) in pieces.iter_mut().enumerate() {
            piece.ids.push(next[(index + 1) * len - 1]);
            piece.weights = LossWeights::all(1.0, len + 1);
        }
    }
    GeneralText { held_out: pieces.split_off(11), rest: pieces, is_cut: false }
}

fn perplexities(events: &[RunEvent]) -> Vec<(u64, f64)> {
    let of = |event: &RunEvent| match event {
        RunEvent::GeneralText { update, perplexity, .. } => Some((*update, *perplexity)),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

/// Plain gradient descent, so that what an update moves is the gradient.
const DESCENT: [&str; 8] = [
    "method.kind=full",
    "optimizer.kind=sgd",
    "optimizer.momentum=0",
    "optimizer.learning_rate=0.01",
    "optimizer.clip_norm=none",
    "schedule.shape=constant",
    "schedule.warmup=0",
    "batch.max_tokens=16",
];

/// The trained values after some updates, and what the last one reported.
fn trained(
    model: &LoadedModel,
    rows: &[Sample],
    text: &[Sample],
    settings: &[&str],
    updates: usize,
    is_halved: bool,
) -> (Vec<f32>, Option<UpdateReport>) {
    let recipe = recipe(&[&DESCENT[..], &["batch.accumulation=1"], settings].concat());
    let plan = plan(&recipe, &dataset(model, 8));
    let meter = Meter::new(&|| 0, None);
    let mut trainer = Trainer::new(&plan, model, vec![Rows::shuffled(&Language, rows)], text, meter).unwrap();
    trainer.position.is_halved = is_halved;
    let mut report = None;
    for _ in 0..updates {
        report = trainer.update(&Control::new()).unwrap();
    }
    (trainer.adapter.params.values().to_vec1::<f32>().unwrap(), report)
}

/// The norm of `a - b` by that of `a`.
fn apart(a: &[f32], b: &[f32]) -> f64 {
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let difference = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / norm(&mut a.iter().map(|a| f64::from(*a)))
}

fn difference(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// An update with replay moves by the gradient on the data and half of that on the text, however it is dealt, and reports the loss on
/// the data.
#[test]
fn replay_adds_its_share_of_the_mean_loss_on_the_text() {
    let model = model();
    let (rows, text) = (random_samples(512, 2, 14, 5), random_samples(512, 2, 16, 6));
    let (settings, replay) = (["forgetting.text=x"], ["forgetting.text=x", "forgetting.replay_weight=0.5"]);
    let start = trained(&model, &rows, &[], &settings, 0, false).0;
    let on_data = trained(&model, &rows, &[], &settings, 1, false);
    let on_text = trained(&model, &text, &[], &settings, 1, false);
    let both = trained(&model, &rows, &text, &replay, 1, false);
    let (both_said, said) = (both.1.unwrap(), on_data.1.unwrap());
    assert_eq!((both_said.loss, both_said.num_tokens), (said.loss, said.num_tokens));
    let added = difference(&both.0, &on_data.0);
    let half: Vec<f32> = difference(&on_text.0, &start).iter().map(|x| 0.5 * x).collect();
    assert!(apart(&half, &added) < 1e-3, "{}", apart(&half, &added));
    let halved = trained(&model, &rows, &text, &replay, 1, true);
    let (whole, parts) = (difference(&both.0, &start), difference(&halved.0, &start));
    assert!(apart(&whole, &parts) < 1e-3, "{}", apart(&whole, &parts));
}

/// The text's own mean loss and the mean divergence, whatever their weights and in however many parts they are taken.
#[test]
fn an_update_reports_what_it_is_held_by() {
    let model = model();
    let (rows, text) = (random_samples(512, 2, 14, 5), random_samples(512, 2, 16, 6));
    let said = |text: &[Sample], settings: &[&str], updates, is_halved| {
        trained(&model, &rows, text, &[&["forgetting.text=x"], settings].concat(), updates, is_halved)
            .1
            .unwrap()
    };
    let near = |a: Option<f64>, b: f64| (a.unwrap() - b).abs() < 1e-5 * b.abs();
    let loss_of_text = trained(&model, &text, &[], &["forgetting.text=x"], 1, false).1.unwrap().loss;
    for (weight, is_halved) in [("0.5", false), ("0.5", true), ("2", false)] {
        let report = said(&text, &[&format!("forgetting.replay_weight={weight}")], 1, is_halved);
        assert!(near(report.replay_loss, loss_of_text), "{report:?} {loss_of_text}");
        assert_eq!(report.divergence, None);
    }
    // At first it is the base that is held near the base.
    let kl = |weight: &str, text: &[Sample], updates, is_halved| {
        said(text, &[&format!("forgetting.kl_weight={weight}")], updates, is_halved)
    };
    for text in [&text[..], &[]] {
        let first = kl("0.5", text, 1, false);
        assert!(first.divergence.unwrap().abs() < 1e-6 && first.replay_loss.is_none(), "{first:?}");
        // So small a weight moves nothing: the second update is that of both.
        let second = kl("1e-6", text, 2, false).divergence.unwrap();
        assert!(second > 1e-6, "{second}");
        assert!((kl("2e-6", text, 2, true).divergence.unwrap() / second - 1.0).abs() < 1e-2);
    }
    let none = said(&[], &[], 1, false);
    assert_eq!((none.replay_loss, none.divergence), (None, None));
}

/// Runs write both down, and lines of runs from before are read.
#[test]
fn a_run_keeps_what_it_is_held_by() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = with_text(&model, 12);
    let said = |name: &str, settings: &[&str]| {
        let recipe =
            recipe(&[&["length.updates=3", "forgetting.text=x", "batch.max_tokens=16"], settings].concat());
        let done = run(&model, &data, &recipe, &temp.path().join(name), false, |_, _| {});
        let events = done.folder.events().unwrap();
        let of = |event: &RunEvent| match event {
            RunEvent::Update { replay_loss, divergence, .. } => Some((*replay_loss, *divergence)),
            _ => None,
        };
        events.iter().filter_map(of).collect::<Vec<_>>()
    };
    let both = said("both", &["forgetting.replay_weight=1", "forgetting.kl_weight=1"]);
    assert!(
        both.len() == 3 && both.iter().all(|(loss, near)| loss.unwrap() > 1.0 && near.is_some()),
        "{both:?}"
    );
    assert!(both[2].1.unwrap() > both[0].1.unwrap(), "{both:?}");
    assert_eq!(said("none", &[]), [(None, None); 3]);
    let line = r#"{"event":"update","update":2,"epoch":0.1,"loss":1.5,"learning_rate":0.001,"grad_norm":1.0,
        "num_tokens":9,"tokens_per_second":5.0,"update_secs":2.0,"memory_bytes":1}"#;
    let old: RunEvent = serde_json::from_str(line).unwrap();
    assert!(matches!(old, RunEvent::Update { update: 2, replay_loss: None, divergence: None, .. }));
    assert!(!serde_json::to_string(&old).unwrap().contains("divergence"));
}

/// The second update moves by weight · (θ - θ₀) more than without the pull; at the first one there is nothing to pull at.
#[test]
fn the_pull_is_to_where_the_weights_began() {
    let model = model();
    let rows = random_samples(512, 2, 14, 5);
    let run = |settings: &[&str], updates| trained(&model, &rows, &[], settings, updates, false).0;
    let pull = ["forgetting.l2_weight=20"];
    let (start, once) = (run(&[], 0), run(&[], 1));
    assert_eq!(run(&pull, 1), once);
    let expected: Vec<f32> = difference(&once, &start).iter().map(|x| -0.01 * 20.0 * x).collect();
    let added = difference(&run(&pull, 2), &run(&[], 2));
    assert!(apart(&expected, &added) < 1e-3, "{}", apart(&expected, &added));
    // Freezing pulls at its own tensors, which are some of the model's.
    let freeze = ["method.kind=freeze", "method.blocks=1"];
    let run = |settings: &[&str], updates| run(&[&freeze, settings].concat(), updates);
    let (start, once) = (run(&[], 0), run(&[], 1));
    let expected: Vec<f32> = difference(&once, &start).iter().map(|x| -0.01 * 20.0 * x).collect();
    let added = difference(&run(&pull, 2), &run(&[], 2));
    assert!(apart(&expected, &added) < 1e-3, "{}", apart(&expected, &added));
}

/// Every control keeps the model nearer to what it was. Text that the base knows is known better after the same updates: with replay by
/// every method, with the divergence by those that begin as the base, with the pull by those that train its own weights. Virtual
/// tokens depart from the base before the first update: there the divergence itself tells.
#[test]
fn controls_hold_what_was_known() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = Dataset { general_text: Some(own_text(&model)), ..dataset(&model, 12) };
    // How much worse the text is known, and how far the last update was from the base.
    let after = |method: &str, num_updates: u64, control: &str| {
        // LoRA keeps the test's dropout otherwise.
        let dropout = if method == "lora" { "method.dropout=0" } else { "run.seed=42" };
        let recipe = recipe(&[
            &format!("length.updates={num_updates}"),
            &format!("validation.every_updates={num_updates}"),
            &format!("method.kind={method}"),
            dropout,
            &format!("forgetting.{control}"),
            "forgetting.text=x",
            "batch.max_tokens=16",
            "optimizer.learning_rate=0.02",
        ]);
        let folder = temp.path().join(format!("{method}-{num_updates}-{control}"));
        let done = run(&model, &data, &recipe, &folder, false, |_, _| {});
        assert_eq!(done.outcome.unwrap(), Outcome::Done);
        let [(0, before), (_, now)] = perplexities(&done.events)[..] else { panic!("{:?}", done.events) };
        let mut divergences = done.events.iter().rev().filter_map(|event| match event {
            RunEvent::Update { divergence, .. } => *divergence,
            _ => None,
        });
        (now / before, divergences.next())
    };
    for method in Method::all() {
        let method = method.kind();
        let (none, _) = after(method, 8, "kl_weight=0");
        assert!(none > 1.0, "{method} forgets nothing by itself: {none}");
        let mut controls = vec!["replay_weight=1"];
        controls.extend((!["prefix", "prompt", "p_tuning"].contains(&method)).then_some("kl_weight=1"));
        controls.extend(["full", "freeze"].contains(&method).then_some("l2_weight=5"));
        for control in controls {
            let (with, _) = after(method, 8, control);
            assert!(with < none, "{method}, {control}: {with} of {none}");
        }
        let [(_, free), (_, held)] = ["kl_weight=1e-6", "kl_weight=10"].map(|kl| after(method, 24, kl));
        assert!(held.unwrap() < free.unwrap(), "{method}: {held:?} of {free:?}");
    }
}

#[test]
fn runs_with_controls_resume_bit_for_bit() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = with_text(&model, 20);
    let text = ["forgetting.text=x", "forgetting.replay_weight=0.7", "batch.max_tokens=16"];
    for (name, settings) in [
        ("lora", &["forgetting.kl_weight=0.5"][..]),
        ("full", &["method.kind=full", "forgetting.l2_weight=0.1", "forgetting.kl_weight=0.5"]),
        ("early", &["method.kind=prefix", "method.num_virtual_tokens=2"]),
    ] {
        let recipe = recipe(&[&text[..], settings].concat());
        let (whole, resumed) = whole_and_resumed(&model, &data, &recipe, 3, &temp.path().join(name));
        let all = perplexities(&whole.events);
        assert_eq!(all.iter().map(|(update, _)| *update).collect::<Vec<_>>(), [0, 2, 4, 6], "{name}");
        assert_eq!(perplexities(&resumed.folder.events().unwrap()), all, "{name}");
        let summary = runs::summary(resumed.folder.path()).unwrap();
        let (before, now) = summary.general_text.before_and_now().unwrap();
        assert_eq!(before, all[0].1, "{name}");
        assert!(all[1..].iter().any(|(_, perplexity)| *perplexity == now), "{name}");
        assert!(losses(&whole.events).len() == 6);
    }
}

/// Without validation rows the text is measured before and at the end; a stop while it is measured leaves a run that goes on, and
/// one after the base was measured leaves that figure.
#[test]
fn the_text_is_measured_without_validation_rows_and_after_a_stop() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let mut data = with_text(&model, 12);
    data.split.train.append(&mut data.split.valid);
    let recipe = recipe(&["forgetting.text=x", "batch.max_tokens=16"]);
    let measured = |done: &Finished| perplexities(&done.folder.events().unwrap());
    let whole = run(&model, &data, &recipe, &temp.path().join("whole"), false, |_, _| {});
    assert_eq!(whole.outcome.as_ref().unwrap(), &Outcome::Done);
    assert_eq!(measured(&whole).iter().map(|(update, _)| *update).collect::<Vec<_>>(), [0, 6]);

    let at = temp.path().join("stopped");
    let said = |done: &Finished| runs::summary(done.folder.path()).unwrap().general_text.describe().unwrap();
    let stopped = |resume: bool, is_time: fn(&RunEvent) -> bool| {
        let stop = |event: &RunEvent, control: &Control| {
            if is_time(event) {
                control.stop();
            }
        };
        let done = run(&model, &data, &recipe, &at, resume, stop);
        assert_eq!(done.outcome.as_ref().unwrap(), &Outcome::Stopped);
        done
    };
    let cut = stopped(false, |event| matches!(event, RunEvent::Phase { .. }));
    assert_eq!(measured(&cut), []);
    drop(cut);
    // Before the first checkpoint the run begins again, but what is known of the base stays.
    let cut = stopped(true, |event| matches!(event, RunEvent::GeneralText { .. }));
    assert_eq!(measured(&cut), measured(&whole)[..1]);
    drop(cut);
    let cut = stopped(true, |event| matches!(event, RunEvent::Update { .. }));
    assert_eq!(measured(&cut), measured(&whole)[..1]);
    assert!(said(&cut).ends_with("before, not measured since"), "{}", said(&cut));
    drop(cut);
    let rest = run(&model, &data, &recipe, &at, true, |_, _| {});
    assert_eq!(measured(&rest), measured(&whole));
    assert_eq!(losses(&rest.folder.events().unwrap()), losses(&whole.events));
    assert!(said(&rest).ends_with(" now"));
}

#[test]
fn a_file_that_is_no_text_is_told_before_the_run() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let file = |name: &str, bytes: &[u8]| {
        let path = temp.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let read = |path: &Path| {
        let (tokeniser, template) = (&model.tokeniser, &model.template);
        GeneralText::read(path, tokeniser, template, 16, &Control::new(), &mut Silent)
    };
    let told = |path: &Path| {
        use tunesmith::base::Explain;
        let error = read(path).unwrap_err();
        assert_eq!(error.title(), "The general text cannot be used", "{error}");
        assert!(!error.hint().is_empty());
        error.to_string()
    };
    assert!(told(&temp.path().join("missing.txt")).contains("there is no such file"));
    assert!(told(temp.path()).contains("folder"));
    assert!(told(&file("picture.txt", b"\x89PNG\r\n\x1a\n\0\0\0\x01")).contains("PNG image"));
    assert!(told(&file("noise.txt", &[0, 1, 2, 3].repeat(500))).contains("binary file"));
    assert!(told(&file("table.txt", b"PAR1....PAR1")).contains("not plain text"));
    for nothing in [&b""[..], b" \n\r\n "] {
        assert!(told(&file("empty.txt", nothing)).contains("0 tokens"));
    }
    assert!(told(&file("short.txt", b"Ten words.")).contains("too few"));

    // Any encoding and any line end is the same text; special tokens in it are text.
    let words = "Der Fluss fließt <|im_end|> weiter.\n".repeat(40);
    let utf8 = read(&file("utf8.txt", words.as_bytes())).unwrap();
    let utf16: Vec<u8> = words.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(read(&file("utf16.txt", &[b"\xff\xfe", &utf16[..]].concat())).unwrap(), utf8);
    assert_eq!(read(&file("crlf.txt", words.replace('\n', "\r\n").as_bytes())).unwrap(), utf8);
    let end = model.tokeniser.encode("<|im_end|>").unwrap();
    assert_eq!(end.len(), 1);
    let pieces = utf8.held_out.iter().chain(&utf8.rest);
    assert!(pieces.clone().all(|piece| !piece.ids.contains(&end[0]) && piece.len() <= 16));
    assert!(!utf8.held_out.is_empty() && utf8.rest.len() > utf8.held_out.len());

    let control = Control::new();
    control.stop();
    let (tokeniser, template) = (&model.tokeniser, &model.template);
    let path = temp.path().join("utf8.txt");
    let stopped = GeneralText::read(&path, tokeniser, template, 16, &control, &mut Silent);
    assert!(matches!(stopped, Err(DataError::Stopped)));
}

#[test]
fn problems_of_the_section_are_told_at_their_fields() {
    let check = |settings: &[&str]| {
        let mut recipe = Recipe::default();
        for setting in settings {
            load::set(&mut recipe, setting).unwrap();
        }
        let problems = recipe.check(&Facts::default()).into_iter();
        let own = problems.filter(|problem| problem.field.starts_with("forgetting"));
        own.map(|problem| (problem.field, problem.severity)).collect::<Vec<_>>()
    };
    let at = |key: &str, severity| vec![(format!("forgetting.{key}"), severity)];
    assert_eq!(check(&["forgetting.text=a.txt", "forgetting.replay_weight=1", "forgetting.kl_weight=2"]), []);
    assert_eq!(check(&["forgetting.kl_weight=1"]), [], "without text it is taken on the data");
    assert_eq!(check(&["forgetting.replay_weight=1"]), at("replay_weight", Severity::Error));
    assert_eq!(check(&["forgetting.kl_weight=-1"]), at("kl_weight", Severity::Error));
    assert_eq!(check(&["forgetting.l2_weight=1e9", "method.kind=full"]), at("l2_weight", Severity::Error));
    assert_eq!(check(&["forgetting.l2_weight=0.1", "method.kind=full"]), []);
    assert_eq!(check(&["forgetting.l2_weight=0.1", "method.kind=freeze"]), []);
    assert_eq!(check(&["forgetting.l2_weight=0.1"]), at("l2_weight", Severity::Warning));

    let in_backward = |settings: &[&str]| {
        let usual = ["method.kind=full", "optimizer.in_backward=true", "optimizer.clip_norm=none"];
        let mut recipe = Recipe::default();
        for setting in usual.iter().chain(settings) {
            load::set(&mut recipe, setting).unwrap();
        }
        let problems = recipe.check(&Facts::default());
        problems.iter().filter(|problem| problem.field == "optimizer.in_backward").count()
    };
    assert_eq!(in_backward(&["forgetting.text=a.txt", "forgetting.l2_weight=0"]), 0);
    assert_eq!(in_backward(&["forgetting.text=a.txt", "forgetting.kl_weight=1"]), 1);
    assert_eq!(in_backward(&["forgetting.l2_weight=0.1"]), 1);

    let mut recipe = Recipe::default();
    load::set(&mut recipe, "forgetting.text=a b.txt").unwrap();
    assert_eq!(recipe.forgetting.text.as_deref(), Some(Path::new("a b.txt")));
    assert_eq!(load::from_toml(&load::write(&recipe).unwrap()).unwrap(), recipe);
    load::set(&mut recipe, "forgetting.text=none").unwrap();
    assert_eq!(recipe, Recipe::default());
}

/// The built program: told before the run, measured and said in it, and not gone on with when the text has changed.
#[test]
fn the_program_says_how_well_the_text_is_known() {
    let stage = Stage::new();
    let (rows, model) = (stage.rows(), stage.model());
    let words = "The river runs past the old mill and on to the sea.\n".repeat(60);
    stage.file("text.txt", &words);
    let recipe = stage.file(
        "r.toml",
        format!(
            "[model]\nsource = {model:?}\n[data]\npath = {rows:?}\n[batch]\nmax_tokens = 64\nmicro_batch_tokens = 128\n\
             [run]\ndevice = \"cpu\"\n[forgetting]\ntext = \"text.txt\"\nreplay_weight = 1.0\nkl_weight = 0.5\n"
        ),
    );
    let out = stage.path("run");
    let out = out.to_str().unwrap();
    let train = ["train", "--recipe", &recipe, "--out", out];
    let missing = stage.run(&[&train[..], &["--set", "forgetting.text=nowhere.txt"]].concat());
    assert_eq!(code(&missing), 1);
    assert!(stderr(&missing).contains("The general text cannot be used"), "{}", stderr(&missing));
    assert!(!stage.path("run/recipe.toml").exists(), "nothing was begun");
    // Also where there is neither model nor data to look at.
    let gone = ["--set", "model.source=nowhere", "--set", "forgetting.text=gone.txt"];
    let nowhere = stage.run(&[&train[..], &gone].concat());
    assert!(stderr(&nowhere).contains("The general text cannot be used"), "{}", stderr(&nowhere));
    stage.file("picture.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    let alone = "[model]\nsource = \"nowhere\"\n[forgetting]\ntext = \"picture.txt\"\n";
    let (status, checked) = stage.json(&["recipe", "check", &stage.file("alone.toml", alone)]);
    let fields: Vec<_> = checked["problems"].as_array().unwrap().iter().map(|p| &p["field"]).collect();
    assert!(status == 1 && fields.contains(&&"forgetting.text".into()), "{checked}");

    let (_, checked) = stage.json(&["recipe", "check", &recipe]);
    assert_eq!(checked["ok"], true, "{checked}");
    stage.file("text.txt", "Too short.");
    let (status, checked) = stage.json(&["recipe", "check", &recipe]);
    assert!(status == 1 && checked["problems"][0]["field"] == "forgetting.text", "{checked}");
    stage.file("text.txt", &words);

    let updates = ["--set", "length.updates=4", "--set", "checkpoint.every_updates=2"];
    let done = stage.run(&[&train[..], &updates].concat());
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains("Perplexity of the general text: ") && said.contains(" before, "), "{said}");
    assert!(stderr(&done).contains("before the run"), "{}", stderr(&done));

    // As if it had been killed after update 2; another text is no way on.
    let metrics = std::fs::read_to_string(stage.path("run/metrics.jsonl")).unwrap();
    let kept: Vec<&str> = metrics.lines().filter(|line| !line.contains("\"finished\"")).collect();
    stage.file("run/metrics.jsonl", kept.join("\n"));
    stage.file("text.txt", words.replace("river", "brook"));
    let changed = stage.run(&["train", "--resume", "--out", out]);
    assert!(code(&changed) == 1 && stderr(&changed).contains("general text"), "{}", stderr(&changed));
}

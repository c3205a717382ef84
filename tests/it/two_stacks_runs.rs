//! Runs of models that read with one stack and write with another: answers and taken-out pieces, by the built program and exactly resumed.

use crate::cli::{Stage, code, stderr};
use crate::parity::fixture;
use crate::train::{dataset, model, recipe, whole_and_resumed};
use serde_json::Value;
use tunesmith::base::{Control, DeviceChoice, Silent};
use tunesmith::data::prepare::Dataset;
use tunesmith::data::{LossWeights, Sample};
use tunesmith::model::config::{DecoderConfig, OwnDropout};
use tunesmith::model::files::ModelFiles;
use tunesmith::model::load::LoadedModel;
use tunesmith::project::RunEvent;
use tunesmith::recipe::recipe::{Objective, SpanCorruption};

fn path(name: &str) -> String {
    fixture(&format!("parity/t5/{name}/model")).to_str().unwrap().to_string()
}

fn loaded(name: &str) -> LoadedModel {
    let files = ModelFiles::open(name, &fixture(&format!("parity/t5/{name}/model"))).unwrap();
    LoadedModel::load(&files, DeviceChoice::Cpu.into(), &Control::new(), &mut Silent).unwrap()
}

/// The same as if its makers had dropped so much.
fn dropping(model: LoadedModel, dropout: OwnDropout) -> LoadedModel {
    let config = DecoderConfig { dropout, ..model.config().clone() };
    model.with_config(config, 1).unwrap()
}

/// Questions of a few kinds, with the answer that belongs to each.
fn rows(stage: &Stage) -> String {
    let kinds = [("house", "blue"), ("sky", "a small house"), ("city", "yes"), ("sentence", "no")];
    let row = |i: usize| format!("what colour is the {} {}?,{}\n", kinds[i % 4].0, i / 4, kinds[i % 4].1);
    stage.file("rows.csv", format!("question,answer\n{}", (0..40).map(row).collect::<String>()))
}

/// A recipe for a model, with settings that tests have in common.
fn recipe_file(stage: &Stage, model: &str, data: &str) -> String {
    let text = format!(
        "[model]\nsource = {model:?}\n[data]\npath = {data:?}\n[batch]\nmax_tokens = 64\nmicro_batch_tokens = 256\naccumulation = 1\n\
         [optimizer]\nlearning_rate = 0.02\n[length]\nupdates = 60\n[run]\ndevice = \"cpu\"\n"
    );
    stage.file("r.toml", text)
}

fn losses(output: &std::process::Output) -> Vec<f64> {
    let events = String::from_utf8(output.stdout.clone()).unwrap();
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|e| e["event"] == "update").map(|e| e["loss"].as_f64().unwrap()).collect()
}

fn has_learnt(losses: &[f64], what: &str) {
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (first, last) = (mean(&losses[..5]), mean(&losses[losses.len() - 5..]));
    assert!(last < 0.8 * first, "{what}: {first} became {last}");
}

/// LoRA, all weights and freezing learn answers; what they leave is asked, measured and compared as any other.
#[test]
fn answers_are_learnt_and_used_by_the_program() {
    for (name, method) in [("flan", "lora"), ("t5", "full"), ("flan", "freeze")] {
        let stage = Stage::new();
        let (model, rows) = (path(name), rows(&stage));
        let recipe = recipe_file(&stage, &model, &rows);
        let kind = format!("method.kind={method}");
        let output = stage.run(&["train", "--recipe", &recipe, "--out", "run", "--set", &kind, "--json"]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        has_learnt(&losses(&output), &format!("{name} {method}"));

        let made = stage.path("run/adapter");
        let made = made.to_str().unwrap();
        let tuned =
            if method == "lora" { vec!["--model", &model, "--adapter", made] } else { vec!["--model", made] };
        let prompt = ["--prompt", "what colour is the house 3?", "--max-tokens", "12"];
        for beams in [
            &[][..],
            &["--beams", "3"],
            &["--beams", "2", "--length-penalty", "-0.5", "--early-stopping", "full"],
        ] {
            let (code, value) = stage.json(&[&["generate"], &tuned[..], &prompt, beams].concat());
            assert_eq!(code, 0, "{value}");
            assert!(value["text"].is_string() && value["prompt_tokens"].as_u64().unwrap() > 4, "{value}");
            assert!(!value["text"].as_str().unwrap().contains("pad"), "{value}");
        }
        let eval = ["eval", "--data", &rows, "--limit", "6", "--max-tokens", "8"];
        let (code, value) = stage.json(&[&eval, &tuned[..]].concat());
        assert_eq!((code, &value["num_examples"]), (0, &6.into()), "{value}");
        assert!(value["exact_match"].as_f64().unwrap() > 0.2, "{name} {method}: {value}");
        if method == "lora" {
            let prompts =
                stage.file("prompts.txt", "what colour is the house 3?\nwhat colour is the sky 3?\n");
            let compare =
                ["compare", "--model", &model, "--adapter", made, "--prompts", &prompts, "--max-tokens", "4"];
            let (code, value) = stage.json(&compare);
            assert_eq!((code, value["pairs"].as_array().unwrap().len()), (0, 2));
            let output = stage.run(&["merge", made, "--model", &model, "--out", "merged"]);
            assert_eq!(self::code(&output), 0, "{}", stderr(&output));
            let merged = stage.path("merged");
            let [of_merged, of_both] = [&["--model", merged.to_str().unwrap()][..], &tuned]
                .map(|which| stage.json(&[&["generate"], which, &prompt].concat()).1["text"].clone());
            assert_eq!(of_merged, of_both);
        }
        let (code, value) = stage.json(&["model", "inspect", &model]);
        assert_eq!(code, 0);
        assert_eq!(value["family"], "t5", "{value}");
    }
}

/// Pieces of plain text are taken out and written again, on models made for it.
#[test]
fn pieces_are_learnt_by_the_program() {
    let stage = Stage::new();
    let text: String = (0..40)
        .map(|i| format!("the house number {i} is a small blue house in the city and the sky is blue\n"))
        .collect();
    let rows = stage.file("plain.txt", text);
    let recipe = recipe_file(&stage, &path("flan"), &rows);
    let spans = ["--set", "objective.kind=span_corruption", "--set", "method.kind=full"];
    let output = stage.run(&[&["train", "--recipe", &recipe, "--out", "run", "--json"], &spans[..]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    has_learnt(&losses(&output), "pieces");
    let made = stage.path("run/adapter");
    let (code, value) =
        stage.json(&["eval", "--model", made.to_str().unwrap(), "--data", &rows, "--limit", "5"]);
    assert_eq!(code, 0, "{value}");
    assert!(value["loss"].is_number(), "{value}");
}

/// Answers and pieces of plain text together on one model: each is learnt, has its own figures, and what comes of it writes.
#[test]
fn answers_and_pieces_are_learnt_together() {
    let stage = Stage::new();
    let (model, answers) = (path("flan"), rows(&stage));
    let text: String = (0..40)
        .map(|i| format!("the house number {i} is a small blue house in the city and the sky is blue\n"))
        .collect();
    let plain = stage.file("plain.txt", text);
    let task = |name: &str, data: &str, kind: &str| {
        format!(
            "[[tasks]]\nname = \"{name}\"\n[tasks.data]\npath = {data:?}\n[tasks.data.split]\ntest = 0.2\n[tasks.objective]\nkind = \"{kind}\"\n"
        )
    };
    let head = format!(
        "[model]\nsource = {model:?}\n[batch]\nmax_tokens = 64\nmicro_batch_tokens = 256\naccumulation = 2\n\
         [optimizer]\nlearning_rate = 0.02\n[length]\nupdates = 60\n[run]\ndevice = \"cpu\"\n"
    );
    let tasks = [task("answers", &answers, "supervised"), task("pieces", &plain, "span_corruption")].concat();
    let recipe = stage.file("tasks.toml", head + &tasks);
    let output = stage.run(&["train", "--recipe", &recipe, "--out", "run", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let events = String::from_utf8(output.stdout.clone()).unwrap();
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for task in ["answers", "pieces"] {
        let own = events.iter().filter(|event| event["event"] == "task_losses");
        let own: Vec<f64> = own.filter_map(|event| event["losses"][task].as_f64()).collect();
        assert!(own.len() > 20, "{task}: {own:?}");
        has_learnt(&own, task);
        let tested = |event: &&Value| event["event"] == "tested" && event["task"] == task;
        let of_tests: Vec<&Value> = events.iter().filter(tested).collect();
        assert_eq!(of_tests.len(), 2, "the base and what came of it");
        let loss = |event: &Value| event["loss"].as_f64().unwrap();
        assert!(loss(of_tests[1]) < loss(of_tests[0]), "{of_tests:?}");
    }
    let made = stage.path("run/adapter");
    let of_run = ["--model", &model, "--adapter", made.to_str().unwrap()];
    let asked = ["generate", "--prompt", "what colour is the house 3?", "--max-tokens", "12"];
    let (exit, value) = stage.json(&[&asked[..], &of_run].concat());
    assert!(exit == 0 && value["text"].is_string(), "{value}");
    let (exit, value) =
        stage.json(&[&["eval", "--data", &plain, "--task", "pieces", "--limit", "5"], &of_run[..]].concat());
    assert!(exit == 0 && value["loss"].is_number(), "{value}");
}

/// Half of the random tokens are read, and the others written.
#[test]
fn two_stacks_are_measured() {
    let stage = Stage::new();
    let model = path("t5");
    let config = format!("{model}/config.json");
    let usual = ["bench", "train", "--batch", "3", "--seq", "12", "--updates", "1"];
    for more in [
        &["--model", &model][..],
        &["--config", &config, "--random-weights", "--method", "full"],
        &["--model", &model, "--method", "ia3", "--supervised", "0.2"],
    ] {
        let (code, value) = stage.json(&[&usual[..], more].concat());
        assert_eq!(code, 0, "{more:?}: {value}");
        let loss = value["last_loss"].as_f64().unwrap();
        assert!(loss > 1.0 && loss < 30.0, "{more:?}: {loss}");
    }
    let (code, value) =
        stage.json(&["bench", "generate", "--model", &model, "--prompt-tokens", "8", "--max-tokens", "4"]);
    assert_eq!((code, &value["num_tokens"], &value["prompt_tokens"]), (0, &4.into(), &9.into()), "{value}");
}

/// What such models are not asked is said before anything is trained, and what other models are not asked, too.
#[test]
fn what_two_stacks_cannot_do_is_said_beforehand() {
    let stage = Stage::new();
    let (rows, other) = (rows(&stage), stage.model());
    let plain = stage.file("plain.txt", "the house is small and blue\n".repeat(30));
    let two = path("t5");
    for (model, data, set, needle) in [
        (&two, &rows, "method.kind=prefix", "prefix tuning is not there"),
        (&two, &rows, "method.kind=bottleneck", "bottleneck adapters is not there"),
        (&two, &plain, "objective.kind=pretraining", "continued pretraining is not there for such models"),
        (&two, &plain, "objective.kind=masked", "masked language modelling is not there for such models"),
        (&two, &plain, "objective.kind=contrastive", "contrastive learning is not there for such models"),
        (&two, &rows, "forgetting.text=plain.txt", "General text is gone on with"),
        (&other, &plain, "objective.kind=span_corruption", "such as T5"),
        (&two, &plain, "objective.share=0.99", "objective.share"),
    ] {
        let recipe = recipe_file(&stage, model, data);
        let mut args = vec!["train", "--recipe", &recipe, "--out", "run", "--set", set];
        if set.starts_with("objective.share") {
            args.extend(["--set", "objective.kind=span_corruption"]);
        }
        let output = stage.run(&args);
        assert_eq!(code(&output), 1, "{set}: {}", stderr(&output));
        assert!(stderr(&output).contains(needle), "{set}: {}", stderr(&output));
        assert!(!stage.path("run").exists(), "{set}");
    }
}

fn pieces(num: usize) -> Vec<Sample> {
    let sample = |i: usize| {
        let text = (0..12 + i % 5).map(|at| 4 + ((i * 5 + at * 3) % 40) as u32);
        let ids: Vec<u32> = text.chain([1]).collect();
        let mut weights = LossWeights::all(1.0, ids.len() - 1);
        weights.push(0.0, 1);
        Sample { ids, weights, ..Sample::default() }
    };
    (0..num).map(sample).collect()
}

fn asked(num: usize) -> Vec<Sample> {
    let sample = |i: usize| {
        let ids: Vec<u32> = (0..6 + i % 5).map(|at| 4 + ((i + at * 7) % 40) as u32).collect();
        let answer = [20 + (i % 3) as u32, 30, 1];
        let mut weights = LossWeights::all(0.0, ids.len() + 2);
        weights.push(1.0, answer.len());
        Sample { ids: [&ids[..], &[1, 0], &answer].concat(), weights, ..Sample::default() }
    };
    (0..num).map(sample).collect()
}

/// A run that was stopped goes on as if it had not been, whatever it learns.
#[test]
fn runs_of_two_stacks_are_resumed_exactly() {
    let temp = tempfile::tempdir().unwrap();
    let spans = Objective::SpanCorruption(SpanCorruption { share: 0.3, ..SpanCorruption::default() });
    for (name, method, objective, samples) in [
        ("t5", "full", Objective::default(), asked(24)),
        ("flan", "lora", Objective::default(), asked(24)),
        ("flan", "freeze", Objective::default(), asked(24)),
        ("t5", "ia3", Objective::default(), asked(24)),
        ("flan", "prompt", Objective::default(), asked(24)),
        ("t5", "p_tuning", Objective::default(), asked(24)),
        ("t5", "lora", spans.clone(), pieces(24)),
        ("flan", "full", spans, pieces(24)),
    ] {
        let what = format!("{name}-{method}-{}", objective.kind());
        let mut recipe = recipe(&[
            &format!("method.kind={method}"),
            "length.updates=12",
            "validation.every_updates=4",
            "checkpoint.every_updates=3",
            "optimizer.learning_rate=0.01",
            "batch.micro_batch_tokens=64",
        ]);
        recipe.objective = objective;
        recipe.model.dropout = method == "full";
        let model = dropping(loaded(name), OwnDropout { hidden: 0.1, attention: 0.1 });
        let data = Dataset { samples, ..dataset(&self::model(), 24) };
        let (whole, resumed) = whole_and_resumed(&model, &data, &recipe, 6, &temp.path().join(&what));
        for finished in [&whole, &resumed] {
            let is_failed = finished.events.iter().any(|event| matches!(event, RunEvent::Failed { .. }));
            assert!(!is_failed, "{what}");
        }
    }
}

/// What the makers of a model dropped while it learnt is dropped when that is asked for, and never while it is measured.
#[test]
fn the_models_own_dropout_is_of_training_alone() {
    let temp = tempfile::tempdir().unwrap();
    let measured = |is_dropping: bool, share: f64| {
        let mut recipe = recipe(&["method.kind=full", "length.updates=1", "optimizer.learning_rate=1e-30"]);
        recipe.model.dropout = is_dropping;
        let model = dropping(loaded("t5"), OwnDropout { hidden: 0.0, attention: share });
        let data = Dataset { samples: asked(24), ..dataset(&self::model(), 24) };
        let at = temp.path().join(format!("{is_dropping}{share}"));
        let done = crate::train::run(&model, &data, &recipe, &at, false, |_, _| {});
        let validation = |event: &RunEvent| match event {
            RunEvent::Validation { loss, .. } => Some(*loss),
            _ => None,
        };
        (crate::train::losses(&done.events)[0], done.events.iter().find_map(validation).unwrap())
    };
    let (plain, dropped, nothing) = (measured(false, 0.1), measured(true, 0.1), measured(true, 0.0));
    assert_eq!(plain, nothing);
    assert_ne!(plain.0, dropped.0);
    assert_eq!(plain.1, dropped.1);
}

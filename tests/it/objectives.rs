//! What rows become for each objective, and what operations of objectives compute.

use crate::cli::{Stage, code, stderr};
use crate::parity::decoder;
use crate::train::{dataset, model, recipe, whole_and_resumed};
use candle_core::{Device, Tensor};
use std::sync::Arc;
use tunesmith::data::labels::Labels;
use tunesmith::data::prepare::Dataset;
use tunesmith::data::{Goal, LossWeights, Sample, Tokeniser};
use tunesmith::model::load::LoadedModel;
use tunesmith::nn::ops::{self, Judgement};
use tunesmith::nn::{Node, Tape};
use tunesmith::project::RunEvent;
use tunesmith::project::event::PERPLEXITY;
use tunesmith::recipe::recipe::{Classification, Objective, Regression, ScoreLoss};
use tunesmith::recipe::{Recipe, Task};

/// The gradient that a function of the host gives reaches what it was worked out from, times that of the sum.
#[test]
fn a_loss_of_the_host_has_its_gradient() {
    let tape = Tape::recording();
    let x = tape.leaf(Tensor::new(&[[1f32, -2.0], [0.5, 3.0]], &Device::Cpu).unwrap());
    let squares = |x: &[f32], width: usize| {
        assert_eq!(width, 2);
        let sum = x.iter().map(|x| f64::from(x * x)).sum();
        Ok(Judgement { sum, gradient: x.iter().map(|x| 2.0 * x).collect() })
    };
    let (loss, value) = ops::judged(&tape, &x, squares).unwrap();
    assert_eq!(value, 14.25);
    let halved: Node = ops::affine(&tape, &loss, 0.5, 0.0).unwrap();
    let mut found = tape.backward(&halved, Tensor::new(1f32, &Device::Cpu).unwrap()).unwrap();
    let gradient = found.take(&x).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(gradient, [[1.0, -2.0], [0.5, 3.0]]);
}

/// Rows of random tokens, with what they are to be said to be: a class or a number that follows from the first of them.
fn rows(objective: &Objective, num: usize) -> Vec<Sample> {
    let row = |i: usize| {
        let class = (i % 3) as u32;
        let len = 6 + i % 4;
        let ids: Vec<u32> = (0..len).map(|at| 5 + ((i * 7 + at * 3) % 12) as u32 + 12 * class).collect();
        let goal = match objective {
            Objective::Classification(of) if of.several => Goal::Classes((0..class).collect()),
            Objective::Classification(_) | Objective::Sentences(_) => Goal::Class(class.min(1)),
            Objective::Regression(_) => Goal::Score(class as f32 - 1.0),
            _ => Goal::None,
        };
        let is_paired = matches!(objective, Objective::Contrastive(_));
        let parts = if is_paired { vec![len as u32 / 2, len as u32] } else { Vec::new() };
        let weight = if objective.is_of_tokens() { 1.0 } else { 0.0 };
        Sample { weights: LossWeights::all(weight, len), ids, goal, parts, ..Sample::default() }
    };
    (0..num).map(row).collect()
}

pub fn dataset_of(model: &LoadedModel, objective: &Objective) -> Dataset {
    let labels = ["a", "b", "c"].map(String::from);
    let num = if objective.has_several() { 3 } else { 2 };
    let has_labels = objective.has_head() && !matches!(objective, Objective::Regression(_));
    let labels = if has_labels { labels[..num].to_vec() } else { Vec::new() };
    Dataset { samples: rows(objective, 24), labels: Labels::new(labels), ..dataset(model, 24) }
}

pub fn model_for(name: &str, recipe: &Recipe, data: &Dataset) -> LoadedModel {
    let kind = if name == "llama" { "scores" } else { "masked" };
    let bare = decoder(&format!("parity/encoders/{name}/{kind}"));
    let config = Task::of(&recipe.objective, data).config(bare.config());
    let decoder = Arc::new(bare.with_config(config, 1).unwrap());
    LoadedModel { decoder, tokeniser: Arc::new(with_mask()), ..model() }
}

/// A vocabulary with a token that hides others.
pub fn with_mask() -> Tokeniser {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let text = r#"{"version":"1.0","model":{"type":"WordLevel","vocab":{"a":0,"[MASK]":4},"unk_token":"a"}}"#;
    std::fs::write(&path, text).unwrap();
    Tokeniser::from_file(&path).unwrap()
}

/// Every objective learns what follows from its rows, with LoRA and with all weights, on encoders and on a decoder; a run that was stopped
/// goes on as if it had not been.
#[test]
fn every_objective_is_learnt_and_resumed_exactly() {
    let temp = tempfile::tempdir().unwrap();
    let several = Objective::Classification(Classification { several: true, ..Classification::default() });
    let soft = Objective::Regression(Regression { loss: ScoreLoss::Soft, ..Regression::default() });
    for (number, objective) in Objective::all().into_iter().chain([several, soft]).enumerate() {
        for name in ["bert", "distilbert", "modernbert", "llama"] {
            let is_written = objective.wants_causal();
            if is_written == Some(true) || (is_written == Some(false) && name == "llama") {
                continue;
            }
            for method in ["lora", "full"] {
                let what = format!("{name}-{method}-{}-{number}", objective.kind());
                let mut recipe = recipe(&[
                    &format!("method.kind={method}"),
                    "length.updates=60",
                    "validation.every_updates=30",
                    "checkpoint.every_updates=30",
                    "optimizer.learning_rate=0.01",
                    "batch.micro_batch_tokens=64",
                    "batch.accumulation=1",
                ]);
                recipe.objective = objective.clone();
                recipe.model.dropout = name == "distilbert";
                if let Objective::Contrastive(of) = &mut recipe.objective {
                    of.dropout = 0.05;
                }
                let base = LoadedModel { decoder: Arc::new(decoder("parity/tiny-llama/model")), ..model() };
                let data = dataset_of(&base, &objective);
                let model = model_for(name, &recipe, &data);
                let (whole, resumed) =
                    whole_and_resumed(&model, &data, &recipe, 30, &temp.path().join(&what));
                // Where nothing is guessed token by token, no perplexity is told.
                let measured = |event: &RunEvent| match event {
                    RunEvent::Validation { metrics, .. } => Some(metrics.contains_key(PERPLEXITY)),
                    _ => None,
                };
                let told: Vec<bool> = whole.events.iter().filter_map(measured).collect();
                assert_eq!(told, vec![objective.is_of_tokens(); 2], "{what}");
                let losses = |events: &[RunEvent]| -> Vec<f64> {
                    let loss = |event: &RunEvent| match event {
                        RunEvent::Update { loss, .. } => Some(*loss),
                        _ => None,
                    };
                    events.iter().filter_map(loss).collect()
                };
                let (of_whole, of_rest) = (losses(&whole.events), losses(&resumed.events));
                assert_eq!(of_whole[30..], of_rest[of_rest.len() - 30..], "{what}: resumed elsewhere");
                let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
                let (first, last) = (mean(&of_whole[..10]), mean(&of_whole[50..]));
                assert!(last < 0.9 * first, "{what}: {first} became {last}");
                let task = Task::load(&whole.folder.adapter_dir()).unwrap().unwrap();
                assert_eq!(task.objective, recipe.objective);
            }
        }
    }
}

/// An adapter that says classes is not asked to write.
#[test]
fn what_judges_texts_is_not_asked_to_write() {
    let stage = Stage::new();
    let (model, folder) = (stage.model(), stage.path("judge"));
    std::fs::create_dir(&folder).unwrap();
    let objective = Objective::Classification(Classification::default());
    Task { objective, labels: vec!["a".into(), "b".into()], range: [0.0, 1.0], ..Task::default() }
        .save(&folder)
        .unwrap();
    let adapter = folder.to_str().unwrap();
    let output = stage.run(&["generate", "--model", &model, "--adapter", adapter, "--prompt", "x"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("judges texts"), "{}", stderr(&output));
    // A file of several tasks that cannot be read is told as one: what is wrong with which.
    let file = folder.join(Task::FILE);
    for (text, why) in [
        (
            r#"{"tasks": [{"name": "a", "objective": {"kind": "classification"}, "labels": 3, "range": [0, 1]}]}"#,
            "invalid type: integer `3`",
        ),
        (r#"{"objective": {"kind": "classification"}, "labels": []}"#, "missing field `range`"),
    ] {
        std::fs::write(&file, text).unwrap();
        let refusal = Task::load(&folder).unwrap_err();
        assert!(refusal.contains(why), "{refusal}");
    }
    std::fs::remove_file(&file).unwrap();
    let output = stage.run(&["predict", "--model", &model, "--text", "x"]);
    assert!(stderr(&output).contains("was not tuned to judge texts"), "{}", stderr(&output));
}

/// What a loss of whole texts weighs is known before its gradient, as the weights of tokens are.
#[test]
fn weights_that_move_in_the_backward_pass_learn_classes_as_well() {
    let temp = tempfile::tempdir().unwrap();
    let run_with = |is_moving: bool| {
        let mut recipe = recipe(&[
            "method.kind=full",
            "batch.accumulation=1",
            "optimizer.clip_norm=none",
            "optimizer.learning_rate=0.001",
            &format!("optimizer.in_backward={is_moving}"),
        ]);
        recipe.objective = Objective::Classification(Classification::default());
        let base = LoadedModel { decoder: Arc::new(decoder("parity/tiny-llama/model")), ..model() };
        let data = dataset_of(&base, &recipe.objective);
        let at = temp.path().join(is_moving.to_string());
        let done =
            crate::train::run(&model_for("llama", &recipe, &data), &data, &recipe, &at, false, |_, _| {});
        crate::train::losses(&done.events)
    };
    assert_eq!(run_with(true), run_with(false));
}

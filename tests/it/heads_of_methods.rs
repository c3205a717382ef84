//! Heads of tasks with every way of tuning: they are trained besides, are in the files, and read what PEFT and adapters have them read.

use crate::objectives::{dataset_of, model_for};
use crate::ops::relative_error;
use crate::parity::{decoder, fixture};
use crate::train::{model, recipe, whole_and_resumed};
use candle_core::{DType, Device};
use std::sync::Arc;
use tunesmith::data::{Batch, Sample};
use tunesmith::model::load::LoadedModel;
use tunesmith::nn::Tape;
use tunesmith::peft::{Adapter, Settings, files};
use tunesmith::project::RunEvent;
use tunesmith::recipe::recipe::{Classification, Method, Objective, Regression};
use tunesmith::recipe::{Recipe, Task};

/// What was tuned says of rows of tokens, packed.
fn scores(model: &LoadedModel, adapter: &Adapter, rows: &[Vec<u32>]) -> candle_core::Tensor {
    let samples: Vec<Sample> =
        rows.iter().map(|ids| Sample { ids: ids.clone(), ..Sample::default() }).collect();
    let (hooks, batch) = (adapter.hooks().unwrap(), Batch::pack(&samples));
    let tape = Tape::inference();
    let states = model.decoder.forward_whole(&tape, &batch, hooks.as_ref()).unwrap();
    model.decoder.scores(&tape, &states, &batch, 0, hooks.as_ref()).unwrap().value().clone()
}

/// `tests/fixtures/parity/make_heads.py` made the adapters and the numbers: a soft prompt's first row is the text's first, its rows are
/// among those of the mean, and the last one is the text's.
#[test]
fn adapters_with_heads_say_what_their_libraries_say() {
    let mut num = 0;
    for base in std::fs::read_dir(fixture("parity/heads")).unwrap() {
        let base = base.unwrap();
        let name = base.file_name().to_string_lossy().into_owned();
        let decoder = Arc::new(decoder(&format!("parity/encoders/{name}/scores")));
        for kind in std::fs::read_dir(base.path()).unwrap() {
            let folder = kind.unwrap().path();
            let case = candle_core::safetensors::load(folder.join("case.safetensors"), &Device::Cpu).unwrap();
            let ids: Vec<u32> = case["ids"].to_dtype(DType::U32).unwrap().to_vec1().unwrap();
            let adapter = files::load(&folder, decoder.config(), &Device::Cpu)
                .unwrap_or_else(|refusal| panic!("{}: {refusal}", folder.display()));
            assert!(matches!(adapter.settings, Settings::WithModules(_)), "{}", folder.display());
            let model = LoadedModel { decoder: decoder.clone(), ..model() };
            // Beside another text it is as alone.
            let said = scores(&model, &adapter, &[ids, vec![7, 9, 8]]).narrow(0, 0, 1).unwrap();
            let error = relative_error(&said, &case["logits"]);
            assert!(error < 1e-5, "{}: {error}", folder.display());
            num += 1;
        }
    }
    assert_eq!(num, 9);
}

fn recipe_of(method: &Method, objective: &Objective) -> Recipe {
    let mut recipe = recipe(&[
        "length.updates=40",
        "validation.every_updates=20",
        "checkpoint.every_updates=20",
        "optimizer.learning_rate=0.01",
        "batch.micro_batch_tokens=64",
        "batch.accumulation=1",
    ]);
    (recipe.method, recipe.objective) = (method.clone(), objective.clone());
    recipe.method.num_virtual_tokens_mut().into_iter().for_each(|num| *num = 4);
    match &mut recipe.method {
        Method::Bottleneck(of) => of.width = 4,
        Method::Lora(of) => of.rank = 4,
        Method::Prefix(of) => of.projection_width = 8,
        Method::PTuning(of) => of.encoder_width = 8,
        _ => {}
    }
    recipe
}

/// One of each method learns classes and numbers on an encoder by its first token, on one by their mean and on a decoder by the last;
/// a run that was stopped goes on as if it had not been, and what it leaves says the same when it is read again.
#[test]
fn every_method_trains_heads_and_resumes_exactly() {
    let temp = tempfile::tempdir().unwrap();
    let objectives =
        [Objective::Classification(Classification::default()), Objective::Regression(Regression::default())];
    for (name, objective) in
        [("bert", &objectives[0]), ("modernbert", &objectives[1]), ("llama", &objectives[0])]
    {
        for method in Method::variants() {
            let what = format!("{name}-{}", method.variant());
            let recipe = recipe_of(&method, objective);
            let base = LoadedModel { decoder: Arc::new(decoder("parity/tiny-llama/model")), ..model() };
            let data = dataset_of(&base, objective);
            let model = model_for(name, &recipe, &data);
            let (whole, resumed) = whole_and_resumed(&model, &data, &recipe, 20, &temp.path().join(&what));
            let losses = |events: &[RunEvent]| -> Vec<f64> {
                let loss = |event: &RunEvent| match event {
                    RunEvent::Update { loss, .. } => Some(*loss),
                    _ => None,
                };
                events.iter().filter_map(loss).collect()
            };
            let (of_whole, of_rest) = (losses(&whole.events), losses(&resumed.events));
            assert_eq!(of_whole[20..], of_rest[of_rest.len() - 20..], "{what}: resumed elsewhere");
            let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
            let (first, last) = (mean(&of_whole[..8]), mean(&of_whole[32..]));
            assert!(last < first, "{what}: {first} became {last}");
            let task = Task::load(&whole.folder.adapter_dir()).unwrap().unwrap();
            assert_eq!(task.objective, recipe.objective);
            let config = model.config();
            let again = files::load(&whole.folder.adapter_dir(), config, &Device::Cpu).unwrap();
            let resumed = files::load(&resumed.folder.adapter_dir(), config, &Device::Cpu).unwrap();
            let rows = [data.samples[0].ids.clone(), data.samples[1].ids.clone()];
            let (one, other) = (scores(&model, &again, &rows), scores(&model, &resumed, &rows));
            assert_eq!(relative_error(&one, &other), 0.0, "{what}");
        }
    }
}

/// Composing adapters adds up what they add, and no head is the sum of two.
#[test]
fn adapters_with_heads_are_not_added_up() {
    let config = decoder("parity/encoders/bert/scores").config().clone();
    let settings = Method::Ia3(Default::default()).settings_in(&config).unwrap();
    let parts = [("one", &settings, 1.0), ("other", &settings, 1.0)];
    let refusal = tunesmith::peft::compose::check_settings(&parts, tunesmith::peft::compose::How::Linear);
    assert!(refusal.unwrap_err().to_string().contains("modules_to_save"));
}

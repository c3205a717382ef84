//! Every way of tuning keeps the same promises: one table of methods, one test a promise. And what the libraries that read their
//! files make of them: `tests/fixtures/parity/make_scales.py`.

use crate::ops::{random, relative_error};
use crate::parity::{decoder, fixture, loss_and_gradient_of};
use crate::train::{bytes, dataset, losses, model, recipe, run};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use tunesmith::base::{Control, DeviceChoice, Silent};
use tunesmith::data::{Batch, Sample};
use tunesmith::model::cache::Cache;
use tunesmith::model::config::Family;
use tunesmith::model::decoder::Decoder;
use tunesmith::model::files::ModelFiles;
use tunesmith::model::hooks::{Hooks, NoHooks};
use tunesmith::model::load::{LoadedModel, load_decoder};
use tunesmith::nn::Tape;
use tunesmith::peft::merge::merge;
use tunesmith::peft::{self, Adapter};
use tunesmith::project::{Outcome, RunEvent};
use tunesmith::recipe::Recipe;
use tunesmith::recipe::recipe::Method;
use tunesmith::train::trainee;

/// Settings of a recipe for a method, small enough for the tiny model, and a learning rate that moves it.
struct Case {
    settings: &'static [&'static str],
    /// Whether a new one leaves the model's answers as they are.
    begins_as_the_model: bool,
}

const fn beginning_as_the_model(settings: &'static [&'static str]) -> Case {
    Case { settings, begins_as_the_model: true }
}

/// Virtual tokens are seen from the beginning.
const fn changing_it_at_once(settings: &'static [&'static str]) -> Case {
    Case { settings, begins_as_the_model: false }
}

const METHODS: [Case; 13] = [
    beginning_as_the_model(&["method.kind=lora", "method.rank=4", "optimizer.learning_rate=0.01"]),
    beginning_as_the_model(&[
        "method.kind=lora",
        "method.rank=4",
        "method.dora=true",
        "optimizer.learning_rate=0.01",
    ]),
    beginning_as_the_model(&["method.kind=freeze", "method.blocks=1", "optimizer.learning_rate=0.005"]),
    beginning_as_the_model(&[
        "method.kind=freeze",
        "method.train=[\"norms\"]",
        "method.chosen=[0]",
        "optimizer.learning_rate=0.05",
    ]),
    beginning_as_the_model(&["method.kind=full", "optimizer.learning_rate=0.002"]),
    beginning_as_the_model(&["method.kind=ia3", "optimizer.learning_rate=0.05"]),
    beginning_as_the_model(&["method.kind=bottleneck", "method.width=8", "optimizer.learning_rate=0.01"]),
    beginning_as_the_model(&[
        "method.kind=bottleneck",
        "method.placement=pfeiffer",
        "method.activation=relu",
        "method.scale=2.0",
        "optimizer.learning_rate=0.01",
    ]),
    changing_it_at_once(&[
        "method.kind=prefix",
        "method.num_virtual_tokens=4",
        "optimizer.learning_rate=0.05",
    ]),
    changing_it_at_once(&[
        "method.kind=prefix",
        "method.num_virtual_tokens=4",
        "method.projection=true",
        "method.projection_width=16",
        "optimizer.learning_rate=0.02",
    ]),
    changing_it_at_once(&[
        "method.kind=prompt",
        "method.num_virtual_tokens=4",
        "method.init=random",
        "optimizer.learning_rate=0.05",
    ]),
    changing_it_at_once(&[
        "method.kind=prompt",
        "method.num_virtual_tokens=4",
        "method.init=vocabulary",
        "optimizer.learning_rate=0.05",
    ]),
    changing_it_at_once(&[
        "method.kind=p_tuning",
        "method.num_virtual_tokens=4",
        "method.encoder_width=16",
        "optimizer.learning_rate=0.02",
    ]),
];

impl Case {
    fn recipe(&self) -> Recipe {
        recipe_of(self.settings)
    }
}

/// Of a method with these settings and no others.
pub fn recipe_of(settings: &[&str]) -> Recipe {
    // Without LoRA's settings, which are there at first.
    recipe(&[&["method.kind=full"][..], settings].concat())
}

pub fn recipes() -> impl Iterator<Item = Recipe> {
    METHODS.iter().map(Case::recipe)
}

fn new_adapter(recipe: &Recipe, model: &LoadedModel) -> Adapter {
    trainee::new_adapter(&recipe.method, model, 3).unwrap()
}

/// As after some training: nothing is at its special beginning any more.
fn stirred(recipe: &Recipe, model: &LoadedModel) -> Adapter {
    let mut adapter = new_adapter(recipe, model);
    let noise = (random(&[adapter.params.num_values()], 9) * 0.05).unwrap();
    adapter.params.set_values((adapter.params.values() + noise).unwrap()).unwrap();
    adapter
}

fn logits(decoder: &Decoder, hooks: &dyn Hooks, sample: &Sample) -> Tensor {
    let hidden = decoder.forward(&Tape::inference(), &Batch::pack([sample]), hooks).unwrap();
    decoder.logits(hidden.value(), hooks).unwrap()
}

#[test]
fn the_table_has_every_method() {
    let kinds: Vec<&str> = recipes().map(|recipe| recipe.method.kind()).collect();
    for method in Method::all() {
        assert!(kinds.contains(&method.kind()), "{}", method.kind());
    }
}

#[test]
fn a_new_one_changes_nothing_where_it_can_and_counts_its_parameters() {
    let model = model();
    let sample = dataset(&model, 4).samples.remove(0);
    let base = logits(&model.decoder, &NoHooks, &sample);
    for case in &METHODS {
        let recipe = case.recipe();
        let adapter = new_adapter(&recipe, &model);
        let error =
            relative_error(&logits(&model.decoder, adapter.hooks().unwrap().as_ref(), &sample), &base);
        assert_eq!(error < 1e-6, case.begins_as_the_model, "{}: {error}", recipe.method.describe());
        let counted = adapter.settings.tuning().num_values(model.config());
        assert_eq!(counted, adapter.params.num_values() as u64);
        let named = adapter.params.named().unwrap().into_iter();
        let shapes: Vec<_> = named.map(|(name, tensor)| (name, tensor.dims().to_vec())).collect();
        let needed = adapter.settings.tuning().parameters(model.config()).into_iter();
        assert_eq!(shapes, needed.map(|needed| (needed.name, needed.shape)).collect::<Vec<_>>());
    }
}

#[test]
fn every_parameter_gets_a_gradient_that_descends() {
    let model = model();
    let data = dataset(&model, 6);
    let batch = Batch::pack(&data.samples);
    recipes().for_each(|recipe| require_gradients(&recipe, &model, &batch));
}

/// Every tensor has a gradient, and along all of them the loss falls as fast as they say.
pub fn require_gradients(recipe: &Recipe, model: &LoadedModel, batch: &Batch) {
    let name = format!("{} of {}", recipe.method.describe(), model.info.source);
    let mut adapter = stirred(recipe, model);
    let (loss, gradient) = loss_and_gradient_of(batch, &model.decoder, &adapter, false);
    let mut found = adapter.params.clone();
    found.set_values(gradient.clone()).unwrap();
    for (tensor, gradient) in found.named().unwrap() {
        let norm = gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(norm > 0.0 && norm.is_finite(), "{name} {tensor}: {norm}");
    }
    if recipe.method.lora().is_some_and(|lora| lora.dora) {
        // Its gradient takes the lengths of rows as constants, on purpose.
        return;
    }
    // The slope along the gradient is its norm squared.
    let norm = gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap() as f64;
    let step = 1e-3 / norm.sqrt();
    let values = adapter.params.values().clone();
    let mut loss_at = |distance: f64| {
        adapter.params.set_values((&values + (&gradient * distance).unwrap()).unwrap()).unwrap();
        loss_and_gradient_of(batch, &model.decoder, &adapter, false).0
    };
    let slope = (loss_at(step) - loss_at(-step)) / (2.0 * step);
    assert!((slope / norm - 1.0).abs() < 0.02, "{name}: {slope} {norm}, loss {loss}");
}

#[test]
fn blocks_that_are_run_again_and_segments_that_are_packed_change_no_number() {
    let model = model();
    let data = dataset(&model, 3);
    for recipe in recipes() {
        let (name, adapter) = (recipe.method.describe(), stirred(&recipe, &model));
        let of = |samples: &[Sample], again| {
            loss_and_gradient_of(&Batch::pack(samples), &model.decoder, &adapter, again)
        };
        let (loss, gradient) = of(&data.samples, false);
        let (loss_again, gradient_again) = of(&data.samples, true);
        assert_eq!(loss, loss_again, "{name}");
        assert_eq!(gradient.to_vec1::<f32>().unwrap(), gradient_again.to_vec1::<f32>().unwrap(), "{name}");

        let weight: f64 = data.samples.iter().map(|s| s.num_trained() as f64).sum();
        let mut sum = gradient.zeros_like().unwrap();
        for sample in &data.samples {
            let share = sample.num_trained() as f64 / weight;
            sum = (sum + (of(std::slice::from_ref(sample), false).1 * share).unwrap()).unwrap();
        }
        let error = relative_error(&sum, &gradient);
        assert!(error < 2e-5, "{name}: {error}");
    }
}

#[test]
fn cached_logits_equal_uncached_ones() {
    let model = model();
    let sample = dataset(&model, 4).samples.remove(3);
    recipes().for_each(|recipe| require_same_from_cache(&recipe, &model, &sample, &[4, 1, 2, 1]));
}

/// A sample fed in pieces of these lengths gives the logits of the whole.
pub fn require_same_from_cache(recipe: &Recipe, model: &LoadedModel, sample: &Sample, pieces: &[usize]) {
    let adapter = stirred(recipe, model);
    let hooks = adapter.hooks().unwrap();
    let all = logits(&model.decoder, hooks.as_ref(), sample);
    let mut cache = Cache::new(model.config().num_layers);
    let mut fed = 0;
    for piece in pieces {
        let next = model.decoder.extend(&sample.ids[fed..fed + piece], &mut cache, hooks.as_ref()).unwrap();
        fed += piece;
        assert_eq!(cache.len(), fed);
        let next = Tensor::new(next, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let error = relative_error(&next, &all.narrow(0, fed - 1, 1).unwrap());
        let name = recipe.method.describe();
        assert!(error < 1e-5, "{name} of {} after {fed}: {error}", model.info.source);
    }
}

/// What can be worked into the weights gives the same answers there; what cannot says why.
#[test]
fn merged_equals_unmerged() {
    let model = model();
    let sample = dataset(&model, 4).samples.remove(0);
    for recipe in recipes() {
        require_same_merged(&recipe, &model, &sample);
    }
}

/// Gives the adapter and the folder of the merged model; `None` where the method cannot be merged, and says so.
pub fn require_same_merged(
    recipe: &Recipe,
    model: &LoadedModel,
    sample: &Sample,
) -> Option<(Adapter, tempfile::TempDir)> {
    let name = format!("{} of {}", recipe.method.describe(), model.info.source);
    let adapter = stirred(recipe, model);
    // Told by the files alone, before a model is loaded.
    let saved = tempfile::tempdir().unwrap();
    tunesmith::peft::files::save(&adapter, &model.description(), saved.path()).unwrap();
    let told = tunesmith::peft::merge::check(saved.path(), model.config());
    assert_eq!(told.is_ok(), adapter.settings.tuning().cannot_merge().is_none(), "{name}: {told:?}");
    let out = tempfile::tempdir().unwrap();
    let merged = match merge(&adapter, model, out.path(), &Control::new()) {
        Ok(merged) => merged,
        Err(refusal) => {
            assert!(adapter.settings.tuning().cannot_merge().is_some(), "{name}: {refusal}");
            assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0, "{name}");
            return None;
        }
    };
    assert!(adapter.settings.tuning().cannot_merge().is_none(), "{name}");
    assert!(merged.largest_difference < 1e-4 * merged.largest_logit, "{name}: {merged:?}");
    let files = ModelFiles::open("merged", out.path()).unwrap();
    let alone = load_decoder(&files, DeviceChoice::Cpu.into(), &Control::new(), &mut Silent).unwrap();
    let beside = logits(&model.decoder, adapter.hooks().unwrap().as_ref(), sample);
    let error = relative_error(&logits(&alone, &NoHooks, sample), &beside);
    assert!(error < 1e-5, "{name}: {error}");
    assert!(relative_error(&beside, &logits(&model.decoder, &NoHooks, sample)) > 1e-3, "{name}");
    Some((adapter, out))
}

/// Trained, stopped and gone on with: the base stays as it is, the loss of the one batch falls, and the end is the same bit for bit.
#[test]
fn a_run_learns_resumes_exactly_and_leaves_the_base_alone() {
    let model = model();
    let data = dataset(&model, 6);
    let base = || logits(&model.decoder, &NoHooks, &data.samples[0]).to_vec2::<f32>().unwrap();
    let before = base();
    for (index, recipe) in recipes().enumerate() {
        let (name, temp) = (recipe.method.describe(), tempfile::tempdir().unwrap());
        let recipe = Recipe {
            length: crate::train::recipe(&["length.updates=12"]).length,
            batch: crate::train::recipe(&["batch.micro_batch_tokens=64", "batch.accumulation=1"]).batch,
            ..recipe
        };
        let whole = run(&model, &data, &recipe, &temp.path().join("whole"), false, |_, _| {});
        assert_eq!(whole.outcome.unwrap(), Outcome::Done, "{name}");
        let all = losses(&whole.events);
        assert!(all[11].1 < 0.97 * all[0].1, "{name}: {all:?}");

        let at = temp.path().join("cut");
        run(&model, &data, &recipe, &at, false, |event, control| {
            if matches!(event, RunEvent::Checkpoint { update: 5, .. }) {
                control.stop();
            }
        });
        let rest = run(&model, &data, &recipe, &at, true, |_, _| {});
        assert_eq!(rest.outcome.unwrap(), Outcome::Done, "{name}");
        assert_eq!(losses(&rest.events), all[5..], "{name}");
        let files = peft::files::names(&whole.folder.adapter_dir()).unwrap();
        let weights = files.iter().filter(|file| file.ends_with(".safetensors"));
        let weights = weights.map(|file| format!("adapter/{file}"));
        for file in weights.chain(["checkpoints/update-000012/optimizer.safetensors".into()]) {
            assert_eq!(bytes(whole.folder.path(), &file), bytes(&at, &file), "{name}: {file}");
        }
        assert_eq!(base(), before, "{name} {index}");
        let tuned = peft::files::load(&whole.folder.adapter_dir(), model.config(), &Device::Cpu).unwrap();
        assert_eq!(tuned.base_model, "tiny-llama", "{name}");
        if !peft::files::is_model(&whole.folder.adapter_dir()) {
            assert_eq!(tuned.settings, recipe.method.settings(Family::Llama).unwrap(), "{name}");
        }
        let tuned = logits(&model.decoder, tuned.hooks().unwrap().as_ref(), &data.samples[0]);
        assert_ne!(tuned.to_vec2::<f32>().unwrap(), before, "{name}");
    }
}

fn tensors(path: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(fixture(path), &Device::Cpu).unwrap()
}

/// Adapters as PEFT and the adapters library write them: their logits, loss and gradients are ours.
#[test]
fn adapters_of_other_libraries_give_their_numbers() {
    let decoder = decoder("parity/tiny-llama/model");
    for name in ["ia3", "houlsby", "pfeiffer"] {
        let folder = fixture(&format!("parity/methods/{name}"));
        let expected = tensors(&format!("parity/methods/{name}/reference.safetensors"));
        let ids = expected["input_ids"].to_dtype(DType::U32).unwrap().to_vec1::<u32>().unwrap();
        let weights = (0..ids.len()).map(|i| if i == 0 { 0.0 } else { 1.0 }).collect();
        let sample = Sample { ids, weights, ..Sample::default() };
        let adapter = peft::files::load(&folder, decoder.config(), &Device::Cpu).unwrap();
        assert_eq!(adapter.base_model, "tiny-llama");
        let found = logits(&decoder, adapter.hooks().unwrap().as_ref(), &sample);
        let error = relative_error(&found, &expected["logits"]);
        assert!(error < 1e-4, "{name}: {error}");

        let (loss, gradient) = loss_and_gradient_of(&Batch::pack([&sample]), &decoder, &adapter, false);
        let text = std::fs::read_to_string(folder.join("loss.json")).unwrap();
        let wanted = serde_json::from_str::<serde_json::Value>(&text).unwrap()["loss"].as_f64().unwrap();
        assert!((loss / wanted - 1.0).abs() < 1e-5, "{name}: {loss} {wanted}");
        let mut gradients = adapter.params.clone();
        gradients.set_values(gradient).unwrap();
        for (tensor, gradient) in gradients.named().unwrap() {
            let error = relative_error(&gradient, &expected[&format!("gradient.{tensor}")]);
            assert!(error < 1e-4, "{name} {tensor}: {error}");
        }
    }
}

/// What is wrong with an adapter's files is said with the first thing that does not fit.
#[test]
fn damaged_and_foreign_adapters_are_refused_with_the_reason() {
    let decoder = decoder("parity/tiny-llama/model");
    let other = crate::parity::decoder("parity/tiny-qwen3/model");
    for (name, weights, cases) in [
        (
            "ia3",
            "adapter_model.safetensors",
            [
                ("\"k_proj\",", "", "no place"),
                ("\"v_proj\"\n  ]", "\"v_proj\", \"q_proj\"\n  ]", "q_proj.ia3_l: it is missing"),
                ("\"v_proj\"\n  ]", "\"v_proj\", \"wo\"\n  ]", "wo"),
                ("\"modules_to_save\": null", "\"modules_to_save\": [\"lm_head\"]", "lm_head"),
            ],
        ),
        (
            "houlsby",
            "adapter.safetensors",
            [
                ("\"reduction_factor\": 8", "\"reduction_factor\": 4", "shape"),
                ("\"mh_adapter\": true", "\"mh_adapter\": false", "mh_adapter"),
                ("\"use_gating\": false", "\"use_gating\": true", "use_gating"),
                ("\"non_linearity\": \"swish\"", "\"non_linearity\": \"tanhshrink\"", "tanhshrink"),
            ],
        ),
    ] {
        let folder = fixture(&format!("parity/methods/{name}"));
        let config = std::fs::read_to_string(folder.join("adapter_config.json")).unwrap();
        let temp = tempfile::tempdir().unwrap();
        std::fs::copy(folder.join(weights), temp.path().join(weights)).unwrap();
        for (from, to, word) in cases {
            assert!(config.contains(from), "{name}: {from}");
            std::fs::write(temp.path().join("adapter_config.json"), config.replacen(from, to, 1)).unwrap();
            let refusal = peft::files::load(temp.path(), decoder.config(), &Device::Cpu).unwrap_err();
            assert!(refusal.to_string().contains(word), "{name} {to}: {refusal}");
        }
        let refusal = peft::files::load(&folder, other.config(), &Device::Cpu).unwrap_err().to_string();
        assert!(refusal.contains("shape") || refusal.contains("family"), "{name}: {refusal}");
        std::fs::write(temp.path().join("adapter_config.json"), &config).unwrap();
        std::fs::write(temp.path().join(weights), [7; 40]).unwrap();
        let refusal = peft::files::load(temp.path(), decoder.config(), &Device::Cpu).unwrap_err();
        assert!(refusal.to_string().contains("safetensors"), "{name}: {refusal}");
        let hint = tunesmith::base::Explain::hint(&refusal);
        assert!(hint.contains(&format!("adapter_config.json and {weights}")), "{name}: {hint}");
    }
}

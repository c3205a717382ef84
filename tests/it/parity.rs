//! The engine against PyTorch, transformers and PEFT: logits, loss, every LoRA gradient, ten AdamW updates.
//! `tests/fixtures/parity/make_parity.py` made the numbers.

use crate::ops::relative_error;
use candle_core::{DType, Device, Tensor};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use tunesmith::base::{Control, DeviceChoice, Silent};
use tunesmith::data::{Batch, LossWeights, Sample};
use tunesmith::model::decoder::Decoder;
use tunesmith::model::files::ModelFiles;
use tunesmith::model::hooks::{Hooks, NoHooks};
use tunesmith::model::load::{LoadedModel, load_decoder};
use tunesmith::nn::optim::{AdamWSettings, Optimizer, OptimizerSettings};
use tunesmith::nn::{FlatGradient, Tape};
use tunesmith::objective::{Language, Made, Objective};
use tunesmith::peft::{Adapter, Full, LoraSettings, MicroStep, Settings, format};

const BOUND: f64 = 1e-4;

pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub fn tensors(path: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(fixture(path), &Device::Cpu).unwrap()
}

pub fn decoder(folder: &str) -> Decoder {
    let files = ModelFiles::open(folder, &fixture(folder)).unwrap();
    load_decoder(&files, DeviceChoice::Cpu.into(), &Control::new(), &mut Silent).unwrap()
}

/// The reference's padded batch [3, 48] as packed samples: padding is simply not there.
pub struct Reference {
    pub samples: Vec<Sample>,
    expected: serde_json::Value,
    name: &'static str,
}

impl Reference {
    pub fn open(name: &'static str) -> Self {
        let batch = tensors(&format!("parity/{name}/batch.safetensors"));
        let rows = |key: &str| batch[key].to_dtype(DType::I64).unwrap().to_vec2::<i64>().unwrap();
        let (ids, mask, labels) = (rows("input_ids"), rows("attention_mask"), rows("labels"));
        let samples = (0..ids.len())
            .map(|row| {
                let len = mask[row].iter().sum::<i64>() as usize;
                Sample {
                    ids: ids[row][..len].iter().map(|i| *i as u32).collect(),
                    weights: labels[row][..len].iter().map(|l| if *l == -100 { 0.0 } else { 1.0 }).collect(),
                    ..Sample::default()
                }
            })
            .collect();
        let text = std::fs::read_to_string(fixture(&format!("parity/{name}/expected.json"))).unwrap();
        Self { samples, expected: serde_json::from_str(&text).unwrap(), name }
    }

    pub fn number(&self, key: &str) -> f64 {
        self.expected[key].as_f64().unwrap()
    }

    pub fn decoder(&self) -> Decoder {
        decoder(&format!("parity/{}/model", self.name))
    }

    pub fn adapter(&self, decoder: &Decoder, which: &str) -> Adapter {
        let folder = fixture(&format!("parity/{}/{which}", self.name));
        format::load(&folder, decoder.config(), &Device::Cpu).unwrap()
    }

    pub fn batch(&self) -> Batch {
        Batch::pack(&self.samples)
    }
}

/// A decoder as what a method begins beside; its tokens are those of the tiny Llama.
pub fn model_of(decoder: Decoder) -> LoadedModel {
    LoadedModel { decoder: Arc::new(decoder), ..crate::train::model() }
}

pub fn lora(adapter: &Adapter) -> &LoraSettings {
    match &adapter.settings {
        Settings::Lora(lora) => lora,
        other => panic!("{other:?}"),
    }
}

pub const FAMILIES: [&str; 5] =
    ["tiny-llama", "tiny-llama-scaled", "tiny-mistral", "tiny-qwen2", "tiny-qwen3"];

/// Adapters whose layers differ, as PEFT makes them; `tests/fixtures/parity/make_uneven.py`.
#[test]
fn an_adapter_whose_layers_differ_gives_pefts_logits() {
    let decoder = decoder("parity/tiny-llama/model");
    let expected = tensors("parity/uneven/logits.safetensors");
    let ids = expected["input_ids"].to_dtype(DType::U32).unwrap().to_vec1::<u32>().unwrap();
    let sample = Sample { weights: LossWeights::all(1.0, ids.len()), ids, ..Sample::default() };
    let batch = Batch::pack([&sample]);
    for kind in ["full_names", "pattern", "some_layers", "ranks_and_alphas", "ranks_stabilised"] {
        let folder = fixture(&format!("parity/uneven/{kind}"));
        let adapter = format::load(&folder, decoder.config(), &Device::Cpu).unwrap();
        let logits = |adapter: &Adapter| {
            let hooks = adapter.hooks().unwrap();
            let hidden = decoder.forward(&Tape::inference(), &batch, hooks.as_ref()).unwrap();
            decoder.logits(hidden.value(), hooks.as_ref()).unwrap()
        };
        let error = relative_error(&logits(&adapter), &expected[kind]);
        assert!(error < BOUND, "{kind}: {error}");

        // True ranks where the layers are named; saved again it is the same.
        let num_values = adapter.params.num_values();
        if kind == "ranks_and_alphas" {
            let stored =
                candle_core::safetensors::load(folder.join("adapter_model.safetensors"), &Device::Cpu);
            let stored: usize = stored.unwrap().values().map(Tensor::elem_count).sum();
            assert_eq!(num_values, stored, "{kind}");
        }
        let out = tempfile::tempdir().unwrap();
        format::save(&adapter, lora(&adapter), out.path()).unwrap();
        let again = format::load(out.path(), decoder.config(), &Device::Cpu).unwrap();
        assert_eq!(again.settings, adapter.settings, "{kind}");
        assert!(relative_error(&logits(&again), &expected[kind]) < BOUND, "{kind}");
    }
}

#[test]
fn logits_match_transformers_and_peft() {
    for name in FAMILIES {
        let reference = Reference::open(name);
        let decoder = reference.decoder();
        let expected = tensors(&format!("parity/{name}/logits.safetensors"));
        let adapter = reference.adapter(&decoder, "adapter_init");
        let tuned = adapter.hooks().unwrap();
        for (key, hooks) in [("base_logits", &NoHooks as &dyn Hooks), ("logits", tuned.as_ref())] {
            let hidden = decoder.forward(&Tape::inference(), &reference.batch(), hooks).unwrap();
            let columns = expected["columns"].to_dtype(DType::U32).unwrap();
            let logits = decoder.logits(hidden.value(), hooks).unwrap().index_select(&columns, 1).unwrap();
            let mut start = 0;
            for (row, sample) in reference.samples.iter().enumerate() {
                let want = expected[key].get(row).unwrap().narrow(0, 0, sample.len()).unwrap();
                let got = logits.narrow(0, start, sample.len()).unwrap();
                let error = relative_error(&got, &want);
                assert!(error < BOUND, "{name} {key} row {row}: {error}");
                start += sample.len();
            }
        }
    }
}

/// The mean loss of the reference's batch, and its gradient [P].
pub fn loss_and_gradient(reference: &Reference, decoder: &Decoder, adapter: &Adapter) -> (f64, Tensor) {
    loss_and_gradient_with(reference, decoder, adapter, false)
}

fn loss_and_gradient_with(
    reference: &Reference,
    decoder: &Decoder,
    adapter: &Adapter,
    has_checkpoints: bool,
) -> (f64, Tensor) {
    loss_and_gradient_of(&reference.batch(), decoder, adapter, has_checkpoints)
}

/// The mean loss of a batch, and its gradient [P].
pub fn loss_and_gradient_of(
    batch: &Batch,
    decoder: &Decoder,
    adapter: &Adapter,
    has_checkpoints: bool,
) -> (f64, Tensor) {
    let gradient = FlatGradient::new(&adapter.params).unwrap();
    let hooks;
    let tape = if has_checkpoints { Tape::checkpointing() } else { Tape::recording() };
    let step = MicroStep { tape: &tape, gradient: &gradient, seed: 0, stream: [0, 0] };
    hooks = adapter.training_hooks(&step).unwrap();
    let hidden = decoder.forward(&tape, batch, hooks.as_ref()).unwrap();
    let made = Made { tape: &tape, decoder, hooks: hooks.as_ref(), hidden: &hidden, batch };
    let loss = Language.loss(made, None).unwrap();
    tape.backward(&loss.node, Tensor::new(1f32, &Device::Cpu).unwrap()).unwrap();
    let gradient = (gradient.whole(&adapter.params).unwrap() / loss.weight).unwrap();
    (loss.sum / loss.weight, gradient)
}

#[test]
fn loss_and_lora_gradients_match_peft() {
    for name in FAMILIES {
        let reference = Reference::open(name);
        let decoder = reference.decoder();
        let adapter = reference.adapter(&decoder, "adapter_init");
        let (loss, gradient) = loss_and_gradient(&reference, &decoder, &adapter);
        assert!((loss - reference.number("loss")).abs() / reference.number("loss") < 1e-5, "{name}: {loss}");
        let expected = tensors(&format!("parity/{name}/grads.safetensors"));
        let mut found = adapter.params.clone();
        found.set_values(gradient).unwrap();
        assert_eq!(expected.len(), found.len());
        for (param, gradient) in found.named().unwrap() {
            let error = relative_error(&gradient, &expected[&param]);
            assert!(error < BOUND, "{name} {param}: {error}");
        }
    }
}

/// Each part of the gradient is told once, when nothing more is added to it, and all of them are the whole to the last bit: with one
/// matrix for embeddings and head as without, with blocks run again as without.
#[test]
fn a_gradient_that_passes_is_the_whole_one_in_parts() {
    for name in FAMILIES.into_iter().chain(["families/gpt_neox", "families/gemma3_text"]) {
        let base = model_of(decoder(&format!("parity/{name}/model")));
        let decoder = base.decoder.as_ref();
        let vocabulary = decoder.config().vocabulary as u32;
        let ids: Vec<u32> = (0..12).map(|i| i * 37 % vocabulary).collect();
        let batch =
            Batch::pack([&Sample { weights: LossWeights::all(1.0, ids.len()), ids, ..Sample::default() }]);
        let adapter = Adapter::new(Settings::Full(Full {}), &base, 0).unwrap();
        for has_checkpoints in [false, true] {
            let (_, whole) = loss_and_gradient_of(&batch, decoder, &adapter, has_checkpoints);
            let gradient = FlatGradient::passing(&adapter.params);
            let hooks;
            let tape = if has_checkpoints { Tape::checkpointing() } else { Tape::recording() };
            let step = MicroStep { tape: &tape, gradient: &gradient, seed: 0, stream: [0, 0] };
            hooks = adapter.training_hooks(&step).unwrap();
            let hidden = decoder.forward(&tape, &batch, hooks.as_ref()).unwrap();
            let made = Made { tape: &tape, decoder, hooks: hooks.as_ref(), hidden: &hidden, batch: &batch };
            let loss = Language.loss(made, None).unwrap();
            let mut parts = BTreeMap::new();
            let one = Tensor::new(1f32, &Device::Cpu).unwrap();
            tape.backward_each(&loss.node, one, &mut |slot| {
                let (start, part) = slot.take().unwrap();
                assert!(parts.insert(start, part).is_none(), "{name}: {start} came twice");
                Ok(())
            })
            .unwrap();
            let parts: Vec<f32> = parts.into_values().flatten().collect();
            let parts = (Tensor::new(parts, &Device::Cpu).unwrap() / loss.weight).unwrap();
            let [parts, whole] = [parts, whole].map(|x| x.to_vec1::<f32>().unwrap());
            assert_eq!(parts, whole, "{name}, {has_checkpoints}");
        }
    }
}

/// Full tuning against PyTorch: `tests/fixtures/parity/make_full.py`.
#[test]
fn gradients_and_updates_of_all_weights_match_pytorch() {
    for name in ["tiny-llama", "tiny-mistral", "tiny-qwen2", "tiny-qwen3"] {
        let reference = Reference::open(name);
        let decoder = reference.decoder();
        let mut adapter = Adapter::new(Settings::Full(Full {}), &model_of(reference.decoder()), 0).unwrap();
        let text = std::fs::read_to_string(fixture(&format!("parity/{name}/full.json"))).unwrap();
        let full: serde_json::Value = serde_json::from_str(&text).unwrap();
        let settings = AdamWSettings { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
        let mut adam = Optimizer::new(OptimizerSettings::AdamW(settings), &adapter.params).unwrap();
        let losses = full["losses"].as_array().unwrap();
        for (update, expected) in losses.iter().enumerate() {
            let (loss, gradient) = loss_and_gradient(&reference, &decoder, &adapter);
            let expected = expected.as_f64().unwrap();
            assert!((loss - expected).abs() / expected < 1e-5, "{name} update {update}: {loss} {expected}");
            if update == 0 {
                let expected = tensors(&format!("parity/{name}/full_grads.safetensors"));
                let mut found = adapter.params.clone();
                found.set_values(gradient.clone()).unwrap();
                assert_eq!(expected.len(), found.len());
                for (param, gradient) in found.named().unwrap() {
                    let error = relative_error(&gradient, &expected[&param]);
                    assert!(error < BOUND, "{name} {param}: {error}");
                }
            }
            adam.step(&mut adapter.params, &gradient, 1.0, full["learning_rate"].as_f64().unwrap()).unwrap();
        }
    }
}

/// Blocks that are run again on the way back give the same numbers, bit for bit.
#[test]
fn checkpoints_change_no_number() {
    for name in FAMILIES {
        let reference = Reference::open(name);
        let decoder = reference.decoder();
        let adapter = reference.adapter(&decoder, "adapter_init");
        let flat = |has_checkpoints| {
            let (loss, gradient) = loss_and_gradient_with(&reference, &decoder, &adapter, has_checkpoints);
            (loss, gradient.to_vec1::<f32>().unwrap())
        };
        assert_eq!(flat(false), flat(true), "{name}");
    }
}

#[test]
fn ten_adamw_updates_match_pytorch() {
    for name in FAMILIES {
        let reference = Reference::open(name);
        let decoder = reference.decoder();
        let mut adapter = reference.adapter(&decoder, "adapter_init");
        let settings = AdamWSettings { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
        let mut adam = Optimizer::new(OptimizerSettings::AdamW(settings), &adapter.params).unwrap();
        let losses = reference.expected["loss_over_10_steps_same_batch_then_after"].as_array().unwrap();
        let learning_rate = reference.expected["optimizer"]["lr"].as_f64().unwrap();
        for (update, expected) in losses.iter().enumerate() {
            let (loss, gradient) = loss_and_gradient(&reference, &decoder, &adapter);
            let expected = expected.as_f64().unwrap();
            assert!((loss - expected).abs() / expected < 1e-5, "{name} update {update}: {loss} {expected}");
            if update + 1 < losses.len() {
                adam.step(&mut adapter.params, &gradient, 1.0, learning_rate).unwrap();
            }
        }
        let after = reference.adapter(&decoder, "adapter_after_10");
        let error = relative_error(adapter.params.values(), after.params.values());
        assert!(error < BOUND, "{name}: {error}");
    }
}

#[test]
fn forward_matches_candle_transformers_llama() {
    use candle_transformers::models::llama;
    let folder = fixture("parity/tiny-llama/model");
    let weights = folder.join("model.safetensors");
    let loaded = candle_core::safetensors::load(weights, &Device::Cpu).unwrap();
    let vb = candle_nn::VarBuilder::from_tensors(loaded, DType::F32, &Device::Cpu);
    let config = llama::Config {
        hidden_size: 64,
        intermediate_size: 96,
        vocab_size: 512,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        use_flash_attn: false,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        bos_token_id: None,
        eos_token_id: None,
        rope_scaling: None,
        max_position_embeddings: 256,
        tie_word_embeddings: true,
    };
    let oracle = llama::Llama::load(vb, &config).unwrap();
    let ours = decoder("parity/tiny-llama/model");
    let ids: Vec<u32> = (0..40).map(|i| (i * 37 + 5) % 512).collect();
    let sample = Sample { weights: LossWeights::all(1.0, ids.len()), ids: ids.clone(), ..Sample::default() };
    let hidden = ours.forward(&Tape::inference(), &Batch::pack([&sample]), &NoHooks).unwrap();
    let logits = ours.logits(hidden.value(), &NoHooks).unwrap();
    for len in [1, 7, 40] {
        let mut cache = llama::Cache::new(false, DType::F32, &config, &Device::Cpu).unwrap();
        let input = Tensor::new(&ids[..len], &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let expected = oracle.forward(&input, 0, &mut cache).unwrap(); // last position, [1, v]
        let error = relative_error(&logits.narrow(0, len - 1, 1).unwrap(), &expected);
        assert!(error < BOUND, "{len}: {error}");
    }
}

#[test]
fn cached_logits_equal_uncached_ones() {
    for name in FAMILIES {
        let reference = Reference::open(name);
        let decoder = reference.decoder();
        let adapter = reference.adapter(&decoder, "adapter_init");
        let hooks = adapter.hooks().unwrap();
        let sample = &reference.samples[0];
        let hidden = decoder.forward(&Tape::inference(), &Batch::pack([sample]), hooks.as_ref()).unwrap();
        let all = decoder.logits(hidden.value(), hooks.as_ref()).unwrap();
        let mut cache = tunesmith::model::cache::Cache::new(decoder.config().num_layers);
        let mut fed = 0;
        for piece in [20, 1, 1, 5, 1] {
            let logits = decoder.extend(&sample.ids[fed..fed + piece], &mut cache, hooks.as_ref()).unwrap();
            fed += piece;
            let got = Tensor::new(logits, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
            let error = relative_error(&got, &all.narrow(0, fed - 1, 1).unwrap());
            assert!(error < 1e-5, "{name} after {fed}: {error}");
        }
    }
}

#[test]
fn packed_equals_alone_and_accumulated_equals_one_batch() {
    let reference = Reference::open("tiny-llama");
    let decoder = reference.decoder();
    let adapter = reference.adapter(&decoder, "adapter_init");
    let (_, together) = loss_and_gradient(&reference, &decoder, &adapter);
    let weight: f64 = reference.samples.iter().map(|s| s.num_trained() as f64).sum();
    let mut sum = together.zeros_like().unwrap();
    for sample in &reference.samples {
        let alone = Reference { samples: vec![sample.clone()], expected: serde_json::Value::Null, name: "" };
        let (_, gradient) = loss_and_gradient(&alone, &decoder, &adapter);
        let share = sample.num_trained() as f64 / weight;
        sum = (sum + (gradient * share).unwrap()).unwrap();
    }
    assert!(relative_error(&sum, &together) < 1e-5);
}

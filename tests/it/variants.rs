//! Variants of LoRA against PEFT, merging, and freezing: `tests/fixtures/parity/make_variants.py`.

use crate::ops::relative_error;
use crate::parity::{decoder, fixture, loss_and_gradient_of, model_of};
use crate::train::{bytes, dataset, losses, model, recipe, run, whole_and_resumed};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use tunesmith::base::{Control, DeviceChoice, Explain, Precision, Silent};
use tunesmith::data::{Batch, Sample, Split};
use tunesmith::model::cache::Cache;
use tunesmith::model::config::Family;
use tunesmith::model::decoder::Decoder;
use tunesmith::model::files::ModelFiles;
use tunesmith::model::flops::Work;
use tunesmith::model::hooks::{Hooks, NoHooks, Part};
use tunesmith::model::load::{LoadedModel, Placement, load_decoder};
use tunesmith::nn::FlatParams;
use tunesmith::nn::Tape;
use tunesmith::nn::optim::{AdamWSettings, LionSettings, Optimizer, OptimizerSettings, SgdSettings};
use tunesmith::peft::freeze::{Freeze, Kind};
use tunesmith::peft::merge::merge;
use tunesmith::peft::{Adapter, Biases, Full, LoraSettings, OwnWeights, Settings, Tuning, files, format};
use tunesmith::project::Outcome;

const BOUND: f64 = 1e-4;
const KINDS: [&str; 7] =
    ["dora", "dora_rank_stabilised", "ranks", "lora_plus", "own_weights", "own_modules", "own_biases"];

fn tensors(name: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(fixture(&format!("parity/variants/{name}")), &Device::Cpu).unwrap()
}

fn numbers() -> serde_json::Value {
    let text = std::fs::read_to_string(fixture("parity/variants/expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The base model, PEFT's adapter and the row of tokens.
fn variant(kind: &str) -> (Decoder, Adapter, Sample) {
    let name = numbers()[kind]["model"].as_str().unwrap().to_string();
    let decoder = decoder(&format!("parity/{name}/model"));
    let folder = fixture(&format!("parity/variants/{kind}"));
    let adapter = format::load(&folder, decoder.config(), &Device::Cpu).unwrap();
    let ids = tensors("expected.safetensors")["input_ids"].to_dtype(DType::U32).unwrap();
    let vocabulary = decoder.config().vocabulary as u32;
    let ids: Vec<u32> = ids.to_vec1::<u32>().unwrap().into_iter().map(|id| id % vocabulary).collect();
    // The first token is nobody's target.
    let weights = (0..ids.len()).map(|i| f32::from(u8::from(i > 0))).collect();
    (decoder, adapter, Sample { ids, weights, ..Sample::default() })
}

fn logits(decoder: &Decoder, hooks: &dyn Hooks, sample: &Sample) -> Tensor {
    let hidden = decoder.forward(&Tape::inference(), &Batch::pack([sample]), hooks).unwrap();
    decoder.logits(hidden.value(), hooks).unwrap()
}

#[test]
fn logits_gradients_and_updates_of_variants_match_peft() {
    let (expected, numbers) = (tensors("expected.safetensors"), numbers());
    let rate = numbers["learning_rate"].as_f64().unwrap();
    for kind in KINDS {
        let (decoder, mut adapter, sample) = variant(kind);
        let got = logits(&decoder, adapter.hooks().unwrap().as_ref(), &sample);
        let error = relative_error(&got, &expected[kind]);
        assert!(error < BOUND, "{kind}: {error}");
        let settings = AdamWSettings { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
        let mut rates = Vec::new();
        if kind == "lora_plus" {
            let factor = numbers["b_rate_factor"].as_f64().unwrap();
            let of_b = adapter.params.ranges().filter(|(name, _)| name.contains("lora_B"));
            rates = of_b.map(|(_, range)| (range, factor)).collect();
        }
        let adam = Optimizer::new(OptimizerSettings::AdamW(settings), &adapter.params).unwrap();
        let mut adam = adam.with_rates(&adapter.params, &rates).unwrap();
        for (update, expected) in numbers[kind]["losses"].as_array().unwrap().iter().enumerate() {
            let (loss, gradient) =
                loss_and_gradient_of(&Batch::pack([&sample]), &decoder, &adapter, update % 2 == 1);
            let expected = expected.as_f64().unwrap();
            assert!((loss - expected).abs() / expected < 1e-5, "{kind} update {update}: {loss} {expected}");
            if update == 0 {
                let expected = tensors(&format!("{kind}/grads.safetensors"));
                let mut found = adapter.params.clone();
                found.set_values(gradient.clone()).unwrap();
                assert_eq!(expected.len(), found.len());
                let needed = adapter.settings.tuning().parameters(decoder.config());
                for ((param, gradient), needed) in found.named().unwrap().into_iter().zip(needed) {
                    let expected = needed.form.from_file(&expected[&param]).unwrap();
                    let error = relative_error(&gradient, &expected);
                    assert!(error < BOUND, "{kind} {param}: {error}");
                }
            }
            adam.step(&mut adapter.params, &gradient, 1.0, rate).unwrap();
        }
    }
}

/// What is written is what was read, in PEFT's names; a missing magnitude, another shape and another base are named.
#[test]
fn adapters_with_magnitudes_come_back_and_damaged_ones_are_refused() {
    for kind in KINDS {
        let (decoder, adapter, sample) = variant(kind);
        let Settings::Lora(settings) = &adapter.settings else { panic!("no LoRA") };
        let out = tempfile::tempdir().unwrap();
        format::save(&adapter, settings, out.path()).unwrap();
        let again = format::load(out.path(), decoder.config(), &Device::Cpu).unwrap();
        assert_eq!(again.settings, adapter.settings, "{kind}");
        let all = |adapter: &Adapter| logits(&decoder, adapter.hooks().unwrap().as_ref(), &sample);
        assert_eq!(relative_error(&all(&again), &all(&adapter)), 0.0, "{kind}");
        let names = |folder: &Path| {
            let tensors =
                candle_core::safetensors::load(folder.join("adapter_model.safetensors"), &Device::Cpu);
            let mut names: Vec<String> = tensors.unwrap().into_keys().collect();
            names.sort();
            names
        };
        let mut theirs = names(&fixture(&format!("parity/variants/{kind}")));
        // PEFT repeats the biases of a module that is trained whole where it trains all biases.
        theirs.retain(|name| !name.contains("modules_to_save") && !name.contains("original_module"));
        assert_eq!(names(out.path()), theirs, "{kind}");
    }
    let (decoder, _, _) = variant("dora");
    let good = tensors("dora/adapter_model.safetensors");
    let name = "base_model.model.model.layers.1.self_attn.v_proj.lora_magnitude_vector";
    let refusal = |change: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let (folder, mut tensors) = (tempfile::tempdir().unwrap(), good.clone());
        change(&mut tensors);
        let config = fixture("parity/variants/dora/adapter_config.json");
        std::fs::copy(config, folder.path().join("adapter_config.json")).unwrap();
        candle_core::safetensors::save(&tensors, folder.path().join("adapter_model.safetensors")).unwrap();
        format::load(folder.path(), decoder.config(), &Device::Cpu).unwrap_err().to_string()
    };
    let missing = refusal(&|tensors| drop(tensors.remove(name)));
    assert!(missing.contains(name) && missing.contains("missing"), "{missing}");
    let short = refusal(&|tensors| {
        drop(tensors.insert(name.into(), Tensor::ones(31, DType::F32, &Device::Cpu).unwrap()))
    });
    assert!(short.contains(name) && short.contains("[31]") && short.contains("[32]"), "{short}");
}

#[test]
fn what_is_no_adapter_is_told_in_words() {
    let (decoder, temp) = (decoder("parity/tiny-llama/model"), tempfile::tempdir().unwrap());
    let good = fixture("parity/tiny-llama/adapter_init");
    let refusal = |folder: &Path| {
        let error = files::load(folder, decoder.config(), &Device::Cpu).unwrap_err();
        assert!(!error.to_string().contains("os error"), "{error}");
        (error.to_string(), error.hint())
    };
    assert!(refusal(&temp.path().join("none")).0.contains("there is no such folder"));
    assert!(refusal(temp.path()).0.contains("there is no adapter_config.json in the folder"));
    let config = temp.path().join("adapter_config.json");
    std::fs::copy(good.join("adapter_config.json"), &config).unwrap();
    assert!(refusal(&config).0.contains("it is a file, and an adapter is a folder"));
    assert!(refusal(temp.path()).0.contains("there is no adapter_model.safetensors in the folder"));
    std::fs::write(temp.path().join("adapter_model.bin"), "pickled").unwrap();
    let (said, hint) = refusal(temp.path());
    assert!(said.contains("adapter_model.bin") && said.contains("executes"), "{said}");
    assert!(hint.contains("adapter_model.safetensors") && hint.contains("weights_only=True"), "{hint}");

    let mut tensors =
        candle_core::safetensors::load(good.join("adapter_model.safetensors"), &Device::Cpu).unwrap();
    let name = "base_model.model.model.layers.1.self_attn.v_proj.lora_A.weight";
    for value in [f64::NAN, f64::INFINITY] {
        let bad = tensors[name].ones_like().and_then(|ones| ones * value).unwrap();
        tensors.insert(name.into(), bad);
        candle_core::safetensors::save(&tensors, temp.path().join("adapter_model.safetensors")).unwrap();
        let said = refusal(temp.path()).0;
        assert!(said.contains(name) && said.contains("not finite"), "{said}");
    }
    for kind in ["LOHA", "VERA"] {
        std::fs::write(&config, format!("{{\"peft_type\": \"{kind}\", \"r\": 4}}")).unwrap();
        assert!(refusal(temp.path()).0.contains(&format!("peft_type = {kind} is not supported")));
    }
}

fn loaded(placement: Placement, name: &str) -> LoadedModel {
    let files = ModelFiles::open("tiny", &fixture(&format!("parity/{name}/model"))).unwrap();
    LoadedModel {
        identity: None,
        decoder: Arc::new(load_decoder(&files, placement, &Control::new(), &mut Silent).unwrap()),
        ..model()
    }
}

/// Merged and unmerged give the same logits; on a quantised base it is the widened weights that are merged into.
#[test]
fn merged_equals_unmerged() {
    for (kind, precision) in
        KINDS.map(|kind| (kind, Precision::F32)).into_iter().chain([("dora", Precision::Q8_0)])
    {
        let (decoder, adapter, sample) = variant(kind);
        let name = numbers()[kind]["model"].as_str().unwrap().to_string();
        let base = loaded(Placement { precision, ..DeviceChoice::Cpu.into() }, &name);
        let out = tempfile::tempdir().unwrap();
        let compared = merge(&adapter, &base, out.path(), &Control::new()).unwrap();
        assert!(compared.largest_difference < 1e-4 * compared.largest_logit, "{kind}: {compared:?}");
        let files = ModelFiles::open("merged", out.path()).unwrap();
        let merged = load_decoder(&files, DeviceChoice::Cpu.into(), &Control::new(), &mut Silent).unwrap();
        let tuned = logits(&base.decoder, adapter.hooks().unwrap().as_ref(), &sample);
        let error = relative_error(&logits(&merged, &NoHooks, &sample), &tuned);
        assert!(error < 1e-5, "{kind}: {error}");
        if precision == Precision::F32 {
            let error =
                relative_error(&logits(&merged, &NoHooks, &sample), &tensors("expected.safetensors")[kind]);
            assert!(error < BOUND, "{kind}: {error}");
            // What no adapter touches keeps its value bit for bit.
            let embedding = |decoder: &Decoder| {
                let table = decoder.tensor(Part::Embedding).unwrap();
                table.flatten_all().unwrap().to_vec1::<f32>().unwrap()
            };
            assert_eq!(embedding(&merged), embedding(&decoder));
        }
        assert!(
            relative_error(&tuned, &logits(&decoder, &NoHooks, &sample)) > 1e-3,
            "the adapter does something"
        );
    }
}

#[test]
fn a_new_adapter_with_magnitudes_changes_nothing_and_its_cache_is_exact() {
    let base = model();
    let sample = dataset(&base, 1).samples.remove(0);
    let all: Vec<String> = ["q_proj", "v_proj", "up_proj"].map(String::from).to_vec();
    let plain = LoraSettings::new(Family::Llama, 4, 8.0, 0.0, &all).unwrap();
    let settings = LoraSettings { has_magnitudes: true, ..plain };
    for precision in [Precision::F32, Precision::Q4_0] {
        let base = loaded(Placement { precision, ..DeviceChoice::Cpu.into() }, "tiny-llama");
        let adapter = Adapter::new(Settings::Lora(settings.clone()), &base, 1).unwrap();
        let hooks = adapter.hooks().unwrap();
        let (tuned, untuned) =
            (logits(&base.decoder, hooks.as_ref(), &sample), logits(&base.decoder, &NoHooks, &sample));
        assert!(relative_error(&tuned, &untuned) < 1e-6, "{precision:?}");
    }
    let (decoder, adapter, sample) = variant("dora");
    let hooks = adapter.hooks().unwrap();
    let whole = logits(&decoder, hooks.as_ref(), &sample);
    let mut cache = Cache::new(decoder.config().num_layers);
    for (i, id) in sample.ids.iter().enumerate() {
        let got = decoder.extend(&[*id], &mut cache, hooks.as_ref()).unwrap();
        let got = Tensor::new(got, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        assert!(relative_error(&got, &whole.narrow(0, i, 1).unwrap()) < 1e-5, "token {i}");
    }
}

/// Dropout is in, as PEFT has it, and resuming is exact; one batch is learnt by heart.
#[test]
fn variants_train_and_resume_bit_for_bit() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 20);
    let variants: [&[&str]; 5] = [
        &["method.rank_pattern={ q_proj = 2, up_proj = 12 }", "method.alpha_pattern={ v_proj = 3.0 }"],
        &["method.dora=true"],
        &["method.dora=true", "method.dropout=0.0", "method.rank_stabilised=true"],
        &["method.b_rate_factor=4.0"],
        &["method.kind=freeze", "method.blocks=1"],
    ];
    for (i, settings) in variants.into_iter().enumerate() {
        let recipe = recipe(settings);
        let (whole, resumed) = whole_and_resumed(&model, &data, &recipe, 3, &temp.path().join(i.to_string()));
        let names = files::names(&whole.folder.adapter_dir()).unwrap();
        let weights = names.iter().find(|name| name.ends_with(".safetensors")).unwrap();
        assert_eq!(
            bytes(&whole.folder.adapter_dir(), weights),
            bytes(&resumed.folder.adapter_dir(), weights)
        );
    }
}

#[test]
fn variants_learn_one_batch_by_heart() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let mut data = dataset(&model, 2);
    data.split = Split { train: vec![0, 1], ..Split::default() };
    let usual = ["length.updates=300", "checkpoint.every_updates=1000"];
    let dora = ["method.dora=true", "method.dropout=0.0", "method.rank=16", "optimizer.learning_rate=0.02"];
    let freeze =
        ["method.kind=freeze", "method.blocks=2", "method.head=true", "optimizer.learning_rate=0.01"];
    for settings in [dora, freeze] {
        let recipe = recipe(&[&usual[..], &settings].concat());
        let done = run(&model, &data, &recipe, &temp.path().join(settings[1]), false, |_, _| {});
        let losses = losses(&done.events);
        let (first, last) = (losses[0].1, losses.last().unwrap().1);
        assert!(first > 6.0 && last < 1.8, "{settings:?}: {first} {last}");
    }
}

fn lora_with(own: OwnWeights, family: Family, targets: &[&str]) -> LoraSettings {
    let targets: Vec<String> = targets.iter().map(|name| name.to_string()).collect();
    LoraSettings { own, ..LoraSettings::new(family, 2, 4.0, 0.0, &targets).unwrap() }
}

/// The model's own weights that are trained beside LoRA move, and nothing else of the model does. Where the head is the embeddings, a file
/// has both names for PEFT's sake, and a head of its own is refused.
#[test]
fn own_weights_are_trained_and_tied_ones_are_saved_under_both_names() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 12);
    let modules = "method.modules_to_save=[\"embed_tokens\", \"lm_head\", \"model.norm\"]";
    let recipe = recipe(&[modules, "method.dropout=0.1", "checkpoint.every_updates=2"]);
    let (whole, resumed) = whole_and_resumed(&model, &data, &recipe, 3, temp.path());
    let (folder, weights) = (whole.folder.adapter_dir(), "adapter_model.safetensors");
    assert_eq!(bytes(&folder, weights), bytes(&resumed.folder.adapter_dir(), weights));
    let saved = candle_core::safetensors::load(folder.join(weights), &Device::Cpu).unwrap();
    let of = |name: &str| saved[&format!("base_model.model.{name}.weight")].clone();
    assert_eq!(relative_error(&of("lm_head"), &of("model.embed_tokens")), 0.0);
    for (name, part) in [("model.embed_tokens", Part::Embedding), ("model.norm", Part::FinalNorm)] {
        assert!(relative_error(&of(name), &model.decoder.tensor(part).unwrap()) > 1e-4, "{name}");
    }
    let adapter = format::load(&folder, model.config(), &Device::Cpu).unwrap();
    let tuning = adapter.settings.tuning();
    let num_saved: usize = saved.values().map(Tensor::elem_count).sum();
    assert_eq!(tuning.num_saved(model.config()), num_saved as u64);
    let out = tempfile::tempdir().unwrap();
    let compared = merge(&adapter, &model, out.path(), &Control::new()).unwrap();
    assert!(compared.largest_difference < 1e-4 * compared.largest_logit, "{compared:?}");

    let mut untied = saved.clone();
    untied.insert("base_model.model.lm_head.weight".into(), (of("lm_head") * 2.0).unwrap());
    candle_core::safetensors::save(&untied, folder.join(weights)).unwrap();
    let refusal = format::load(&folder, model.config(), &Device::Cpu).unwrap_err().to_string();
    assert!(refusal.contains("lm_head") && refusal.contains("embeddings"), "{refusal}");
}

#[test]
fn own_weights_that_cannot_be_trained_are_named() {
    let qwen = decoder("parity/tiny-qwen2/model");
    let refusal = |own: OwnWeights, targets: &[&str]| {
        lora_with(own, Family::Qwen2, targets).check(qwen.config()).unwrap_err()
    };
    let modules = |names: &[&str]| OwnWeights {
        modules: names.iter().map(|name| name.to_string()).collect(),
        ..OwnWeights::default()
    };
    let unknown = refusal(modules(&["norm", "q_proj"]), &["v_proj"]);
    assert!(unknown.to_string().contains("q_proj"), "{unknown}");
    assert!(
        unknown.hint().contains("embed_tokens") && unknown.hint().contains("freezing"),
        "{}",
        unknown.hint()
    );
    let one = refusal(modules(&["lm_head"]), &["v_proj"]);
    assert!(one.to_string().contains("embed_tokens"), "{one}");
    let some =
        refusal(OwnWeights { biases: Biases::LoraOnly, ..OwnWeights::default() }, &["q_proj", "v_proj"]);
    assert!(some.to_string().contains("k_proj"), "{some}");
    let all = OwnWeights { biases: Biases::All, ..OwnWeights::default() };
    lora_with(all, Family::Qwen2, &["q_proj", "v_proj"]).check(qwen.config()).unwrap();
}

fn freeze(blocks: usize) -> Freeze {
    Freeze { blocks, ..Freeze::default() }
}

/// Only what is chosen has a gradient, and it is that of full tuning; the way back ends at the lowest trained block.
#[test]
fn freezing_trains_what_is_chosen_with_the_gradients_of_full_tuning() {
    for name in ["tiny-llama", "tiny-qwen2", "tiny-qwen3"] {
        let base = model_of(decoder(&format!("parity/{name}/model")));
        let decoder = base.decoder.as_ref();
        let sample = dataset(&model(), 1).samples.remove(0);
        let batch = Batch::pack([&sample]);
        let full = Adapter::new(Settings::Full(Full {}), &base, 0).unwrap();
        let (_, gradient) = loss_and_gradient_of(&batch, decoder, &full, false);
        let mut found = full.params.clone();
        found.set_values(gradient).unwrap();
        let expected: HashMap<String, Tensor> = found.named().unwrap().into_iter().collect();
        let norms_alone =
            Freeze { blocks: 2, train: vec![Kind::Norms], final_norm: false, ..Freeze::default() };
        let lowest = Freeze { chosen: vec![0], ..Freeze::default() };
        let head = Freeze { blocks: 0, head: true, final_norm: false, ..Freeze::default() };
        for (settings, needle) in
            [(freeze(1), "layers.1"), (lowest, "layers.0"), (norms_alone, "norm"), (head, "")]
        {
            for has_checkpoints in [false, true] {
                let adapter = Adapter::new(Settings::Freeze(settings.clone()), &base, 0).unwrap();
                let (_, gradient) = loss_and_gradient_of(&batch, decoder, &adapter, has_checkpoints);
                let mut found = adapter.params.clone();
                found.set_values(gradient).unwrap();
                for (param, gradient) in found.named().unwrap() {
                    assert!(param.contains(needle) || param == "model.norm.weight", "{name}: {param}");
                    let error = relative_error(&gradient, &expected[&param]);
                    assert!(error < 1e-5, "{name} {settings:?} {param}: {error}");
                }
            }
        }
    }
}

/// The finished run is a model folder in which all that is frozen has its value, bit for bit; a checkpoint holds the trained tensors alone.
#[test]
fn a_frozen_run_ends_in_a_model_folder_with_the_rest_as_it_was() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 12);
    let recipe = recipe(&["method.kind=freeze", "method.blocks=1", "method.final_norm=false"]);
    let done = run(&model, &data, &recipe, &temp.path().join("r"), false, |_, _| {});
    assert_eq!(done.outcome.unwrap(), Outcome::Done);
    let folder = done.folder.adapter_dir();
    let read = |path: &Path| candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let before = read(&fixture("parity/tiny-llama/model/model.safetensors"));
    let after = read(&folder.join("model.safetensors"));
    for (name, tensor) in &after {
        let is_same = flat(tensor) == flat(&before[name]);
        assert_eq!(is_same, !name.contains("layers.1."), "{name}");
    }
    let checkpoint = done.folder.checkpoint_dir(*done.folder.checkpoints().last().unwrap());
    let kept = read(&checkpoint.join("trained_weights.safetensors"));
    assert!(kept.keys().all(|name| name.contains("layers.1.")) && !kept.is_empty());
    let adapter = files::load(&checkpoint, model.config(), &Device::Cpu).unwrap();
    assert_eq!(
        (&adapter.settings, adapter.base_model.as_str()),
        (&Settings::Freeze(Freeze { final_norm: false, ..freeze(1) }), "tiny-llama")
    );
    assert_eq!(files::base_model(&checkpoint).as_deref(), Some("tiny-llama"));
    let whole = files::load(&folder, model.config(), &Device::Cpu).unwrap();
    let sample = &data.samples[0];
    let all = |adapter: &Adapter| logits(&model.decoder, adapter.hooks().unwrap().as_ref(), sample);
    assert!(relative_error(&all(&whole), &logits(&model.decoder, &NoHooks, sample)) > 1e-3);
    // Of another model it says what is the first to differ.
    let other = decoder("parity/tiny-qwen3/model");
    let refusal = files::load(&checkpoint, other.config(), &Device::Cpu).unwrap_err().to_string();
    assert!(refusal.contains("model.layers.1"), "{refusal}");
}

#[test]
fn what_a_model_does_not_have_cannot_be_tuned() {
    let base = model_of(decoder("parity/tiny-llama/model"));
    let refusal = |settings| Adapter::new(settings, &base, 0).unwrap_err().to_string();
    let beyond = refusal(Settings::Freeze(Freeze { chosen: vec![0, 9], ..Freeze::default() }));
    assert!(beyond.contains("block 9") && beyond.contains('2'), "{beyond}");
    let nothing = refusal(Settings::Freeze(Freeze { final_norm: false, ..freeze(0) }));
    assert!(nothing.contains("nothing"), "{nothing}");
    let high = LoraSettings::new(Family::Llama, 33, 1.0, 0.0, &["k_proj".to_string()]).unwrap();
    let high = refusal(Settings::Lora(high));
    assert!(high.contains("k_proj") && high.contains("32 x 64"), "{high}");
}

/// Operations of training fall as the way back ends higher; those of full tuning and of LoRA on all parts are as counted by hand.
#[test]
fn the_way_back_is_counted_as_far_as_it_goes() {
    let decoder = decoder("parity/tiny-llama/model");
    let config = decoder.config();
    let work = Work { segments: &[64], num_trained: 64 };
    // q and o 64 x 64, k and v 32 x 64; gate, up and down 96 x 64
    let (block, attention) =
        (2.0 * 64.0 * 64.0 + 2.0 * 32.0 * 64.0 + 3.0 * 96.0 * 64.0, 2.0 * 64.0 * 65.0 / 2.0 * 64.0);
    let head = 2.0 * 64.0 * 512.0 * 64.0;
    let forward = 2.0 * (2.0 * 64.0 * block + 2.0 * attention) + head;
    let full = 2.0 * (6.0 * 64.0 * block + 7.0 * attention) + 3.0 * head;
    assert_eq!(config.full_flops(work), full);
    // Its q, k and v have nothing below them that learns, and the head is frozen.
    let qkv = 64.0 * 64.0 + 2.0 * 32.0 * 64.0;
    let top = forward + 4.0 * 64.0 * block - 2.0 * 64.0 * qkv + 5.0 * attention + head;
    let norms = Freeze { final_norm: false, train: vec![Kind::Attention, Kind::FeedForward], ..freeze(1) };
    assert_eq!(norms.flops(config, work), top);
    assert_eq!(norms.lowest_block(config), 1);
    let only_norm = freeze(0);
    assert_eq!((only_norm.flops(config, work), only_norm.lowest_block(config)), (forward + head, 2));
}

/// Twice the rate is twice the move, whatever the rule, on the CPU's kernels and in the portable form.
#[test]
fn a_rate_of_its_own_scales_the_move_of_every_optimizer() {
    let adam = AdamWSettings { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weight_decay: 0.1 };
    let kinds = [
        OptimizerSettings::AdamW(adam),
        OptimizerSettings::AdamW8Bit(adam),
        OptimizerSettings::Lion(LionSettings { beta1: 0.9, beta2: 0.99, weight_decay: 0.1 }),
        OptimizerSettings::Sgd(SgdSettings { momentum: 0.9, weight_decay: 0.1 }),
    ];
    for (kind, dtype) in kinds.into_iter().flat_map(|kind| [(kind, DType::F32), (kind, DType::F64)]) {
        let values = crate::ops::random(&[600], 1).to_dtype(dtype).unwrap();
        let gradient = crate::ops::random(&[600], 2).to_dtype(dtype).unwrap();
        let moved = |rates: &[(std::ops::Range<usize>, f64)], rate: f64| {
            let mut params =
                FlatParams::new(vec![("p".into(), values.copy().unwrap())], &Device::Cpu).unwrap();
            let mut optimizer = Optimizer::new(kind, &params).unwrap().with_rates(&params, rates).unwrap();
            optimizer.step(&mut params, &gradient, 1.0, rate).unwrap();
            params.values().clone()
        };
        let (mixed, slow, quick) = (moved(&[(100..450, 3.0)], 0.01), moved(&[], 0.01), moved(&[], 0.03));
        for (range, expected) in [(0..100, &slow), (100..450, &quick), (450..600, &slow)] {
            let of = |t: &Tensor| t.narrow(0, range.start, range.len()).unwrap();
            assert!(relative_error(&of(&mixed), &of(expected)) < 1e-6, "{kind:?} {dtype:?} {range:?}");
        }
    }
}

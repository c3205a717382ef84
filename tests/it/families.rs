//! Every family against transformers and PEFT: logits, loss, and the gradients of a LoRA and of every weight.
//! `tests/fixtures/parity/make_families.py` made the numbers.

use crate::ops::relative_error;
use crate::parity::{decoder, fixture, loss_and_gradient_of, model_of};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use tunesmith::base::{Control, DeviceChoice, Explain, Precision, Silent};
use tunesmith::data::template::Template;
use tunesmith::data::{Batch, LossWeights, Sample, Tokeniser};
use tunesmith::model::cache::Cache;
use tunesmith::model::config::{DecoderConfig, Family};
use tunesmith::model::decoder::Decoder;
use tunesmith::model::files::ModelFiles;
use tunesmith::model::hooks::{Hooks, NoHooks};
use tunesmith::model::load::{LoadedModel, Placement, load_decoder};
use tunesmith::nn::{FlatParams, Tape};
use tunesmith::peft::{Adapter, Full, LoraSettings, Settings, files, format, targets};

const BOUND: f64 = 1e-4;

pub const NAMES: [&str; 11] = [
    "smollm3",
    "granite",
    "phi3",
    "phi3-longrope",
    "olmo2",
    "gemma",
    "gemma2",
    "gemma3_text",
    "gpt2",
    "gpt_neox",
    "gpt_neox-serial",
];

const GGUF_NAMES: [&str; 10] = [
    "smollm3",
    "granite",
    "phi3",
    "olmo2",
    "gemma",
    "gemma2",
    "gemma3_text",
    "gpt2",
    "gpt_neox",
    "gpt_neox-serial",
];

/// What transformers made of one row of tokens.
struct Reference {
    folder: String,
    expected: HashMap<String, Tensor>,
    ids: Vec<u32>,
}

impl Reference {
    fn open(name: &str) -> Self {
        let folder = format!("parity/families/{name}");
        let path = fixture(&format!("{folder}/expected.safetensors"));
        let expected = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        let ids = expected["input_ids"].to_dtype(DType::U32).unwrap().to_vec1().unwrap();
        Self { folder, expected, ids }
    }

    fn decoder(&self) -> Decoder {
        decoder(&format!("{}/model", self.folder))
    }

    fn adapter(&self, decoder: &Decoder) -> Adapter {
        let folder = fixture(&format!("{}/adapter", self.folder));
        format::load(&folder, decoder.config(), &Device::Cpu).unwrap()
    }

    fn batch(&self) -> Batch {
        Batch::pack([&Sample {
            weights: LossWeights::all(1.0, self.ids.len()),
            ids: self.ids.clone(),
            ..Sample::default()
        }])
    }

    fn number(&self, key: &str) -> f64 {
        f64::from(self.expected[key].to_vec1::<f32>().unwrap()[0])
    }

    /// Compares gradients with those of the reference under a prefix, each in the form of a file.
    fn compare(&self, gradients: &FlatParams, prefix: &str, to_file: &dyn Fn(usize, &Tensor) -> Tensor) {
        let num = self.expected.keys().filter(|key| key.starts_with(prefix)).count();
        assert_eq!(gradients.len(), num, "{}", self.folder);
        for (i, (name, gradient)) in gradients.named().unwrap().into_iter().enumerate() {
            // transformers calls NeoX's vocabulary projection otherwise in memory than in files.
            let key = format!("{prefix}{name}").replace("embed_out", "lm_head");
            let error = relative_error(&to_file(i, &gradient), &self.expected[&key]);
            assert!(error < BOUND, "{} {name}: {error}", self.folder);
        }
    }
}

fn logits(decoder: &Decoder, batch: &Batch, hooks: &dyn Hooks) -> Tensor {
    let hidden = decoder.forward(&Tape::inference(), batch, hooks).unwrap();
    decoder.logits(hidden.value(), hooks).unwrap()
}

#[test]
fn logits_of_every_family_match_transformers_and_peft() {
    for name in NAMES {
        let reference = Reference::open(name);
        let decoder = reference.decoder();
        let error =
            relative_error(&logits(&decoder, &reference.batch(), &NoHooks), &reference.expected["logits"]);
        assert!(error < BOUND, "{name}: {error}");
        let hooks = reference.adapter(&decoder).hooks().unwrap();
        let tuned = logits(&decoder, &reference.batch(), hooks.as_ref());
        let error = relative_error(&tuned, &reference.expected["tuned_logits"]);
        assert!(error < BOUND, "{name}, tuned: {error}");
    }
}

#[test]
fn lora_gradients_of_every_family_match_peft() {
    for name in NAMES {
        let reference = Reference::open(name);
        let decoder = reference.decoder();
        let adapter = reference.adapter(&decoder);
        let (loss, gradient) = loss_and_gradient_of(&reference.batch(), &decoder, &adapter, false);
        let expected = reference.number("tuned_loss");
        assert!((loss - expected).abs() / expected < 1e-5, "{name}: {loss} {expected}");
        let mut found = adapter.params.clone();
        found.set_values(gradient).unwrap();
        let Settings::Lora(lora) = &adapter.settings else { panic!("{name}") };
        let parameters = lora.factors(decoder.config());
        reference.compare(&found, "lora.", &|i, x| parameters[i].form.to_file(x).unwrap());
    }
}

#[test]
fn gradients_of_all_weights_of_every_family_match_pytorch() {
    for name in NAMES {
        let reference = Reference::open(name);
        let model = model_of(reference.decoder());
        let decoder = model.decoder.as_ref();
        let adapter = Adapter::new(Settings::Full(Full {}), &model, 0).unwrap();
        let (loss, gradient) = loss_and_gradient_of(&reference.batch(), decoder, &adapter, false);
        let expected = reference.number("loss");
        assert!((loss - expected).abs() / expected < 1e-5, "{name}: {loss} {expected}");
        let mut found = adapter.params.clone();
        found.set_values(gradient).unwrap();
        let tensors = decoder.config().tensors();
        reference.compare(&found, "full.", &|i, x| tensors[i].form.to_file(x).unwrap());
    }
}

#[test]
fn every_family_answers_from_its_cache_as_without() {
    for name in NAMES {
        let reference = Reference::open(name);
        let decoder = reference.decoder();
        let hooks = reference.adapter(&decoder).hooks().unwrap();
        let all = logits(&decoder, &reference.batch(), hooks.as_ref());
        let mut cache = Cache::new(decoder.config().num_layers);
        let mut fed = 0;
        for piece in [13, 1, 1, 8, 1] {
            let last = decoder.extend(&reference.ids[fed..fed + piece], &mut cache, hooks.as_ref()).unwrap();
            fed += piece;
            let got = Tensor::new(last, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
            let error = relative_error(&got, &all.narrow(0, fed - 1, 1).unwrap());
            assert!(error < 1e-5, "{name} after {fed}: {error}");
        }
    }
}

/// What is written opens again: the same numbers from config.json, the same tensors from an adapter.
#[test]
fn what_is_written_of_every_family_reads_back() {
    for name in NAMES {
        let reference = Reference::open(name);
        let decoder = reference.decoder();
        let path = fixture(&format!("{}/model/config.json", reference.folder));
        // `tests/fixtures/parity/check_written.py` has transformers open it.
        let golden = std::fs::read_to_string(fixture(&format!("{}/written.json", reference.folder))).unwrap();
        let golden: serde_json::Value = serde_json::from_str(&golden).unwrap();
        assert_eq!(decoder.config().to_json(), golden, "{name}");
        let written = decoder.config().to_json().to_string();
        let again = DecoderConfig::from_json(&path, &written).unwrap();
        assert_eq!(again.to_json(), decoder.config().to_json(), "{name}");
        assert_eq!(again.tensors(), decoder.config().tensors(), "{name}");

        let adapter = reference.adapter(&decoder);
        let folder = tempfile::tempdir().unwrap();
        let Settings::Lora(lora) = &adapter.settings else { panic!("{name}") };
        format::save(&adapter, lora, folder.path()).unwrap();
        let saved = format::load_tensors(&folder.path().join(format::WEIGHTS_FILE)).unwrap();
        let original = fixture(&format!("{}/adapter/{}", reference.folder, format::WEIGHTS_FILE));
        let original = format::load_tensors(&original).unwrap();
        assert_eq!(saved.len(), original.len());
        for (key, tensor) in original {
            assert_eq!(relative_error(&saved[&key], &tensor), 0.0, "{name} {key}");
        }
        let again = format::load(folder.path(), decoder.config(), &Device::Cpu).unwrap();
        assert_eq!(again.settings, adapter.settings, "{name}");
    }
}

#[test]
fn the_modules_of_a_family_are_its_own() {
    let names = |name: &str| {
        let folder = fixture(&format!("parity/families/{name}/model"));
        let info = ModelFiles::open(name, &folder).unwrap().info;
        info.config.family.table().target_names().join(" ")
    };
    assert_eq!(names("phi3"), "qkv_proj o_proj gate_up_proj down_proj");
    assert_eq!(names("gpt2"), "c_attn c_proj c_fc");
    assert_eq!(names("gpt_neox"), "query_key_value dense dense_h_to_4h dense_4h_to_h");
}

/// Tokens of a file and the logits that transformers made of them.
fn logits_of(path: &str) -> (Batch, Tensor) {
    let expected = candle_core::safetensors::load(fixture(path), &Device::Cpu).unwrap();
    let ids: Vec<u32> = expected["input_ids"].to_dtype(DType::U32).unwrap().to_vec1().unwrap();
    (
        Batch::pack([&Sample { weights: LossWeights::all(1.0, ids.len()), ids, ..Sample::default() }]),
        expected["logits"].clone(),
    )
}

/// Shards in bf16, f16 with rows in another order, and names that lack the first word: as they lie and widened.
#[test]
fn files_of_all_kinds_give_the_same_model() {
    for name in ["gemma2", "gpt_neox", "gpt2"] {
        let folder = format!("parity/families/stored/{name}");
        let (batch, expected) = logits_of(&format!("{folder}/expected.safetensors"));
        let files = ModelFiles::open(name, &fixture(&folder)).unwrap();
        for precision in [Precision::F32, Precision::Stored] {
            let placement = Placement { device: DeviceChoice::Cpu, precision };
            let decoder = load_decoder(&files, placement, &Control::new(), &mut Silent).unwrap();
            let error = relative_error(&logits(&decoder, &batch, &NoHooks), &expected);
            assert!(error < BOUND, "{name} {precision:?}: {error}");
        }
    }
}

/// `tests/fixtures/parity/make_gguf.py` wrote the files with llama.cpp's own package.
#[test]
fn gguf_files_of_the_families_match_transformers() {
    for name in GGUF_NAMES {
        let (batch, expected) = logits_of(&format!("parity/families/gguf/{name}.safetensors"));
        let path = format!("parity/families/gguf/{name}.gguf");
        let files = ModelFiles::open(name, &fixture(&path)).unwrap();
        for precision in [Precision::Stored, Precision::F32] {
            let placement = Placement { device: DeviceChoice::Cpu, precision };
            let decoder = load_decoder(&files, placement, &Control::new(), &mut Silent).unwrap();
            let error = relative_error(&logits(&decoder, &batch, &NoHooks), &expected);
            assert!(error < BOUND, "{name} {precision:?}: {error}");
        }

        // Tuned, it becomes a folder in which the family's own order is back.
        let base = wordless(name, &fixture(&path), decoder(&path));
        let folder = tempfile::tempdir().unwrap();
        let adapter = Adapter::new(Settings::Full(Full {}), &base, 0).unwrap();
        files::save(&adapter, &base.description(), folder.path()).unwrap();
        let files = ModelFiles::open(name, folder.path()).unwrap();
        let again = load_decoder(&files, DeviceChoice::Cpu.into(), &Control::new(), &mut Silent).unwrap();
        let error = relative_error(&logits(&again, &batch, &NoHooks), &expected);
        assert!(error < BOUND, "{name}, as a folder: {error}");
    }
}

/// By the ids of Hugging Face's tokenizer.
#[test]
fn gguf_files_of_gpt2_and_neox_bring_their_words() {
    for name in ["gpt2", "gpt_neox"] {
        let files = ModelFiles::open(name, &fixture(&format!("parity/families/gguf/{name}.gguf"))).unwrap();
        let tokeniser = files.tokeniser().unwrap();
        let text = std::fs::read_to_string(fixture(&format!("parity/families/gguf/{name}.json"))).unwrap();
        let rows: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(rows.len(), 10);
        for row in rows {
            let (text, ids) = (row["text"].as_str().unwrap(), row["ids"].as_array().unwrap());
            let ids: Vec<u32> = ids.iter().map(|id| id.as_u64().unwrap() as u32).collect();
            assert_eq!(tokeniser.encode(text).unwrap(), ids, "{name}: {text:?}");
        }
    }
}

/// A model whose words do not matter.
pub fn wordless(name: &str, source: &Path, decoder: Decoder) -> LoadedModel {
    LoadedModel {
        identity: None,
        info: ModelFiles::open(name, source).unwrap().info,
        decoder: Arc::new(decoder),
        tokeniser: Arc::new(Tokeniser::without_words().unwrap()),
        template: Arc::new(Template::plain("", "")),
        text: Arc::default(),
    }
}

/// A fully tuned model is written in the form of its family's files, and reads back as it was.
#[test]
fn a_tuned_model_of_every_family_is_written_as_its_files_are() {
    for name in NAMES {
        let reference = Reference::open(name);
        let source = fixture(&format!("{}/model", reference.folder));
        let base = wordless(name, &source, reference.decoder());
        let adapter = Adapter::new(Settings::Full(Full {}), &base, 0).unwrap();
        let folder = tempfile::tempdir().unwrap();
        files::save(&adapter, &base.description(), folder.path()).unwrap();
        let load =
            |at: &Path| candle_core::safetensors::load(at.join("model.safetensors"), &Device::Cpu).unwrap();
        let (saved, original) = (load(folder.path()), load(&source));
        assert_eq!(saved.len(), original.len(), "{name}");
        for (key, tensor) in original {
            assert_eq!(relative_error(&saved[&key], &tensor), 0.0, "{name} {key}");
        }
        let again = files::load(folder.path(), base.config(), &Device::Cpu).unwrap();
        assert_eq!(relative_error(again.params.values(), adapter.params.values()), 0.0, "{name}");
    }
}

#[test]
fn targets_are_those_of_the_family() {
    let new = |family, names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        LoraSettings::new(family, 2, 4.0, 0.0, &names)
    };
    let names = |family, said: &[&str]| targets::names(family, &new(family, said).unwrap().targets);
    assert_eq!(names(Family::Gpt2, &["all-linear"]), ["c_attn", "c_proj", "c_fc"]);
    assert_eq!(names(Family::Gpt2, &["c_proj"]), ["c_proj"], "both of them");
    assert_eq!(names(Family::Gpt2, &["mlp.c_proj"]), ["mlp.c_proj"], "one of them");
    assert_eq!(names(Family::Llama, &["v_proj", "q_proj"]), ["q_proj", "v_proj"]);
    let error = new(Family::Phi3, &["q_proj"]).unwrap_err();
    assert!(error.to_string().contains("q_proj") && error.hint().contains("qkv_proj"), "{}", error.hint());
}

#[test]
fn an_unknown_family_is_told_what_is_known() {
    let config = r#"{ "architectures": ["FalconForCausalLM"], "hidden_size": 8, "num_attention_heads": 2 }"#;
    let error = DecoderConfig::from_json(Path::new("config.json"), config).unwrap_err();
    let (said, hint) = (error.to_string(), error.hint());
    assert!(said.contains("FalconForCausalLM"), "{said}");
    for family in Family::ALL {
        assert!(hint.contains(family.table().title), "{hint}");
    }
    assert!(hint.contains("hidden_size and num_attention_heads look familiar"), "{hint}");
}

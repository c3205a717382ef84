//! Every family against transformers and PEFT: logits, loss, and the gradients of a LoRA and of every weight.
//! `tests/fixtures/parity/make_families.py` made the numbers.

use crate::ops::relative_error;
use crate::parity::{decoder, fixture, loss_and_gradient_of};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use tunesmith::data::{Batch, LossWeights, Sample};
use tunesmith::model::cache::Cache;
use tunesmith::model::config::DecoderConfig;
use tunesmith::model::decoder::Decoder;
use tunesmith::model::files::ModelFiles;
use tunesmith::model::hooks::{Hooks, NoHooks};
use tunesmith::nn::{FlatParams, Tape};
use tunesmith::peft::{Adapter, Full, Settings, format};

const BOUND: f64 = 1e-4;

const NAMES: [&str; 10] = [
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
        Batch::pack([&Sample { weights: LossWeights::all(1.0, self.ids.len()), ids: self.ids.clone() }])
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
        let decoder = reference.decoder();
        let adapter = Adapter::new(Settings::Full(Full {}), &decoder, name, 0).unwrap();
        let (loss, gradient) = loss_and_gradient_of(&reference.batch(), &decoder, &adapter, false);
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

//! Prefix tuning, prompt tuning and P-tuning against PEFT, and what only they promise.
//! `tests/fixtures/parity/make_virtual.py` made the numbers.

use crate::ops::relative_error;
use crate::parity::{decoder, fixture, loss_and_gradient_of};
use crate::train::model;
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::path::Path;
use tunesmith::base::Explain;
use tunesmith::data::{Batch, LossWeights, Sample};
use tunesmith::infer::generate::NextLogits;
use tunesmith::infer::session::Session;
use tunesmith::model::ModelError;
use tunesmith::model::cache::Cache;
use tunesmith::model::config::Needed;
use tunesmith::model::decoder::Decoder;
use tunesmith::model::hooks::Part;
use tunesmith::nn::{FlatParams, Tape};
use tunesmith::peft::{
    Adapter, PTuningSettings, PrefixSettings, PromptInit, PromptSettings, Settings, files,
};

const BOUND: f64 = 1e-4;
const KINDS: [&str; 4] = ["prefix", "prefix_projected", "prompt", "p_tuning"];
const FAMILIES: [&str; 9] =
    ["smollm3", "granite", "phi3", "olmo2", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_neox"];

/// Each model with each method that PEFT made on it.
fn references() -> Vec<(String, &'static str)> {
    let tiny = ["tiny-llama", "tiny-mistral"].map(|base| KINDS.map(|kind| (base.to_string(), kind)));
    let families = FAMILIES.map(|name| ["prefix", "prompt"].map(|kind| (format!("families/{name}"), kind)));
    tiny.into_iter().flatten().chain(families.into_iter().flatten()).collect()
}

/// What PEFT made of one method on one model.
struct Reference {
    decoder: Decoder,
    folder: std::path::PathBuf,
    expected: HashMap<String, Tensor>,
    samples: Vec<Sample>,
}

impl Reference {
    fn open(base: &str, kind: &str) -> Self {
        let folder = fixture(&format!("parity/virtual/{base}/{kind}"));
        let expected =
            candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu).unwrap();
        let sample = |row: usize| {
            let ids = expected[&format!("ids.{row}")].to_dtype(DType::U32).unwrap().to_vec1::<u32>().unwrap();
            Sample { weights: LossWeights::all(1.0, ids.len()), ids, ..Sample::default() }
        };
        let samples = vec![sample(0), sample(1)];
        Self { decoder: decoder(&format!("parity/{base}/model")), folder, expected, samples }
    }

    fn saved(&self) -> Adapter {
        files::load(&self.folder, self.decoder.config(), &Device::Cpu).unwrap()
    }

    /// The encoder that PEFT keeps to itself, and its gradients, under our names.
    fn encoder(&self, settings: Settings, which: &str) -> FlatParams {
        let own = |Needed { name, shape, .. }: Needed| {
            let tensor = match name.strip_prefix("transform.2.") {
                Some(rest) => {
                    let (layer, part) = rest.split_once('.').unwrap();
                    let first = layer.parse::<usize>().unwrap() * shape[0];
                    self.expected[&format!("{which}.transform.2.{part}")].narrow(0, first, shape[0]).unwrap()
                }
                None => self.expected[&format!("{which}.{name}")].clone(),
            };
            assert_eq!(tensor.dims(), shape, "{name}");
            (name, tensor.contiguous().unwrap())
        };
        let needed = settings.tuning().parameters(self.decoder.config());
        FlatParams::new(needed.into_iter().map(own).collect(), &Device::Cpu).unwrap()
    }

    fn require_logits(&self, adapter: &Adapter, what: &str) {
        let hooks = adapter.hooks().unwrap();
        let batch = Batch::pack(&self.samples);
        let hidden = self.decoder.forward(&Tape::inference(), &batch, hooks.as_ref()).unwrap();
        let logits = self.decoder.logits(hidden.value(), hooks.as_ref()).unwrap();
        let every_fourth =
            Tensor::arange_step(0u32, self.decoder.config().vocabulary as u32, 4, &Device::Cpu).unwrap();
        let logits = logits.index_select(&every_fourth, 1).unwrap();
        for (row, (begin, end)) in batch.segments.windows(2).map(|s| (s[0], s[1])).enumerate() {
            let got = logits.narrow(0, begin, end - begin).unwrap();
            let error = relative_error(&got, &self.expected[&format!("logits.{row}")]);
            assert!(error < BOUND, "{what} row {row}: {error}");
        }
    }
}

fn encoders() -> [(&'static str, Settings); 2] {
    let prefix = PrefixSettings { num_tokens: 5, projection_width: Some(12) };
    let p_tuning = PTuningSettings { num_tokens: 5, encoder_width: 12 };
    [("prefix_projected", Settings::Prefix(prefix)), ("p_tuning", Settings::PTuning(p_tuning))]
}

/// With a window that is shorter than the rows, too: what lies before it is not seen, virtual or not.
#[test]
fn virtual_tokens_give_pefts_logits() {
    for (base, kind) in references() {
        let reference = Reference::open(&base, kind);
        let adapter = reference.saved();
        assert_eq!(adapter.base_model, base);
        reference.require_logits(&adapter, &format!("{base} {kind}"));
    }
}

#[test]
fn virtual_tokens_and_their_encoders_get_pefts_gradients() {
    for (base, kind) in references() {
        let reference = Reference::open(&base, kind);
        let mut adapter = reference.saved();
        if let Some((_, settings)) = encoders().into_iter().find(|(name, _)| *name == kind) {
            adapter.params = reference.encoder(settings.clone(), "raw");
            adapter.settings = settings;
            reference.require_logits(&adapter, &format!("{base} {kind} by its encoder"));
        }
        let batch = Batch::pack(&reference.samples);
        let (loss, gradient) = loss_and_gradient_of(&batch, &reference.decoder, &adapter, false);
        let weight = f64::from(batch.weights.iter().sum::<f32>());
        let expected = f64::from(reference.expected["loss"].to_vec1::<f32>().unwrap()[0]);
        assert!((loss * weight - expected).abs() / expected < 1e-5, "{base} {kind}: {loss}");
        let whole = &reference.expected["gradient.embedding.weight"];
        let expected = match kind {
            "prompt" => whole.flatten_all().unwrap(),
            // One tensor for each layer here, one for all there.
            "prefix" => {
                let width = whole.dim(1).unwrap() / 2;
                let layer = |l: usize| whole.narrow(1, l * width, width).unwrap().flatten_all().unwrap();
                Tensor::cat(&[layer(0), layer(1)], 0).unwrap()
            }
            _ => reference.encoder(adapter.settings.clone(), "gradient").values().clone(),
        };
        let error = relative_error(&(gradient * weight).unwrap(), &expected);
        assert!(error < BOUND, "{base} {kind}: {error}");
    }
}

/// Every method with virtual tokens, untrained.
fn adapters() -> Vec<Adapter> {
    let model = model();
    let prompt = |init| Settings::Prompt(PromptSettings { num_tokens: 6, init });
    let settings = [
        Settings::Prefix(PrefixSettings { num_tokens: 6, projection_width: None }),
        Settings::Prefix(PrefixSettings { num_tokens: 6, projection_width: Some(10) }),
        prompt(PromptInit::Random),
        prompt(PromptInit::Vocabulary),
        Settings::PTuning(PTuningSettings { num_tokens: 6, encoder_width: 10 }),
    ];
    settings.into_iter().map(|settings| Adapter::new(settings, &model, 3).unwrap()).collect()
}

fn sample(len: u32) -> Sample {
    let ids: Vec<u32> = (0..len).map(|i| (i * 37 + len) % 500 + 3).collect();
    Sample { weights: LossWeights::all(1.0, ids.len()), ids, ..Sample::default() }
}

#[test]
fn cached_equals_uncached_and_virtual_rows_outlive_a_truncation() {
    let decoder = decoder("parity/tiny-mistral/model");
    let ids = sample(28).ids;
    for adapter in adapters() {
        let hooks = adapter.hooks().unwrap();
        let alone = |ids: &[u32]| {
            let sample =
                Sample { ids: ids.to_vec(), weights: LossWeights::all(1.0, ids.len()), ..Sample::default() };
            let batch = Batch::pack([&sample]);
            let hidden = decoder.forward(&Tape::inference(), &batch, hooks.as_ref()).unwrap();
            let last = hidden.value().narrow(0, ids.len() - 1, 1).unwrap();
            decoder.logits(&last, hooks.as_ref()).unwrap()
        };
        let require = |logits: Vec<f32>, ids: &[u32]| {
            let got = Tensor::new(logits, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
            let error = relative_error(&got, &alone(ids));
            assert!(error < 1e-5, "{:?} after {}: {error}", adapter.settings, ids.len());
        };
        let mut cache = Cache::new(2);
        let mut fed = 0;
        for piece in [9, 1, 1, 5, 1] {
            let logits = decoder.extend(&ids[fed..fed + piece], &mut cache, hooks.as_ref()).unwrap();
            fed += piece;
            assert_eq!(cache.len(), fed);
            require(logits, &ids[..fed]);
        }
        cache.truncate(4);
        assert_eq!(cache.len(), 4);
        let mut other = Cache::new(2);
        let mut fork = cache.fork().unwrap();
        // One that goes on, one that begins, together.
        let mut rows = [(&ids[4..6], &mut fork), (&ids[..3], &mut other)];
        let mut together = decoder.extend_rows(&mut rows, hooks.as_ref()).unwrap();
        require(together.pop().unwrap(), &ids[..3]);
        require(together.pop().unwrap(), &ids[..6]);
        cache.truncate(0);
        require(decoder.extend(&ids[..2], &mut cache, hooks.as_ref()).unwrap(), &ids[..2]);
        cache.clear();
        require(decoder.extend(&ids[..2], &mut cache, hooks.as_ref()).unwrap(), &ids[..2]);
    }
}

#[test]
fn the_context_is_what_virtual_tokens_leave() {
    let decoder = decoder("parity/tiny-llama/model");
    for adapter in adapters() {
        let mut session = Session::new(&decoder, Some(&adapter)).unwrap();
        assert_eq!(session.context_tokens(), 250);
        let hooks = adapter.hooks().unwrap();
        let forward = |len| decoder.forward(&Tape::inference(), &Batch::pack([&sample(len)]), hooks.as_ref());
        assert!(forward(250).is_ok() && session.next(&sample(250).ids).is_ok());
        let error = forward(251).err().unwrap();
        assert!(
            matches!(error, ModelError::SampleTooLong { tokens: 251, context_tokens: 250 }),
            "{}",
            error.hint()
        );
    }
}

/// What a prompt begins as.
#[test]
fn a_prompt_begins_with_a_text_or_with_tokens() {
    let model = model();
    let prompt = |init| {
        let settings = Settings::Prompt(PromptSettings { num_tokens: 6, init });
        Adapter::new(settings, &model, 3)
            .map(|adapter| adapter.params.get(0).unwrap().to_vec2::<f32>().unwrap())
    };
    let table = model.decoder.tensor(Part::Embedding).unwrap().to_vec2::<f32>().unwrap();
    let vocabulary = prompt(PromptInit::Vocabulary).unwrap();
    assert!(vocabulary.iter().all(|row| table.contains(row)));
    assert!(prompt(PromptInit::Random).unwrap().iter().all(|row| !table.contains(row)));
    // The real tokenizer knows more tokens than the tiny model, so that a text of small ones is needed.
    let ids = model.tokeniser.encode("a b").unwrap();
    if ids.iter().all(|id| (*id as usize) < table.len()) {
        let rows = prompt(PromptInit::Text("a b".into())).unwrap();
        let expected: Vec<_> = ids.iter().cycle().take(6).map(|id| table[*id as usize].clone()).collect();
        assert_eq!(rows, expected);
    } else {
        assert!(matches!(prompt(PromptInit::Text("a b".into())), Err(tunesmith::peft::PeftError::Model(_))));
    }
    let refusal = prompt(PromptInit::Text(String::new())).unwrap_err();
    assert_eq!(refusal.title(), "Cannot make the adapter");
}

#[test]
fn files_go_out_and_in() {
    let model = model();
    for adapter in adapters() {
        let out = tempfile::tempdir().unwrap();
        files::save(&adapter, &model.description(), out.path()).unwrap();
        let load = || files::load(out.path(), model.config(), &Device::Cpu);
        let again = load().unwrap();
        assert_eq!((&again.settings, &again.base_model), (&adapter.settings, &adapter.base_model));
        let flat = |a: &Adapter| a.params.values().to_vec1::<f32>().unwrap();
        assert_eq!(flat(&again), flat(&adapter));
        // What PEFT reads answers the same without the encoder.
        let encoder = out.path().join("prompt_encoder.safetensors");
        if encoder.exists() {
            std::fs::remove_file(encoder).unwrap();
            let bare = load().unwrap();
            let logits = |a: &Adapter| {
                let hooks = a.hooks().unwrap();
                model.decoder.extend(&[5, 6, 7], &mut Cache::new(2), hooks.as_ref()).unwrap()
            };
            assert_ne!(bare.settings, adapter.settings);
            assert_eq!(logits(&bare), logits(&adapter));
        }
        assert_eq!(files::names(out.path()).unwrap().len(), 2);

        // Of another model it names the tensor.
        let other =
            tunesmith::model::config::DecoderConfig { num_layers: 3, width: 32, ..model.config().clone() };
        let refusal = files::load(out.path(), &other, &Device::Cpu).unwrap_err().to_string();
        assert!(refusal.contains("prompt_embeddings") && refusal.contains("shape"), "{refusal}");
        candle_core::safetensors::save(
            &HashMap::from([("other", Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap())]),
            out.path().join("adapter_model.safetensors"),
        )
        .unwrap();
        let refusal = load().unwrap_err().to_string();
        assert!(refusal.contains("prompt_embeddings: it is missing"), "{refusal}");
        set_key(out.path(), "num_transformer_submodules", 2);
        assert!(load().unwrap_err().to_string().contains("num_transformer_submodules"));
        set_key(out.path(), "num_virtual_tokens", 0);
        assert!(load().unwrap_err().to_string().contains("num_virtual_tokens"));
    }
}

/// PEFT saves over a folder without looking at the encoder that lies in it.
#[test]
fn an_encoder_that_makes_other_tokens_is_left_aside_and_a_bad_file_beside_it_is_refused() {
    let model = model();
    let encoded = |adapter: &Adapter| match &adapter.settings {
        Settings::Prefix(own) => own.projection_width.is_some(),
        settings => matches!(settings, Settings::PTuning(_)),
    };
    let mut num = 0;
    for adapter in adapters().iter().filter(|adapter| encoded(adapter)) {
        num += 1;
        let out = tempfile::tempdir().unwrap();
        files::save(adapter, &model.description(), out.path()).unwrap();
        let load = || files::load(out.path(), model.config(), &Device::Cpu);
        let is_stale = || files::has_stale_encoder(out.path(), model.config()).unwrap();
        assert!(encoded(&load().unwrap()) && !is_stale());
        let path = out.path().join("adapter_model.safetensors");
        let made = candle_core::safetensors::load(&path, &Device::Cpu).unwrap()["prompt_embeddings"].clone();
        let save = |tensors: &[(&str, &Tensor)]| {
            let named: HashMap<_, _> =
                tensors.iter().map(|(name, tensor)| (*name, (*tensor).clone())).collect();
            candle_core::safetensors::save(&named, &path).unwrap();
        };
        let other = (&made * 1.01).unwrap();
        save(&[("prompt_embeddings", &other)]);
        let own = load().unwrap();
        assert!(!encoded(&own) && is_stale());
        let again = tempfile::tempdir().unwrap();
        files::save(&own, &model.description(), again.path()).unwrap();
        let saved =
            candle_core::safetensors::load(again.path().join(path.file_name().unwrap()), &Device::Cpu);
        assert_eq!(relative_error(&saved.unwrap()["prompt_embeddings"], &other), 0.0);

        for (tensor, why) in [
            (made.transpose(0, 1).unwrap().contiguous().unwrap(), "shape"),
            ((&made * f64::NAN).unwrap(), "not finite"),
        ] {
            save(&[("prompt_embeddings", &tensor)]);
            let refusal = load().unwrap_err().to_string();
            assert!(refusal.contains(why) && refusal.contains("adapter_model"), "{refusal}");
        }
        save(&[("prompt_embeddings", &made), ("extra", &made)]);
        assert!(load().unwrap_err().to_string().contains("extra"));
        std::fs::write(&path, "").unwrap();
        assert!(load().unwrap_err().to_string().contains("adapter_model"));
    }
    assert_eq!(num, 2);
}

fn set_key(folder: &Path, key: &str, value: usize) {
    let path = folder.join("adapter_config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config[key] = value.into();
    std::fs::write(path, config.to_string()).unwrap();
}

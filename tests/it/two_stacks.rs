//! Models that read with one stack and write with another, against transformers and PEFT: logits, losses, the gradients of every weight,
//! and answers token by token. `tests/fixtures/parity/make_t5.py` made the numbers.

use crate::encoders::{full, learnt};
use crate::held::Held;
use crate::ops::{check, relative_error};
use crate::parity::{decoder, fixture, model_of, tensors};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::path::Path;
use tunesmith::base::Control;
use tunesmith::base::rng::Rng;
use tunesmith::data::{Batch, LossWeights, Message, Sample};
use tunesmith::infer::beam::{BeamOptions, EarlyStopping, beam_search};
use tunesmith::infer::generate::{Finish, GenerateOptions, generate};
use tunesmith::infer::sampler::Sampling;
use tunesmith::infer::session::Session;
use tunesmith::model::cache::Cache;
use tunesmith::model::config::DecoderConfig;
use tunesmith::model::decoder::Decoder;
use tunesmith::model::files::ModelFiles;
use tunesmith::model::hooks::{BodyDropout, Hooks, NoHooks, WithDropout};
use tunesmith::nn::ops::{self, linear_cross_entropy};
use tunesmith::nn::{FlatGradient, FlatParams, Tape};
use tunesmith::peft::{Adapter, MicroStep, Settings, files, format};

const MODELS: [&str; 2] = ["t5", "flan"];
/// What an answer begins with.
const START: u32 = 0;

struct Reference {
    name: &'static str,
    expected: HashMap<String, Tensor>,
    samples: Vec<Sample>,
}

impl Held for Reference {
    fn name(&self) -> &str {
        self.name
    }

    fn expected(&self) -> &HashMap<String, Tensor> {
        &self.expected
    }
}

impl Reference {
    fn open(name: &'static str) -> Self {
        let expected = tensors(&format!("parity/t5/{name}/expected.safetensors"));
        let texts = |key: &str, lengths: &str| {
            let numbers = |key: &str| expected[key].to_vec1::<i64>().unwrap();
            let mut ids = numbers(key).into_iter().map(|id| id as u32);
            let of_length = |len: i64| ids.by_ref().take(len as usize).collect::<Vec<_>>();
            numbers(lengths).into_iter().map(of_length).collect::<Vec<_>>()
        };
        let both = texts("read", "read_lengths").into_iter().zip(texts("labels", "label_lengths"));
        let sample = |(read, labels): (Vec<u32>, Vec<u32>)| {
            let mut weights = LossWeights::all(0.0, read.len() + 1);
            weights.push(1.0, labels.len());
            Sample { ids: [read, vec![START], labels].concat(), weights, ..Sample::default() }
        };
        Self { name, samples: both.map(sample).collect(), expected }
    }

    fn decoder(&self) -> Decoder {
        decoder(&format!("parity/t5/{}/model", self.name))
    }

    fn adapter(&self, decoder: &Decoder) -> Adapter {
        let folder = fixture(&format!("parity/t5/{}/adapter", self.name));
        format::load(&folder, decoder.config(), &Device::Cpu).unwrap()
    }

    fn answers(&self) -> Vec<serde_json::Value> {
        let text =
            std::fs::read_to_string(fixture(&format!("parity/t5/{}/expected.json", self.name))).unwrap();
        let said: serde_json::Value = serde_json::from_str(&text).unwrap();
        said["answers"].as_array().unwrap().clone()
    }

    fn holds_gradients(&self, prefix: &str, gradients: &FlatParams) {
        let num = self.expected.keys().filter(|key| key.starts_with(prefix)).count();
        assert_eq!(gradients.len(), num, "{}", self.name);
        for (name, gradient) in gradients.named().unwrap() {
            self.holds(&format!("{prefix}{name}"), &gradient);
        }
    }
}

/// Of the tokens that are predicted.
fn logits(decoder: &Decoder, batch: &Batch, hooks: &dyn Hooks) -> Tensor {
    let hidden = decoder.forward(&Tape::inference(), batch, hooks).unwrap();
    let rows: Vec<u32> = (0..batch.len()).filter(|i| batch.weights[*i] > 0.0).map(|i| i as u32).collect();
    let rows = Tensor::from_slice(&rows, rows.len(), &Device::Cpu).unwrap();
    decoder.logits(&hidden.value().index_select(&rows, 0).unwrap(), hooks).unwrap()
}

fn loss(decoder: &Decoder, adapter: &Adapter, batch: &Batch) -> (f64, FlatParams) {
    learnt(decoder, adapter, batch, |tape, states, hooks| {
        let head = decoder.head(hooks).unwrap();
        let loss = linear_cross_entropy(tape, states, &head, &batch.targets, &batch.weights).unwrap();
        (loss.sum, batch.weights.iter().map(|w| f64::from(*w)).sum())
    })
}

#[test]
fn logits_of_two_stacks_match_transformers_and_peft() {
    for name in MODELS {
        let reference = Reference::open(name);
        let (decoder, batch) = (reference.decoder(), Batch::pack(&reference.samples));
        reference.holds("logits", &logits(&decoder, &batch, &NoHooks));
        let adapter = reference.adapter(&decoder);
        reference.holds("tuned_logits", &logits(&decoder, &batch, adapter.hooks().unwrap().as_ref()));
    }
}

#[test]
fn gradients_of_two_stacks_match_pytorch_and_peft() {
    for name in MODELS {
        let reference = Reference::open(name);
        let (decoder, batch) = (reference.decoder(), Batch::pack(&reference.samples));
        let (of_all, gradient) = loss(&decoder, &full(reference.decoder()), &batch);
        reference.holds_loss("loss", of_all);
        reference.holds_gradients("full.", &gradient);
        let (of_lora, gradient) = loss(&decoder, &reference.adapter(&decoder), &batch);
        reference.holds_loss("tuned_loss", of_lora);
        reference.holds_gradients("lora.", &gradient);
    }
}

/// IA3 with PEFT's own targets, and soft prompts before what is read: logits, losses, gradients, the cached way, and files.
#[test]
fn methods_of_two_stacks_match_peft() {
    for name in MODELS {
        let made = tensors(&format!("parity/t5/{name}/methods.safetensors"));
        let reference = Reference { expected: made, ..Reference::open(name) };
        let (decoder, batch) = (reference.decoder(), Batch::pack(&reference.samples));
        for kind in ["ia3", "prompt", "p_tuning"] {
            let folder = fixture(&format!("parity/t5/{name}/{kind}"));
            let adapter = files::load(&folder, decoder.config(), &Device::Cpu).unwrap();
            let hooks = adapter.hooks().unwrap();
            reference.holds(&format!("{kind}_logits"), &logits(&decoder, &batch, hooks.as_ref()));
            let (of_loss, gradient) = loss(&decoder, &adapter, &batch);
            reference.holds_loss(&format!("{kind}_loss"), of_loss);
            if kind != "p_tuning" {
                reference.holds_gradients(&format!("{kind}."), &gradient);
            }
            for sample in &reference.samples {
                let (start, first) = (sample.ids.iter().position(|id| *id == START).unwrap(), &sample.ids);
                let mut cache = Cache::new(decoder.config().num_layers);
                decoder.extend(&first[..start + 1], &mut cache, hooks.as_ref()).unwrap();
                let last = decoder.extend(&first[start + 1..], &mut cache, hooks.as_ref()).unwrap();
                let hidden = decoder.forward(&Tape::inference(), &Batch::pack([sample]), hooks.as_ref());
                let hidden = hidden.unwrap().value().narrow(0, first.len() - 1, 1).unwrap();
                let again = decoder.logits(&hidden, hooks.as_ref()).unwrap().squeeze(0).unwrap();
                let last = Tensor::from_vec(last, again.dims(), &Device::Cpu).unwrap();
                assert!(relative_error(&last, &again) < 1e-5, "{name} {kind}");
            }
            let saved = tempfile::tempdir().unwrap();
            let said = |folder: &Path| format::read_config(folder).unwrap();
            adapter
                .settings
                .tuning()
                .save(&adapter, &model_of(reference.decoder()).description(), saved.path())
                .unwrap();
            // What a network made is a prompt like any other where the network is not there.
            let keys = ["task_type", "num_transformer_submodules", "feedforward_modules", "peft_type"];
            for key in &keys[..if kind == "p_tuning" { 3 } else { 4 }] {
                assert_eq!(said(saved.path())[key], said(&folder)[key], "{name} {kind}");
            }
            let names = |folder: &Path| {
                let mut names: Vec<String> = said(folder)["target_modules"]
                    .as_array()
                    .map(|all| all.iter().map(|name| name.as_str().unwrap().to_string()).collect())
                    .unwrap_or_default();
                names.sort();
                names
            };
            assert_eq!(names(saved.path()), names(&folder));
            let again = files::load(saved.path(), decoder.config(), &Device::Cpu).unwrap();
            assert_eq!(relative_error(again.params.values(), adapter.params.values()), 0.0, "{name} {kind}");
        }
    }
}

/// Blocks that are run again on the way back give the same gradients, those of what both stacks share among them.
#[test]
fn checkpointed_blocks_of_two_stacks_give_the_same_gradients() {
    let reference = Reference::open("t5");
    let (decoder, batch) = (reference.decoder(), Batch::pack(&reference.samples));
    let adapter = full(reference.decoder());
    let gradient_on = |tape: Tape, share: f32| {
        let gradient = FlatGradient::new(&adapter.params).unwrap();
        let step = MicroStep { tape: &tape, gradient: &gradient, seed: 0, stream: [0, 0] };
        let hooks = adapter.training_hooks(&step).unwrap();
        // The tape may come back to the hooks.
        let dropout = BodyDropout { hidden: share, attention: share, stream: Rng::new(3, &[]) };
        let hooks: &dyn Hooks = Box::leak(Box::new(WithDropout { hooks: Box::leak(hooks), dropout }));
        let decoder: &Decoder = Box::leak(Box::new(reference.decoder()));
        let states = decoder.forward(&tape, &batch, hooks).unwrap();
        let head = decoder.head(hooks).unwrap();
        let loss = linear_cross_entropy(&tape, &states, &head, &batch.targets, &batch.weights).unwrap();
        tape.backward(&loss.sum, Tensor::new(1f32, &Device::Cpu).unwrap()).unwrap();
        gradient.whole(&adapter.params).unwrap().copy().unwrap()
    };
    assert!(decoder.config().num_layers > 2);
    for share in [0.0, 0.2] {
        let (again, kept) =
            (gradient_on(Tape::checkpointing(), share), gradient_on(Tape::recording(), share));
        let error = relative_error(&again, &kept);
        assert!(error < 1e-6, "{error}");
    }
    let (plain, dropped) = (gradient_on(Tape::recording(), 0.0), gradient_on(Tape::recording(), 0.2));
    assert!(relative_error(&dropped, &plain) > 0.01);
}

#[test]
fn answers_of_two_stacks_are_those_of_transformers_with_the_cache_and_without() {
    for name in MODELS {
        let reference = Reference::open(name);
        let decoder = reference.decoder();
        for answer in reference.answers() {
            let ids = |key: &str| -> Vec<u32> {
                answer[key].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
            };
            let (read, written) = (ids("ids"), ids("greedy"));
            let mut cache = Cache::new(decoder.config().num_layers);
            // A prompt may come in pieces.
            assert!(decoder.extend(&read[..1], &mut cache, &NoHooks).unwrap().is_empty());
            let mut next = [&read[1..], &written[..1]].concat();
            for place in 1..written.len() {
                let logits = decoder.extend(&next, &mut cache, &NoHooks).unwrap();
                let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
                assert_eq!(best as u32, written[place], "{name} {place}");
                let whole = [&read, &written[..place]].concat();
                let weights = LossWeights::all(0.0, whole.len());
                let batch = Batch::pack([&Sample { ids: whole, weights, ..Sample::default() }]);
                let hidden = decoder.forward(&Tape::inference(), &batch, &NoHooks).unwrap();
                let last = hidden.value().narrow(0, batch.len() - 1, 1).unwrap();
                let again = decoder.logits(&last, &NoHooks).unwrap().squeeze(0).unwrap();
                let logits = Tensor::from_vec(logits, again.dims(), &Device::Cpu).unwrap();
                assert!(relative_error(&logits, &again) < 1e-5, "{name} {place}");
                next = vec![written[place]];
            }
            assert_eq!(cache.len(), read.len() + written.len() - 1);
        }
    }
}

/// `num_beams`, `length_penalty` and `early_stopping` as transformers has them.
#[test]
fn beams_find_the_answers_that_transformers_finds() {
    let usual = BeamOptions::default();
    let [full, impossible] = [EarlyStopping::Full, EarlyStopping::Impossible];
    let options = [
        ("beams", usual),
        ("long", BeamOptions { num_beams: 3, length_penalty: 2.0, ..usual }),
        ("short", BeamOptions { num_beams: 3, length_penalty: -1.0, early_stopping: full }),
        ("never", BeamOptions { num_beams: 2, length_penalty: 1.5, early_stopping: impossible }),
    ];
    for name in MODELS {
        let reference = Reference::open(name);
        let decoder = reference.decoder();
        let files = ModelFiles::open(name, &fixture(&format!("parity/t5/{name}/model"))).unwrap();
        let (tokeniser, template) = (files.tokeniser().unwrap(), files.template().unwrap());
        for answer in reference.answers() {
            let ids = |key: &str| -> Vec<u32> {
                answer[key].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
            };
            let prompt =
                template.prompt(&[Message::new("user", answer["prompt"].as_str().unwrap())]).unwrap();
            let prompt = prompt.ids(&tokeniser).unwrap();
            assert_eq!(prompt, [ids("ids"), vec![START]].concat(), "{name}");
            let eos_ids = files.text.eos_ids.clone();
            let options_of = GenerateOptions { max_tokens: 20, eos_ids, ..GenerateOptions::default() };
            let mut session = Session::new(&decoder, None).unwrap();
            let control = Control::new();
            let one =
                generate(&mut session, &tokeniser, &prompt, &options_of, &control, &mut |_| {}).unwrap();
            let ended = |key: &str| {
                let mut ids = ids(key)[1..].to_vec();
                if ids.last() == Some(&1) {
                    ids.pop();
                }
                ids
            };
            assert_eq!(one.token_ids, ended("greedy"), "{name}");
            // What the prompt says may be said again.
            let sampling = Sampling { repetition_penalty: 1.7, ..Sampling::default() };
            let unlike = GenerateOptions { sampling, ..options_of.clone() };
            let made = generate(&mut session, &tokeniser, &prompt, &unlike, &control, &mut |_| {}).unwrap();
            assert_eq!(made.token_ids, ended("unlike"), "{name} {}", answer["prompt"]);
            for (key, beams) in options {
                let found = beam_search(&mut session, &tokeniser, &prompt, &options_of, &beams, &control);
                assert_eq!(found.unwrap().token_ids, ended(key), "{name} {key} {}", answer["prompt"]);
            }
        }
    }
}

/// The context may end an answer before the most tokens do, and beams say so as one answer does.
#[test]
fn beams_end_where_the_context_does() {
    let whole = Reference::open("flan").decoder();
    let config = DecoderConfig { context_tokens: 6, ..whole.config().clone() };
    let decoder = whole.with_config(config, 0).unwrap();
    let tokeniser = ModelFiles::open("flan", &fixture("parity/t5/flan/model")).unwrap().tokeniser().unwrap();
    let (prompt, control) = ([5, 9, 1, START], Control::new());
    let mut session = Session::new(&decoder, None).unwrap();
    for (max_tokens, num, finish) in
        [(20, 3, Finish::ContextFull), (3, 3, Finish::MaxTokens), (2, 2, Finish::MaxTokens)]
    {
        let options = GenerateOptions { max_tokens, ..GenerateOptions::default() };
        let one = generate(&mut session, &tokeniser, &prompt, &options, &control, &mut |_| {}).unwrap();
        let beams = BeamOptions::default();
        let best = beam_search(&mut session, &tokeniser, &prompt, &options, &beams, &control).unwrap();
        for made in [one, best] {
            assert_eq!((made.token_ids.len(), made.finish), (num, finish));
        }
    }
}

/// Gaps that a person writes are gaps, as transformers reads them, and those of an answer are shown; what ends a turn stays text.
#[test]
fn gaps_are_written_and_read() {
    let files = ModelFiles::open("t5", &fixture("parity/t5/t5/model")).unwrap();
    let (tokeniser, template) = (files.tokeniser().unwrap(), files.template().unwrap());
    let asked = |text: &str| {
        let prompt = template.prompt(&[Message::new("user", text)]).unwrap();
        prompt.ids(&tokeniser).unwrap()
    };
    let sentinels = tokeniser.sentinels();
    let ids = asked("the <extra_id_0> is small</s>");
    assert_eq!(ids.iter().filter(|id| sentinels.contains(id)).count(), 1);
    assert_eq!(ids.iter().filter(|id| **id == 1).count(), 1, "only the end of what is read");
    let house = asked("house");
    let answer = [&[START, sentinels[0]], &house[..house.len() - 2], &[sentinels[1], 1]].concat();
    let shown = tokeniser.decode(&answer, true);
    assert!(shown.starts_with("<extra_id_0>") && shown.ends_with("<extra_id_1>"), "{shown}");
    assert!(shown.contains("house") && !shown.contains("pad"), "{shown}");
    let mut stream = tokeniser.stream();
    let mut pieces: String = answer.iter().filter_map(|id| stream.push(*id)).collect();
    pieces.extend(stream.finish());
    let without_spaces = |text: &str| text.replace(' ', "");
    assert_eq!(without_spaces(&pieces), without_spaces(&shown));
}

/// A cache goes back into what is written, into what is read, and on from there.
#[test]
fn a_cache_of_two_stacks_goes_back() {
    let reference = Reference::open("flan");
    let decoder = reference.decoder();
    let read = [5u32, 9, 23, 1];
    let fed = |tokens: &[u32], cache: &mut Cache| decoder.extend(tokens, cache, &NoHooks).unwrap();
    let mut cache = Cache::new(decoder.config().num_layers);
    fed(&[&read[..], &[START, 7, 8]].concat(), &mut cache);
    let fork = cache.fork().unwrap();
    cache.truncate(read.len() + 2);
    let on = fed(&[30], &mut cache);
    let mut anew = Cache::new(decoder.config().num_layers);
    assert_eq!(on, fed(&[&read[..], &[START, 7, 30]].concat(), &mut anew));
    cache.truncate(2);
    let on = fed(&[40, 1, START], &mut cache);
    anew.clear();
    assert_eq!(on, fed(&[5, 9, 40, 1, START], &mut anew));
    assert_eq!(fork.len(), read.len() + 3);
}

#[test]
fn an_adapter_of_two_stacks_is_saved_as_pefts_own() {
    for name in MODELS {
        let reference = Reference::open(name);
        let adapter = reference.adapter(&reference.decoder());
        let folder = tempfile::tempdir().unwrap();
        let Settings::Lora(lora) = &adapter.settings else { panic!() };
        format::save(&adapter, lora, folder.path()).unwrap();
        let said = format::read_config(folder.path()).unwrap();
        assert_eq!(said["task_type"], "SEQ_2_SEQ_LM");
        let at = |folder: &Path| format::load_tensors(&folder.join(format::WEIGHTS_FILE)).unwrap();
        let original = at(&fixture(&format!("parity/t5/{name}/adapter")));
        let saved = at(folder.path());
        assert_eq!(saved.len(), original.len(), "{name}");
        for (key, tensor) in original {
            assert_eq!(relative_error(&saved[&key], &tensor), 0.0, "{key}");
        }
    }
}

/// What is written of a config is read again as the same, and files that lack what is tied are those of the other kind.
#[test]
fn a_config_of_two_stacks_is_written_as_it_is_read() {
    for name in MODELS {
        let files = ModelFiles::open(name, &fixture(&format!("parity/t5/{name}/model"))).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let text = files.config.to_json().to_string();
        let again = DecoderConfig::from_json(&path, &text).unwrap();
        assert_eq!(again, files.config, "{name}");
        assert_eq!(files.config.has_tied_embeddings, name == "t5");
        // What begins an answer need not be what fills up short texts, and is where it is not said.
        let config = |start: &str, pad: &str| {
            let mut said: serde_json::Value = serde_json::from_str(&text).unwrap();
            said["decoder_start_token_id"] = serde_json::from_str(start).unwrap();
            said["pad_token_id"] = serde_json::from_str(pad).unwrap();
            DecoderConfig::from_json(&path, &said.to_string()).unwrap()
        };
        let of = |config: &DecoderConfig| config.encoder.map(|encoder| (encoder.start, encoder.pad));
        assert_eq!(of(&config("5", "3")), Some((5, 3)));
        assert_eq!(of(&config("null", "3")), Some((3, 3)));
        let again = DecoderConfig::from_json(&path, &config("5", "3").to_json().to_string()).unwrap();
        assert_eq!(of(&again), Some((5, 3)));
    }
    assert_eq!(DType::F32, Reference::open("t5").decoder().compute());
}

#[test]
fn rows_of_both_stacks_are_put_together_and_their_gradients_apart() {
    let pieces = [[2, 1], [0, 3], [4, 0]];
    let plain = |x: &[Tensor]| {
        let (a, b) = (|first, len| x[0].narrow(0, first, len), |first, len| x[1].narrow(0, first, len));
        Tensor::cat(&[a(0, 2)?, b(0, 1)?, b(1, 3)?, a(2, 4)?], 0)
    };
    check(&[&[6, 5], &[4, 5]], |tape, x| ops::interleaved(tape, &x[0], &x[1], &pieces), plain);
}

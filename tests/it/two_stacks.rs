//! Models that read with one stack and write with another, against transformers and PEFT: logits, losses, the gradients of every weight,
//! and answers token by token. `tests/fixtures/parity/make_t5.py` made the numbers.

use crate::encoders::{full, learnt};
use crate::held::Held;
use crate::ops::{check, relative_error};
use crate::parity::{decoder, fixture, tensors};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use tunesmith::base::Control;
use tunesmith::data::{Batch, LossWeights, Message, Sample};
use tunesmith::infer::beam::{BeamOptions, EarlyStopping, beam_search};
use tunesmith::infer::generate::{GenerateOptions, generate};
use tunesmith::infer::session::Session;
use tunesmith::model::cache::Cache;
use tunesmith::model::decoder::Decoder;
use tunesmith::model::files::ModelFiles;
use tunesmith::model::hooks::{Hooks, NoHooks};
use tunesmith::nn::ops::{self, HeadLayout, Seen, linear_cross_entropy};
use tunesmith::nn::{FlatGradient, FlatParams, Result, Tape};
use tunesmith::peft::{Adapter, MicroStep, Settings, format};

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

/// Blocks that are run again on the way back give the same gradients, those of what both stacks share among them.
#[test]
fn checkpointed_blocks_of_two_stacks_give_the_same_gradients() {
    let reference = Reference::open("t5");
    let (decoder, batch) = (reference.decoder(), Batch::pack(&reference.samples));
    let adapter = full(reference.decoder());
    let gradient_on = |tape: Tape| {
        let gradient = FlatGradient::new(&adapter.params).unwrap();
        let step = MicroStep { tape: &tape, gradient: &gradient, seed: 0, stream: [0, 0] };
        let hooks = adapter.training_hooks(&step).unwrap();
        // The tape may come back to the hooks.
        let hooks: &dyn Hooks = Box::leak(hooks);
        let decoder: &Decoder = Box::leak(Box::new(reference.decoder()));
        let states = decoder.forward(&tape, &batch, hooks).unwrap();
        let head = decoder.head(hooks).unwrap();
        let loss = linear_cross_entropy(&tape, &states, &head, &batch.targets, &batch.weights).unwrap();
        tape.backward(&loss.sum, Tensor::new(1f32, &Device::Cpu).unwrap()).unwrap();
        gradient.whole(&adapter.params).unwrap().copy().unwrap()
    };
    assert!(decoder.config().num_layers > 2);
    let error = relative_error(&gradient_on(Tape::checkpointing()), &gradient_on(Tape::recording()));
    assert!(error < 1e-6, "{error}");
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
            for (key, beams) in options {
                let found = beam_search(&mut session, &tokeniser, &prompt, &options_of, &beams, &control);
                assert_eq!(found.unwrap().token_ids, ended(key), "{name} {key} {}", answer["prompt"]);
            }
        }
    }
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
        let again = tunesmith::model::config::DecoderConfig::from_json(&path, &text).unwrap();
        assert_eq!(again, files.config, "{name}");
        assert_eq!(files.config.has_tied_embeddings, name == "t5");
    }
    assert_eq!(DType::F32, Reference::open("t5").decoder().compute());
}

/// Heads of attention as the book has it: q [s, h·e], k and v [t, h·e], bias [h, s, t] -> [s, h·e].
fn by_the_book(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: usize,
    scale: f64,
    bias: &Tensor,
) -> Result<Tensor> {
    let of_heads = |x: &Tensor| -> Result<Tensor> {
        x.reshape((x.dim(0)?, heads, x.dim(1)? / heads))?.transpose(0, 1)?.contiguous()
    };
    let (q, k, v) = (of_heads(q)?, of_heads(k)?, of_heads(v)?);
    let scores = ((q.matmul(&k.transpose(1, 2)?.contiguous()?)? * scale)? + bias)?;
    let exp = scores.broadcast_sub(&scores.max_keepdim(2)?.detach())?.exp()?;
    let mixed = exp.broadcast_div(&exp.sum_keepdim(2)?)?.matmul(&v)?; // [h, s, e]
    let (h, s, e) = mixed.dims3()?;
    mixed.transpose(0, 1)?.contiguous()?.reshape((s, h * e))
}

const LAYOUT: HeadLayout = HeadLayout { num_heads: 3, num_kv_heads: 3, head_width: 4 };

/// Segments of one and of more blocks of rows, and one that writes nothing.
#[test]
fn attention_to_other_rows_matches_autograd() {
    for (own, others) in [
        (vec![0, 3, 7], vec![0, 4, 9]),
        (vec![0, 5, 5, 6], vec![0, 1, 4, 300]),
        (vec![0, 280, 300], vec![0, 2, 8]),
    ] {
        let (n, m) = (own[own.len() - 1], others[others.len() - 1]);
        let seen = Rc::new(Seen::across(own.clone(), others.clone(), 0.7));
        let plain = |x: &[Tensor]| {
            let mut all = Vec::new();
            for (own, other) in own.windows(2).zip(others.windows(2)).filter(|(own, _)| own[1] > own[0]) {
                let (s, t) = (own[1] - own[0], other[1] - other[0]);
                let rows = x[1].narrow(0, other[0], t)?;
                let (k, v) = (rows.narrow(1, 0, 12)?, rows.narrow(1, 12, 12)?);
                let none = Tensor::zeros((3, s, t), x[0].dtype(), &Device::Cpu)?;
                all.push(by_the_book(&x[0].narrow(0, own[0], s)?, &k, &v, 3, 0.7, &none)?);
            }
            Tensor::cat(&all, 0)
        };
        check(
            &[&[n, 12], &[m, 24]],
            |tape, x| ops::cross_attention(tape, &x[0], &x[1], LAYOUT, &seen),
            plain,
        );
    }
}

/// Biases by distance, of which a table of buckets is what is trained: causal and both ways, longer than a block.
#[test]
fn attention_with_biases_by_distance_matches_autograd() {
    for (segments, is_causal) in [(vec![0, 1, 7], true), (vec![0, 4, 9], false), (vec![0, 270, 300], true)] {
        let n = segments[segments.len() - 1];
        let longest = segments.windows(2).map(|s| s[1] - s[0]).max().unwrap();
        let seen = Seen::new(segments.clone(), 1.0, None, None);
        let seen = Rc::new(if is_causal { seen } else { seen.both_ways() });
        let plain = |x: &[Tensor]| {
            let mut all = Vec::new();
            for ends in segments.windows(2) {
                let s = ends[1] - ends[0];
                let rows = x[0].narrow(0, ends[0], s)?;
                let part = |first| rows.narrow(1, first, 12);
                let distances: Vec<u32> = (0..s * s).map(|c| (longest - 1 + c % s - c / s) as u32).collect();
                let bias = x[1].index_select(&Tensor::new(distances, &Device::Cpu)?, 0)?; // [s·s, h]
                let bias = bias.reshape((s, s, 3))?.permute((2, 0, 1))?.contiguous()?;
                let hidden = |c: usize| if is_causal && c % s > c / s { -1e30f64 } else { 0.0 };
                let mask = Tensor::new((0..s * s).map(hidden).collect::<Vec<_>>(), &Device::Cpu)?;
                let mask = mask.reshape((1, s, s))?.to_dtype(x[0].dtype())?;
                let bias = bias.broadcast_add(&mask)?;
                all.push(by_the_book(&part(0)?, &part(12)?, &part(24)?, 3, 1.0, &bias)?);
            }
            Tensor::cat(&all, 0)
        };
        let shapes: [&[usize]; 2] = [&[n, 36], &[2 * longest - 1, 3]];
        check(&shapes, |tape, x| ops::biased_attention(tape, &x[0], &x[1], LAYOUT, &seen), plain);
    }
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

//! Encoders against transformers and PEFT: states, predictions of masked tokens, classes, losses, and the gradients of every weight.
//! `tests/fixtures/parity/make_encoders.py` made the numbers.

use crate::cli::Stage;
use crate::held::Held;
use crate::ops::relative_error;
use crate::parity::{decoder, fixture, model_of, tensors};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::path::Path;
use tunesmith::base::rng::Rng;
use tunesmith::base::{Control, DeviceChoice, Explain, Silent};
use tunesmith::data::{Batch, LossWeights, Sample};
use tunesmith::model::ModelError;
use tunesmith::model::cache::Cache;
use tunesmith::model::config::{DecoderConfig, Pooling, Problem, TaskHead};
use tunesmith::model::decoder::Decoder;
use tunesmith::model::files::ModelFiles;
use tunesmith::model::hooks::{BodyDropout, HeadTensor, Hooks, NoHooks, Part, WithDropout};
use tunesmith::model::load::load_decoder;
use tunesmith::nn::ops::{cast, linear_cross_entropy};
use tunesmith::nn::{FlatGradient, FlatParams, Node, Tape};
use tunesmith::peft::{Adapter, Full, MicroStep, Settings, files, format};
use tunesmith::recipe::plan::{Facts, ModelFacts};
use tunesmith::recipe::{Recipe, Severity};

const ENCODERS: [&str; 5] = ["bert", "distilbert", "roberta", "xlm-roberta", "modernbert"];
/// All that have a head for classes.
const READERS: [&str; 6] = ["bert", "distilbert", "roberta", "xlm-roberta", "modernbert", "llama"];
/// Of the two texts.
const CLASSES: [u32; 2] = [2, 0];

/// What transformers made of two texts.
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
        let expected = tensors(&format!("parity/encoders/{name}/expected.safetensors"));
        let numbers = |key: &str| expected[key].to_vec1::<i64>().unwrap();
        let ids = numbers("ids");
        let types = expected.get("types").map(|types| types.to_vec1::<i64>().unwrap());
        let mut first = 0;
        let samples = numbers("lengths").into_iter().map(|len| {
            let own = first..first + len as usize;
            first = own.end;
            Sample {
                ids: ids[own.clone()].iter().map(|id| *id as u32).collect(),
                weights: LossWeights::default(),
                second: types.as_ref().and_then(|t| t[own].iter().position(|t| *t == 1)).map(|at| at as u32),
                ..Sample::default()
            }
        });
        Self { name, samples: samples.collect(), expected }
    }

    fn decoder(&self, which: &str) -> Decoder {
        decoder(&format!("parity/encoders/{}/{which}", self.name))
    }

    fn adapter(&self, decoder: &Decoder) -> Adapter {
        let folder = fixture(&format!("parity/encoders/{}/adapter", self.name));
        format::load(&folder, decoder.config(), &Device::Cpu).unwrap()
    }

    /// With the masked tokens as targets, each at its own place.
    fn batch(&self) -> Batch {
        let mut batch = Batch::pack(&self.samples);
        if let Some(targets) = self.expected.get("targets") {
            let targets = targets.to_vec1::<i64>().unwrap();
            batch.weights = targets.iter().map(|t| if *t < 0 { 0.0 } else { 1.0 }).collect();
            batch.targets = targets.iter().map(|t| (*t).max(0) as u32).collect();
        }
        batch
    }

    fn holds_gradients(&self, prefix: &str, gradients: &FlatParams) {
        let num = self.expected.keys().filter(|key| key.starts_with(prefix)).count();
        assert_eq!(gradients.len(), num, "{}", self.name);
        for (name, gradient) in gradients.named().unwrap() {
            let key = format!("{prefix}{name}");
            // What is added to all keys changes no share: the gradient is nothing but rounding.
            if ["key.bias", "k_lin.bias"].iter().any(|end| name.ends_with(end)) {
                for gradient in [&gradient, &self.expected[&key]] {
                    let largest = gradient.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                    assert!(largest < 1e-6, "{} {key}: {largest}", self.name);
                }
                continue;
            }
            self.holds(&key, &gradient);
        }
    }
}

fn hidden(decoder: &Decoder, batch: &Batch, hooks: &dyn Hooks) -> Tensor {
    decoder.forward(&Tape::inference(), batch, hooks).unwrap().value().clone()
}

fn scores(decoder: &Decoder, batch: &Batch, hooks: &dyn Hooks) -> Tensor {
    let tape = Tape::inference();
    let hidden = decoder.forward(&tape, batch, hooks).unwrap();
    decoder.scores(&tape, &hidden, batch, 0, hooks).unwrap().value().clone()
}

/// The loss of an adapter on a batch, by what `run` makes of the hidden states, and the gradient of it.
pub fn learnt(
    decoder: &Decoder,
    adapter: &Adapter,
    batch: &Batch,
    run: impl Fn(&Tape, &Node, &dyn Hooks) -> (Node, f64),
) -> (f64, FlatParams) {
    let gradient = FlatGradient::new(&adapter.params).unwrap();
    let hooks;
    let tape = Tape::recording();
    let step = MicroStep { tape: &tape, gradient: &gradient, seed: 0, stream: [0, 0] };
    hooks = adapter.training_hooks(&step).unwrap();
    let states = decoder.forward(&tape, batch, hooks.as_ref()).unwrap();
    let (sum, weight) = run(&tape, &states, hooks.as_ref());
    let loss = f64::from(sum.value().to_dtype(DType::F32).unwrap().to_scalar::<f32>().unwrap());
    tape.backward(&sum, Tensor::new(1f32, &Device::Cpu).unwrap()).unwrap();
    let mut found = adapter.params.clone();
    found.set_values((gradient.whole(&adapter.params).unwrap() / weight).unwrap()).unwrap();
    (loss / weight, found)
}

fn masked_loss(decoder: &Decoder, adapter: &Adapter, batch: &Batch) -> (f64, FlatParams) {
    learnt(decoder, adapter, batch, |tape, states, hooks| {
        let read = decoder.predictions(tape, states, hooks).unwrap();
        let head = decoder.head(hooks).unwrap();
        let loss = linear_cross_entropy(tape, &read, &head, &batch.targets, &batch.weights).unwrap();
        (loss.sum, batch.weights.iter().map(|w| f64::from(*w)).sum())
    })
}

/// Cross entropy of classes: scores are logits of a vocabulary of labels, by a projection that changes nothing.
fn class_loss(decoder: &Decoder, adapter: &Adapter, batch: &Batch) -> (f64, FlatParams) {
    learnt(decoder, adapter, batch, |tape, states, hooks| {
        let scores = decoder.scores(tape, states, batch, 0, hooks).unwrap();
        let scores = cast(tape, &scores, DType::F32).unwrap();
        let unit = Tensor::eye(scores.value().dims()[1], DType::F32, &Device::Cpu).unwrap();
        let loss = linear_cross_entropy(tape, &scores, &unit.into(), &CLASSES, &[1.0; 2]).unwrap();
        (loss.sum, 2.0)
    })
}

pub fn full(decoder: Decoder) -> Adapter {
    Adapter::new(Settings::Full(Full {}), &model_of(decoder), 0).unwrap()
}

#[test]
fn states_and_predictions_of_every_encoder_match_transformers() {
    for name in ENCODERS {
        let reference = Reference::open(name);
        let (decoder, batch) = (reference.decoder("masked"), reference.batch());
        assert!(decoder.config().has_masked_head() && !decoder.config().is_causal(), "{name}");
        let states = hidden(&decoder, &batch, &NoHooks);
        reference.holds("hidden", &states);
        reference.holds("logits", &decoder.logits(&states, &NoHooks).unwrap());
    }
}

#[test]
fn masked_gradients_of_all_weights_match_pytorch() {
    for name in ENCODERS {
        let reference = Reference::open(name);
        let decoder = reference.decoder("masked");
        let adapter = full(reference.decoder("masked"));
        let (loss, gradient) = masked_loss(&decoder, &adapter, &reference.batch());
        reference.holds_loss("loss", loss);
        reference.holds_gradients("masked.", &gradient);
    }
}

#[test]
fn classes_and_their_gradients_match_transformers() {
    for name in READERS {
        let reference = Reference::open(name);
        let (decoder, batch) = (reference.decoder("scores"), reference.batch());
        let head = decoder.config().native_head().unwrap();
        assert_eq!(head.labels, ["bad", "so so", "good"], "{name}");
        assert_eq!((head.problem, decoder.config().predicts_tokens), (Problem::SingleLabel, false), "{name}");
        reference.holds("scores", &scores(&decoder, &batch, &NoHooks));
        let adapter = full(reference.decoder("scores"));
        let (loss, gradient) = class_loss(&decoder, &adapter, &batch);
        reference.holds_loss("scores_loss", loss);
        reference.holds_gradients("scores.", &gradient);
    }
}

/// `target_modules = ["q_lin", "v_lin"]`, rank 8, alpha 16, SEQ_CLS: with the head that PEFT saves besides.
#[test]
fn pefts_lora_of_a_classifier_gives_its_classes_and_gradients() {
    let reference = Reference::open("distilbert");
    let (decoder, batch) = (reference.decoder("scores"), reference.batch());
    let adapter = reference.adapter(&decoder);
    reference.holds("tuned_scores", &scores(&decoder, &batch, adapter.hooks().unwrap().as_ref()));
    let (loss, gradient) = class_loss(&decoder, &adapter, &batch);
    reference.holds_loss("tuned_loss", loss);
    reference.holds_gradients("lora.", &gradient);

    let folder = tempfile::tempdir().unwrap();
    let Settings::Lora(lora) = &adapter.settings else { panic!() };
    format::save(&adapter, lora, folder.path()).unwrap();
    let said = format::read_config(folder.path()).unwrap();
    assert_eq!(said["task_type"], "SEQ_CLS");
    assert_eq!(said["target_modules"], serde_json::json!(["q_lin", "v_lin"]));
    let at = |folder: &Path| format::load_tensors(&folder.join(format::WEIGHTS_FILE)).unwrap();
    let (saved, original) = (at(folder.path()), at(&fixture("parity/encoders/distilbert/adapter")));
    assert_eq!(saved.len(), original.len());
    for (key, tensor) in original {
        assert_eq!(relative_error(&saved[&key], &tensor), 0.0, "{key}");
    }
}

/// A text among others gives what it gives alone, and the gradients of texts add up.
#[test]
fn packed_texts_are_as_alone() {
    for name in ENCODERS {
        let reference = Reference::open(name);
        let decoder = reference.decoder("masked");
        let adapter = full(reference.decoder("masked"));
        let together = reference.batch();
        let all = hidden(&decoder, &together, &NoHooks);
        let (_, whole) = masked_loss(&decoder, &adapter, &together);
        let num: f64 = together.weights.iter().map(|w| f64::from(*w)).sum();
        let mut sum = whole.values().zeros_like().unwrap();
        for (ends, sample) in together.segments.windows(2).zip(&reference.samples) {
            let mut alone = Batch::pack([sample]);
            alone.targets = together.targets[ends[0]..ends[1]].to_vec();
            alone.weights = together.weights[ends[0]..ends[1]].to_vec();
            let states = hidden(&decoder, &alone, &NoHooks);
            let error = relative_error(&states, &all.narrow(0, ends[0], sample.len()).unwrap());
            assert!(error < 1e-5, "{name}: {error}");
            let (_, gradient) = masked_loss(&decoder, &adapter, &alone);
            let share = alone.weights.iter().map(|w| f64::from(*w)).sum::<f64>() / num;
            sum = (sum + (gradient.values() * share).unwrap()).unwrap();
        }
        let error = relative_error(&sum, whole.values());
        assert!(error < 1e-5, "{name}: {error}");
    }
}

/// A folder that is written opens again as the same model. `written-….json` beside the fixture are what `check_encoders.py` has
/// transformers open.
#[test]
fn a_tuned_encoder_is_written_as_its_files_are() {
    for (name, which) in
        ENCODERS.map(|name| (name, "masked")).into_iter().chain(READERS.map(|name| (name, "scores")))
    {
        let source = fixture(&format!("parity/encoders/{name}/{which}"));
        let reference = Reference::open(name);
        let base = model_of(reference.decoder(which));
        let adapter = full(reference.decoder(which));
        let folder = tempfile::tempdir().unwrap();
        files::save(&adapter, &base.description(), folder.path()).unwrap();
        let load =
            |at: &Path| candle_core::safetensors::load(at.join("model.safetensors"), &Device::Cpu).unwrap();
        let (saved, original) = (load(folder.path()), load(&source));
        for (key, tensor) in &saved {
            assert_eq!(relative_error(tensor, &original[key]), 0.0, "{name} {key}");
        }
        // One of an untied RoBERTa is not used.
        assert!(saved.len() + 1 >= original.len(), "{name}");
        let golden =
            std::fs::read_to_string(fixture(&format!("parity/encoders/{name}/written-{which}.json")));
        let golden: serde_json::Value = serde_json::from_str(&golden.unwrap()).unwrap();
        assert_eq!(base.config().to_json(), golden, "{name} {which}");
        let again = ModelFiles::open(name, folder.path()).unwrap();
        assert_eq!(again.config.to_json(), golden, "{name} {which}");
        let again = load_decoder(&again, DeviceChoice::Cpu.into(), &Control::new(), &mut Silent).unwrap();
        let batch = reference.batch();
        let key = if which == "masked" { "logits" } else { "scores" };
        reference.holds(
            key,
            &match which {
                "masked" => again.logits(&hidden(&again, &batch, &NoHooks), &NoHooks).unwrap(),
                _ => scores(&again, &batch, &NoHooks),
            },
        );
    }
}

fn head(name: &str, labels: &[&str], pooling: Pooling) -> TaskHead {
    let labels = labels.iter().map(|label| label.to_string()).collect();
    TaskHead { name: name.into(), labels, problem: Problem::SingleLabel, pooling }
}

/// New heads are drawn from the seed, those that are there stay, and so does all else.
#[test]
fn heads_are_drawn_once_and_kept() {
    for name in READERS {
        let reference = Reference::open(name);
        let (decoder, batch) = (reference.decoder("scores"), reference.batch());
        let own = decoder.config().heads.clone();
        let kept = decoder.with_heads(own.clone(), 9).unwrap();
        reference.holds("scores", &scores(&kept, &batch, &NoHooks));

        let two = vec![head("topic", &["a", "b"], Pooling::Mean), own[0].clone()];
        let [both, again, other] = [1, 1, 2].map(|seed| decoder.with_heads(two.clone(), seed).unwrap());
        let drawn = |decoder: &Decoder| decoder.tensor(Part::Score(0, HeadTensor::Out)).unwrap();
        assert_eq!(relative_error(&drawn(&both), &drawn(&again)), 0.0, "{name}");
        assert!(relative_error(&drawn(&both), &drawn(&other)) > 0.1, "{name}");
        let tape = Tape::inference();
        let states = Node::frozen(hidden(&both, &batch, &NoHooks));
        let of_head = |head| both.scores(&tape, &states, &batch, head, &NoHooks).unwrap();
        assert_eq!(of_head(0).value().dims(), [2, 2]);
        reference.holds("scores", of_head(1).value());
        assert!(both.scores(&tape, &states, &batch, 2, &NoHooks).is_err());

        // In a folder, too.
        let base = model_of(both);
        let adapter = Adapter::new(Settings::Full(Full {}), &base, 0).unwrap();
        let folder = tempfile::tempdir().unwrap();
        files::save(&adapter, &base.description(), folder.path()).unwrap();
        let files = ModelFiles::open(name, folder.path()).unwrap();
        assert_eq!(files.config.heads, two, "{name}");
        let opened = load_decoder(&files, DeviceChoice::Cpu.into(), &Control::new(), &mut Silent).unwrap();
        let states = Node::frozen(hidden(&opened, &batch, &NoHooks));
        let scores = opened.scores(&tape, &states, &batch, 1, &NoHooks).unwrap();
        reference.holds("scores", scores.value());
    }
}

/// A masked model becomes a classifier, keeps its body, and is as before without.
#[test]
fn a_masked_model_takes_heads_and_gives_them_back() {
    for name in ENCODERS {
        let reference = Reference::open(name);
        let (decoder, batch) = (reference.decoder("masked"), reference.batch());
        let classifier = decoder.without_predictions().unwrap();
        assert!(!classifier.config().has_masked_head());
        assert!(matches!(classifier.head(&NoHooks), Err(ModelError::NoMaskedHead)));
        let pooling = classifier.config().family.table().scores.poolings[0];
        let classifier = classifier.with_heads(vec![head("", &["no", "yes"], pooling)], 3).unwrap();
        reference.holds("hidden", &hidden(&classifier, &batch, &NoHooks));
        assert_eq!(scores(&classifier, &batch, &NoHooks).dims(), [2, 2]);
        let written = classifier.config().to_json();
        let said = written["architectures"][0].as_str().unwrap();
        assert!(said.ends_with("ForSequenceClassification"), "{said}");
        // Everything that is left is reached.
        let adapter = Adapter::new(Settings::Full(Full {}), &model_of(classifier), 0).unwrap();
        let classifier = decoder.without_predictions().unwrap();
        let classifier = classifier.with_heads(vec![head("", &["no", "yes"], pooling)], 3).unwrap();
        let (_, gradient) = learnt(&classifier, &adapter, &batch, |tape, states, hooks| {
            let scores = classifier.scores(tape, states, &batch, 0, hooks).unwrap();
            let unit = Tensor::eye(2, DType::F32, &Device::Cpu).unwrap();
            let loss = linear_cross_entropy(tape, &scores, &unit.into(), &[0, 1], &[1.0; 2]).unwrap();
            (loss.sum, 2.0)
        });
        assert_eq!(gradient.len(), classifier.config().tensors().len());
        let bare = classifier.with_heads(Vec::new(), 0).unwrap();
        let said = bare.config().to_json()["architectures"][0].as_str().unwrap().to_string();
        assert!(said.ends_with("Model"), "{said}");
        assert!(!bare.config().tensors().iter().any(|needed| needed.name.contains("pooler")));
    }
}

/// A bare BERT keeps its pooler, which nothing of it reads: in the folder that full tuning leaves, as transformers' `BertModel` has it, and for a
/// head that needs it.
#[test]
fn a_bare_bert_keeps_its_pooler() {
    let temp = tempfile::tempdir().unwrap();
    let source = temp.path().join("bare");
    std::fs::create_dir(&source).unwrap();
    let from = fixture("parity/encoders/bert/scores");
    for entry in std::fs::read_dir(&from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, source.join(path.file_name().unwrap())).unwrap();
    }
    let config = std::fs::read_to_string(from.join("config.json")).unwrap();
    let config = config.replace("BertForSequenceClassification", "BertModel");
    std::fs::write(source.join("config.json"), config).unwrap();
    let whole = format::load_tensors(&from.join("model.safetensors")).unwrap();
    let body = |(key, tensor): (String, Tensor)| Some((key.strip_prefix("bert.")?.to_string(), tensor));
    let bare: HashMap<String, Tensor> = whole.into_iter().filter_map(body).collect();
    candle_core::safetensors::save(&bare, source.join("model.safetensors")).unwrap();

    let model_files = ModelFiles::open("bare", &source).unwrap();
    let decoder = load_decoder(&model_files, DeviceChoice::Cpu.into(), &Control::new(), &mut Silent).unwrap();
    let with_head = decoder.with_heads(vec![head("", &["no", "yes"], Pooling::First)], 3).unwrap();
    assert_eq!(relative_error(&with_head.tensor(Part::Pooler).unwrap(), &bare["pooler.dense.weight"]), 0.0);
    let model = model_of(decoder);
    let adapter = Adapter::new(Settings::Full(Full {}), &model, 0).unwrap();
    let saved = temp.path().join("saved");
    std::fs::create_dir(&saved).unwrap();
    files::save_result(&adapter, &model, &saved).unwrap();
    let written = format::load_tensors(&saved.join("model.safetensors")).unwrap();
    let names = |all: &HashMap<String, Tensor>| {
        let names = all.keys().filter(|key| !key.contains("position_ids")).cloned();
        names.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names(&written), names(&bare));
    for (key, tensor) in &written {
        assert_eq!(relative_error(tensor, &bare[key]), 0.0, "{key}");
    }
}

/// Heads with one name, or with a dot in it, cannot stand in one file.
#[test]
fn heads_that_cannot_be_told_apart_are_refused() {
    let decoder = Reference::open("bert").decoder("masked");
    for heads in [
        vec![head("a", &["x"], Pooling::First), head("a", &["y"], Pooling::First)],
        vec![head("a.b", &["x"], Pooling::First)],
        vec![head("a", &[], Pooling::First)],
    ] {
        let error = decoder.with_heads(heads, 0).unwrap_err();
        assert!(matches!(error, ModelError::Heads(_)) && !error.hint().is_empty(), "{error}");
    }
}

/// Two streams give two states of one text, one stream the same again, also where blocks are run again; and none without.
#[test]
fn dropout_of_the_body_is_a_function_of_its_stream() {
    for name in READERS {
        let reference = Reference::open(name);
        let (decoder, batch) = (reference.decoder("scores"), reference.batch());
        let plain = hidden(&decoder, &batch, &NoHooks);
        let with = |[states, attention]: [f32; 2], stream| {
            let dropout = BodyDropout { hidden: states, attention, stream: Rng::new(stream, &[]) };
            hidden(&decoder, &batch, &WithDropout { hooks: &NoHooks, dropout })
        };
        assert_eq!(relative_error(&with([0.0; 2], 1), &plain), 0.0, "{name}");
        for shares in [[0.2, 0.0], [0.0, 0.2], [0.2, 0.2]] {
            assert_eq!(relative_error(&with(shares, 1), &with(shares, 1)), 0.0, "{name}");
            assert!(relative_error(&with(shares, 2), &with(shares, 1)) > 0.001, "{name}");
            assert!(relative_error(&with(shares, 1), &plain) > 0.001, "{name}");
        }
        let gradient = |has_checkpoints: bool| {
            let adapter = full(reference.decoder("scores"));
            let gradient = FlatGradient::new(&adapter.params).unwrap();
            let own;
            let tape = if has_checkpoints { Tape::checkpointing() } else { Tape::recording() };
            let step = MicroStep { tape: &tape, gradient: &gradient, seed: 0, stream: [0, 0] };
            own = adapter.training_hooks(&step).unwrap();
            let hooks = WithDropout {
                hooks: own.as_ref(),
                dropout: BodyDropout { hidden: 0.2, attention: 0.2, stream: Rng::new(3, &[]) },
            };
            let states = decoder.forward(&tape, &batch, &hooks).unwrap();
            let scores = decoder.scores(&tape, &states, &batch, 0, &hooks).unwrap();
            let seed = scores.value().ones_like().unwrap();
            tape.backward(&scores, seed).unwrap();
            gradient.whole(&adapter.params).unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(gradient(false), gradient(true), "{name}");
    }
}

/// An encoder goes on with no text, and says so before any work.
#[test]
fn an_encoder_writes_nothing() {
    for (name, which) in [("bert", "masked"), ("llama", "scores")] {
        let decoder = Reference::open(name).decoder(which);
        let mut cache = Cache::new(decoder.config().num_layers);
        let error = decoder.extend(&[5], &mut cache, &NoHooks).unwrap_err();
        assert!(matches!(error, ModelError::CannotWrite { .. }), "{error}");
        assert!(error.hint().contains("Choose"), "{}", error.hint());
    }
}

/// The program says it before it loads anything, and a recipe with the model at its field.
#[test]
fn answers_of_an_encoder_are_refused_before_any_work() {
    let stage = Stage::new();
    let source = fixture("parity/encoders/bert/masked");
    let model = source.to_str().unwrap();
    let output = stage.run(&["generate", "--model", model, "--prompt", "hello"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(
        said.contains("BERT/MiniLM is an encoder") && said.contains("Choose a model that answers"),
        "{said}"
    );

    let files = ModelFiles::open("bert", &source).unwrap();
    let facts = Facts { model: Some(ModelFacts::from(&files.info)), ..crate::recipe::facts() };
    let refused = |facts: &Facts, field: &str| {
        let problems = Recipe::default().check(facts);
        let found = problems.iter().find(|problem| problem.field == field).cloned();
        found.filter(|problem| problem.severity == Severity::Error && problem.fix.is_some()).is_some()
    };
    assert!(refused(&facts, "objective.kind") && !refused(&facts, "model.source"));
    let reader = ModelFiles::open("llama", &fixture("parity/encoders/llama/scores")).unwrap();
    let facts = Facts { model: Some(ModelFacts::from(&reader.info)), ..facts };
    assert!(refused(&facts, "model.source"), "a decoder without its head");
    let usual = crate::recipe::facts();
    assert!(!refused(&usual, "objective.kind") && !refused(&usual, "model.source"));
}

/// Names of a checkpoint that holds a body alone, early names of norms, and none of the head.
#[test]
fn a_bare_encoder_opens_without_its_head() {
    let reference = Reference::open("bert");
    let source = fixture("parity/encoders/bert/masked");
    let loaded = candle_core::safetensors::load(source.join("model.safetensors"), &Device::Cpu).unwrap();
    let body = loaded.into_iter().filter_map(|(name, tensor)| {
        let name = name.strip_prefix("bert.")?;
        Some((
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"),
            tensor,
        ))
    });
    let folder = tempfile::tempdir().unwrap();
    let body: HashMap<String, Tensor> = body.collect();
    candle_core::safetensors::save(&body, folder.path().join("model.safetensors")).unwrap();
    for architecture in ["BertModel", "BertForMaskedLM"] {
        let text = std::fs::read_to_string(source.join("config.json")).unwrap();
        std::fs::write(folder.path().join("config.json"), text.replace("BertForMaskedLM", architecture))
            .unwrap();
        let files = ModelFiles::open("bare", folder.path()).unwrap();
        assert!(!files.config.has_masked_head() && files.config.is_bare());
        let decoder = load_decoder(&files, DeviceChoice::Cpu.into(), &Control::new(), &mut Silent).unwrap();
        reference.holds("hidden", &hidden(&decoder, &reference.batch(), &NoHooks));

        // It can be given a head for masked tokens: one that knows nothing, all of which learns.
        let config = DecoderConfig { predicts_tokens: true, ..decoder.config().clone() };
        let masked = decoder.with_config(config, 4).unwrap();
        assert!(masked.config().has_masked_head());
        let base = model_of(masked);
        let adapter = Adapter::new(Settings::Full(Full {}), &base, 0).unwrap();
        let (loss, gradient) = masked_loss(&base.decoder, &adapter, &reference.batch());
        assert!(loss.is_finite() && gradient.len() == base.config().tensors().len());
        let to = tempfile::tempdir().unwrap();
        files::save(&adapter, &base.description(), to.path()).unwrap();
        let opened = ModelFiles::open("masked", to.path()).unwrap();
        let opened = load_decoder(&opened, DeviceChoice::Cpu.into(), &Control::new(), &mut Silent).unwrap();
        let logits = |decoder: &Decoder| {
            decoder.logits(&hidden(decoder, &reference.batch(), &NoHooks), &NoHooks).unwrap()
        };
        assert_eq!(relative_error(&logits(&opened), &logits(&base.decoder)), 0.0);
    }
}

#[test]
fn settings_of_encoders_that_are_not_there_are_refused() {
    let text = std::fs::read_to_string(fixture("parity/encoders/bert/masked/config.json")).unwrap();
    let refused = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        DecoderConfig::from_json(Path::new("config.json"), &text.replace(from, to)).unwrap_err().to_string()
    };
    let is_decoder = refused("\"is_decoder\": false", "\"is_decoder\": true");
    assert!(is_decoder.contains("is_decoder"), "{is_decoder}");
    let positions = refused(
        "\"is_decoder\": false",
        "\"position_embedding_type\": \"relative_key\", \"is_decoder\": false",
    );
    assert!(positions.contains("relative_key"), "{positions}");
}

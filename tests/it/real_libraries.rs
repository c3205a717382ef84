//! Adapters' files with the libraries whose formats they are: these open what Tunesmith trained, and Tunesmith what they wrote.
//! `.ci/peft` installs them and runs these tests, which `cargo test` leaves out: it needs no Python.

mod encoders;
mod two_stacks;

use crate::methods;
use crate::parity::{decoder, fixture, model_of};
use crate::train::{dataset, recipe, run};
use candle_core::{DType, Device, Tensor};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;
use tunesmith::data::{Batch, LossWeights, Sample};
use tunesmith::model::config::DecoderConfig;
use tunesmith::model::decoder::Decoder;
use tunesmith::model::hooks::Hooks;
use tunesmith::model::load::LoadedModel;
use tunesmith::nn::Tape;
use tunesmith::peft::files;
use tunesmith::project::Outcome;
use tunesmith::recipe::Recipe;

/// Of the largest logit.
const BOUND: f64 = 1e-4;

/// Who reads and writes files of this kind, and the variable that names a Python that has it.
struct Library {
    name: &'static str,
    python: &'static str,
    /// Kinds of methods whose files are its.
    methods: &'static [&'static str],
    /// Models with a method of tuning each: between them every order in which a file stores a matrix, biases, windows and caps.
    bases: &'static [&'static str],
}

const PEFT: Library = Library {
    name: "peft",
    python: "PYTHON_WITH_PEFT",
    methods: &["lora", "ia3", "prefix", "prompt", "p_tuning"],
    bases: &[
        "tiny-llama",
        "tiny-mistral",
        "tiny-qwen2",
        "families/phi3",
        "families/gemma2",
        "families/gpt2",
        "families/gpt_neox",
    ],
};

/// What full tuning and freezing leave is a model of transformers.
const TRANSFORMERS: Library = Library { name: "transformers", methods: &["full", "freeze"], ..PEFT };

const ADAPTERS: Library = Library {
    name: "adapters",
    python: "PYTHON_WITH_ADAPTERS",
    methods: &["bottleneck"],
    // Of the families, these are the ones that it knows.
    bases: &["tiny-llama", "tiny-mistral", "families/gpt2"],
};

/// As `tests/peft/real_libraries.py` has them.
const WRITTEN_BY_PEFT: [&str; 10] = [
    "lora",
    "lora_own_weights",
    "lora_rank_stabilised",
    "lora_ranks",
    "dora",
    "ia3",
    "prefix",
    "prefix_projected",
    "prompt",
    "p_tuning",
];
const WRITTEN_BY_ADAPTERS: [&str; 2] = ["houlsby", "pfeiffer"];

impl Library {
    /// Has the script open or write adapters below `folder`.
    fn run(&self, what: &str, folder: &Path, bases: &[&str]) {
        let python = std::env::var(self.python).unwrap_or_else(|_| {
            panic!("{} must name a Python with {}: see .ci/peft", self.python, self.name)
        });
        let script = fixture("../peft/real_libraries.py");
        let output = Command::new(python)
            .args([script.as_os_str(), what.as_ref(), self.name.as_ref(), folder.as_os_str()])
            .args(bases)
            .envs([("HF_HUB_OFFLINE", "1"), ("OMP_NUM_THREADS", "1")])
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    }

    fn recipes(&self, config: &DecoderConfig) -> Vec<(String, Recipe)> {
        let norm = config.family.table().names.final_norm.and_then(|name| name.rsplit('.').next());
        // A model with one matrix for both trains both; PEFT has a copy of each.
        let names = [config.family.table().names.embedding, "lm_head"];
        let tables = if config.has_tied_embeddings { &names[..] } else { &names[1..] };
        let whole: Vec<_> = norm.into_iter().chain(tables.iter().copied()).collect();
        let more = [
            recipe(&["method.rank=3", "method.rank_stabilised=true", "optimizer.learning_rate=0.01"]),
            // Layers that most families have under some name.
            recipe(&[
                "method.rank=2",
                r#"method.rank_pattern={"(c_attn|query_key_value|qkv_proj|v_proj)" = 3}"#,
                r#"method.alpha_pattern={".*\\.1\\..*(c_proj|dense|o_proj)" = 5.0}"#,
                "optimizer.learning_rate=0.01",
            ]),
            recipe(&[
                "method.rank=2",
                "method.bias=all",
                &format!("method.modules_to_save={whole:?}"),
                "optimizer.learning_rate=0.01",
            ]),
        ];
        let own =
            methods::recipes().chain(more).filter(|recipe| self.methods.contains(&recipe.method.kind()));
        own.enumerate().map(|(index, recipe)| (format!("{index}_{}", recipe.method.kind()), recipe)).collect()
    }

    /// Trains a few updates with each of its methods on each model: the library takes every tensor of the file and gets the
    /// same logits with it.
    fn opens_what_was_trained(&self) {
        let temp = tempfile::tempdir().unwrap();
        let mut trained = BTreeSet::new();
        for base in self.bases {
            let model = model_of(decoder(&format!("parity/{base}/model")));
            for (name, recipe) in self.recipes(model.config()) {
                let name = format!("{base}/{name}");
                train(&model, recipe, &temp.path().join(&name));
                trained.insert(name);
            }
        }
        self.run("open", temp.path(), &[]);
        let text = std::fs::read(temp.path().join("errors.json")).unwrap();
        let errors: BTreeMap<String, f64> = serde_json::from_slice(&text).unwrap();
        assert_eq!(errors.keys().cloned().collect::<BTreeSet<_>>(), trained);
        for (name, error) in errors {
            assert!(error < BOUND, "{name}: {error}");
        }
    }

    /// Has the library write an adapter of each kind on each model: the same logits here.
    fn writes_what_is_opened(&self, kinds: &[&str]) {
        let temp = tempfile::tempdir().unwrap();
        self.run("write", temp.path(), self.bases);
        for base in self.bases {
            let decoder = decoder(&format!("parity/{base}/model"));
            for kind in kinds {
                let folder = temp.path().join(base).join(kind);
                let case =
                    candle_core::safetensors::load(folder.join("case.safetensors"), &Device::Cpu).unwrap();
                let ids = case["ids"].to_dtype(DType::U32).unwrap().to_vec1::<u32>().unwrap();
                let adapter = files::load(&folder, decoder.config(), &Device::Cpu)
                    .unwrap_or_else(|refusal| panic!("{base} {kind}: {refusal}"));
                let got = logits(&decoder, adapter.hooks().unwrap().as_ref(), ids);
                let error = largest(&(&got - &case["logits"]).unwrap()) / largest(&case["logits"]);
                assert!(error < BOUND, "{base} {kind}: {error}");
            }
            let num = std::fs::read_dir(temp.path().join(base)).unwrap().count();
            assert_eq!(num, kinds.len(), "{base}: some that it wrote were not opened");
        }
    }
}

/// Writes what a run leaves, and beside it a row of tokens with its logits, read back from the files.
fn train(model: &LoadedModel, recipe: Recipe, to: &Path) {
    let temp = tempfile::tempdir().unwrap();
    let settings = ["length.updates=3", "checkpoint.every_updates=0", "validation.every_updates=0"];
    let few = self::recipe(&settings);
    let recipe =
        Recipe { length: few.length, checkpoint: few.checkpoint, validation: few.validation, ..recipe };
    let finished = run(model, &dataset(model, 6), &recipe, &temp.path().join("run"), false, |_, _| {});
    assert_eq!(finished.outcome.unwrap(), Outcome::Done, "{}", to.display());
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::rename(finished.folder.adapter_dir(), to).unwrap();
    let adapter = files::load(to, model.config(), &Device::Cpu).unwrap();
    let ids: Vec<u32> = (0..14).map(|i| (i * 37 + 5) % (model.config().vocabulary as u32 - 3) + 3).collect();
    let logits = logits(&model.decoder, adapter.hooks().unwrap().as_ref(), ids.clone());
    let case = HashMap::from([("ids", Tensor::new(ids, &Device::Cpu).unwrap()), ("logits", logits)]);
    candle_core::safetensors::save(&case, to.join("case.safetensors")).unwrap();
}

fn logits(decoder: &Decoder, hooks: &dyn Hooks, ids: Vec<u32>) -> Tensor {
    let batch =
        Batch::pack([&Sample { weights: LossWeights::all(1.0, ids.len()), ids, ..Sample::default() }]);
    let hidden = decoder.forward(&Tape::inference(), &batch, hooks).unwrap();
    decoder.logits(hidden.value(), hooks).unwrap()
}

fn largest(values: &Tensor) -> f64 {
    f64::from(values.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap())
}

#[test]
#[ignore = "needs PEFT: .ci/peft runs it"]
fn peft_opens_what_was_trained() {
    PEFT.opens_what_was_trained();
}

#[test]
#[ignore = "needs transformers: .ci/peft runs it"]
fn transformers_opens_what_was_trained() {
    TRANSFORMERS.opens_what_was_trained();
}

#[test]
#[ignore = "needs the adapters library: .ci/peft runs it"]
fn adapters_opens_what_was_trained() {
    ADAPTERS.opens_what_was_trained();
}

#[test]
#[ignore = "needs PEFT: .ci/peft runs it"]
fn what_peft_writes_is_opened() {
    PEFT.writes_what_is_opened(&WRITTEN_BY_PEFT);
}

#[test]
#[ignore = "needs the adapters library: .ci/peft runs it"]
fn what_adapters_writes_is_opened() {
    ADAPTERS.writes_what_is_opened(&WRITTEN_BY_ADAPTERS);
}

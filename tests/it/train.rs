//! The training loop on a real (tiny) model: exact resume, early stopping, checkpoints, NaN, stop and discard.

use crate::parity::{decoder, fixture, lora};
use crate::tokenise::smollm2;
use candle_core::Device;
use std::path::Path;
use std::sync::Arc;
use tunesmith::base::{Control, DeviceChoice, Precision, Progress, Silent, Unit};
use tunesmith::data::labels::Labels;
use tunesmith::data::loader::Loader;
use tunesmith::data::prepare::{Dataset, PrepareOptions};
use tunesmith::data::stats::TokenStats;
use tunesmith::data::{Batch, Ledger, Row, Schema, Split, Table};
use tunesmith::model::decoder::Decoder;
use tunesmith::model::files::ModelFiles;
use tunesmith::model::hooks::{Hooks, NoHooks, Part};
use tunesmith::model::info::ModelInfo;
use tunesmith::model::load::{LoadedModel, Placement, load_decoder};
use tunesmith::model::text::TextSettings;
use tunesmith::nn::Tape;
use tunesmith::objective::Language;
use tunesmith::peft::{self, Full, Settings, format};
use tunesmith::project::event::Phase;
use tunesmith::project::{Outcome, RunEvent, RunFolder};
use tunesmith::recipe::plan::{DataFacts, Facts};
use tunesmith::recipe::{Plan, Recipe, load};
use tunesmith::train::report::Listener;
use tunesmith::train::validate::Measured;
use tunesmith::train::{self, Outside, bench};

pub fn model() -> LoadedModel {
    let (tokeniser, template) = smollm2();
    LoadedModel {
        identity: None,
        info: ModelInfo { source: "tiny-llama".into(), ..ModelInfo::default() },
        decoder: Arc::new(decoder("parity/tiny-llama/model")),
        tokeniser: Arc::new(tokeniser),
        template: Arc::new(template),
        text: Arc::new(TextSettings { eos_ids: vec![2], ..TextSettings::default() }),
    }
}

/// `num` samples of different lengths; the last four are for validation.
pub fn dataset(model: &LoadedModel, num: usize) -> Dataset {
    let samples: Vec<_> = (0..num)
        .map(|i| bench::random_samples(model.config().vocabulary, 1, 8 + i % 7, i as u64).remove(0))
        .collect();
    let mut table = Table::with_columns(["prompt", "completion"]);
    (0..num).for_each(|i| table.push_row(i as u64 + 1, ["a", "b"]));
    let schema = Schema::guess(&table);
    let row = |index| Row { hash: index as u64, ..schema.row(&table, index).unwrap() };
    let valid = num.saturating_sub(4).max(num.min(1));
    Dataset {
        schema: schema.clone(),
        labels: Labels::default(),
        source: "data.csv".into(),
        rows: (0..num).map(row).collect(),
        options: PrepareOptions::new(schema.clone()),
        table: Arc::new(table.clone()),
        split: Split { train: (0..valid).collect(), valid: (valid..num).collect(), test: Vec::new() },
        samples,
        ledger: Ledger::default(),
        stats: TokenStats::default(),
        template: model.template.clone(),
        tokeniser: model.tokeniser.clone(),
        general_text: None,
    }
}

pub fn recipe(settings: &[&str]) -> Recipe {
    let mut recipe = Recipe::default();
    let usual = [
        "length.updates=6",
        "batch.micro_batch_tokens=32",
        "batch.accumulation=2",
        "optimizer.learning_rate=0.005",
        "method.dropout=0.1",
        "validation.every_updates=2",
        "validation.num_answers=0",
        "checkpoint.every_updates=1",
        "early_stop.enabled=false",
    ];
    for setting in usual.iter().chain(settings) {
        load::set(&mut recipe, setting).unwrap();
    }
    recipe
}

pub fn plan(recipe: &Recipe, data: &Dataset) -> Plan {
    plan_on(Facts::default(), recipe, data)
}

/// On a machine of which something is known.
pub fn plan_on(machine: Facts, recipe: &Recipe, data: &Dataset) -> Plan {
    let facts = Facts {
        data: Some(DataFacts {
            num_train: data.split.train.len(),
            num_valid: data.split.valid.len(),
            trained_tokens: 1,
            ..DataFacts::default()
        }),
        ..machine
    };
    let lengths = data.split.train.iter().map(|i| data.samples[*i].len()).collect();
    let loader = Loader::new(lengths, recipe.batch.micro_batch_tokens, recipe.batch.packing, recipe.run.seed);
    Plan::new(recipe.clone(), &facts, loader.epoch(0).len() as u64).unwrap()
}

pub struct Finished {
    pub outcome: Result<Outcome, train::Failed>,
    pub events: Vec<RunEvent>,
    pub folder: RunFolder,
}

/// Runs into `at`; `watch` sees each event and may use the control.
pub fn run(
    model: &LoadedModel,
    data: &Dataset,
    recipe: &Recipe,
    at: &Path,
    resume: bool,
    watch: impl FnMut(&RunEvent, &Control),
) -> Finished {
    run_in(&plan(recipe, data), model, data, at, resume, &|| 0, watch)
}

/// As [`run`], with the memory that the process seems to have.
pub fn run_in(
    plan: &Plan,
    model: &LoadedModel,
    data: &Dataset,
    at: &Path,
    resume: bool,
    resident_bytes: &dyn Fn() -> u64,
    watch: impl FnMut(&RunEvent, &Control),
) -> Finished {
    run_tasks(plan, model, std::slice::from_ref(data), at, resume, resident_bytes, watch)
}

/// As [`run_in`], of a data set a task.
pub fn run_tasks(
    plan: &Plan,
    model: &LoadedModel,
    data: &[Dataset],
    at: &Path,
    resume: bool,
    resident_bytes: &dyn Fn() -> u64,
    watch: impl FnMut(&RunEvent, &Control),
) -> Finished {
    let recipe = plan.recipe();
    let folder = if resume { RunFolder::open(at) } else { RunFolder::create(at, recipe) }.unwrap();
    let mut follower = Follower::new(watch);
    let control = follower.control.clone();
    let outside = Outside { control: &control, resident_bytes };
    let outcome = train::run(plan, model, data, &folder, resume, outside, &mut follower);
    Finished { outcome, events: follower.events, folder }
}

/// Keeps what a run tells, and may use its control.
pub struct Follower<W> {
    watch: W,
    pub control: Control,
    pub events: Vec<RunEvent>,
}

impl<W: FnMut(&RunEvent, &Control)> Follower<W> {
    pub fn new(watch: W) -> Self {
        Self { watch, control: Control::new(), events: Vec::new() }
    }
}

impl<W> Progress for Follower<W> {
    fn report(&mut self, _phase: &str, _done: u64, _total: Option<u64>, _unit: Unit) {}
}

impl<W: FnMut(&RunEvent, &Control)> Listener for Follower<W> {
    fn take(&mut self, event: RunEvent) {
        (self.watch)(&event, &self.control);
        self.events.push(event);
    }
}

/// The phases of a run, in order.
pub fn phases(events: &[RunEvent]) -> Vec<Phase> {
    let phase = |event: &RunEvent| match event {
        RunEvent::Phase { phase } => Some(*phase),
        _ => None,
    };
    events.iter().filter_map(phase).collect()
}

/// A run in one piece, and one that was stopped after `update` and went on, in two folders under `at`.
pub fn whole_and_resumed(
    model: &LoadedModel,
    data: &Dataset,
    recipe: &Recipe,
    update: u64,
    at: &Path,
) -> (Finished, Finished) {
    std::fs::create_dir_all(at).unwrap();
    let whole = run(model, data, recipe, &at.join("whole"), false, |_, _| {});
    assert_eq!(*whole.outcome.as_ref().unwrap(), Outcome::Done);
    let at = at.join("resumed");
    let cut = run(model, data, recipe, &at, false, |event, control| {
        if matches!(event, RunEvent::Update { update: now, .. } if *now == update) {
            control.stop();
        }
    });
    assert_eq!(cut.outcome.unwrap(), Outcome::Stopped);
    drop(cut.folder);
    let resumed = run(model, data, recipe, &at, true, |_, _| {});
    assert_eq!(*resumed.outcome.as_ref().unwrap(), Outcome::Done);
    assert_eq!(losses(&resumed.events), losses(&whole.events)[update as usize..]);
    assert_eq!(losses(&resumed.folder.events().unwrap()), losses(&whole.events));
    (whole, resumed)
}

pub fn losses(events: &[RunEvent]) -> Vec<(u64, f64)> {
    let update = |event: &RunEvent| match event {
        RunEvent::Update { update, loss, .. } => Some((*update, *loss)),
        _ => None,
    };
    events.iter().filter_map(update).collect()
}

pub fn validations(events: &[RunEvent]) -> Vec<(u64, f64, bool)> {
    let validation = |event: &RunEvent| match event {
        RunEvent::Validation { update, loss, best, .. } => Some((*update, *loss, *best)),
        _ => None,
    };
    events.iter().filter_map(validation).collect()
}

pub fn bytes(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

/// What full tuning leaves is a model like any other, and the same as an adapter over its base.
#[test]
fn full_tuning_ends_in_a_model_folder() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 12);
    let at = temp.path().join("run");
    let done = run(&model, &data, &recipe(&["method.kind=full"]), &at, false, |_, _| {});
    assert_eq!(done.outcome.unwrap(), Outcome::Done);
    let first = losses(&done.events).first().unwrap().1;
    assert!(losses(&done.events).last().unwrap().1 < 0.9 * first);

    let folder = done.folder.adapter_dir();
    let logits = |decoder: &Decoder, hooks: &dyn Hooks| {
        let hidden = decoder.forward(&Tape::inference(), &Batch::pack([&data.samples[0]]), hooks).unwrap();
        decoder.logits(hidden.value(), hooks).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |name: &str| std::fs::metadata(folder.join(name)).unwrap().permissions().mode();
        assert_eq!(mode("model.safetensors"), mode("config.json"), "others may read it as they may the rest");
    }
    let files = ModelFiles::open("tuned", &folder).unwrap();
    assert_eq!(&files.config, model.config());
    assert_eq!(files.text.eos_ids, [2]);
    assert_eq!(files.tokeniser().unwrap().encode("a 12").unwrap(), model.tokeniser.encode("a 12").unwrap());
    let tuned = load_decoder(&files, Placement::default(), &Control::new(), &mut Silent).unwrap();
    let alone = logits(&tuned, &NoHooks);
    let adapter = peft::files::load(&folder, model.config(), &Device::Cpu).unwrap();
    assert_eq!(adapter.settings, Settings::Full(Full {}));
    assert_eq!(adapter.base_model, "tiny-llama");
    assert_eq!(alone, logits(&model.decoder, adapter.hooks().unwrap().as_ref()));
    assert_ne!(alone, logits(&model.decoder, &NoHooks));

    // Of a model with other shapes it says which tensor is the first one that differs.
    let other = decoder("parity/tiny-qwen2/model");
    let refusal = peft::files::load(&folder, other.config(), &Device::Cpu).unwrap_err().to_string();
    assert!(refusal.contains("model.layers.0") && refusal.contains("bias"), "{refusal}");
}

#[test]
fn a_validation_is_paused_and_goes_on() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 20);
    let done =
        run(&model, &data, &recipe(&[]), &temp.path().join("r"), false, |event, control| match event {
            RunEvent::Phase { phase: Phase::Validating } if !control.is_paused() => control.pause(),
            RunEvent::Phase { phase: Phase::Paused } => control.resume(),
            _ => {}
        });
    assert_eq!(done.outcome.unwrap(), Outcome::Done);
    let phases = phases(&done.events);
    assert!(
        phases.windows(3).any(|p| p == [Phase::Validating, Phase::Paused, Phase::Validating]),
        "{phases:?}"
    );
    assert_eq!(validations(&done.events).len(), 3);
}

/// The same LoRA with moments of eight bits ends within three percent of the loss of 32 bits.
#[test]
fn eight_bit_moments_train_as_well() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 12);
    let of = |kind: &str| {
        let kind_set = format!("optimizer.kind={kind}");
        let recipe =
            recipe(&[&kind_set, "length.updates=50", "optimizer.learning_rate=0.02", "method.dropout=0"]);
        losses(&run(&model, &data, &recipe, &temp.path().join(kind), false, |_, _| {}).events)
    };
    let mean = |of: &[(u64, f64)]| of.iter().map(|(_, loss)| loss).sum::<f64>() / of.len() as f64;
    let (adamw, coded) = (of("adamw"), of("adamw_8bit"));
    let (before, end, coded_end) = (mean(&adamw[..5]), mean(&adamw[45..]), mean(&coded[45..]));
    assert!(end < 0.9 * before, "{before} {end}");
    assert!((coded_end / end - 1.0).abs() < 0.03, "{end} {coded_end}");
}

#[test]
fn the_same_seed_gives_the_same_losses_and_another_one_others() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 12);
    let go = |name: &str, setting: &str| {
        let recipe = recipe(&["length.updates=3", setting]);
        losses(&run(&model, &data, &recipe, &temp.path().join(name), false, |_, _| {}).events)
    };
    let first = go("a", "run.seed=1");
    assert_eq!(first, go("b", "run.seed=1"));
    assert_ne!(first, go("c", "run.seed=2"));
}

/// Whatever is trained, and by whichever rule.
#[test]
fn running_blocks_again_gives_the_same_run() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 12);
    let kinds = ["adamw", "adamw_8bit", "lion", "sgd"].map(|kind| format!("optimizer.kind={kind}"));
    for (i, (method, kind)) in
        ["lora", "full"].iter().flat_map(|m| kinds.iter().map(move |k| (m, k))).enumerate()
    {
        let of = |how: &str| {
            let method = format!("method.kind={method}");
            let checkpointing = format!("run.checkpointing={how}");
            let recipe = recipe(&[&method, kind, &checkpointing, "length.updates=3"]);
            let at = temp.path().join(format!("{i}-{how}"));
            losses(&run(&model, &data, &recipe, &at, false, |_, _| {}).events)
        };
        let whole = of("none");
        assert_eq!(whole.len(), 3);
        assert_eq!(whole, of("all"), "{method}, {kind}");
    }
}

/// QLoRA: an adapter that was trained on weights of four bits works on the dense model as well.
#[test]
fn an_adapter_is_trained_on_quantised_weights() {
    let (dense, temp) = (model(), tempfile::tempdir().unwrap());
    let files = ModelFiles::open("tiny", &fixture("parity/tiny-llama/model")).unwrap();
    let placement = Placement { precision: Precision::Q4_0, ..DeviceChoice::Cpu.into() };
    let decoder = load_decoder(&files, placement, &Control::new(), &mut Silent).unwrap();
    let quantised = LoadedModel { decoder: Arc::new(decoder), ..model() };
    let data = dataset(&quantised, 20);
    let recipe =
        recipe(&["length.updates=30", "optimizer.learning_rate=0.02", "validation.every_updates=1000"]);
    let run = run(&quantised, &data, &recipe, &temp.path().join("r"), false, |_, _| {});
    assert_eq!(run.outcome.unwrap(), Outcome::Done);
    let samples: Vec<_> = data.samples.iter().collect();
    let loss = |model: &LoadedModel, hooks: &dyn Hooks| {
        let measured = Measured { model, hooks, objective: &Language, budget_tokens: 64 };
        train::validate::loss_of(measured, &samples, &mut |_| Ok(true), &|| Ok(())).unwrap().unwrap().mean()
    };
    let adapter = format::load(&run.folder.adapter_dir(), dense.config(), &Device::Cpu).unwrap();
    let tuned = adapter.hooks().unwrap();
    for model in [&quantised, &dense] {
        let (before, after) = (loss(model, &NoHooks), loss(model, tuned.as_ref()));
        assert!(after < before - 0.1, "{before} -> {after}");
    }
}

#[test]
fn one_batch_can_be_learnt_by_heart() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let mut data = dataset(&model, 2);
    data.split = Split { train: vec![0, 1], ..Split::default() };
    let recipe = recipe(&[
        "length.updates=400",
        "method.dropout=0.0",
        "method.rank=32",
        "optimizer.learning_rate=0.03",
        "checkpoint.every_updates=1000",
    ]);
    let done = run(&model, &data, &recipe, &temp.path().join("run"), false, |_, _| {});
    let losses = losses(&done.events);
    let (first, last) = (losses[0].1, losses.last().unwrap().1);
    // Normed states have the norm 8 and rows of the frozen head about 0.64, so no logit exceeds about 5.1: the
    // best that any adapter can reach over 512 tokens is a loss of about 1.6.
    assert!(first > 6.0 && last < 1.7, "{first} {last}");
}

#[test]
fn a_paused_run_waits() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 12);
    let mut resumer = None;
    let done = run(
        &model,
        &data,
        &recipe(&["length.updates=3"]),
        &temp.path().join("p"),
        false,
        |event, control| {
            if matches!(event, RunEvent::Update { update: 1, .. }) {
                control.pause();
                let control = control.clone();
                let waker = std::thread::Builder::new().spawn(move || {
                    std::thread::sleep(std::time::Duration::from_millis(120));
                    control.resume();
                });
                resumer = Some(waker.unwrap());
            }
        },
    );
    resumer.unwrap().join().unwrap();
    assert_eq!(done.outcome.unwrap(), Outcome::Done);
    assert_eq!(losses(&done.events).len(), 3);
}

#[test]
fn a_new_adapter_changes_nothing_and_frozen_weights_stay_as_they_are() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 12);
    let head = || {
        let head = model.decoder.tensor(Part::Head).unwrap();
        head.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let before = head();
    let fresh = train::trainee::new_adapter(&recipe(&[]).method, &model, 3).unwrap();
    let ids = &data.samples[0].ids;
    let logits = |hooks: &dyn tunesmith::model::hooks::Hooks| {
        let mut cache = tunesmith::model::cache::Cache::new(model.config().num_layers);
        model.decoder.extend(ids, &mut cache, hooks).unwrap()
    };
    let base = logits(&tunesmith::model::hooks::NoHooks);
    assert_eq!(base, logits(fresh.hooks().unwrap().as_ref()));
    let done = run(&model, &data, &recipe(&[]), &temp.path().join("r"), false, |_, _| {});
    assert_eq!(base, logits(&tunesmith::model::hooks::NoHooks));
    assert_eq!(before, head());
    let tuned = format::load(&done.folder.adapter_dir(), model.config(), &Device::Cpu).unwrap();
    assert_ne!(base, logits(tuned.hooks().unwrap().as_ref()));
}

#[test]
fn hostile_adapters_are_refused_with_the_reason() {
    let model = model();
    let temp = tempfile::tempdir().unwrap();
    let good = fixture("parity/tiny-llama/adapter_init");
    let config = std::fs::read_to_string(good.join("adapter_config.json")).unwrap();
    let weights = std::fs::read(good.join("adapter_model.safetensors")).unwrap();
    let refused = |config: &str, weights: &[u8]| {
        std::fs::write(temp.path().join("adapter_config.json"), config).unwrap();
        std::fs::write(temp.path().join("adapter_model.safetensors"), weights).unwrap();
        format::load(temp.path(), model.config(), &Device::Cpu).unwrap_err().to_string()
    };
    for (from, to, word) in [
        ("\"use_dora\": false", "\"use_dora\": true", "magnitude"),
        ("\"bias\": \"none\"", "\"bias\": \"some\"", "lora_only"),
        ("\"modules_to_save\": null", "\"modules_to_save\": [\"q_proj\"]", "q_proj"),
        ("\"modules_to_save\": null", "\"modules_to_save\": [\"lm_head\"]", "embed_tokens"),
        ("\"r\": 4", "\"r\": 8", "shape"),
        ("\"peft_type\": \"LORA\"", "\"peft_type\": \"IA3\"", "IA3"),
        ("\"v_proj\",", "", "no place"),
        ("\"v_proj\"", "\"wo\"", "wo"),
        ("\"r\": 4", "\"r\": 0", "rank"),
        ("{", "", "not valid JSON"),
    ] {
        assert!(config.contains(from), "{from}");
        let error = refused(&config.replacen(from, to, 1), &weights);
        assert!(error.contains(word), "{to}: {error}");
    }
    for cut in [0, 7, 100, weights.len() - 1] {
        assert!(refused(&config, &weights[..cut]).contains("safetensors"));
    }
    assert!(refused(&config, &[0xFF; 4096]).contains("safetensors"));
}

#[test]
fn the_benchmark_measures_real_updates() {
    let model = model();
    let data = dataset(&model, 4);
    let plan = plan(&recipe(&["batch.micro_batch_tokens=64", "batch.max_tokens=16"]), &data);
    let options = bench::BenchOptions { batch: 4, seq: 16, updates: 3, supervised: 0.5, profile: true };
    let report = bench::train(&plan, &model, options, &Control::new()).unwrap().unwrap();
    assert!(report.tokens_per_second > 0.0 && report.last_loss.is_finite());
    assert!(report.peak_flops_per_second > 1e8 && (1e-6..1.0).contains(&report.share_of_peak), "{report:?}");
    let calls = |name| report.operations.iter().find(|o| o.operation == name).unwrap().calls;
    // in each of two micro-steps: two blocks of four projections, two norms a block and the last one
    assert_eq!((calls("low_rank_linear"), calls("rms_norm"), calls("linear_cross_entropy")), (16, 10, 2));
    assert!(report.operations.iter().all(|o| o.forward_secs > 0.0));
    assert_eq!((report.batch, report.seq, report.updates), (4, 16, 3));
}

#[test]
fn an_adapter_of_peft_comes_back_as_it_was() {
    let model = model();
    let temp = tempfile::tempdir().unwrap();
    let original = fixture("parity/tiny-llama/adapter_init");
    let cpu = candle_core::Device::Cpu;
    let adapter = format::load(&original, model.config(), &cpu).unwrap();
    format::save(&adapter, lora(&adapter), temp.path()).unwrap();
    let name = "adapter_model.safetensors";
    let tensors = |folder: &Path| candle_core::safetensors::load(folder.join(name), &cpu).unwrap();
    let (before, after) = (tensors(&original), tensors(temp.path()));
    assert_eq!(before.len(), after.len());
    for (name, tensor) in before {
        let values = |t: &candle_core::Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(&tensor), values(&after[&name]), "{name}");
    }
    let config = |folder: &Path| -> serde_json::Value {
        serde_json::from_slice(&bytes(folder, "adapter_config.json")).unwrap()
    };
    let (before, after) = (config(&original), config(temp.path()));
    for key in ["peft_type", "task_type", "r", "bias", "use_rslora", "fan_in_fan_out"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    assert_eq!(before["lora_alpha"].as_f64(), after["lora_alpha"].as_f64());
    let names = |config: &serde_json::Value| {
        let mut names: Vec<String> = serde_json::from_value(config["target_modules"].clone()).unwrap();
        names.sort();
        names
    };
    assert_eq!(names(&before), names(&after));
}

/// What is said of validation is what is done: rows that are measured are counted, and no error passes for an answer.
#[test]
fn unanswered_questions_are_told_and_measured_rows_are_counted() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let mut data = dataset(&model, 20);
    // Of this tokenizer, the tiny model knows the first 512 tokens only.
    data.rows[17].index = data.table.num_rows();
    Arc::make_mut(&mut data.table).push_row(21, ["an unheard-of peach", "b"]);
    let recipe = recipe(&["validation.max_examples=2", "validation.num_answers=4"]);
    let done = run(&model, &data, &recipe, &temp.path().join("run"), false, |_, _| {});
    assert_eq!(done.outcome.unwrap(), Outcome::Done);
    let num_valid = done.events.iter().find_map(|event| match event {
        RunEvent::Started { num_valid, .. } => Some(*num_valid),
        _ => None,
    });
    assert_eq!(num_valid, Some(2));
    let mut num_sets = 0;
    for event in &done.events {
        if let RunEvent::Answers { answers, .. } = event {
            num_sets += 1;
            assert!(answers.len() < 4, "{answers:?}");
        }
    }
    let told = |event: &&RunEvent| matches!(event, RunEvent::Notice { text } if text.contains("Not every sample question"));
    assert_eq!((num_sets, done.events.iter().filter(told).count()), (3, 1));
}

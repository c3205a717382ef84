//! What follows from a recipe: the plan, and the estimate of memory and time.

use crate::recipe::{data, facts, model};
use tunesmith::base::Control;
use tunesmith::base::allocations::height_of;
use tunesmith::model::config::DecoderConfig;
use tunesmith::model::load::{LoadedModel, Placement};
use tunesmith::model::weights::save_state;
use tunesmith::objective::Language;
use tunesmith::recipe::estimate::{PROCESS_BYTES, estimate};
use tunesmith::recipe::plan::{DataFacts, Facts, ModelFacts, Speed};
use tunesmith::recipe::recipe::{DeviceChoice, Freeze, Method};
use tunesmith::recipe::{Plan, Recipe, load};
use tunesmith::train::bench::{random_samples, samples_for};
use tunesmith::train::feed::Rows;
use tunesmith::train::memory::Meter;
use tunesmith::train::trainer::Trainer;

#[test]
fn a_plan_follows_from_recipe_and_data() {
    let facts = facts();
    // settings, micro-batches -> updates, warm-up, validation every, checkpoint every
    type Case = (&'static [&'static str], u64, [u64; 4]);
    let cases: [Case; 7] = [
        (&["length.epochs=3", "schedule.warmup=0.1"], 100, [300, 30, 100, 100]),
        (&["length.epochs=3", "batch.accumulation=4", "schedule.warmup=0"], 100, [75, 0, 25, 25]),
        (&["length.epochs=0.5", "schedule.warmup=0"], 3, [2, 0, 2, 2]),
        (&["length.updates=7", "schedule.warmup=1"], 100, [7, 7, 7, 7]),
        (&["validation.every_updates=10", "length.updates=40", "schedule.warmup=0"], 100, [40, 0, 10, 10]),
        (&["checkpoint.every_updates=6", "length.updates=40", "schedule.warmup=0"], 20, [40, 0, 20, 6]),
        (&["length.epochs=1", "batch.accumulation=7", "schedule.warmup=0"], 10, [2, 0, 1, 1]),
    ];
    for (settings, micro_batches, expected) in cases {
        let mut recipe = Recipe::default();
        for setting in settings {
            load::set(&mut recipe, setting).unwrap();
        }
        let plan = Plan::new(recipe, &facts, micro_batches).unwrap();
        let got = [
            plan.num_updates(),
            plan.schedule().warmup_updates,
            plan.validation_every(),
            plan.checkpoint_every(),
        ];
        assert_eq!(got, expected, "{settings:?}");
    }
    let mut nothing_to_validate = facts;
    data(&mut nothing_to_validate).num_valid = 0;
    let plan = Plan::new(Recipe::default(), &nothing_to_validate, 100).unwrap();
    assert_eq!((plan.validation_every(), plan.checkpoint_every()), (u64::MAX, 100));
}

#[test]
fn the_estimate_counts_what_lora_trains() {
    let mut recipe = Recipe::default();
    let speed = Some(Speed { device: DeviceChoice::Cpu, flops_per_second: 1.6e11 });
    let of = |recipe: &Recipe| {
        estimate(recipe, &Facts { model: Some(model()), speed, ..Facts::default() }, 1_000_000).unwrap()
    };
    // Rank 8 on all seven layers of SmolLM2 135M: 30 * 8 * (2*(576+576) + 2*(192+576) + 3*(1536+576))
    let all = of(&recipe);
    assert_eq!(all.num_trainable_params, 30 * 8 * (2 * 1152 + 2 * 768 + 3 * 2112));
    assert_eq!(all.weights_bytes, 4 * 134_515_008);
    // Updates reach half of what products do alone.
    assert!((all.secs - 4.0 * 134_515_008.0 * 1e6 / 8e10).abs() < 1e-6);
    load::set(&mut recipe, "method.target_modules=q_proj,v_proj").unwrap();
    assert_eq!(of(&recipe).num_trainable_params, 30 * 8 * (1152 + 768));
    assert!(of(&recipe).memory_bytes < all.memory_bytes && of(&recipe).disk_bytes < all.disk_bytes);
    load::set(&mut recipe, "batch.micro_batch_tokens=4096").unwrap();
    assert!(of(&recipe).activation_bytes > 4 * all.activation_bytes);
}

#[test]
fn the_estimate_counts_what_each_optimizer_remembers() {
    let mut recipe = Recipe::default();
    let mut of = |kind: &str| {
        load::set(&mut recipe, &format!("optimizer.kind={kind}")).unwrap();
        estimate(&recipe, &Facts { model: Some(model()), ..Facts::default() }, 1_000_000).unwrap()
    };
    let [adamw, coded, lion, sgd] = ["adamw", "adamw_8bit", "lion", "sgd"].map(&mut of);
    let params = adamw.num_trainable_params;
    // The moments, and the gradient.
    assert_eq!(adamw.optimizer_bytes, (8 + 4) * params);
    assert_eq!(lion.optimizer_bytes, (4 + 4) * params);
    assert_eq!(sgd.optimizer_bytes, lion.optimizer_bytes);
    assert_eq!(coded.optimizer_bytes, (2 + 4) * params + 8 * params.div_ceil(256));
    assert!(coded.disk_bytes < lion.disk_bytes && lion.disk_bytes < adamw.disk_bytes);
}

/// A budget of 65,536 tokens was counted in full for data of 40,000: fourteen times what the run then took.
#[test]
fn the_estimate_counts_no_more_tokens_than_there_are() {
    let mut recipe = Recipe::default();
    let mut facts = facts();
    let activations =
        |recipe: &Recipe, facts: &Facts| estimate(recipe, facts, 1_000_000).unwrap().activation_bytes;
    let usual = activations(&recipe, &facts);
    load::set(&mut recipe, "batch.micro_batch_tokens=40000").unwrap();
    let all = activations(&recipe, &facts);
    assert!(all > 10 * usual);
    load::set(&mut recipe, "batch.micro_batch_tokens=65536").unwrap();
    assert_eq!(activations(&recipe, &facts), all);
    data(&mut facts).train_tokens = 400;
    let few = activations(&recipe, &facts);
    assert!(few < usual);
    // Without packing, a micro-batch is one example.
    load::set(&mut recipe, "batch.packing=false").unwrap();
    assert!(activations(&recipe, &facts) < few);
}

#[test]
fn blocks_are_run_again_where_memory_is_short() {
    let mut recipe = Recipe::default();
    let mut facts = facts();
    let mut of = |recipe: &Recipe, free: u64| {
        facts.free_memory_bytes = free;
        estimate(recipe, &facts, 1_000_000).unwrap()
    };
    let plain = of(&recipe, 1 << 40);
    let saving = of(&recipe, plain.memory_bytes);
    assert!(!plain.has_checkpoints && saving.has_checkpoints);
    assert!(saving.activation_bytes < plain.activation_bytes / 3 && saving.secs > plain.secs);
    load::set(&mut recipe, "run.checkpointing=none").unwrap();
    assert_eq!(of(&recipe, 1).memory_bytes, plain.memory_bytes);
    load::set(&mut recipe, "run.checkpointing=all").unwrap();
    assert!(of(&recipe, 1 << 40).has_checkpoints);
}

/// Of a device that was measured, and of no other.
#[test]
fn the_estimate_of_time_follows_the_machine() {
    let speed = |flops_per_second| Some(Speed { device: DeviceChoice::Cpu, flops_per_second });
    let secs = |speed, device: &str| {
        let mut recipe = Recipe::default();
        load::set(&mut recipe, &format!("run.device={device}")).unwrap();
        estimate(&recipe, &Facts { speed, has_cuda: true, ..facts() }, 1_000_000).unwrap().secs
    };
    let slow = secs(speed(5e10), "cpu");
    assert!((slow / secs(speed(1e11), "cpu") - 2.0).abs() < 1e-9);
    assert_eq!(secs(speed(5e10), "auto"), secs(None, "auto"), "of the graphics card nothing is known");
    assert_ne!(slow, secs(None, "cpu"));
}

/// Halving a budget that is far above the data changes nothing.
#[test]
fn a_fix_for_memory_lowers_what_the_run_needs() {
    let mut recipe = Recipe::default();
    load::set(&mut recipe, "batch.micro_batch_tokens=1000000").unwrap();
    let facts = Facts { free_memory_bytes: 1 << 30, ..facts() };
    let needed = |recipe: &Recipe| estimate(recipe, &facts, 0).unwrap().memory_bytes;
    let problems = recipe.check(&facts);
    let fix = problems.iter().find(|p| p.text.contains("are the limit")).and_then(|p| p.fix.clone()).unwrap();
    let before = needed(&recipe);
    load::apply(&mut recipe, &fix).unwrap();
    assert!(needed(&recipe) < before, "{fix:?}");
}

/// Freezing stops the way back: less time, fewer activations, and the words say where; a tied head takes it to the bottom again.
#[test]
fn freezing_says_where_the_way_back_ends() {
    let of = |freeze: Freeze| {
        let recipe = Recipe { method: Method::Freeze(freeze), ..Recipe::default() };
        estimate(&recipe, &facts(), 100_000).unwrap()
    };
    let (top, more) = (of(Freeze::default()), of(Freeze { blocks: 15, ..Freeze::default() }));
    let all = of(Freeze { blocks: 30, embeddings: true, ..Freeze::default() });
    let stop = top.backward_stop.unwrap();
    assert_eq!((stop.block, stop.num_blocks, all.backward_stop), (28, 30, None));
    assert!(stop.describe().starts_with("Backward stops at block 28 of 30: about "), "{}", stop.describe());
    assert!(top.secs < more.secs && more.secs < all.secs && top.secs > 0.33 * all.secs);
    assert!(top.activation_bytes < more.activation_bytes && more.activation_bytes < all.activation_bytes);
    assert!(top.disk_bytes >= 4 * 134_515_008, "the result is a whole model");
    let tied = of(Freeze { head: true, ..Freeze::default() });
    assert_eq!(tied.backward_stop, None);
}

/// What is done against forgetting costs an update a micro-step of text, and a way forward of the base for what it reads.
#[test]
fn controls_against_forgetting_are_counted() {
    let of = |settings: &[&str]| {
        let mut recipe = Recipe::default();
        for setting in settings {
            load::set(&mut recipe, setting).unwrap();
        }
        let data = DataFacts {
            num_train: 40,
            num_valid: 4,
            train_tokens: 4 * 512,
            trained_tokens: 1000,
            longest_tokens: 100,
            ..DataFacts::default()
        };
        Plan::new(recipe, &Facts { data: Some(data), ..facts() }, 4).unwrap().estimate()
    };
    let (text, replay, kl) = ("forgetting.text=x", "forgetting.replay_weight=1", "forgetting.kl_weight=1");
    let plain = of(&[]);
    assert_eq!(of(&[text]), plain, "measuring is no training");
    // Updates of 512 tokens and 512 of text beside them; the base's way forward is half of LoRA's four operations.
    for (settings, times) in
        [(&[text, replay][..], 2.0), (&[kl], 1.5), (&[text, kl], 2.5), (&[text, kl, replay], 2.5)]
    {
        let ratio = of(settings).secs / plain.secs;
        assert!((ratio - times).abs() < 0.01, "{settings:?}: {ratio}");
    }
    let logits = 4 * 256 * facts().model.unwrap().config.vocabulary as u64;
    let more = of(&[kl]).activation_bytes - plain.activation_bytes;
    assert!(more > logits && more < 2 * logits, "{more} for the base's logits of {logits}");
}

/// A model whose activations weigh as much as its weights.
fn mid_sized() -> DecoderConfig {
    DecoderConfig {
        num_layers: 6,
        width: 256,
        num_heads: 8,
        num_kv_heads: 4,
        head_width: 32,
        ffn_width: 704,
        vocabulary: 6000,
        context_tokens: 512,
        has_tied_embeddings: true,
        ..DecoderConfig::default()
    }
}

/// The same in two stacks.
fn two_stacks(family: &str) -> DecoderConfig {
    let proj = if family == "t5" { "relu" } else { "gated-gelu" };
    let said = serde_json::json!({
        "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "feed_forward_proj": proj,
        "num_layers": 4, "num_decoder_layers": 3, "d_model": 256, "num_heads": 8, "d_kv": 32, "d_ff": 704, "vocab_size": 6000,
        "tie_word_embeddings": family == "t5", "decoder_start_token_id": 0, "pad_token_id": 0,
    });
    DecoderConfig::from_json(std::path::Path::new("config.json"), &said.to_string()).unwrap()
}

/// The facts of training it on `n` tokens at once.
fn facts_of(config: &DecoderConfig, n: usize) -> Facts {
    let num_params = config.num_params();
    let model = ModelFacts {
        config: config.clone(),
        num_params,
        // What is made up comes in f32.
        stored_bytes: 4 * num_params,
        ..ModelFacts::default()
    };
    let data = DataFacts {
        num_train: 2,
        train_tokens: n as u64,
        trained_tokens: if config.encoder.is_some() { n / 2 } else { n } as u64,
        longest_tokens: n / 2,
        ..DataFacts::default()
    };
    Facts { model: Some(model), data: Some(data), ..Facts::default() }
}

/// The estimate without the program itself, against the most memory that loading, an update and a checkpoint ask for at once.
fn expected_and_measured(config: DecoderConfig, settings: &[&str]) -> (u64, u64) {
    const N: usize = 640;
    let mut recipe = Recipe::default();
    let usual = ["batch.max_tokens=320", "batch.micro_batch_tokens=640", "run.device=cpu"];
    for setting in usual.iter().chain(settings) {
        load::set(&mut recipe, setting).unwrap();
    }
    let facts = facts_of(&config, N);
    let placement = Placement { device: DeviceChoice::Cpu, precision: recipe.base_precision() };
    let plan = Plan::new(recipe, &facts, 1).unwrap();
    let samples = samples_for(&config, 2, N / 2, 1);
    let has_text = plan.recipe().forgetting.text.is_some();
    let text = if has_text { random_samples(config.vocabulary, 2, N / 2, 2) } else { Vec::new() };
    let (measured, ()) = height_of(|| {
        let model = LoadedModel::random("made up", config, placement).unwrap();
        let meter = Meter::new(&|| 0, None);
        let mut trainer =
            Trainer::new(&plan, &model, vec![Rows::shuffled(&Language, &samples)], &text, meter).unwrap();
        assert!(trainer.update(&Control::new()).unwrap().is_some());
        // As a checkpoint does.
        let file = tempfile::NamedTempFile::new().unwrap();
        save_state(&trainer.optimizer.state(), file.path()).unwrap();
    });
    (plan.estimate().memory_bytes - PROCESS_BYTES, measured)
}

/// Each kind of method, what blocks keep, what the optimizer remembers, and how weights are kept; no machine has a say
/// in it.
fn check_against_the_measured() {
    let variants: [&[&str]; 6] = [
        &[],
        &["run.checkpointing=all"],
        &["model.precision=q8_0"],
        &["optimizer.kind=adamw_8bit"],
        &[
            "forgetting.text=x",
            "forgetting.replay_weight=1",
            "forgetting.kl_weight=1",
            "forgetting.l2_weight=1",
        ],
        &["optimizer.in_backward=true", "optimizer.clip_norm=none"],
    ];
    let mut wrong = Vec::new();
    for (method, variant) in Method::all().iter().flat_map(|method| variants.map(|variant| (method, variant)))
    {
        wrong.extend(far_from_the_measured(mid_sized(), method, variant));
    }
    assert!(wrong.is_empty(), "settings, expected, measured, their ratio: {wrong:#?}");
}

/// Settings, and by how much the estimate is wrong, where that is more than 15 %.
fn far_from_the_measured(config: DecoderConfig, method: &Method, variant: &[&str]) -> Option<(String, f64)> {
    let kind = format!("method.kind={}", method.kind());
    let settings = [&[kind.as_str(), "run.checkpointing=none"], variant].concat();
    let title = config.family.table().title;
    let (expected, measured) = expected_and_measured(config, &settings);
    let ratio = expected as f64 / measured as f64;
    println!("{title} {settings:?}: {expected} expected, {measured} measured, {ratio:.3}");
    (!(0.85..=1.15).contains(&ratio)).then(|| (format!("{title} {}", settings.join(" ")), ratio))
}

/// Of two stacks, with and without a gate, each method that they are tuned with.
fn check_two_stacks() {
    let variants: [&[&str]; 4] =
        [&[], &["run.checkpointing=all"], &["model.precision=q8_0"], &["optimizer.kind=adamw_8bit"]];
    let mut wrong = Vec::new();
    for config in ["t5", "flan"].map(two_stacks) {
        for method in Method::all() {
            if matches!(method, Method::Prefix(_) | Method::Bottleneck(_)) {
                continue;
            }
            wrong.extend(variants.iter().filter_map(|v| far_from_the_measured(config.clone(), &method, v)));
        }
    }
    assert!(wrong.is_empty(), "settings and expected by measured: {wrong:#?}");
}

#[test]
fn the_estimate_is_what_two_stacks_take() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(check_two_stacks);
}

#[test]
fn the_estimate_is_what_every_method_takes() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(check_against_the_measured);
}

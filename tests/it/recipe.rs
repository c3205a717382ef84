//! Recipes: reading, setting, checking, planning, presets. Every problem names its field, and every fix helps.

use std::path::Path;
use tunesmith::model::config::DecoderConfig;
use tunesmith::peft::freeze::Kind;
use tunesmith::recipe::plan::{DataFacts, Facts, ModelFacts};
use tunesmith::recipe::recipe::{
    Checkpointing, DeviceChoice, Freeze, Lora, Method, Objective, OptimizerKind, PTuning, Prefix, Prompt,
    PromptInit, ScheduleShape,
};
use tunesmith::recipe::{MemoryLimit, Plan, Problem, Recipe, Severity, load};

/// SmolLM2 135M.
pub fn model() -> ModelFacts {
    ModelFacts {
        name: "smollm2-135m-instruct".into(),
        config: DecoderConfig {
            num_layers: 30,
            width: 576,
            num_heads: 9,
            num_kv_heads: 3,
            head_width: 64,
            ffn_width: 1536,
            vocabulary: 49152,
            context_tokens: 8192,
            has_tied_embeddings: true,
            ..DecoderConfig::default()
        },
        own_heads: Vec::new(),
        num_params: 134_515_008,
        stored_bytes: 91_700_000,
        has_chat_template: true,
        pooling: None,
    }
}

pub fn facts() -> Facts {
    let data = DataFacts {
        num_train: 400,
        num_valid: 50,
        num_test: 50,
        train_tokens: 40_000,
        trained_tokens: 10_000,
        longest_tokens: 120,
        num_overlong: 0,
        num_answer_cut: 0,
        ..DataFacts::default()
    };
    Facts {
        model: Some(model()),
        data: Some(data),
        free_memory_bytes: 16 << 30,
        resident_bytes: 0,
        free_disk_bytes: Some(100 << 30),
        has_cuda: false,
        has_metal: false,
        ..Facts::default()
    }
}

pub fn method(recipe: &mut Recipe) -> &mut Lora {
    recipe.method.lora_mut().unwrap()
}

fn at<'a>(problems: &'a [Problem], field: &str) -> &'a Problem {
    problems.iter().find(|p| p.field == field).unwrap_or_else(|| panic!("nothing at {field}: {problems:#?}"))
}

#[test]
fn an_empty_recipe_is_the_usual_one_and_writing_reads_back() {
    assert_eq!(load::from_toml("").unwrap(), Recipe::default());
    assert_eq!(load::from_toml("\u{feff}[run]\nseed = 3").unwrap().run.seed, 3);
    let mut recipe = Recipe::default();
    for setting in [
        "about=Früchte \"und\" 果物\\n",
        "data.path=/tmp/ein Ordner/früchte.csv",
        "data.encoding=windows-1252",
        "data.format=tsv",
        "data.separator=;",
        "data.has_header=false",
        "length.updates=7",
        "optimizer.clip_norm=none",
        "schedule.shape=linear",
        "method.rank=4",
        "run.memory_limit=6 GiB",
    ] {
        load::set(&mut recipe, setting).unwrap();
    }
    assert_eq!(load::from_toml(&load::write(&recipe).unwrap()).unwrap(), recipe);
    assert_eq!(recipe.optimizer.clip_norm, None, "what is switched off stays off");
    assert_eq!(recipe.run.memory_limit, MemoryLimit::Size(6 << 30));
    assert!(load::write(&recipe).unwrap().contains("memory_limit = \"6 GiB\""), "as it was written");
    assert_eq!(load::from_toml("[optimizer]\nclip_norm = 2").unwrap().optimizer.clip_norm, Some(2.0));
    assert_eq!(recipe.schedule.shape, ScheduleShape::Linear);
}

#[test]
fn misspelt_keys_name_the_key_and_the_nearest_right_one() {
    // (text, field, what the text says)
    let cases = [
        ("[optimizer]\nlerning_rate = 1e-3", "optimizer.lerning_rate", "optimizer.learning_rate"),
        ("[optimiser]\nlearning_rate = 1e-3", "optimiser", "\"optimizer\""),
        ("learning_rate = 1e-3", "learning_rate", "optimizer.learning_rate"),
        ("rank = 4", "rank", "method.rank"),
        ("[data.split]\nvalidd = 0.1", "data.split.validd", "data.split.valid"),
        ("[method]\nkind = \"lora\"\nranks = 4", "method.ranks", "method.rank"),
        ("[objective]\nkind = \"supervised\"\ntrain_onn = \"answers\"", "objective.train_onn", "train_on"),
        ("[method]\nkind = \"full\"\nrank = 4", "method.rank", "a setting of LoRA"),
        ("[method]\nblocks = 4", "method.blocks", "a setting of freezing"),
        ("[method]\nkind = \"freeze\"\nblokcs = 4", "method.blokcs", "method.blocks"),
        ("[method]\nkind = \"prompt\"\nprojection = true", "method.projection", "a setting of prefix tuning"),
        ("[method]\ninit = \"text\"", "method.init", "a setting of prompt tuning"),
        ("optimizer = 5", "optimizer", "section"),
    ];
    for (text, field, says) in cases {
        let problems = load::from_toml(text).unwrap_err();
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert_eq!(problems[0].field, field);
        assert!(problems[0].text.contains(says), "{text}: {}", problems[0].text);
    }
    let nothing_like_it = &load::from_toml("zzzzqq = 1").unwrap_err()[0];
    assert!(!nothing_like_it.text.contains("Did you mean"), "{}", nothing_like_it.text);
}

#[test]
fn values_that_do_not_fit_say_what_would() {
    let cases = [
        ("[run]\nmemory_limit = \"-1 GB\"", "run.memory_limit", "a share of the free memory such as 0.8"),
        ("[run]\nmemory_limit = \"1e999\"", "run.memory_limit", "a size such as \"6 GB\""),
        ("[run]\nmemory_limit = \"6 XB\"", "run.memory_limit", "a size such as \"6 GB\""),
        ("[run]\nmemory_limit = \"\"", "run.memory_limit", "a size such as \"6 GB\""),
        ("[run]\nmemory_limit = true", "run.memory_limit", "a size such as \"6 GB\""),
        ("[optimizer]\nlearning_rate = \"fast\"", "optimizer.learning_rate", "a number"),
        ("[method]\nrank = 4.5", "method.rank", "a whole number"),
        ("[method]\nrank = -1", "method.rank", "a whole number"),
        ("[method]\nkind = \"prefix\"\nprojection = 1", "method.projection", "true or false"),
        ("[method]\nkind = \"prompt\"\ninit = \"noise\"", "method.init", "random, vocabulary, text"),
        ("[early_stop]\nenabled = \"yes\"", "early_stop.enabled", "true or false"),
        ("[optimizer]\nclip_norm = \"never\"", "optimizer.clip_norm", "a number, or \"none\""),
        ("about = 5", "about", "text in quotes"),
        ("[method]\ntarget_modules = \"q_proj\"", "method.target_modules", "a list"),
        ("[method]\nkind = \"freeze\"\nblocks = -1", "method.blocks", "a whole number"),
        ("[method]\nkind = \"freeze\"\ntrain = [\"norm\"]", "method.train", "norms"),
        ("[data.split]\nvalid = \"much\"", "data.split.valid", "a number"),
        ("[run]\nseed = 99999999999999999999", "", "line 2"),
        ("[optimizer.learning_rate]\nx = 1", "optimizer.learning_rate", "a number"),
    ];
    for (text, field, says) in cases {
        let problems = load::from_toml(text).unwrap_err();
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert_eq!(problems[0].field, field, "{text}: {problems:?}");
        assert!(problems[0].text.contains(says), "{text}: {}", problems[0].text);
    }
    let shape = load::from_toml("[schedule]\nshape = \"cosinus\"").unwrap_err().remove(0);
    assert_eq!(shape.field, "schedule.shape");
    assert!(shape.text.contains("cosine, linear, constant"), "{}", shape.text);
    assert_eq!(shape.fix.unwrap().value, "\"cosine\"");
    // The kind may be left out as long as there is one usual one; a wrong one is told.
    let recipe = load::from_toml("[method]\nrank = 4").unwrap();
    assert_eq!(load::get(&recipe, "method.rank").unwrap(), "4");
    assert_eq!(load::from_toml("[method]\nkind = \"lorra\"").unwrap_err()[0].field, "method.kind");
}

#[test]
fn several_mistakes_are_told_at_once() {
    let text =
        "[optimizer]\nlerning_rate = 1\nbeta1 = \"a\"\n[schedule]\nshape = 3\n[data.split]\ntest = true";
    let mut fields: Vec<String> =
        load::from_toml(text).unwrap_err().into_iter().map(|problem| problem.field).collect();
    fields.sort();
    assert_eq!(fields, ["data.split.test", "optimizer.beta1", "optimizer.lerning_rate", "schedule.shape"]);
}

#[test]
fn hostile_recipes_are_refused_with_a_few_words() {
    let many: String = (0..50_000).map(|i| format!("key{i} = {i}\n")).collect();
    let cases = [
        "\0\0\0\0".to_string(),
        "[[[[[[".into(),
        format!("x = {}", "[".repeat(100_000)),
        format!("{} = 1", "a".repeat(500_000)),
        format!("x = \"{}\"", "y".repeat(500_000)),
        format!("[optimizer]\nlearning_rate = \"{}\"", "y".repeat(500_000)),
        format!("[method]\nkind = \"{}\"", "`".repeat(10_000)),
        "seed = 1\nseed = 1".into(),
        "[run]\nseed = 1\n[run]\n".into(),
        "🦀 = 1".into(),
        "這不是一個食譜".into(),
        "PK\u{3}\u{4}".into(),
        many,
    ];
    for text in cases {
        let start: String = text.chars().take(30).collect();
        let problems = load::from_toml(&text).unwrap_err();
        assert!(!problems.is_empty() && problems.len() <= 60, "{start}: {}", problems.len());
        for problem in problems {
            assert!(!problem.text.is_empty() && problem.text.len() < 2000, "{start}: {}", problem.text.len());
            assert!(problem.field.len() < 400, "{start}");
        }
    }
}

#[test]
fn recipe_files_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let picture = write("picture.toml", b"\x89PNG\r\n\x1a\n\0\0\0\xff");
    let huge = write("huge.toml", &vec![b'#'; (load::MAX_BYTES + 1) as usize]);
    for path in [picture, huge, folder.path().to_path_buf(), folder.path().join("missing.toml")] {
        let problems = load::from_file(&path).unwrap_err();
        assert!(problems[0].text.contains("cannot be read"), "{problems:?}");
        assert!(problems[0].text.contains(&path.display().to_string()), "{problems:?}");
    }
    assert_eq!(load::from_file(&write("empty.toml", b"")).unwrap(), Recipe::default());
    let relative = write("relative.toml", b"[data]\npath = \"rows.csv\"");
    assert_eq!(load::from_file(&relative).unwrap().data.path.unwrap(), folder.path().join("rows.csv"));
    // A model that lies beside the recipe, too; names and hub ids stay what they are.
    std::fs::create_dir_all(folder.path().join("models/mine")).unwrap();
    for (source, is_beside) in [("models/mine", true), ("smollm2-135m-instruct", false), ("org/name", false)]
    {
        let recipe = write("model.toml", format!("[model]\nsource = \"{source}\"\n").as_bytes());
        let found = load::from_file(&recipe).unwrap().model.source;
        let expected =
            if is_beside { folder.path().join(source).to_str().unwrap().to_string() } else { source.into() };
        assert_eq!(found, expected);
    }
}

#[test]
fn settings_are_set_leniently_or_refused_whole() {
    let mut recipe = Recipe::default();
    for setting in [
        "optimizer.learning_rate=3e-4",
        "optimizer.beta1 = .5",
        "early_stop.min_gain=0",
        "schedule.shape=constant",
        "model.source=360",
        "data.path=my data, all of it.csv",
        "method.target_modules=q_proj, v_proj",
        "data.chat=false",
        "length.updates=12",
    ] {
        load::set(&mut recipe, setting).unwrap_or_else(|problems| panic!("{setting}: {problems:?}"));
    }
    assert_eq!(recipe.optimizer.learning_rate, 3e-4);
    assert_eq!(recipe.optimizer.beta1, 0.5);
    assert_eq!(recipe.model.source, "360");
    assert_eq!(recipe.data.path.as_deref(), Some(Path::new("my data, all of it.csv")));
    assert_eq!(method(&mut recipe).target_modules, ["q_proj", "v_proj"]);
    load::set(&mut recipe, "length.updates=none").unwrap();
    assert_eq!(recipe.length.updates, None);

    let before = recipe.clone();
    for (setting, field) in [
        ("optimizer.learning_rat=1", "optimizer.learning_rat"),
        ("optimizer.learning_rate=quick", "optimizer.learning_rate"),
        ("method.rank=-3", "method.rank"),
        ("optimizer=1", "optimizer"),
        ("optimizer.learning_rate.x=1", "optimizer.learning_rate.x"),
        ("schedule.shape=linaer", "schedule.shape"),
        ("run.seed=1\n[optimizer]", "run.seed"),
        ("nothing", "nothing"),
        ("=1", ""),
    ] {
        let problems = load::set(&mut recipe, setting).unwrap_err();
        assert_eq!(problems[0].field, field, "{setting}: {problems:?}");
        assert_eq!(recipe, before, "{setting}");
    }
    assert_eq!(load::get(&recipe, "schedule.shape").unwrap(), "\"constant\"");
    assert_eq!(load::get(&recipe, "length.updates"), None);
    assert_eq!(load::get(&recipe, "schedule"), None);
}

#[test]
fn differences_name_each_field_once() {
    let a = Recipe::default();
    let mut b = a.clone();
    load::set(&mut b, "method.rank=32").unwrap();
    load::set(&mut b, "length.updates=9").unwrap();
    let expected = [("length.updates", "", "9"), ("method.rank", "8", "32")];
    assert_eq!(
        load::difference(&a, &b),
        expected.map(|(f, a, b)| (f.to_string(), a.to_string(), b.to_string()))
    );
    assert_eq!(load::difference(&a, &a), []);
    assert_eq!(b.describe(), "LoRA rank 32 on all layers, 9 updates, learning rate 0.0005");
    assert_eq!(a.describe(), "LoRA rank 8 on all layers, 3 passes, learning rate 0.0005");
}

/// Changes a sound recipe and its facts.
type Change = fn(&mut Recipe, &mut Facts);

pub fn data(facts: &mut Facts) -> &mut DataFacts {
    facts.data.as_mut().unwrap()
}

fn virtual_tokens(recipe: &mut Recipe, method: Method, num: usize) {
    recipe.method = method;
    *recipe.method.num_virtual_tokens_mut().unwrap() = num;
}

const ERRORS: [(&str, Change); 59] = [
    ("method.rank", |r, _| method(r).rank = 0),
    ("method.rank", |r, _| method(r).rank = 577),
    ("method.rank", |r, _| method(r).rank = usize::MAX),
    ("method.alpha", |r, _| method(r).alpha = 0.0),
    ("method.alpha", |r, _| method(r).alpha = f64::NAN),
    ("method.dropout", |r, _| method(r).dropout = 1.0),
    ("method.dropout", |r, _| method(r).dropout = -0.1),
    ("method.target_modules", |r, _| method(r).target_modules = vec!["q_prj".into()]),
    ("method.target_modules", |r, _| method(r).target_modules.clear()),
    ("method.target_modules", |r, _| method(r).target_modules.push("q_proj".into())),
    ("optimizer.learning_rate", |r, _| r.optimizer.learning_rate = 0.0),
    ("optimizer.learning_rate", |r, _| r.optimizer.learning_rate = 1e9),
    ("optimizer.learning_rate", |r, _| r.optimizer.learning_rate = f64::INFINITY),
    ("optimizer.weight_decay", |r, _| r.optimizer.weight_decay = -1.0),
    ("optimizer.beta1", |r, _| r.optimizer.beta1 = 1.0),
    ("optimizer.beta2", |r, _| r.optimizer.beta2 = f64::NAN),
    ("optimizer.epsilon", |r, _| r.optimizer.epsilon = 0.0),
    ("optimizer.clip_norm", |r, _| r.optimizer.clip_norm = Some(0.0)),
    ("schedule.warmup", |r, _| r.schedule.warmup = 1.5),
    ("early_stop.patience", |r, _| r.early_stop.patience = 0),
    ("early_stop.min_gain", |r, _| r.early_stop.min_gain = f64::NAN),
    ("checkpoint.keep_last", |r, _| r.checkpoint.keep_last = 0),
    ("length.epochs", |r, _| r.length.epochs = 0.0),
    ("length.updates", |r, _| r.length.updates = Some(0)),
    ("batch.accumulation", |r, _| r.batch.accumulation = 0),
    ("batch.accumulation", |r, _| r.batch.accumulation = usize::MAX),
    ("batch.micro_batch_tokens", |r, _| r.batch.micro_batch_tokens = 0),
    ("batch.max_tokens", |r, _| r.batch.max_tokens = 9000),
    ("data.split.test", |r, _| (r.data.split.valid, r.data.split.test) = (0.5, 0.5)),
    ("data.encoding", |r, _| r.data.encoding = Some("klingon".into())),
    ("data.separator", |r, _| r.data.separator = Some('é')),
    ("run.device", |r, _| r.run.device = DeviceChoice::Cuda),
    ("run.seed", |r, _| r.run.seed = u64::MAX),
    ("run.memory_limit", |r, _| r.run.memory_limit = MemoryLimit::Share(0.0)),
    ("run.memory_limit", |r, _| r.run.memory_limit = MemoryLimit::Share(f64::NAN)),
    ("run.memory_limit", |r, _| r.run.memory_limit = MemoryLimit::Size(0)),
    ("run.memory_limit", |r, _| r.run.memory_limit = MemoryLimit::Size(400 << 20)),
    ("run.memory_limit", |_, f| f.free_memory_bytes = 400 << 20),
    ("objective.train_on", |_, f| data(f).trained_tokens = 0),
    ("optimizer.momentum", |r, _| (r.optimizer.kind, r.optimizer.momentum) = (OptimizerKind::Sgd, 1.0)),
    ("optimizer.learning_rate", |r, _| {
        (r.optimizer.kind, r.optimizer.learning_rate) = (OptimizerKind::Sgd, 1e3)
    }),
    ("optimizer.learning_rate", |r, _| {
        (r.optimizer.kind, r.optimizer.learning_rate) = (OptimizerKind::Lion, 0.3)
    }),
    ("method.b_rate_factor", |r, _| method(r).b_rate_factor = 0.0),
    // k_proj is 192 x 576
    ("method.rank", |r, _| method(r).rank = 193),
    ("method.rank_pattern", |r, _| _ = method(r).rank_pattern.insert("k_proj".into(), 193)),
    ("method.rank_pattern", |r, _| _ = method(r).rank_pattern.insert("q_proj".into(), 0)),
    ("method.alpha_pattern", |r, _| _ = method(r).alpha_pattern.insert("(".into(), 1.0)),
    ("method.blocks", |r, _| r.method = Method::Freeze(Freeze { blocks: usize::MAX, ..Freeze::default() })),
    ("method.chosen", |r, _| r.method = Method::Freeze(Freeze { chosen: vec![1, 99], ..Freeze::default() })),
    ("method.blocks", |r, _| {
        r.method = Method::Freeze(Freeze { blocks: 0, final_norm: false, ..Freeze::default() });
    }),
    ("method.num_virtual_tokens", |r, _| virtual_tokens(r, Method::Prefix(Prefix::default()), 0)),
    ("method.num_virtual_tokens", |r, _| virtual_tokens(r, Method::Prompt(Prompt::default()), 8192)),
    ("method.num_virtual_tokens", |r, _| virtual_tokens(r, Method::PTuning(PTuning::default()), usize::MAX)),
    ("batch.max_tokens", |r, _| {
        virtual_tokens(r, Method::Prefix(Prefix::default()), 20);
        r.batch.max_tokens = 8180;
    }),
    ("method.init", |r, _| {
        r.method = Method::Prompt(Prompt { init: PromptInit::Text, text: " ".into(), ..Prompt::default() });
    }),
    ("method.projection_width", |r, _| {
        r.method = Method::Prefix(Prefix { projection: true, projection_width: 0, ..Prefix::default() });
    }),
    ("method.encoder_width", |r, _| {
        r.method = Method::PTuning(PTuning { encoder_width: usize::MAX, ..PTuning::default() });
    }),
    ("method.modules_to_save", |r, _| {
        method(r).modules_to_save = ["embed_tokens", "lm_head", "lm_head"].map(String::from).to_vec()
    }),
    ("method.train", |r, _| {
        r.method =
            Method::Freeze(Freeze { train: vec![Kind::Biases], final_norm: false, ..Freeze::default() });
    }),
];

const WARNINGS: [(&str, Change); 27] = [
    ("model.dropout", |r, _| r.model.dropout = true),
    ("optimizer.learning_rate", |r, _| r.optimizer.learning_rate = 0.2),
    ("optimizer.learning_rate", |r, _| r.optimizer.learning_rate = 1e-12),
    ("batch.micro_batch_tokens", |r, _| r.batch.micro_batch_tokens = 60),
    ("batch.micro_batch_tokens", |_, f| data(f).train_tokens = 500),
    ("batch.accumulation", |r, _| r.batch.accumulation = 100),
    ("early_stop.enabled", |_, f| data(f).num_valid = 0),
    ("validation.every_updates", |r, _| (r.length.updates, r.validation.every_updates) = (Some(10), 50)),
    ("batch.micro_batch_tokens", |r, f| (r.batch.micro_batch_tokens, f.free_memory_bytes) = (16384, 1 << 30)),
    ("batch.micro_batch_tokens", |r, f| {
        (r.batch.max_tokens, data(f).longest_tokens, f.free_memory_bytes) = (8000, 8000, 1 << 30);
    }),
    ("model.precision", |_, f| f.free_memory_bytes = 850 << 20),
    ("run.checkpointing", |r, f| {
        (r.run.checkpointing, f.free_memory_bytes) = (Checkpointing::None, 1 << 30);
    }),
    ("method.dropout", |r, _| method(r).dropout = 0.9),
    ("data.path", |_, f| data(f).num_train = 1),
    ("optimizer.learning_rate", |r, _| {
        (r.optimizer.kind, r.optimizer.learning_rate) = (OptimizerKind::Lion, 0.005)
    }),
    ("optimizer.beta2", |r, _| r.optimizer.kind = OptimizerKind::Lion),
    ("optimizer.epsilon", |r, _| (r.optimizer.kind, r.optimizer.epsilon) = (OptimizerKind::Lion, 1e-6)),
    ("optimizer.beta1", |r, _| (r.optimizer.kind, r.optimizer.beta1) = (OptimizerKind::Sgd, 0.8)),
    ("optimizer.momentum", |r, _| r.optimizer.momentum = 0.5),
    ("method.rank_pattern", |r, _| _ = method(r).rank_pattern.insert("layers.77.*".into(), 4)),
    ("method.train", |r, _| r.method = Method::Freeze(Freeze { train: Vec::new(), ..Freeze::default() })),
    ("method.head", |r, _| r.method = Method::Freeze(Freeze { head: true, ..Freeze::default() })),
    ("method.train", |r, _| {
        r.method = Method::Freeze(Freeze { train: vec![Kind::Biases], ..Freeze::default() })
    }),
    ("optimizer.learning_rate", |r, _| virtual_tokens(r, Method::Prompt(Prompt::default()), 20)),
    ("method.text", |r, _| {
        virtual_tokens(r, Method::Prompt(Prompt { text: "Name the fruit".into(), ..Prompt::default() }), 20);
        r.optimizer.learning_rate = r.usual_learning_rate();
    }),
    ("method.projection_width", |r, _| {
        virtual_tokens(r, Method::Prefix(Prefix { projection_width: 64, ..Prefix::default() }), 20);
        r.optimizer.learning_rate = r.usual_learning_rate();
    }),
    ("forgetting.text", |r, _| {
        (r.data.path, r.forgetting.text) = (Some("data/rows.txt".into()), Some("./data/rows.txt".into()));
    }),
];

#[test]
fn every_mistake_is_found_at_its_field() {
    assert_eq!(Recipe::default().check(&facts()), [], "the usual recipe is sound");
    let kinds = [(Severity::Error, &ERRORS[..]), (Severity::Warning, &WARNINGS[..])];
    for (severity, cases) in kinds {
        for (i, (field, change)) in cases.iter().enumerate() {
            let (mut recipe, mut facts) = (Recipe::default(), facts());
            change(&mut recipe, &mut facts);
            let problems = recipe.check(&facts);
            let problem = at(&problems, field);
            assert_eq!(problem.severity, severity, "case {i}: {problem:?}");
            assert!(problem.text.ends_with('.') && problem.text.len() < 300, "case {i}: {}", problem.text);
            let plan = Plan::new(recipe, &facts, 100);
            assert_eq!(plan.is_err(), severity == Severity::Error, "case {i} at {field}");
        }
    }
}

#[test]
fn pressing_every_fix_leaves_nothing_to_fix() {
    for (field, change) in ERRORS.iter().chain(&WARNINGS) {
        let (mut recipe, mut facts) = (Recipe::default(), facts());
        change(&mut recipe, &mut facts);
        for press in 0.. {
            let problems = recipe.check(&facts);
            let Some(fix) = problems.iter().find_map(|problem| problem.fix.clone()) else {
                let is_mended = problems.iter().all(|p| p.severity == Severity::Warning);
                // Data cannot be mended by a setting, and only these facts are the data's.
                assert!(is_mended || field.starts_with("data."), "{field}: {problems:#?}");
                break;
            };
            assert!(press < 12, "{field}: {fix:?} never helps");
            // It is printed as a line for the recipe's file.
            let line = format!("{} = {}", fix.field, fix.value);
            line.parse::<toml::Table>().unwrap_or_else(|e| panic!("{line}: {e}"));
            load::apply(&mut recipe, &fix).unwrap_or_else(|e| panic!("{field}: {fix:?}: {e:?}"));
            if let Objective::Supervised { train_on: tunesmith::data::mask::TrainOn::Everything } =
                recipe.objective
            {
                data(&mut facts).trained_tokens = 100;
            }
        }
    }
}

#[test]
fn all_problems_come_at_once_worst_first() {
    let (mut recipe, mut facts) = (Recipe::default(), facts());
    for (_, change) in [&ERRORS[0], &ERRORS[3], &ERRORS[11], &ERRORS[19], &ERRORS[27], &WARNINGS[5]] {
        change(&mut recipe, &mut facts);
    }
    let problems = recipe.check(&facts);
    assert!(problems.len() >= 6, "{problems:#?}");
    assert!(problems.is_sorted_by(|a, b| a.severity >= b.severity));
}

#[test]
fn words_say_what_to_do() {
    let (mut recipe, mut facts) = (Recipe::default(), facts());
    recipe.run.device = DeviceChoice::Cuda;
    if !cfg!(feature = "cuda") {
        let text = &at(&recipe.check(&facts), "run.device").text.clone();
        assert_eq!(text, "This build has no CUDA: build with --features cuda, or choose CPU.");
    }
    recipe.run.device = DeviceChoice::Cpu;
    (data(&mut facts).num_train, data(&mut facts).train_tokens) = (12, 400);
    let problems = recipe.check(&facts);
    let problem = at(&problems, "batch.micro_batch_tokens");
    assert!(problem.text.contains("512 tokens exceeds the 12 training examples"), "{}", problem.text);
    assert!(problem.text.ends_with("Use 120."), "{}", problem.text);
    facts.data = None;
    assert_eq!(at(&recipe.check(&facts), "data.path").text, "No data is chosen.");
    facts.data = Some(DataFacts { num_valid: 1, ..DataFacts::default() });
    assert!(at(&recipe.check(&facts), "data.path").text.contains("all 1 are kept for validation and test"));
    facts.free_disk_bytes = Some(1000);
    assert_eq!(at(&recipe.check(&facts), "checkpoint.keep_last").severity, Severity::Error);
}

#[test]
fn absurd_numbers_are_told_without_a_panic() {
    let mut recipe = Recipe::default();
    method(&mut recipe).rank = usize::MAX;
    recipe.batch.micro_batch_tokens = usize::MAX;
    recipe.batch.max_tokens = usize::MAX;
    recipe.batch.accumulation = usize::MAX;
    recipe.checkpoint.keep_last = usize::MAX;
    recipe.length.epochs = f64::MAX;
    recipe.validation.every_updates = u64::MAX;
    // The largest numbers that a config may hold.
    let huge = ModelFacts {
        config: DecoderConfig {
            num_layers: 1 << 10,
            width: 1 << 17,
            num_heads: 1 << 10,
            vocabulary: 1 << 22,
            ..model().config
        },
        num_params: u64::MAX,
        ..model()
    };
    for model in [ModelFacts::default(), model(), huge] {
        let facts = Facts { model: Some(model), ..facts() };
        assert!(recipe.check(&facts).len() >= 3);
        assert!(Plan::new(recipe.clone(), &facts, u64::MAX).is_err());
    }
    assert!(!Recipe::default().check(&Facts::default()).is_empty());
}

/// Weights that move during the backward pass cannot be clipped by any norm: one that is no norm is not to be mended first.
#[test]
fn a_clip_that_cannot_be_is_taken_away_at_once() {
    let mut recipe = Recipe::default();
    (recipe.optimizer.in_backward, recipe.optimizer.clip_norm) = (true, Some(0.0));
    let problems = recipe.check(&facts());
    let fixes: Vec<_> = problems.iter().filter_map(|problem| problem.fix.as_ref()).collect();
    let of_clip: Vec<_> = fixes.iter().filter(|fix| fix.field == "optimizer.clip_norm").collect();
    assert_eq!(of_clip.len(), 1, "{problems:#?}");
    assert_eq!(of_clip[0].value, "\"none\"");
}

#[test]
fn the_method_that_a_recipe_has_keeps_its_settings_when_it_is_named_again() {
    let mut recipe = Recipe::default();
    load::set(&mut recipe, "method.rank=4").unwrap();
    load::set(&mut recipe, "method.kind=lora").unwrap();
    assert_eq!(method(&mut recipe).rank, 4);
    load::set(&mut recipe, "method.kind=ia3").unwrap();
    load::set(&mut recipe, "method.kind=\"lora\"").unwrap();
    assert_eq!(method(&mut recipe).rank, Lora::default().rank);
}

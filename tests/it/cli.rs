//! The built program: usage, exit codes, the shape of what it prints.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_tunesmith");

/// A folder of its own, and a program that sees nothing of this machine's models and settings.
pub struct Stage {
    pub folder: tempfile::TempDir,
}

impl Stage {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_string()
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.output(Command::new(PROGRAM).args(args))
    }

    /// Runs where no file can grow beyond so many bytes: as on a full disk, a write fails half way.
    #[cfg(unix)]
    pub fn run_with_files_up_to(&self, max_bytes: usize, args: &[&str]) -> Output {
        let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", max_bytes / 512);
        self.output(Command::new("sh").args(["-c", &script, "sh", PROGRAM]).args(args))
    }

    pub fn output(&self, command: &mut Command) -> Output {
        self.isolate(command).output().unwrap()
    }

    /// Has a command run in the folder, without anything of this machine.
    pub fn isolate<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .current_dir(self.folder.path())
            .env("TUNESMITH_HOME", self.path("home"))
            .env("HF_HOME", self.path("hf"))
            .env("TUNESMITH_OFFLINE", "1")
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("WAYLAND_SOCKET")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
    }

    /// Runs with `--json`; exit code and the only object printed.
    pub fn json(&self, args: &[&str]) -> (i32, Value) {
        let output = self.run(&[args, &["--json"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let value = serde_json::from_str(text.trim_end())
            .unwrap_or_else(|e| panic!("{e}: {text}\n{}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code().unwrap(), value)
    }

    pub fn model(&self) -> String {
        tiny_model(self.folder.path())
    }

    pub fn rows(&self) -> String {
        rows_file(self.folder.path())
    }
}

/// The tiny Llama of the parity fixtures with a tokenizer and a chat template, copied into `folder`.
pub fn tiny_model(folder: &Path) -> String {
    let folder = folder.join("tiny-llama");
    std::fs::create_dir_all(&folder).unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for from in ["parity/tiny-llama/model", "window"] {
        for entry in std::fs::read_dir(fixtures.join(from)).unwrap().map(Result::unwrap) {
            let to = folder.join(entry.file_name());
            std::fs::write(to, std::fs::read(entry.path()).unwrap()).unwrap();
        }
    }
    folder.to_str().unwrap().to_string()
}

/// Six answers, six rows of each.
pub fn rows_file(folder: &Path) -> String {
    let kinds = ["peach", "apple", "lemon", "tomato", "melon", "date"];
    let row = |i: usize| format!("What is no. {i} of the {}s?,{}\n", kinds[i % 6], kinds[i % 6]);
    let path = folder.join("rows.csv");
    std::fs::write(&path, format!("question,answer\n{}", (0..36).map(row).collect::<String>())).unwrap();
    path.to_str().unwrap().to_string()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn wrong_usage_exits_with_2() {
    let stage = Stage::new();
    let wrong: [&[&str]; 21] = [
        &["frobnicate"],
        &["train"],
        &["train", "--recipe", "r.toml"],
        &["train", "--recipe", "r.toml", "--out", "o", "--set", "no equals sign"],
        &["generate", "--model", "m"],
        &["generate", "--model", "m", "--prompt", "p", "--num-shots", "2"],
        &["bench", "train", "--model", "m", "--seq", "0"],
        &["data", "preview", "f.csv"],
        &["quickstart", "--updates", "0"],
        &["compare", "--model", "m", "--prompts", "p.txt"],
        &["compose", "a", "b", "--out", "o"],
        &["compose", "a", "--weights", "1", "--out", "o"],
        &["compose", "a", "b", "--weights", "1,x", "--out", "o"],
        &["compose", "a", "b", "--weights", "1,1", "--density", "0.5", "--out", "o"],
        &["train", "--recipe", "r.toml", "--out", "o", "--set", "optimizer.lerning_rate=1"],
        &["train", "--recipe", "r.toml", "--out", "o", "--set", "optimizer.learning_rate=fast"],
        &["train", "--recipe", "r.toml", "--out", "o", "--set", "data.format=words"],
        &["train", "--recipe", "r.toml", "--out", "o", "--set", "method.kind=magic"],
        &["train", "--recipe", "r.toml", "--out", "o", "--resume"],
        &["train", "--set", "length.updates=1", "--out", "o", "--resume"],
        &["generate", "--model", "m", "--prompt", "p", "--max-tokens", "-5"],
    ];
    for args in wrong {
        let output = stage.run(args);
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{args:?}");
        assert!(stderr(&output).contains("Usage") || stderr(&output).contains("--help"), "{args:?}");
    }
}

#[test]
fn wrong_usage_says_what_would_be_right() {
    let stage = Stage::new();
    let cases: [(&[&str], &[&str]); 8] = [
        (&["compare", "--model", "m", "--prompts", "p.txt"], &["--adapter <DIR>"]),
        (
            &["train", "--recipe", "r.toml", "--out", "o", "--set", "optimizer.lerning_rate=1"],
            &["optimizer.lerning_rate", "\"optimizer.learning_rate\""],
        ),
        (&["train", "--recipe", "r.toml", "--out", "o", "--set", "rank=1"], &["\"method.rank\""]),
        (&["train", "--recipe", "r.toml", "--out", "o", "--set", "method=1"], &["is a section"]),
        (
            &["compose", "a", "b", "--weights", "1", "--out", "o"],
            &["one number for each", "Usage: tunesmith compose"],
        ),
        (
            &["compose", "a", "b", "--weights", "-1,1", "--how", "ties", "--density", "1.5", "--out", "o"],
            &["'1.5' for '--density <SHARE>'", "above 0 and at most 1"],
        ),
        (
            &["train", "--recipe", "r.toml", "--out", "o", "--resume"],
            &["keeps the recipe", "Usage: tunesmith train"],
        ),
        (
            &["generate", "--model", "m", "--prompt", "p", "--max-tokens", "-5"],
            &["'-5' for '--max-tokens <TOKENS>'", "a whole number, 1 or above"],
        ),
    ];
    for (args, needles) in cases {
        let text = stderr(&stage.run(args));
        for needle in needles {
            assert!(text.contains(needle), "{args:?}: {needle}: {text}");
        }
    }
}

/// `-1` was taken for an option of that name.
#[test]
fn a_number_below_zero_is_a_value() {
    let stage = Stage::new();
    let model = stage.model();
    for (option, value) in [("--temperature", "-1"), ("--top-p", "-0.5"), ("--repetition-penalty", "-2")] {
        let args = ["generate", "--model", &model, "--prompt", "x", option, value];
        let (code, answer) = stage.json(&args);
        assert_eq!(code, 1, "{answer}");
        assert!(answer["failure"]["hint"].as_str().unwrap().contains(option), "{answer}");
    }
    let output = stage.run(&["generate", "--model", "m", "--prompt", "x", "--temperature", "warm"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("a number, such as 0.7"), "{}", stderr(&output));
    // A prompt may be a number, too.
    assert_eq!(code(&stage.run(&["generate", "--model", &model, "--prompt", "-5", "--max-tokens", "1"])), 0);
}

#[test]
fn presets_are_listed_and_printed_as_files_to_change() {
    let stage = Stage::new();
    let (code, value) = stage.json(&["recipe", "list"]);
    assert_eq!(code, 0);
    let names: Vec<&str> =
        value["presets"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"balanced"), "{names:?}");
    for name in names {
        let output = stage.run(&["recipe", "show", name]);
        assert_eq!(self::code(&output), 0, "{name}");
        let (_, value) = stage.json(&["recipe", "check", &stage.file("my.toml", &output.stdout)]);
        let problems = value["problems"].as_array().unwrap();
        assert!(problems.iter().all(|p| p["field"] == "data.path"), "{name}: {value}");
    }
    let output = stage.run(&["recipe", "show", "blanced"]);
    assert_eq!(self::code(&output), 1);
    assert!(stderr(&output).contains("balanced"), "{}", stderr(&output));
}

/// Every option and command says what it is, and every option that may be left out what happens then.
#[test]
fn every_help_text_is_complete() {
    let stage = Stage::new();
    let help = |path: &[&str]| {
        let output = stage.run(&[path, &["--help"]].concat());
        assert_eq!(code(&output), 0, "{path:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let mut commands: Vec<Vec<String>> = vec![Vec::new()];
    let mut num_seen = 0;
    while let Some(path) = commands.pop() {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let text = help(&path);
        num_seen += 1;
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let is_option = line.trim_start().starts_with("--") && !line.trim_start().contains("  ");
            let next = lines.get(i + 1).map_or("", |next| next.trim());
            assert!(
                !is_option || !(next.is_empty() || next.starts_with('[')),
                "{path:?}: {line} says nothing"
            );
        }
        let listed = lines.iter().skip_while(|l| **l != "Commands:").skip(1).take_while(|l| !l.is_empty());
        for line in listed {
            let name = line.split_whitespace().next().unwrap();
            if line.starts_with("   ") || name == "help" {
                continue;
            }
            assert!(line.split_whitespace().count() > 2, "{path:?}: {line} says nothing");
            commands.push(path.iter().chain([&name]).map(ToString::to_string).collect());
        }
    }
    assert!(num_seen > 15, "{num_seen}");
}

#[test]
fn help_and_version_exit_with_0() {
    let stage = Stage::new();
    let output = stage.run(&["--help"]);
    assert_eq!(code(&output), 0);
    let text = String::from_utf8(output.stdout).unwrap();
    for name in
        ["quickstart", "model", "data", "train", "recipe", "generate", "eval", "compare", "compose", "bench"]
    {
        assert!(text.contains(name), "{name} is not in the help");
    }
    assert_eq!(code(&stage.run(&["--version"])), 0);
}

#[cfg(all(feature = "gui", target_os = "linux"))]
#[test]
fn without_a_display_the_window_names_the_way_without() {
    let stage = Stage::new();
    let output = stage.run(&[]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains("tunesmith quickstart"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
}

#[test]
fn failures_say_what_why_and_what_to_try() {
    let stage = Stage::new();
    let output = stage.run(&["model", "inspect", "./nothing-here"]);
    assert_eq!(code(&output), 1);
    assert!(output.stdout.is_empty());
    let text = stderr(&output);
    assert!(text.contains("nothing-here"), "{text}");
    assert!(text.lines().count() >= 3, "title, detail and hint: {text}");

    let (code, value) = stage.json(&["model", "inspect", "./nothing-here"]);
    assert_eq!(code, 1);
    for key in ["title", "detail", "hint"] {
        assert!(!value["failure"][key].as_str().unwrap().is_empty(), "{value}");
    }
}

#[test]
fn offline_a_download_fails_at_once_and_says_so() {
    let stage = Stage::new();
    let output = stage.run(&["model", "get", "smollm2-135m-instruct"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("TUNESMITH_OFFLINE"), "{}", stderr(&output));
    let output = stage.run(&["quickstart", "--dir", "q"]);
    assert_eq!(code(&output), 1);
}

#[test]
fn models_are_listed_and_looked_into() {
    let stage = Stage::new();
    let (code, value) = stage.json(&["model", "list"]);
    assert_eq!(code, 0);
    let models = value["models"].as_array().unwrap();
    assert!(models.iter().any(|m| m["name"] == "smollm2-135m-instruct" && m["path"].is_null()), "{value}");
    let (code, value) = stage.json(&["model", "inspect", &stage.model()]);
    assert_eq!(code, 0);
    assert_eq!(
        (&value["num_layers"], &value["width"], &value["vocabulary"]),
        (&2.into(), &64.into(), &512.into())
    );
    assert_eq!(value["has_chat_template"], true);
}

#[test]
fn a_recipe_is_checked_with_all_its_problems() {
    let stage = Stage::new();
    let bad =
        stage.file("bad.toml", "[method]\nkind = \"lora\"\nrnak = 4\n[optimizer]\nlerning_rate = 1.0\n");
    let (code, value) = stage.json(&["recipe", "check", &bad]);
    assert_eq!((code, &value["ok"]), (1, &false.into()));
    let text = value["problems"].to_string();
    assert!(text.contains("lerning_rate") && text.contains("learning_rate"), "{text}");
    let output = stage.run(&["recipe", "check", &bad]);
    assert_eq!(code_and_lines(&output).0, 1);

    let zero =
        stage.file("zero.toml", "[method]\nkind = \"lora\"\nrank = 0\n[optimizer]\nlearning_rate = 1e9\n");
    let (code, value) = stage.json(&["recipe", "check", &zero]);
    assert_eq!(code, 1);
    let fields: Vec<&str> =
        value["problems"].as_array().unwrap().iter().filter_map(|p| p["field"].as_str()).collect();
    assert!(fields.contains(&"method.rank") && fields.contains(&"optimizer.learning_rate"), "{fields:?}");

    let fine = stage.file(
        "fine.toml",
        format!(
            "[model]\nsource = {:?}\n[data]\npath = \"rows.csv\"\n[batch]\nmax_tokens = 64\n",
            stage.model()
        ),
    );
    stage.rows();
    let (code, value) = stage.json(&["recipe", "check", &fine]);
    assert_eq!((code, &value["ok"]), (0, &true.into()), "{value}");
    assert_eq!(value["not_checked"], serde_json::json!([]), "model and data were looked at");
    let estimate = &value["estimate"];
    assert!(estimate["secs"].as_f64() > Some(0.0) && estimate["updates"].as_u64() > Some(0), "{estimate}");
    assert!(stage.path("home").join("speed.json").is_file(), "the machine is measured once");

    for (name, content) in [("empty-name.toml", "\0\u{1}garbage"), ("dir.toml", "[[[")] {
        let (code, _) = stage.json(&["recipe", "check", &stage.file(name, content)]);
        assert_eq!(code, 1);
    }
    assert_eq!(stage.json(&["recipe", "check", "missing.toml"]).0, 1);
}

fn code_and_lines(output: &Output) -> (i32, usize) {
    (code(output), String::from_utf8_lossy(&output.stdout).lines().count())
}

#[test]
fn a_data_file_is_looked_into() {
    let stage = Stage::new();
    let rows = stage.rows();
    let (code, value) = stage.json(&["data", "inspect", &rows]);
    assert_eq!(code, 0);
    assert_eq!((&value["format"], &value["num_rows"]), (&"csv".into(), &36.into()));
    assert_eq!(value["columns"][0], serde_json::json!({ "name": "question", "role": "question" }));
    assert_eq!(value["layout"], "question_answer");
    assert_eq!(value["ledger"]["num_read"], 36);
    assert!(value["dataset"].is_null());
    let (code, value) = stage.json(&["data", "inspect", &rows, "--model", &stage.model()]);
    assert_eq!(code, 0);
    let part = |name: &str| value["dataset"][name].as_u64().unwrap();
    assert_eq!(part("num_train") + part("num_valid") + part("num_test"), 36);

    let output = stage.run(&["data", "inspect", &rows]);
    assert_eq!(self::code(&output), 0);
    assert!(String::from_utf8(output.stdout).unwrap().contains("question [question]"));
}

#[test]
fn a_preview_shows_what_is_trained_on() {
    let stage = Stage::new();
    let (rows, model) = (stage.rows(), stage.model());
    let (code, value) = stage.json(&["data", "preview", &rows, "--model", &model, "--row", "2"]);
    assert_eq!(code, 0);
    let trained: String = value["pieces"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|p| p["trained"] == true)
        .map(|p| p["text"].as_str().unwrap())
        .collect();
    assert!(trained.starts_with("apple"), "{trained}");
    assert!(!trained.contains("What"), "{trained}");
    let (code, value) = stage.json(&["data", "preview", &rows, "--model", &model, "--row", "99"]);
    assert_eq!(code, 1);
    assert!(value["failure"]["detail"].as_str().unwrap().contains("36 rows"), "{value}");
    let output = stage.run(&["data", "preview", &rows, "--model", &model]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("»peach"));
}

#[test]
fn bad_data_files_fail_with_a_message() {
    let stage = Stage::new();
    std::fs::create_dir(stage.path("folder")).unwrap();
    let png = stage.file("really.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01");
    let parquet = stage.file("torn.parquet", b"PAR1\x15\x04\x15");
    let xlsx = stage.file("torn.xlsx", b"PK\x03\x04\x14\0");
    let empty = stage.file("empty.csv", b"");
    let folder = stage.path("folder").to_str().unwrap().to_string();
    for path in [png.as_str(), &parquet, &xlsx, &empty, &folder, "missing.csv"] {
        let output = stage.run(&["data", "inspect", path]);
        assert_eq!(code(&output), 1, "{path}: {}", String::from_utf8_lossy(&output.stdout));
        assert!(!stderr(&output).contains("panicked"), "{path}: {}", stderr(&output));
        assert!(stderr(&output).lines().count() >= 2, "{path}: {}", stderr(&output));
    }
}

#[test]
fn an_answer_is_the_same_for_the_same_seed() {
    let stage = Stage::new();
    let model = stage.model();
    let shots = stage.file("shots.csv", "question,answer\nlemon,sour\nplum,sweet\n");
    let args = [
        "generate",
        "--model",
        &model,
        "--prompt",
        "lime",
        "--shots",
        &shots,
        "--num-shots",
        "2",
        "--max-tokens",
        "6",
        "--temperature",
        "1",
        "--seed",
        "7",
    ];
    let (code, value) = stage.json(&args);
    assert_eq!(code, 0);
    assert!(value["prompt"].as_str().unwrap().ends_with("lemon: sour\nplum: sweet\nlime:"), "{value}");
    assert!(value["token_ids"].as_array().unwrap().len() <= 6);
    for key in ["prompt_tokens", "time_to_first_token_secs", "tokens_per_second"] {
        assert!(value[key].is_number(), "{key}: {value}");
    }
    assert_eq!(stage.json(&args).1["token_ids"], value["token_ids"]);
    // A file of examples without a number shows all of them: before, none, in silence.
    let all = ["generate", "--model", &model, "--prompt", "lime", "--shots", &shots, "--max-tokens", "1"];
    assert!(stage.json(&all).1["prompt"].as_str().unwrap().contains("lemon: sour\nplum: sweet\nlime:"));
    let (code, value) = stage.json(&["generate", "--model", &model, "--prompt", "x", "--temperature=-1"]);
    assert_eq!(code, 1);
    assert!(value["failure"]["hint"].as_str().unwrap().contains("--temperature"), "{value}");
}

#[test]
fn benchmarks_report_their_figures() {
    let stage = Stage::new();
    let model = stage.model();
    let args = ["bench", "train", "--model", &model, "--batch", "2", "--seq", "16", "--updates", "2"];
    let (code, value) = stage.json(&args);
    assert_eq!(code, 0);
    for key in ["tokens_per_second", "update_secs", "peak_rss_bytes", "threads"] {
        assert!(value[key].as_f64().unwrap() > 0.0, "{key}: {value}");
    }
    assert!(value["device"].is_string());
    assert!(value["allocations_per_update"].as_u64().unwrap() > 0);
    assert!(value["allocated_bytes_per_update"].as_u64().unwrap() > 1000);
    let (code, value) = stage.json(&["bench", "train", "--model", &model, "--seq", "100000"]);
    assert_eq!(code, 1, "longer than the model's context: {value}");
    let (code, value) = stage.json(&[&args[..], &["--set", "forgetting.text=x.txt"]].concat());
    assert_eq!(code, 1, "{value}");
    assert!(value["failure"]["detail"].as_str().unwrap().contains("forgetting.text"), "{value}");
    let args = ["bench", "generate", "--model", &model, "--prompt-tokens", "8", "--max-tokens", "4"];
    let (code, value) = stage.json(&args);
    assert_eq!((code, &value["num_tokens"]), (0, &4.into()));
}

/// The cost of a model that is not there: its config is enough.
#[test]
fn a_model_of_random_weights_can_be_measured() {
    let stage = Stage::new();
    let config = crate::parity::fixture("parity/tiny-qwen3/model/config.json").display().to_string();
    let usual = ["bench", "train", "--config", &config, "--batch", "2", "--seq", "8", "--updates", "1"];
    for more in [&["--method", "full"][..], &["--precision", "q8_0"]] {
        let args = [&usual[..], &["--random-weights"], more].concat();
        let (code, value) = stage.json(&args);
        assert_eq!(code, 0, "{more:?}: {value}");
        let loss = value["last_loss"].as_f64().unwrap();
        assert!(loss > 1.0 && loss < 20.0, "{more:?}: {loss}");
    }
    assert_eq!(stage.run(&usual).status.code(), Some(2), "weights have to come from somewhere");
    let missing = ["bench", "train", "--config", "missing.json", "--random-weights"];
    assert_eq!(stage.run(&missing).status.code(), Some(1));
}

/// What judges or compares texts is timed as what writes is.
#[test]
fn every_objective_that_takes_random_texts_can_be_measured() {
    let stage = Stage::new();
    let config = crate::parity::fixture("parity/encoders/bert/masked/config.json").display().to_string();
    let usual = ["bench", "train", "--config", &config, "--random-weights", "--batch", "4", "--seq", "8"];
    let near = [3.0f64.ln(), 2.0f64.ln(), 0.5, 4.0f64.ln()];
    let objectives = ["classification", "sentences", "regression", "contrastive"];
    for (objective, near) in objectives.into_iter().zip(near) {
        let kind = format!("objective.kind={objective}");
        let args = [&usual[..], &["--updates", "1", "--set", &kind, "--set", "optimizer.learning_rate=1e-9"]];
        let (code, value) = stage.json(&args.concat());
        assert_eq!(code, 0, "{objective}: {value}");
        let loss = value["last_loss"].as_f64().unwrap();
        assert!((loss - near).abs() < 0.6, "{objective}: {loss}");
    }
    let writes = [&usual[..], &["--set", "objective.kind=supervised"]].concat();
    assert_eq!(stage.run(&writes).status.code(), Some(1), "an encoder does not write");
}

/// What is wrong is an option, and saving the file again would not help.
#[test]
fn a_wrong_reading_option_is_not_the_files_fault() {
    let stage = Stage::new();
    let rows = stage.rows();
    for option in [["--encoding", "klingon"], ["--separator", "é"]] {
        let output = stage.run(&["data", "inspect", &rows, option[0], option[1]]);
        assert_eq!(code(&output), 1);
        assert!(stderr(&output).contains(option[1]), "{}", stderr(&output));
        assert!(!stderr(&output).contains("save it again"), "{}", stderr(&output));
    }
}

#[test]
fn quickstart_keeps_a_data_file_that_was_changed() {
    let stage = Stage::new();
    let run = || stage.run(&["quickstart", "--dir", "q", "--model", "./missing"]);
    assert_eq!(code(&run()), 1);
    let path = stage.path("q/datasets/fruit-families.csv");
    assert!(!stderr(&run()).contains("as it is"), "{}", stderr(&run()));
    std::fs::write(&path, "question,answer\nmine,yes\n").unwrap();
    assert!(stderr(&run()).contains("fruit-families.csv as it is"), "{}", stderr(&run()));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "question,answer\nmine,yes\n");
}

#[test]
fn a_broken_adapter_or_model_fails_with_a_message() {
    let stage = Stage::new();
    let model = stage.model();
    std::fs::create_dir(stage.path("adapter")).unwrap();
    stage.file("adapter/adapter_config.json", "{\"peft_type\":\"LORA\",\"r\":99999999}");
    stage.file("adapter/adapter_model.safetensors", b"\xff\xff\xff\xff\xff\xff\xff\x7f");
    let torn = stage.path("torn");
    std::fs::create_dir(&torn).unwrap();
    for name in ["config.json", "tokenizer.json"] {
        std::fs::copy(Path::new(&model).join(name), torn.join(name)).unwrap();
    }
    let weights = std::fs::read(Path::new(&model).join("model.safetensors")).unwrap();
    stage.file("torn/model.safetensors", &weights[..weights.len() / 2]);
    let gguf = stage.file("torn.gguf", b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
    let torn = torn.to_str().unwrap();
    for args in [["--model", &model, "--adapter", "adapter"], ["--model", &model, "--adapter", "missing"]] {
        let output = stage.run(&[&["generate", "--prompt", "x"][..], &args].concat());
        assert_eq!(code(&output), 1, "{args:?}");
        assert!(stderr(&output).contains("adapter"), "{}", stderr(&output));
    }
    for source in [torn, &gguf, "/dev/null", "../..", "\u{1F34E}"] {
        let output = stage.run(&["generate", "--prompt", "x", "--model", source]);
        assert_eq!(code(&output), 1, "{source}");
        assert!(stderr(&output).lines().count() >= 2, "{source}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{source}: {}", stderr(&output));
    }
}

//! What was trained of one model is not for another of the same shapes: every way in says so, before any work.

use crate::cli::{Stage, code, stderr};
use crate::weights::{LLAMA, as_gguf, copy_of, save, tensors, write_gguf};
use candle_core::DType;
use candle_core::quantized::GgmlDType;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tunesmith::base::{Control, DeviceChoice, Silent};
use tunesmith::engine::command::{ColumnRequest, Command, GenerateRequest, Prompt};
use tunesmith::engine::event::EventKind;
use tunesmith::hub::resolve::may_mean;
use tunesmith::infer::sampler::Sampling;
use tunesmith::model::files::ModelFiles;
use tunesmith::model::identity::Identity;
use tunesmith::model::load::LoadedModel;
use tunesmith::peft::compose::Source;
use tunesmith::peft::{Adapter, base_model, files};
use tunesmith::recipe::{Recipe, load};

fn identity(path: &Path) -> Identity {
    ModelFiles::open("tiny", path).unwrap().identity().unwrap()
}

/// The fixture with tensors whose names contain `part` changed a little, in another type of numbers.
fn changed(part: &str, dtype: DType) -> tempfile::TempDir {
    let folder = copy_of(LLAMA);
    let change = |(name, tensor): (String, candle_core::Tensor)| {
        let wide = tensor.to_dtype(DType::F32).unwrap();
        let value = if name.contains(part) { (wide * 1.05).unwrap() } else { wide };
        (name, value.to_dtype(dtype).unwrap())
    };
    save(folder.path(), &tensors(LLAMA).into_iter().map(change).collect());
    folder
}

#[test]
fn a_model_is_known_in_any_file_and_type_and_no_other_is_taken_for_it() {
    let own = identity(&crate::parity::fixture(LLAMA));
    let nothing = "(nothing)";
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let copy = changed(nothing, dtype);
        assert_eq!(own.difference(&identity(copy.path())), None, "{dtype:?}");
        for other_dtype in [DType::F16, DType::BF16] {
            let other = changed(nothing, other_dtype);
            let difference = identity(copy.path()).difference(&identity(other.path()));
            assert_eq!(difference, None, "{dtype:?} {other_dtype:?}");
        }
        // What tuning changes, alone: norms, or the matrices of one layer.
        for part in ["layernorm", "1.self_attn.v_proj", "embed_tokens"] {
            let difference = own.difference(&identity(changed(part, dtype).path())).unwrap();
            assert!(difference.contains(part), "{dtype:?} {part}: {difference}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    for dtype in [GgmlDType::Q4_0, GgmlDType::F16, GgmlDType::F32] {
        let path = dir.path().join("tiny.gguf");
        let (meta, stored) = as_gguf(LLAMA, "llama", dtype);
        write_gguf(&path, &meta, &stored);
        let packed = identity(&path);
        assert_eq!((own.difference(&packed), packed.difference(&own)), (None, None), "{dtype:?}");
        assert!(identity(changed("layernorm", DType::BF16).path()).difference(&packed).is_some());
    }
    let other = identity(&crate::parity::fixture("parity/tiny-qwen2/model"));
    assert!(own.difference(&other).unwrap().contains("qwen2"));
}

#[test]
fn a_note_of_a_base_comes_back_from_its_file() {
    let temp = tempfile::tempdir().unwrap();
    let base =
        base_model::BaseModel { name: "tiny".into(), identity: identity(&crate::parity::fixture(LLAMA)) };
    assert!(base_model::BaseModel::read(temp.path()).unwrap().is_none());
    base.save(temp.path()).unwrap();
    assert_eq!(base_model::BaseModel::read(temp.path()).unwrap().unwrap().identity, base.identity);
    std::fs::write(temp.path().join(base_model::FILE), "{").unwrap();
    let refusal = base_model::BaseModel::read(temp.path()).unwrap_err().to_string();
    assert!(refusal.contains(base_model::FILE), "{refusal}");
}

/// An untrained adapter of a method, saved as a run saves it.
fn adapter(stage: &Stage, model: &str, kind: &str) -> String {
    let model_files = ModelFiles::open(model, Path::new(model)).unwrap();
    let placement = DeviceChoice::Cpu.into();
    let loaded = LoadedModel::load(&model_files, placement, &Control::new(), &mut Silent).unwrap();
    let mut recipe = Recipe::default();
    load::set(&mut recipe, &format!("method.kind={kind}")).unwrap();
    let settings = recipe.method.settings(loaded.config().family).unwrap();
    let to = stage.path(kind);
    std::fs::create_dir(&to).unwrap();
    files::save_result(&Adapter::new(settings, &loaded, 1).unwrap(), &loaded, &to).unwrap();
    to.to_str().unwrap().to_string()
}

/// A model of the same shapes with other weights, beside the stage's own.
fn other_model(stage: &Stage, model: &str) -> String {
    let to = stage.path("other-llama");
    std::fs::create_dir(&to).unwrap();
    for entry in std::fs::read_dir(model).unwrap().flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    std::fs::copy(changed("mlp", DType::F32).path().join("model.safetensors"), to.join("model.safetensors"))
        .unwrap();
    to.to_str().unwrap().to_string()
}

#[test]
fn every_command_refuses_what_was_trained_of_another_model() {
    let stage = Stage::new();
    let model = stage.model();
    let other = other_model(&stage, &model);
    let prompts = stage.file("prompts.txt", "a peach\n");
    let rows = stage.rows();
    for kind in ["lora", "ia3", "prompt", "prefix", "bottleneck", "full"] {
        let made = adapter(&stage, &model, kind);
        let with =
            |model: &str, args: &[&str]| stage.run(&[args, &["--model", model, "--adapter", &made]].concat());
        let generate = ["generate", "--prompt", "x", "--max-tokens", "1"];
        assert_eq!(code(&with(&model, &generate)), 0, "{kind}: {}", stderr(&with(&model, &generate)));
        let mut tried = vec![with(&other, &generate)];
        if kind == "lora" {
            tried.push(with(&other, &["eval", "--data", &rows]));
            tried.push(with(&other, &["compare", "--prompts", &prompts]));
            tried.push(stage.run(&["merge", &made, "--model", &other, "--out", "out"]));
            let parts = ["compose", &made, &made, "--weights", "1,1", "--model", &other, "--out", "out"];
            tried.push(stage.run(&parts));
        }
        for output in tried {
            let said = stderr(&output);
            assert_eq!(code(&output), 1, "{kind}: {said}");
            for needle in ["another model", "tiny-llama", "other-llama", "mlp"] {
                assert!(said.contains(needle), "{kind}: {needle}: {said}");
            }
            assert!(!said.contains("Loading"), "before the model is read: {said}");
            assert!(!stage.path("out").exists());
        }
        // The same model at another place is the same model.
        let moved = stage.path(&format!("moved-{kind}"));
        std::fs::create_dir(&moved).unwrap();
        for entry in std::fs::read_dir(&model).unwrap().flatten() {
            std::fs::copy(entry.path(), moved.join(entry.file_name())).unwrap();
        }
        let output = with(moved.to_str().unwrap(), &generate);
        assert_eq!(
            (code(&output), stderr(&output).contains("made for")),
            (0, false),
            "{kind}: {}",
            stderr(&output)
        );
    }
}

/// Of a quantised model only the norms are known, which a merged LoRA leaves as they were: the merged model says what it was made of.
#[test]
fn what_was_trained_of_a_quantised_model_is_not_for_what_was_made_of_it() {
    let stage = Stage::new();
    let model = stage.model();
    let path = stage.path("tiny.gguf");
    let (meta, stored) = as_gguf(LLAMA, "llama", GgmlDType::Q4_0);
    write_gguf(&path, &meta, &stored);
    let quantised = base_model::BaseModel { name: "quantised".into(), identity: identity(&path) };
    let merged = PathBuf::from(other_model(&stage, &model));
    let require = |note: &base_model::BaseModel, model: &Identity| {
        note.require(Path::new("adapter"), "merged", model, Some(&quantised)).map_err(|e| e.to_string())
    };
    let own = identity(&merged);
    assert_eq!(quantised.identity.difference(&own), None, "nothing else tells them apart");
    assert!(require(&quantised, &own).unwrap_err().contains("was made of that one"));
    // What was trained of the merged model is for it, however it is stored.
    let of_merged = base_model::BaseModel { name: "merged".into(), identity: own.clone() };
    assert_eq!(require(&of_merged, &own), Ok(()));
    assert_eq!(require(&of_merged, &identity(changed("mlp", DType::BF16).path())), Ok(()));

    let made = adapter(&stage, &model, "lora");
    let answer = |model: &Path| {
        let model = model.to_str().unwrap();
        let args = ["generate", "--prompt", "x", "--max-tokens", "1", "--model", model, "--adapter", &made];
        stage.run(&args)
    };
    quantised.save(Path::new(&made)).unwrap();
    assert_eq!(code(&answer(&merged)), 0);
    quantised.save(&merged).unwrap();
    let output = answer(&merged);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("was made of that one"), "{}", stderr(&output));
}

#[test]
fn a_merged_model_says_what_it_was_made_of() {
    let stage = Stage::new();
    let model = stage.model();
    let made = adapter(&stage, &model, "lora");
    let output = stage.run(&["merge", &made, "--model", &model, "--out", "out"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let note = base_model::BaseModel::read(&stage.path("out")).unwrap().unwrap();
    assert_eq!(note.identity, identity(Path::new(&model)));
    ModelFiles::open("out", &stage.path("out")).unwrap();
}

#[test]
fn columns_of_the_playground_refuse_it_too() {
    let stage = Stage::new();
    let model = stage.model();
    let other = other_model(&stage, &model);
    let made = PathBuf::from(adapter(&stage, &model, "lora"));
    let rendered = tunesmith::data::template::Rendered { text: "a".into(), ..Default::default() };
    let request = GenerateRequest {
        model: other,
        columns: vec![ColumnRequest { adapter: Some(Source::Folder(made)), sampling: Sampling::default() }],
        prompts: vec![Prompt { rendered, expected: None }],
        max_tokens: 1,
        stop: Vec::new(),
    };
    let (seen, last) = crate::commands::Real::new().carry_out(Command::Generate(request));
    let EventKind::Failed(failure) = last else { panic!("{last:?}") };
    assert!(seen.is_empty() && failure.title.contains("another model"), "{seen:?} {failure:?}");
}

/// Files of other programs hold nothing but a name to know their model by; whoever knows better says so once.
#[test]
fn an_adapter_that_only_names_another_model_is_refused_until_it_is_adopted() {
    let stage = Stage::new();
    let model = stage.model();
    let made = adapter(&stage, &model, "lora");
    let note = Path::new(&made).join(base_model::FILE);
    std::fs::remove_file(&note).unwrap();
    let config = Path::new(&made).join("adapter_config.json");
    let run = |name: &str| {
        let mut value: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
        value["base_model_name_or_path"] = name.into();
        std::fs::write(&config, value.to_string()).unwrap();
        let args = ["generate", "--prompt", "x", "--max-tokens", "1", "--model", &model, "--adapter", &made];
        let output = stage.run(&args);
        (code(&output), stderr(&output))
    };
    for own in ["tiny-llama", "/home/someone/tiny-llama/", "org/Tiny-Llama", ""] {
        assert_eq!(run(own).0, 0, "{own}");
    }
    let (code_, said) = run("meta-llama/Llama-3.2-1B");
    assert_eq!(code_, 1, "{said}");
    for needle in
        ["made for meta-llama/Llama-3.2-1B", "tiny-llama", "tunesmith adopt", "It is for this model"]
    {
        assert!(said.contains(needle), "{needle}: {said}");
    }
    assert!(!said.contains("Loading"), "before the model is read: {said}");

    let adopt = |adapter: &str, model: &str| stage.run(&["adopt", adapter, "--model", model]);
    // Of a model of other shapes, the first tensor that does not fit is named, and nothing is noted.
    let gpt2 = crate::parity::fixture("parity/families/gpt2/model");
    let output = adopt(&made, gpt2.to_str().unwrap());
    assert!(code(&output) == 1 && !note.exists(), "{}", stderr(&output));
    for (bad, why) in [("nowhere", "nowhere"), (model.as_str(), "adapter")] {
        let output = match bad {
            "nowhere" => adopt(&made, bad),
            _ => adopt(stage.path("none").to_str().unwrap(), bad),
        };
        assert!(code(&output) == 1 && stderr(&output).contains(why), "{}", stderr(&output));
    }
    let output = adopt(&made, &model);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(run("meta-llama/Llama-3.2-1B").0, 0);
    // From now on it is known by its model's weights: another one's is refused, and not adopted either.
    let other = other_model(&stage, &model);
    let output = adopt(&made, &other);
    assert!(code(&output) == 1 && stderr(&output).contains("mlp"), "{}", stderr(&output));
}

#[test]
fn names_of_one_model_are_known_as_such() {
    let cached = "/c/models--HuggingFaceTB--SmolLM2-135M-Instruct/snapshots/12fd";
    let own = "smollm2-135m-instruct";
    for (name, source, path) in [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", own, ""),
        (own, "HuggingFaceTB/SmolLM2-135M-Instruct", ""),
        ("C:\\models\\SmolLM2-135M-Instruct", own, ""),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", cached, cached),
        ("org/tiny", "/m/Tiny.Q4_1.gguf", "/m/Tiny.Q4_1.gguf"),
    ] {
        assert!(may_mean(name, source, Path::new(path)), "{name} {source}");
    }
    for (name, source) in [("HuggingFaceTB/SmolLM2-135M", own), ("org/tiny", "org/tiny-chat"), ("a", "b")] {
        assert!(!may_mean(name, source, Path::new("/m/x")), "{name} {source}");
    }
}

/// The numbers of a base that are looked at may be those of the model made of it: its own note tells them apart.
#[test]
fn what_is_worked_into_a_model_is_not_answered_with_again() {
    let stage = Stage::new();
    let model = stage.model();
    let weights = Path::new(&model).join("model.safetensors");
    std::fs::copy(changed("(nothing)", DType::BF16).path().join("model.safetensors"), weights).unwrap();
    let made = adapter(&stage, &model, "lora");
    let full = adapter(&stage, &model, "full");
    let (merged, sum) = (stage.path("merged"), stage.path("sum"));
    let (merged, sum) = (merged.to_str().unwrap(), sum.to_str().unwrap());
    let vectors =
        ["compose", &full, "--how", "task-vectors", "--weights", "1", "--model", &model, "--out", sum];
    for args in [&["merge", &made, "--model", &model, "--out", merged][..], &vectors] {
        let output = stage.run(args);
        assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
    }
    let answer = |model: &str, adapter: &str| {
        let ask = ["generate", "--prompt", "x", "--max-tokens", "1", "--model", model, "--adapter", adapter];
        let output = stage.run(&ask);
        (code(&output), stderr(&output))
    };
    for tuned in [merged, sum] {
        let (code, said) = answer(tuned, &made);
        assert!(code == 1 && said.contains("was made of that one"), "{tuned}: {said}");
    }
    let base_model = base_model::BaseModel::read(Path::new(merged)).unwrap().unwrap();
    assert_eq!(base_model.identity, identity(Path::new(&model)));
    // What was trained of the merged model is for that one.
    std::fs::rename(&made, stage.path("before")).unwrap();
    let (code, said) = answer(merged, &adapter(&stage, merged, "lora"));
    assert!(code == 0 && !said.contains("worked in"), "{said}");
}

#[test]
fn a_whole_model_that_says_nothing_of_its_base_is_told_and_taken_if_it_reads_the_same_words() {
    let stage = Stage::new();
    let model = stage.model();
    let other = other_model(&stage, &model);
    let run = || {
        let ask = ["generate", "--prompt", "x", "--max-tokens", "1", "--model", &model, "--adapter", &other];
        let output = stage.run(&ask);
        (code(&output), stderr(&output))
    };
    let (code_, said) = run();
    assert!(code_ == 0 && said.contains("does not say what it was tuned from"), "{said}");
    // The same words under other numbers.
    let tokenizer = Path::new(&other).join("tokenizer.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&tokenizer).unwrap()).unwrap();
    let words = json["model"]["vocab"].as_object_mut().unwrap();
    let num = words.len() as u64;
    words.values_mut().for_each(|id| *id = (num - 1 - id.as_u64().unwrap()).into());
    std::fs::write(&tokenizer, json.to_string()).unwrap();
    let (code_, said) = run();
    assert!(code_ == 1 && said.contains("another vocabulary"), "{said}");
}

/// The model cannot be loaded either: whoever is told of the adapter has not waited for it.
#[test]
fn an_adapter_is_refused_before_the_model_is_loaded() {
    let stage = Stage::new();
    let model = stage.model();
    let made = adapter(&stage, &model, "lora");
    let nan = |(name, tensor): (String, candle_core::Tensor)| {
        let value = if name.contains("mlp") { (&tensor * f64::NAN).unwrap() } else { tensor };
        (name, value)
    };
    save(Path::new(&model), &tensors(LLAMA).into_iter().map(nan).collect());
    std::fs::remove_file(Path::new(&made).join(base_model::FILE)).unwrap();
    let (prompts, rows) = (stage.file("prompts.txt", "a peach\n"), stage.rows());
    let taken = stage.path("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("mine.txt"), "x").unwrap();
    let merge = stage.run(&["merge", &made, "--model", &model, "--out", taken.to_str().unwrap()]);
    assert!(code(&merge) == 1 && stderr(&merge).contains("there already"), "{}", stderr(&merge));
    let commands: [&[&str]; 3] =
        [&["generate", "--prompt", "x"], &["eval", "--data", &rows], &["compare", "--prompts", &prompts]];
    let tell = |needle: &str| {
        for command in commands {
            let output = stage.run(&[command, &["--model", &model, "--adapter", &made]].concat());
            let said = stderr(&output);
            assert_eq!((code(&output), said.contains(needle)), (1, true), "{command:?} {needle}: {said}");
        }
    };
    tell("finite");
    let file = Path::new(&made).join("adapter_model.safetensors");
    std::fs::write(&file, &std::fs::read(&file).unwrap()[..100]).unwrap();
    tell("adapter_model.safetensors");
}

//! Several adapters as one, against PEFT's numbers: `tests/fixtures/parity/make_composed.py`.

use crate::cli::{Stage, code, stderr};
use crate::ops::{random, relative_error};
use crate::parity::{decoder, fixture, lora, tensors};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tunesmith::base::{Control, Failure};
use tunesmith::data::{Batch, LossWeights, Sample};
use tunesmith::engine::halt::Halt;
use tunesmith::model::config::Family;
use tunesmith::model::decoder::Decoder;
use tunesmith::model::files::ModelFiles;
use tunesmith::nn::Tape;
use tunesmith::peft::blend::{Merge, Sign};
use tunesmith::peft::compose::{Composition, How, Part, check_settings};
use tunesmith::peft::{Adapter, PTuningSettings, PrefixSettings, Settings, files, format, task_vectors};
use tunesmith::recipe::{Recipe, load};

const BOUND: f64 = 1e-4;

fn folder(name: &str) -> PathBuf {
    fixture(&format!("parity/composed/{name}"))
}

fn composition(parts: &[(&str, f64)], how: How) -> Composition {
    let part = |(name, weight): &(&str, f64)| Part { folder: folder(name), weight: *weight };
    Composition { parts: parts.iter().map(part).collect(), how }
}

fn made(decoder: &Decoder, parts: &[(&str, f64)], how: How) -> Adapter {
    composition(parts, how).load(decoder.config(), &Device::Cpu).unwrap()
}

fn single(decoder: &Decoder, name: &str) -> Adapter {
    files::load(&folder(name), decoder.config(), &Device::Cpu).unwrap()
}

fn logits(decoder: &Decoder, adapter: &Adapter) -> Tensor {
    let expected = tensors("parity/composed/logits.safetensors");
    let ids = expected["input_ids"].to_dtype(DType::U32).unwrap().to_vec1::<u32>().unwrap();
    let batch =
        Batch::pack([&Sample { weights: LossWeights::all(1.0, ids.len()), ids, ..Sample::default() }]);
    let hooks = adapter.hooks().unwrap();
    let hidden = decoder.forward(&Tape::inference(), &batch, hooks.as_ref()).unwrap();
    decoder.logits(hidden.value(), hooks.as_ref()).unwrap()
}

fn dare(density: f64, with: Merge) -> How {
    How::Dare { density, seed: 7, with }
}

#[test]
fn every_way_gives_pefts_logits() {
    let decoder = decoder("parity/tiny-llama/model");
    let expected = tensors("parity/composed/logits.safetensors");
    let ties = |density, sign| How::Ties { density, sign };
    let ab = |a, b| vec![("a", a), ("b", b)];
    let ranks = |a, b| vec![("ranks_a", a), ("ranks_b", b)];
    let cases = [
        ("linear", ab(0.7, 0.3), How::Linear),
        ("linear_minus", ab(1.0, -0.5), How::Linear),
        ("cat", vec![("a", 0.7), ("b", -0.3), ("wide", 0.5)], How::Concatenate),
        ("ties_total", ab(0.7, 0.6), ties(0.4, Sign::Total)),
        ("ties_frequency", ab(1.0, 1.5), ties(0.6, Sign::Frequency)),
        ("dare_linear", ab(0.7, 0.3), dare(1.0, Merge::Linear)),
        ("dare_ties", ab(0.7, 0.3), dare(1.0, Merge::Ties(Sign::Total))),
        ("ranks_linear", ranks(0.7, 0.6), How::Linear),
        ("ranks_ties", ranks(0.7, 0.6), ties(0.4, Sign::Total)),
        ("ranks_cat", vec![("a", 0.7), ("ranks_a", -0.6), ("ranks_b", 0.5)], How::Concatenate),
        ("ia3", vec![("ia3_a", 0.8), ("ia3_b", 0.4)], How::Linear),
    ];
    for (case, parts, how) in &cases {
        let error = relative_error(&logits(&decoder, &made(&decoder, parts, *how)), &expected[*case]);
        assert!(error < BOUND, "{case}: {error}");
    }
    // The bound tells them apart.
    for (one, _, _) in &cases {
        for (other, _, _) in cases.iter().filter(|(other, _, _)| other != one) {
            let error = relative_error(&expected[*one], &expected[*other]);
            let is_one = [*one, *other].iter().all(|case| case.ends_with("linear"));
            assert!(is_one || error > 10.0 * BOUND, "{one} {other}: {error}");
        }
    }
}

#[test]
fn weights_of_one_and_nothing_give_the_one_exactly() {
    let decoder = decoder("parity/tiny-llama/model");
    let values = |adapter: &Adapter| adapter.params.values().to_vec1::<f32>().unwrap();
    for how in [How::Linear, How::Concatenate, dare(1.0, Merge::Linear)] {
        let patterns = [("ranks_b", [("ranks_a", 0.0), ("ranks_b", 1.0)])];
        let plain = [("a", [("a", 1.0), ("b", 0.0)]), ("b", [("a", 0.0), ("b", 1.0)])];
        for (name, parts) in plain.into_iter().chain(patterns) {
            let (composed, one) = (made(&decoder, &parts, how), single(&decoder, name));
            assert_eq!(composed.settings, one.settings, "{how:?}");
            assert_eq!(values(&composed), values(&one), "{how:?}");
        }
    }
    let (composed, one) = (made(&decoder, &[("ia3_a", 0.0), ("ia3_b", 1.0)], How::Linear), "ia3_b");
    assert_eq!(values(&composed), values(&single(&decoder, one)));
}

#[test]
fn a_composition_is_saved_and_loaded_as_any_adapter() {
    let decoder = decoder("parity/tiny-llama/model");
    let hows = [How::Linear, How::Concatenate, dare(0.5, Merge::Ties(Sign::Total))];
    let parts = [["a", "b"], ["ranks_a", "ranks_b"]];
    for (how, [one, other]) in hows.into_iter().flat_map(|how| parts.map(|parts| (how, parts))) {
        let composed = made(&decoder, &[(one, 0.7), (other, -0.3)], how);
        let out = tempfile::tempdir().unwrap();
        format::save(&composed, lora(&composed), out.path()).unwrap();
        let again = files::load(out.path(), decoder.config(), &Device::Cpu).unwrap();
        assert_eq!(again.settings, composed.settings);
        assert_eq!(again.base_model, "tiny-llama");
        assert_eq!(relative_error(&logits(&decoder, &again), &logits(&decoder, &composed)), 0.0);
    }
}

#[test]
fn dare_replays_with_its_seed_and_drops_its_share() {
    let decoder = decoder("parity/tiny-llama/model");
    let with = |seed, density| {
        let how = How::Dare { density, seed, with: Merge::Linear };
        made(&decoder, &[("a", 0.5), ("b", 0.5)], how).params.values().to_vec1::<f32>().unwrap()
    };
    assert_eq!(with(1, 0.5), with(1, 0.5));
    assert_ne!(with(1, 0.5), with(2, 0.5));
    let num_zero = |values: Vec<f32>| values.iter().filter(|x| **x == 0.0).count() as f64;
    let all = with(1, 1.0);
    let n = all.len() as f64;
    let before = num_zero(all);
    let found = num_zero(with(1, 0.5)) - before;
    // Layers of both lose a quarter of what is there, those of one alone half of it.
    assert!(found > 0.25 * (n - before) && found < 0.5 * (n - before), "{found} of {}", n - before);
}

#[test]
fn what_does_not_go_together_is_refused_in_words() {
    let decoder = decoder("parity/tiny-llama/model");
    let refusal = |parts: &[(&str, f64)], how| {
        let error = composition(parts, how).load(decoder.config(), &Device::Cpu).unwrap_err();
        let failure = Failure::from(error);
        assert!(!failure.hint.is_empty() && failure.title == "Cannot compose these adapters", "{failure}");
        failure.detail
    };
    let both = [("a", 1.0), ("b", 1.0)];
    assert!(refusal(&both[..1], How::Linear).contains("nothing to compose it with"));
    assert!(refusal(&[("a", 0.0), ("b", 0.0)], How::Linear).contains("every weight is 0"));
    assert!(refusal(&[("a", f64::NAN), ("b", 1.0)], How::Linear).contains("NaN"));
    for density in [0.0, -0.5, 1.5, f64::NAN] {
        let ties = How::Ties { density, sign: Sign::Total };
        for how in [ties, dare(density, Merge::Linear)] {
            assert!(refusal(&both, how).contains("the density is"));
        }
    }
    let unequal = [("a", 1.0), ("wide", 1.0)];
    for how in [How::Linear, dare(0.5, Merge::Linear), How::Ties { density: 0.5, sign: Sign::Total }] {
        let said = refusal(&unequal, how);
        assert!(said.contains("ranks differ") && said.contains("composed/wide"), "{said}");
        assert!(refusal(&[("ranks_a", 1.0), ("a", 1.0)], how).contains("ranks differ"));
    }
    for how in [How::Linear, How::Concatenate] {
        let said = refusal(&[("a", 1.0), ("../variants/dora_rank_stabilised", 1.0)], how);
        assert!(said.contains("dora_rank_stabilised is a DoRA"), "{said}");
    }
    assert!(refusal(&[("a", 1.0), ("ia3_a", 1.0)], How::Linear).contains("different methods"));
    let scales = [("ia3_a", 1.0), ("ia3_b", 1.0)];
    assert!(refusal(&scales, How::Concatenate).contains("only LoRAs"));
    let houlsby = composition(&[("a", 1.0), ("../methods/houlsby", 1.0)], How::Linear);
    let error = houlsby.load(decoder.config(), &Device::Cpu).unwrap_err();
    assert!(error.to_string().contains("different methods"), "{error}");
    assert!(refusal(&[("a", 1.0), ("../tiny-llama/model", 1.0)], How::Linear).contains("whole model"));
}

/// Recipes tell it before there is a file to look at; a part with weight 0 has no say but in an election.
#[test]
fn settings_tell_what_goes_together() {
    let settings = |changes: &[&str]| {
        let mut recipe = Recipe::default();
        changes.iter().for_each(|change| load::set(&mut recipe, change).unwrap());
        recipe.method.settings(Family::Llama).unwrap()
    };
    let said = |other: &[&str], weight: f64, how| {
        let (one, other) = (settings(&[]), settings(other));
        check_settings(&[("one", &one, 1.0), ("two", &other, weight)], how)
            .err()
            .map(|error| error.to_string())
    };
    let ties = How::Ties { density: 0.5, sign: Sign::Total };
    for how in [How::Concatenate, How::Linear, ties] {
        assert_eq!(said(&["method.alpha=3", "method.target_modules=[\"q_proj\"]"], 1.0, how), None);
        for (own, why) in [
            ("method.dora=true", "two is a DoRA"),
            ("method.bias=\"all\"", "two has trained weights of the model"),
            ("method.modules_to_save=[\"lm_head\"]", "two has trained weights of the model"),
        ] {
            assert!(said(&[own], 0.0, how).unwrap().contains(why), "{own}");
        }
        let pattern = said(&["method.rank_pattern={ q_proj = 4 }"], 1.0, how);
        assert_eq!(pattern.is_none(), how == How::Concatenate, "{pattern:?}");
        assert_eq!(said(&["method.alpha_pattern={ q_proj = 4.0 }"], 1.0, how), None);
        assert!(said(&["method.kind=ia3"], 1.0, how).unwrap().contains("different methods"));
        let ranks_differ = |weight| said(&["method.rank=4"], weight, how).is_some();
        assert_eq!((ranks_differ(1.0), ranks_differ(0.0)), (how != How::Concatenate, how == ties));
    }
    let scales = settings(&["method.kind=ia3"]);
    let of_scales = |how| check_settings(&[("one", &scales, 1.0), ("two", &scales, 1.0)], how);
    assert!(of_scales(How::Linear).is_ok() && of_scales(How::Concatenate).is_err());
}

/// A density that rounds every matrix of the parts to nothing is no composition but the base model.
#[test]
fn a_density_that_leaves_nothing_is_refused_with_one_that_leaves_something() {
    let decoder = decoder("parity/tiny-llama/model");
    let parts = [("a", 0.7), ("b", 0.3)];
    for how in [|density| How::Ties { density, sign: Sign::Total }, |density| dare(density, Merge::Linear)] {
        let failure = |density| {
            let made = composition(&parts, how(density)).load(decoder.config(), &Device::Cpu);
            made.err().map(Failure::from)
        };
        let refused = failure(1e-5).unwrap();
        assert!(refused.detail.contains("leaves nothing"), "{refused}");
        let number = refused.hint.trim_end_matches('.').rsplit(' ').next().unwrap();
        let enough: f64 = number.parse().unwrap();
        assert!(enough > 1e-5 && enough < 0.1 && number.len() < 10, "{refused}");
        assert_eq!(failure(enough), None);
        assert!(failure(enough * 0.9).is_some(), "{enough} is the smallest, to two digits");
    }
}

/// What an encoder makes is no linear function of its weights.
#[test]
fn virtual_tokens_are_summed_and_not_the_networks_that_make_them() {
    let model = crate::train::model();
    let temp = tempfile::tempdir().unwrap();
    for settings in [
        Settings::PTuning(PTuningSettings { num_tokens: 4, encoder_width: 6 }),
        Settings::Prefix(PrefixSettings { num_tokens: 4, projection_width: Some(6) }),
        Settings::Prefix(PrefixSettings { num_tokens: 4, projection_width: None }),
    ] {
        let mut sum = None;
        let mut parts = Vec::new();
        let tokens = |folder: &Path| {
            let path = folder.join(format::WEIGHTS_FILE);
            candle_core::safetensors::load(path, &Device::Cpu).unwrap()["prompt_embeddings"].clone()
        };
        let save = |adapter: &Adapter, name: String| {
            let folder = temp.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            files::save(adapter, &model.description(), &folder).unwrap();
            folder
        };
        for (seed, weight) in [(1, 0.75), (2, -0.5)] {
            let adapter = Adapter::new(settings.clone(), &model, seed).unwrap();
            let folder = save(&adapter, format!("{settings:?} {seed}"));
            let part = (tokens(&folder) * weight).unwrap();
            sum = Some(sum.map_or(part.clone(), |sum: Tensor| (sum + &part).unwrap()));
            parts.push(Part { folder, weight });
        }
        let made = Composition { parts, how: How::Linear }.load(model.config(), &Device::Cpu).unwrap();
        let saved = tokens(&save(&made, format!("{settings:?}")));
        assert!(relative_error(&saved, &sum.unwrap()) < 1e-6, "{settings:?}");
    }
}

#[test]
fn a_density_that_leaves_out_layers_says_how_many() {
    let decoder = decoder("parity/tiny-llama/model");
    let left = |density| {
        let composition = composition(&[("a", 0.7), ("b", 0.3)], dare(density, Merge::Linear));
        let made = composition.load(decoder.config(), &Device::Cpu);
        made.map(|made| composition.layers_left(&made).unwrap())
    };
    // One that is enough for some, and not for all.
    let some = (1..200).find_map(|i| left(0.001 * f64::from(i)).ok()).unwrap();
    let (few, all) = some.unwrap();
    assert!(0 < few && few < all, "{few} {all}");
    assert_eq!(left(0.9).unwrap(), None);

    let stage = Stage::new();
    let model = stage.model();
    let parts = adapters(&stage, &["a", "b"], &model);
    let density = (1..200).map(|i| 0.001 * f64::from(i)).find(|density| left(*density).is_ok()).unwrap();
    let run = |density: f64, out: &str| {
        let density = density.to_string();
        let way = [
            "--weights",
            "0.7,0.3",
            "--how",
            "dare-linear",
            "--density",
            &density,
            "--seed",
            "7",
            "--out",
            out,
        ];
        let output = stage.run(&[&["compose", &parts[0], &parts[1]], &way[..]].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        stderr(&output)
    };
    let said = run(density, "few");
    assert!(said.contains(&format!("Of the {all} layers")) && said.contains(&format!("{few} are")), "{said}");
    assert!(!run(0.9, "most").contains("layers"));
}

/// Copies of adapters, which say of themselves that they were made for `base`.
fn adapters(stage: &Stage, names: &[&str], base: &str) -> Vec<String> {
    let copied = |name: &&str| {
        let to = stage.path(name);
        std::fs::create_dir_all(&to).unwrap();
        let config = std::fs::read_to_string(folder(name).join(format::CONFIG_FILE)).unwrap();
        std::fs::write(to.join(format::CONFIG_FILE), config.replace("tiny-llama", base)).unwrap();
        std::fs::copy(folder(name).join(format::WEIGHTS_FILE), to.join(format::WEIGHTS_FILE)).unwrap();
        to.to_str().unwrap().to_string()
    };
    names.iter().map(copied).collect()
}

#[test]
fn the_program_writes_an_adapter_and_leaves_other_folders_alone() {
    let stage = Stage::new();
    stage.model();
    let parts = adapters(&stage, &["a", "b"], "tiny-llama");
    let out = stage.path("out");
    let how = ["--how", "ties", "--density", "0.4", "--sign", "frequency", "--out", out.to_str().unwrap()];
    let args = [&["compose", &parts[0], &parts[1], "--weights", "-0.5,1"], &how[..]].concat();
    let (code_of_it, value) = stage.json(&args);
    assert_eq!(code_of_it, 0, "{value}");
    assert_eq!(value["path"], out.to_str().unwrap());
    let decoder = decoder("parity/tiny-llama/model");
    let written = files::load(&out, decoder.config(), &Device::Cpu).unwrap();
    let ties = How::Ties { density: 0.4, sign: Sign::Frequency };
    let expected = made(&decoder, &[("a", -0.5), ("b", 1.0)], ties);
    assert_eq!(written.settings, expected.settings);
    assert_eq!(relative_error(written.params.values(), expected.params.values()), 0.0);
    // It names the model so that it is found from another folder, too.
    assert!(Path::new(&written.base_model).is_absolute(), "{}", written.base_model);

    let card = std::fs::read_to_string(out.join("README.md")).unwrap();
    for needle in ["| a | -0.5 |", "| b | 1 |", "TIES", "0.4", "tiny-llama", "An adapter", "PeftModel"] {
        assert!(card.contains(needle), "{needle}: {card}");
    }
    assert!(!card.contains(stage.folder.path().to_str().unwrap()), "{card}");

    // The folder of a run stands for what it made.
    std::fs::create_dir_all(stage.path("run/checkpoints")).unwrap();
    stage.file("run/recipe.toml", "");
    std::fs::rename(stage.path("a"), stage.path("run/adapter")).unwrap();
    let how =
        ["--weights=-0.5,1", "--how", "ties", "--density", "0.4", "--sign", "frequency", "--out", "again"];
    let output = stage.run(&[&["compose", "run", &parts[1]], &how[..]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let weights = |folder: &Path| std::fs::read(folder.join(format::WEIGHTS_FILE)).unwrap();
    assert_eq!(weights(&stage.path("again")), weights(&out));
    std::fs::rename(stage.path("run/adapter"), stage.path("a")).unwrap();

    let before = std::fs::read(out.join(format::WEIGHTS_FILE)).unwrap();
    let output = stage.run(&args);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("new or an empty folder"), "{}", stderr(&output));
    assert_eq!(std::fs::read(out.join(format::WEIGHTS_FILE)).unwrap(), before);
}

#[test]
fn the_program_refuses_parts_of_different_models_or_kinds_and_writes_nothing() {
    let stage = Stage::new();
    let model = stage.model();
    let parts = adapters(&stage, &["a", "b", "ia3_a"], "tiny-llama");
    let other = adapters(&stage, &["wide"], "smaller-llama").remove(0);
    let (a, b) = (parts[0].as_str(), parts[1].as_str());
    let cases: [(&[&str], &[&str]); 6] = [
        (&[a, &other, "--how", "concatenate"], &["different models", "tiny-llama", "smaller-llama"]),
        (&[a, &parts[2]], &["different methods"]),
        (&[a, &model], &["whole model", "task-vectors"]),
        (&[a, b, "--how", "task-vectors"], &["no whole model"]),
        (&[a, "nowhere"], &["adapter_config.json"]),
        (&[a, b, "--model", "nowhere"], &["nowhere"]),
    ];
    for (args, needles) in cases {
        let output = stage.run(&[&["compose", "--weights", "1,1", "--out", "out"], args].concat());
        assert_eq!(code(&output), 1, "{args:?}: {}", stderr(&output));
        for needle in needles {
            assert!(stderr(&output).contains(needle), "{args:?}: {needle}: {}", stderr(&output));
        }
        assert!(!stage.path("out").exists(), "{args:?}");
    }
}

/// An option that would count for nothing is told rather than passed over.
#[test]
fn options_of_other_ways_are_refused() {
    let stage = Stage::new();
    for (how, option, value) in [
        ("linear", "--density", "0.5"),
        ("linear", "--sign", "total"),
        ("dare-linear", "--sign", "frequency"),
        ("ties", "--seed", "1"),
        ("task-vectors", "--seed", "42"),
    ] {
        let args = ["compose", "a", "b", "--weights", "1,1", "--out", "out", "--how", how, option, value];
        let output = stage.run(&args);
        assert_eq!(code(&output), 2, "{how} {option}: {}", stderr(&output));
        assert!(stderr(&output).contains(&format!("{option} is for --how")), "{}", stderr(&output));
    }
}

#[test]
fn task_vectors_add_up_and_are_taken_away() {
    let stage = Stage::new();
    let base = stage.model();
    let read = |folder: &Path| {
        candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap()
    };
    let before: HashMap<String, Tensor> = read(Path::new(&base));
    let wide = |tensor: &Tensor| tensor.to_dtype(DType::F32).unwrap();
    for (name, seed) in [("one", 1), ("two", 2)] {
        std::fs::create_dir(stage.path(name)).unwrap();
        for entry in std::fs::read_dir(&base).unwrap().map(Result::unwrap) {
            std::fs::copy(entry.path(), stage.path(name).join(entry.file_name())).unwrap();
        }
        let tuned = before.iter().map(|(key, tensor)| {
            let noise = (random(tensor.dims(), seed) * 0.1).unwrap();
            (key.clone(), (wide(tensor) + noise).unwrap())
        });
        let tuned: HashMap<String, Tensor> = tuned.collect();
        candle_core::safetensors::save(&tuned, stage.path(name).join("model.safetensors")).unwrap();
    }
    let compose = |parts: &[&str], weights: &str, out: &str| {
        let way = ["--weights", weights, "--how", "task-vectors", "--model", &base, "--out", out];
        let output = stage.run(&[&["compose"], parts, &way].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        ModelFiles::open(out, &stage.path(out)).unwrap().tokeniser().unwrap();
        let card = std::fs::read_to_string(stage.path(out).join("README.md")).unwrap();
        assert!(card.contains("A tuned model") && card.contains(&format!("| {} |", parts[0])), "{card}");
        read(&stage.path(out))
    };
    let (one, two) = (read(&stage.path("one")), read(&stage.path("two")));
    let sum = compose(&["one", "two"], "0.8,-0.5", "sum");
    let alone = compose(&["one", "two"], "0,1", "alone");
    let without = compose(&["one"], "-1", "without");
    assert_eq!(sum.len(), before.len());
    // In the places of the weights, to answer at once, they come to the same.
    let files = ModelFiles::open(&base, Path::new(&base)).unwrap();
    let parts = [("one", 0.8), ("two", -0.5)].map(|(name, weight)| Part { folder: stage.path(name), weight });
    let stopped = Control::new();
    stopped.stop();
    let halt: Halt = task_vectors::load(&files, &parts, &Device::Cpu, &stopped).unwrap_err().into();
    assert!(matches!(halt, Halt::Stopped), "{halt:?}");
    let loaded = task_vectors::load(&files, &parts, &Device::Cpu, &Control::new()).unwrap();
    for (name, values) in loaded.params.named().unwrap() {
        assert_eq!(relative_error(&values, &sum[&name]), 0.0, "{name}");
    }
    for (key, base) in &before {
        let base = wide(base);
        let change =
            |tuned: &HashMap<String, Tensor>, weight: f64| ((&tuned[key] - &base).unwrap() * weight).unwrap();
        let expected = ((&base + change(&one, 0.8)).unwrap() + change(&two, -0.5)).unwrap();
        assert!(relative_error(&sum[key], &expected) < 1e-6, "{key}");
        assert_eq!(relative_error(&alone[key], &two[key]), 0.0, "{key}");
        assert!(relative_error(&without[key], &(&base + change(&one, -1.0)).unwrap()) < 1e-6, "{key}");
    }
}

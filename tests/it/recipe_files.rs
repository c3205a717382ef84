//! Recipes as files: presets, the README's, those of every method, and the names of their settings.

use crate::recipe::{facts, method};
use std::path::Path;
use tunesmith::model::config::Family;
use tunesmith::recipe::recipe::{Freeze, Lora, Method, OptimizerKind};
use tunesmith::recipe::{Recipe, load, preset};

/// Every method can be chosen with one setting, has its own usual rate, and is sound as it comes.
#[test]
fn every_method_is_sound_as_it_comes() {
    for method in Method::all() {
        let mut recipe = Recipe::default();
        load::set(&mut recipe, &format!("method.kind={}", method.kind())).unwrap();
        assert_eq!(recipe.method, method);
        recipe.optimizer.learning_rate = recipe.usual_learning_rate();
        assert_eq!(recipe.check(&facts()), [], "{method:?}");
        assert_eq!(load::from_toml(&load::write(&recipe).unwrap()).unwrap(), recipe);
        assert!(recipe.method.settings(Family::Llama).is_ok());
    }
    for setting in ["method.num_virtual_tokens=8", "method.text=Label it.", "method.encoder_width=3"] {
        let (field, value) = setting.split_once('=').unwrap();
        assert_eq!(load::misfit(field, value), None, "some method takes {setting}");
    }
    assert_eq!(load::misfit("objective.pooling", "auto"), None, "some objective takes it");
    assert!(load::misfit("objective.pooling", "middle").is_some());
    assert!(load::misfit("method.num_virtual_tokens", "many").is_some());
}

/// A recipe of before there was a choice, and one of each kind.
#[test]
fn a_recipe_chooses_its_optimizer() {
    let kind = |text: &str| load::from_toml(text).unwrap().optimizer.kind;
    assert_eq!(kind("[optimizer]\nbeta1 = 0.8"), OptimizerKind::AdamW);
    assert_eq!(kind("[optimizer]\nkind = \"adamw\""), OptimizerKind::AdamW);
    assert_eq!(kind("[optimizer]\nkind = \"adamw_8bit\""), OptimizerKind::AdamW8Bit);
    assert_eq!(kind("[optimizer]\nkind = \"lion\"\nbeta2 = 0.99"), OptimizerKind::Lion);
    assert_eq!(kind("[optimizer]\nkind = \"sgd\"\nmomentum = 0.8"), OptimizerKind::Sgd);
    let problems = load::from_toml("[optimizer]\nkind = \"adam\"").unwrap_err();
    assert_eq!(problems[0].field, "optimizer.kind");
    assert!(problems[0].text.contains("adamw, adamw_8bit, lion, sgd"), "{}", problems[0].text);
}

#[test]
fn a_misnamed_setting_is_told_with_the_right_one() {
    let text = |field: &str| load::misnamed(field).map(|p| p.text).unwrap_or_default();
    let patterns =
        ["method.rank_pattern", "method.alpha_pattern.q_proj", "method.rank_pattern.\"layers.0.up\""];
    let plain = ["optimizer.learning_rate", "data.path", "data.schema.roles", "length.updates", "about"];
    for field in plain.into_iter().chain(patterns) {
        assert_eq!(text(field), "", "{field}");
    }
    for (field, needle) in [
        ("optimizer.lerning_rate", "\"optimizer.learning_rate\""),
        ("optimiser.learning_rate", "Did you mean"),
        ("rank", "\"method.rank\""),
        ("data", "a section"),
        ("about.x", "not a setting"),
        ("", "not a setting"),
        ("data.path.", "not a setting"),
        ("....", "not a setting"),
        ("method.rank_pattern.", "names no layers"),
    ] {
        assert!(text(field).contains(needle), "{field}: {}", text(field));
    }
}

#[test]
fn presets_are_read_and_sound() {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/presets")).unwrap().count();
    let all = preset::all();
    assert_eq!(all.len(), files, "a file of presets/ is not embedded or cannot be read");
    assert!(all.len() >= 5);
    for preset in all {
        let mut facts = facts();
        if let Some(model) =
            facts.model.as_mut().filter(|_| preset.recipe.objective.wants_causal() == Some(false))
        {
            model.config.family = Family::Bert;
        }
        let problems = preset.recipe.check(&facts);
        assert_eq!(problems, [], "{}", preset.name);
        assert!(preset.recipe.about.ends_with('.'), "{} says what it is for", preset.name);
        assert!(preset::text(preset.name).unwrap().starts_with("# "), "{} is commented", preset.name);
        assert_eq!(preset::find(preset.name), Some(preset));
    }
    let mut quickstart = preset::find("quickstart").unwrap().recipe;
    assert_eq!(method(&mut quickstart).rank, 16);
    assert_eq!(preset::find("../../etc/passwd"), None);
}

/// What the README says of the data's settings is a recipe, and its values are the usual ones.
#[test]
fn the_recipe_in_the_readme_says_the_usual_values() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let text = readme.split("```toml").nth(1).unwrap().split("```").next().unwrap();
    let mut recipe = load::from_toml(text).unwrap();
    assert!(recipe.data.path.take().is_some());
    let schema = recipe.data.schema.take().unwrap();
    assert!(schema.layout().is_some() && schema.prompt_template.is_some());
    assert_eq!(recipe, Recipe::default());
}

/// What is written is what was read, ranks of single layers and chosen blocks included.
#[test]
fn settings_of_every_method_come_back() {
    let mut lora = Lora { dora: true, rank_stabilised: true, b_rate_factor: 16.0, ..Lora::default() };
    lora.rank_pattern.insert(r"layers\.1\.mlp\.up_proj".into(), 4);
    lora.alpha_pattern.insert("k_proj".into(), 3.5);
    let freeze = Freeze { chosen: vec![3, 7], head: true, ..Freeze::default() };
    let all = [Method::Lora(lora), Method::Freeze(freeze)];
    for method in all.into_iter().chain(Method::all()) {
        let recipe = Recipe { method, ..Recipe::default() };
        let written = load::write(&recipe).unwrap();
        assert_eq!(load::from_toml(&written).unwrap(), recipe, "{written}");
    }
    let mut recipe = Recipe::default();
    load::set(&mut recipe, "method.rank_pattern.q_proj=2").unwrap();
    assert_eq!(method(&mut recipe).rank_pattern["q_proj"], 2);
    load::set(&mut recipe, "method.kind=freeze").unwrap();
    load::set(&mut recipe, "method.chosen=[1, 2]").unwrap();
    assert_eq!(recipe.method.freeze().unwrap().chosen, [1, 2]);
    assert!(load::misfit("method.blocks", "3").is_none(), "it is a setting, whatever the method now");
}

#[test]
fn patterns_are_set_as_a_list_or_one_by_one() {
    let layer = "layers.0.mlp.up_proj";
    for (setting, name) in [
        ("method.rank_pattern={k_proj=4}", "k_proj"),
        ("method.rank_pattern.k_proj=4", "k_proj"),
        ("method.rank_pattern.\"layers.0.mlp.up_proj\"=4", layer),
        ("method.rank_pattern.layers.0.mlp.up_proj=4", layer),
        ("method.rank_pattern = { \"layers.0.mlp.up_proj\" = 4 }", layer),
        (r"method.rank_pattern.'layers\.(0|1)\..*'=4", r"layers\.(0|1)\..*"),
        (r#"method.rank_pattern."layers\.[01]"=4"#, r"layers\.[01]"),
        ("method.rank_pattern.\"(?:a=b)\"=4", "(?:a=b)"),
    ] {
        let (field, value) = load::split(setting).unwrap();
        assert_eq!(load::misfit(field, value), None, "{setting}");
        let mut recipe = Recipe::default();
        load::set(&mut recipe, setting).unwrap_or_else(|problems| panic!("{setting}: {problems:?}"));
        assert_eq!(
            method(&mut recipe).rank_pattern.clone().into_iter().collect::<Vec<_>>(),
            [(name.into(), 4)]
        );
        // The fix that a check offers can be given as it is written.
        load::set(&mut recipe, "method.rank_pattern = {}").unwrap();
        assert!(method(&mut recipe).rank_pattern.is_empty(), "{setting}");
    }
    let refused = load::set(&mut Recipe::default(), "method.rank_pattern=4").unwrap_err();
    assert!(refused[0].text.contains("list of names"), "{refused:?}");
    assert!(load::misfit("method.rank_pattern.q_proj", "many").is_some());
}

/// Settings of the method before are refused rather than lost, in any order; the learning rate is the method's own unless it was chosen.
#[test]
fn settings_given_together_hang_on_no_order() {
    let all = |settings: &[&str]| {
        let mut recipe = Recipe::default();
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        load::set_all(&mut recipe, &settings).map(|()| recipe)
    };
    for settings in [["method.rank=4", "method.kind=ia3"], ["method.kind=ia3", "method.rank=4"]] {
        let problems = all(&settings).unwrap_err();
        assert!(problems[0].text.contains("a setting of LoRA: leave it out for IA3"), "{problems:?}");
    }
    for settings in
        [["method.width=8", "method.kind=bottleneck"], ["method.kind=bottleneck", "method.width=8"]]
    {
        assert!(matches!(all(&settings).unwrap().method, Method::Bottleneck(b) if b.width == 8));
    }
    let prompt = all(&["method.kind=prompt"]).unwrap();
    assert_eq!(prompt.optimizer.learning_rate, prompt.usual_learning_rate());
    assert_ne!(prompt.optimizer.learning_rate, Recipe::default().optimizer.learning_rate);
    for settings in [
        ["optimizer.learning_rate=5e-4", "method.kind=prompt"],
        ["method.kind=prompt", "optimizer.learning_rate=5e-4"],
    ] {
        assert_eq!(all(&settings).unwrap().optimizer.learning_rate, 5e-4);
    }
}

#[test]
fn names_that_are_nearly_right_are_told_so() {
    let said = |settings: &[&str], field: &str| {
        let mut recipe = Recipe::default();
        settings.iter().for_each(|setting| load::set(&mut recipe, setting).unwrap());
        let problems = recipe.check(&facts());
        let problem = problems.iter().find(|problem| problem.field == field);
        problem.unwrap_or_else(|| panic!("{settings:?}: {problems:?}")).clone()
    };
    let modules = "method.target_modules";
    assert!(said(&["method.target_modules=K_proj"], modules).text.contains("Did you mean k_proj?"));
    assert!(said(&["method.target_modules=[\"\"]"], modules).text.contains("One of the names is empty"));
    let twice = said(&["method.kind=freeze", "method.chosen=[1, 0, 0]"], "method.chosen");
    assert_eq!(
        (twice.text.contains("Block 0 is named twice"), twice.fix.unwrap().value),
        (true, "[0, 1]".into())
    );
}

/// What is trained does not fit, though the model does: its own size is what to change.
#[test]
fn a_method_that_is_too_large_is_not_blamed_on_the_model() {
    for (kind, setting, field) in [
        ("p_tuning", "method.encoder_width=65536", "method.encoder_width"),
        ("bottleneck", "method.width=600000", "method.width"),
    ] {
        let mut recipe = Recipe::default();
        for setting in [&format!("method.kind={kind}"), setting] {
            load::set(&mut recipe, setting).unwrap();
        }
        let problems = recipe.check(&facts());
        let found = problems.iter().find(|problem| problem.text.contains("besides the model's"));
        let problem = found.unwrap_or_else(|| panic!("{problems:?}"));
        assert_eq!(problem.field, field);
        assert!(problems.iter().all(|problem| !problem.text.contains("8 bits")), "{problems:?}");
        load::apply(&mut recipe, problem.fix.as_ref().unwrap()).unwrap();
        let left = recipe.check(&facts());
        assert!(left.iter().all(|problem| !problem.text.contains("are the limit")), "{left:?}");
    }
}

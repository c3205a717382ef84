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
    for field in ["optimizer.learning_rate", "data.path", "data.schema.roles", "length.updates", "about"] {
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
        let problems = preset.recipe.check(&facts());
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

//! Linear layers by the names that PEFT has for them, and back.

use super::PeftError;
use crate::model::config::Family;
use crate::model::families::{ALL_LINEAR, Module};
use crate::model::hooks::Linear;
use serde_json::{Value, json};

/// The layers that are meant by names as PEFT writes them: `q_proj`…, or [`ALL_LINEAR`]. In order, each once.
///
/// # Errors
/// For a name that no layer of the family has, and for no names at all.
pub fn named(family: Family, names: &[String]) -> Result<Vec<Linear>, PeftError> {
    let mut linears = Vec::new();
    for name in names {
        let is_meant = |module: &Module| name == ALL_LINEAR || module.is_meant_by(name);
        let before = linears.len();
        linears.extend(family.table().all_modules().filter(is_meant).map(|module| module.linear));
        if linears.len() == before {
            return Err(PeftError::NoTarget { name: name.clone(), family });
        }
    }
    if linears.is_empty() {
        return Err(PeftError::NoTarget { name: "(none)".into(), family });
    }
    linears.sort();
    linears.dedup();
    Ok(linears)
}

/// The layers that any of these names means, in order.
pub fn meant(family: Family, names: &[&str]) -> Vec<Linear> {
    let is_meant = |module: &Module| names.iter().any(|name| module.is_meant_by(name));
    let mut linears: Vec<_> =
        family.table().all_modules().filter(is_meant).map(|module| module.linear).collect();
    linears.sort();
    linears
}

/// PEFT's `target_modules` for these layers: their names, or a pattern where the names would mean other layers, too.
pub fn to_json(family: Family, linears: &[Linear]) -> Value {
    let names = names(family, linears);
    if meant(family, &names).iter().all(|linear| linears.contains(linear)) {
        return json!(names);
    }
    let is_target = |module: &Module| linears.contains(&module.linear);
    let paths: Vec<String> = family
        .table()
        .all_modules()
        .filter(is_target)
        .map(|module| module.path.replace('.', "\\."))
        .collect();
    json!(format!(".*\\.[0-9]+\\.({})", paths.join("|")))
}

/// Whether a linear layer outside the blocks has this name as well: PEFT would mean it, too.
fn is_elsewhere(family: Family, name: &str) -> bool {
    let table = family.table();
    let others = [
        table.scores.pooler,
        table.scores.dense.map(|(name, _)| name),
        table.names.transform.map(|transform| transform.dense),
    ];
    others.into_iter().flatten().any(|other| other.rsplit('.').next() == Some(name))
}

/// The names of layers as PEFT writes them. A name that layers share stands for all of them, or else the path.
pub fn names(family: Family, linears: &[Linear]) -> Vec<&'static str> {
    let is_target = |module: &Module| linears.contains(&module.linear);
    let namesakes = |name| family.table().all_modules().filter(move |other| other.name() == name);
    let mut names = Vec::new();
    for module in family.table().all_modules().filter(is_target) {
        let is_whole =
            !is_elsewhere(family, module.name()) && namesakes(module.name()).all(|other| is_target(&other));
        let name = if is_whole { module.name() } else { module.path };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

//! What is wrong with the method of a recipe, by itself and for its model.

use super::Fix;
use super::check::Findings;
use super::load::nearest;
use super::method::{Biases, Bottleneck, Freeze, Ia3, Lora, Method};
use super::plan::ModelFacts;
use super::recipe::Recipe;
use crate::base::{Explain, human};
use crate::model::config::Family;
use crate::model::families::{ALL_LINEAR, Module};
use crate::model::hooks::{Part, Site};
use crate::peft::freeze::Kind;
use crate::peft::{OwnWeights, Patterns, PeftError};

impl Recipe {
    pub(super) fn check_method(&self, model: Option<&ModelFacts>, found: &mut Findings) {
        match &self.method {
            Method::Lora(lora) => {
                check_rank(lora, model, found);
                check_modules(&lora.target_modules, model, found);
                check_patterns(lora, model, found);
                check_own_weights(lora, model, found);
            }
            Method::Freeze(freeze) => check_blocks(freeze, model, found),
            Method::Ia3(ia3) => {
                // None means the usual ones.
                if !ia3.target_modules.is_empty() {
                    check_modules(&ia3.target_modules, model, found);
                }
                check_ia3(ia3, model, found);
            }
            Method::Bottleneck(bottleneck) => check_bottleneck(bottleneck, model, found),
            // Virtual tokens are asked about with the context.
            Method::Full {} | Method::Prefix(_) | Method::Prompt(_) | Method::PTuning(_) => {}
        }
    }
}

fn check_rank(lora: &Lora, model: Option<&ModelFacts>, found: &mut Findings) {
    if lora.rank == 0 {
        found.error("method.rank", "A rank of 0 has nothing to train. Use 8.", Some("8"));
    }
    let smallest = model.filter(|m| m.config.width > 0).and_then(|model| {
        let is_target = |module: &Module| {
            lora.has_all_modules() || lora.target_modules.iter().any(|name| module.is_meant_by(name))
        };
        let targets = model.config.family.table().all_modules().filter(is_target);
        let sized = targets.map(|module| (module.name(), model.config.linear_shape(module.linear)));
        sized.min_by_key(|(_, (outputs, inputs))| *outputs.min(inputs))
    });
    if let Some((name, (outputs, inputs))) =
        smallest.filter(|(_, (o, i))| lora.rank > *o.min(i) && *o.min(i) > 0)
    {
        let most = outputs.min(inputs);
        let fix = [64, 8, 1].into_iter().find(|rank| *rank <= most).unwrap_or(1).to_string();
        let text = format!(
            "A rank of {} is above the size of {}, {outputs} x {inputs}. Use {fix}.",
            lora.rank, name
        );
        found.error("method.rank", text, Some(&fix));
    }
    found.above_zero("method.b_rate_factor", lora.b_rate_factor, 1000.0, "16.0");
    if !(lora.alpha.is_finite() && lora.alpha > 0.0) {
        let twice = format!("{}.0", lora.rank.clamp(1, 1024) * 2);
        let text = format!("Alpha is {}; it has to be above 0. Use {twice}.", lora.alpha);
        found.error("method.alpha", text, Some(&twice));
    }
    if !(0.0..1.0).contains(&lora.dropout) {
        let text = format!("A dropout of {} is outside 0 to 1. Use 0.05.", lora.dropout);
        found.error("method.dropout", text, Some("0.05"));
    } else if lora.dropout > 0.5 {
        let text = format!("A dropout of {} hides most of what is to be learnt.", lora.dropout);
        found.warn("method.dropout", text, Some("0.1"));
    }
}

fn check_modules(targets: &[String], model: Option<&ModelFacts>, found: &mut Findings) {
    let field = "method.target_modules";
    let all = format!("{:?}", [ALL_LINEAR]);
    if targets.is_empty() {
        let text = "No layer is chosen, so nothing would be trained. Use all of them.";
        return found.error(field, text, Some(&all));
    }
    if targets.len() > 1 && targets.iter().any(|name| name == ALL_LINEAR) {
        let text = format!("{ALL_LINEAR} stands for every layer, so that no other may stand beside it.");
        return found.error(field, text, Some(&all));
    }
    let names: Vec<&str> = match model.filter(|model| model.config.num_layers > 0) {
        Some(model) => model.config.family.table().target_names(),
        None => Family::ALL.into_iter().flat_map(|family| family.table().target_names()).collect(),
    };
    let known = || std::iter::once(ALL_LINEAR).chain(names.iter().copied());
    // The fix puts the whole list right at once.
    let mut right: Vec<&str> = Vec::new();
    let near = |name: &str| nearest(&human::elide(name, 40), known());
    for name in targets.iter().filter_map(|name| near(name)) {
        if !right.contains(&name) {
            right.push(name);
        }
    }
    let right = if right.is_empty() { all } else { format!("{right:?}") };
    for (i, name) in targets.iter().enumerate() {
        if !known().any(|known| known == name) {
            let hint = near(name).map(|near| format!(" Did you mean {near}?")).unwrap_or_default();
            let short = human::elide(name, 40);
            let told = match name.trim() {
                "" => "One of the names is empty.".into(),
                _ => format!("No layer is called {short}.{hint}"),
            };
            let text = format!("{told} There are {}.", names.join(", "));
            found.error(field, text, Some(&right));
        } else if targets[..i].contains(name) {
            found.error(field, format!("{name} is named twice."), Some(&right));
        }
    }
}

/// Ranks and alphas of single layers.
fn check_patterns(lora: &Lora, model: Option<&ModelFacts>, found: &mut Findings) {
    let ranks = match Patterns::new(lora.rank_pattern.clone()) {
        Ok(ranks) => ranks,
        Err(error) => return take_away("method.rank_pattern", format!("{error}."), found),
    };
    let alphas = match Patterns::new(lora.alpha_pattern.clone()) {
        Ok(alphas) => alphas,
        Err(error) => return take_away("method.alpha_pattern", format!("{error}."), found),
    };
    if let Some((pattern, _)) = ranks.iter().find(|(_, rank)| *rank == 0) {
        let text = format!("A rank of 0 for {pattern} has nothing to train: leave it out of the modules.");
        take_away("method.rank_pattern", text, found);
    }
    if let Some((pattern, alpha)) = alphas.iter().find(|(_, alpha)| !(alpha.is_finite() && *alpha > 0.0)) {
        let text = format!("Alpha is {alpha} for {pattern}; it has to be above 0.");
        take_away("method.alpha_pattern", text, found);
    }
    let Some(config) = model.map(|model| &model.config).filter(|config| config.num_layers > 0) else {
        return;
    };
    let Ok(settings) = lora.settings(config.family) else { return };
    let sites: Vec<Site> = settings.sites(config).collect();
    let names: Vec<String> = sites.iter().map(|site| config.site_name(*site)).collect();
    for (field, idle) in [
        ("method.rank_pattern", ranks.idle(&names).collect::<Vec<_>>()),
        ("method.alpha_pattern", alphas.idle(&names).collect()),
    ] {
        for pattern in idle {
            let short = human::elide(pattern, 40);
            found.warn(
                field,
                format!("\"{short}\" matches none of the tuned layers, so it changes nothing."),
                None,
            );
        }
    }
    let high = sites.iter().zip(&names).find_map(|(site, name)| {
        let (outputs, inputs) = config.linear_shape(site.linear);
        ranks.of(name).filter(|rank| *rank > outputs.min(inputs)).map(|rank| (name, rank, outputs, inputs))
    });
    if let Some((name, rank, outputs, inputs)) = high {
        let text = format!("A rank of {rank} is above the size of {name}, {outputs} x {inputs}.");
        take_away("method.rank_pattern", text, found);
    }
}

/// Weights of the model that LoRA trains besides.
fn check_own_weights(lora: &Lora, model: Option<&ModelFacts>, found: &mut Findings) {
    let Some(config) = model.map(|model| &model.config).filter(|config| config.num_layers > 0) else {
        return;
    };
    let Ok(settings) = lora.settings(config.family) else { return };
    let own = &settings.own;
    let mut once = own.modules.clone();
    once.sort();
    once.dedup();
    if let Some(name) = once.iter().find(|name| own.modules.iter().filter(|other| other == name).count() > 1)
    {
        let text = format!("{} is named twice.", human::elide(name, 40));
        return found.error("method.modules_to_save", text, Some(&format!("{once:?}")));
    }
    let biases = OwnWeights { modules: Vec::new(), ..own.clone() };
    if own.biases != Biases::None && biases.groups(config, &settings.targets).is_empty() {
        let text = match own.biases {
            Biases::LoraOnly => "The tuned layers of this model have no biases, so that no more is trained.",
            _ => "This model has no biases, so that no more is trained.",
        };
        found.warn("method.bias", text, Some("\"none\""));
    }
    let Err(error) = own.check(config, &settings.targets) else { return };
    let text = format!("{}: {error}. {}", error.title(), error.hint());
    match error {
        PeftError::SomeBiases(_) => found.error("method.bias", text, Some("\"all\"")),
        PeftError::OneOfTied { other, .. } => {
            let names = lora.modules_to_save.iter().map(String::as_str).chain([other]);
            let both = format!("{:?}", names.collect::<Vec<_>>());
            found.error("method.modules_to_save", text, Some(&both));
        }
        _ => found.error("method.modules_to_save", text, Some("[]")),
    }
}

/// An error of a list of patterns, which is mended by having none.
fn take_away(field: &str, text: String, found: &mut Findings) {
    let fix = Fix::new("Take the patterns away", field, "{}");
    found.error_fix_elsewhere(field, text, fix);
}

fn check_blocks(freeze: &Freeze, model: Option<&ModelFacts>, found: &mut Findings) {
    let is_beside_blocks = freeze.embeddings || freeze.head || freeze.final_norm;
    let has_blocks = freeze.blocks > 0 || !freeze.chosen.is_empty();
    if !is_beside_blocks && !has_blocks {
        found.error("method.blocks", "No block is chosen, so nothing would be trained. Use 2.", Some("2"));
    }
    let config = model.map(|model| &model.config).filter(|config| config.num_layers > 0);
    let nothing_of_blocks = match config {
        _ if !has_blocks => None,
        _ if freeze.train.is_empty() => Some("Nothing of the blocks is chosen to be trained."),
        // Every model has the rest.
        Some(config) if freeze.train == [Kind::Biases] && !Kind::Biases.is_in(config) => {
            Some("This model has no biases in its blocks, so that nothing of them would be trained.")
        }
        _ => None,
    };
    if let Some(text) = nothing_of_blocks {
        let all = "[\"attention\", \"feed_forward\", \"norms\", \"biases\"]";
        match is_beside_blocks {
            true => found.warn("method.train", text, Some(all)),
            false => found.error("method.train", text, Some(all)),
        }
    }
    let Some(config) = config else { return };
    let num = config.num_layers;
    if freeze.chosen.is_empty() && freeze.blocks > num {
        let text = format!(
            "The model has {num} blocks, and the top {} are to be trained. Use {num}.",
            freeze.blocks
        );
        found.error("method.blocks", text, Some(&num.to_string()));
    }
    if let Some(block) = freeze.chosen.iter().find(|block| **block >= num) {
        let there: Vec<usize> = freeze.chosen.iter().copied().filter(|block| *block < num).collect();
        let fix = if there.is_empty() { vec![num - 1] } else { there };
        let text = format!("There is no block {block}: the model has {num}, counted from 0. Use {fix:?}.");
        found.error("method.chosen", text, Some(&format!("{fix:?}")));
    }
    let once: std::collections::BTreeSet<usize> =
        freeze.chosen.iter().copied().filter(|block| *block < num).collect();
    if let Some((_, block)) = freeze.chosen.iter().enumerate().find(|(i, b)| freeze.chosen[..*i].contains(b))
    {
        let text = format!("Block {block} is named twice. Use {once:?}.");
        let fix: Vec<usize> = once.into_iter().collect();
        found.error("method.chosen", text, Some(&format!("{fix:?}")));
    }
    let has_one_only = freeze.head != freeze.embeddings && config.has_tied_head();
    if has_one_only && freeze.trains(Part::Embedding, config) {
        let field = if freeze.head { "method.head" } else { "method.embeddings" };
        let text = "This model has one matrix for its embeddings and its head: both are trained, and the way back goes through \
                    all blocks.";
        found.warn(field, text, None);
    }
}

fn check_ia3(ia3: &Ia3, model: Option<&ModelFacts>, found: &mut Findings) {
    let field = "method.feedforward_modules";
    if let Some(name) = ia3.feedforward_modules.iter().find(|name| !ia3.target_modules.contains(name)) {
        let text = format!("{} is not among the target modules.", human::elide(name, 40));
        return found.error(field, text, Some("[]"));
    }
    let family = model.map(|model| model.config.family);
    if let Some(Err(error @ PeftError::NotByInput(_))) = family.map(|family| ia3.settings(family)) {
        found.error(field, format!("{}: {error}. {}", error.title(), error.hint()), Some("[]"));
    }
}

fn check_bottleneck(bottleneck: &Bottleneck, model: Option<&ModelFacts>, found: &mut Findings) {
    let field = "method.width";
    if bottleneck.width == 0 {
        found.error(field, "A width of 0 has nothing to train. Use 32.", Some("32"));
    }
    if let Some(d) = model.map(|m| m.config.width).filter(|d| *d > 0 && bottleneck.width > *d) {
        let fix = (d / 16).max(1).to_string();
        let text = format!(
            "A width of {} is above the model's own of {d}: no bottleneck. Use {fix}.",
            bottleneck.width
        );
        found.error(field, text, Some(&fix));
    }
    found.above_zero("method.scale", bottleneck.scale, 1000.0, "1.0");
}

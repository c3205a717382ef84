//! What is wrong with the method of a recipe, by itself and for its model.

use super::Fix;
use super::check::Findings;
use super::load::nearest;
use super::method::{Freeze, Lora, Method};
use super::plan::ModelFacts;
use super::recipe::Recipe;
use crate::model::hooks::{Linear, Part, Site};
use crate::peft::Patterns;

impl Recipe {
    pub(super) fn check_method(&self, model: Option<&ModelFacts>, found: &mut Findings) {
        match &self.method {
            Method::Lora(lora) => {
                check_rank(lora, model, found);
                check_modules(lora, found);
                check_patterns(lora, model, found);
            }
            Method::Freeze(freeze) => check_blocks(freeze, model, found),
            Method::Full {} => {}
        }
    }
}

fn check_rank(lora: &Lora, model: Option<&ModelFacts>, found: &mut Findings) {
    if lora.rank == 0 {
        found.error("method.rank", "A rank of 0 has nothing to train. Use 8.", Some("8"));
    }
    let size = |model: &ModelFacts, linear: Linear| model.config.linear_shape(linear);
    let targets =
        || Linear::ALL.into_iter().filter(|l| lora.target_modules.iter().any(|name| name == l.name()));
    let smallest = model.filter(|m| m.config.width > 0).and_then(|model| {
        targets().map(|l| (l, size(model, l))).min_by_key(|(_, (outputs, inputs))| *outputs.min(inputs))
    });
    if let Some((linear, (outputs, inputs))) =
        smallest.filter(|(_, (o, i))| lora.rank > *o.min(i) && *o.min(i) > 0)
    {
        let most = outputs.min(inputs);
        let fix = [64, 8, 1].into_iter().find(|rank| *rank <= most).unwrap_or(1).to_string();
        let text = format!(
            "A rank of {} is above the size of {}, {outputs} x {inputs}. Use {fix}.",
            lora.rank,
            linear.name()
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

fn check_modules(lora: &Lora, found: &mut Findings) {
    let field = "method.target_modules";
    let quoted = |names: &[&str]| format!("{names:?}");
    if lora.target_modules.is_empty() {
        let text = "No layer is chosen, so nothing would be trained. Use all of them.";
        return found.error(field, text, Some(&quoted(&Linear::NAMES)));
    }
    // The fix puts the whole list right at once.
    let mut right: Vec<&str> = Vec::new();
    let near = |name: &str| nearest(&crate::base::human::elide(name, 40), Linear::NAMES.into_iter());
    for name in lora.target_modules.iter().filter_map(|name| near(name)) {
        if !right.contains(&name) {
            right.push(name);
        }
    }
    let right = quoted(if right.is_empty() { &Linear::NAMES } else { &right });
    for (i, name) in lora.target_modules.iter().enumerate() {
        if !Linear::NAMES.contains(&name.as_str()) {
            let hint = near(name).map(|near| format!(" Did you mean {near}?")).unwrap_or_default();
            let short = crate::base::human::elide(name, 40);
            let text = format!("No layer is called {short}.{hint} There are {}.", Linear::NAMES.join(", "));
            found.error(field, text, Some(&right));
        } else if lora.target_modules[..i].contains(name) {
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
    let is_target = |linear: &Linear| lora.target_modules.iter().any(|name| name == linear.name());
    let sites: Vec<Site> = (0..config.num_layers)
        .flat_map(|layer| Linear::ALL.into_iter().filter(is_target).map(move |linear| Site { layer, linear }))
        .collect();
    for (field, idle) in [
        ("method.rank_pattern", ranks.idle(&sites).collect::<Vec<_>>()),
        ("method.alpha_pattern", alphas.idle(&sites).collect()),
    ] {
        for pattern in idle {
            let short = crate::base::human::elide(pattern, 40);
            found.warn(
                field,
                format!("\"{short}\" matches none of the tuned layers, so it changes nothing."),
                None,
            );
        }
    }
    let high = sites.iter().find_map(|site| {
        let (outputs, inputs) = config.linear_shape(site.linear);
        ranks.of(*site).filter(|rank| *rank > outputs.min(inputs)).map(|rank| (site, rank, outputs, inputs))
    });
    if let Some((site, rank, outputs, inputs)) = high {
        let text = format!("A rank of {rank} is above the size of {site}, {outputs} x {inputs}.");
        take_away("method.rank_pattern", text, found);
    }
}

/// An error of a list of patterns, which is mended by having none.
fn take_away(field: &str, text: String, found: &mut Findings) {
    let fix = Fix { label: "Take the patterns away".into(), field: field.into(), value: "{}".into() };
    found.error_fix_elsewhere(field, text, fix);
}

fn check_blocks(freeze: &Freeze, model: Option<&ModelFacts>, found: &mut Findings) {
    let is_beside_blocks = freeze.embeddings || freeze.head || freeze.final_norm;
    let has_blocks = freeze.blocks > 0 || !freeze.chosen.is_empty();
    if !is_beside_blocks && !has_blocks {
        found.error("method.blocks", "No block is chosen, so nothing would be trained. Use 2.", Some("2"));
    }
    if has_blocks && freeze.train.is_empty() {
        let text = "Nothing of the blocks is chosen to be trained.";
        let all = "[\"attention\", \"feed_forward\", \"norms\", \"biases\"]";
        match is_beside_blocks {
            true => found.warn("method.train", text, Some(all)),
            false => found.error("method.train", text, Some(all)),
        }
    }
    let Some(config) = model.map(|model| &model.config).filter(|config| config.num_layers > 0) else {
        return;
    };
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
    let has_one_only = freeze.head != freeze.embeddings && config.has_tied_embeddings;
    if has_one_only && freeze.trains(Part::Embedding, config) {
        let field = if freeze.head { "method.head" } else { "method.embeddings" };
        let text = "This model has one matrix for its embeddings and its head: both are trained, and the way back goes through \
                    all blocks.";
        found.warn(field, text, None);
    }
}

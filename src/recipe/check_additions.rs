//! What is wrong with the settings of the smaller additions to a model.

use super::Recipe;
use super::check::Findings;
use super::method::{Bottleneck, Ia3, Method};
use super::plan::ModelFacts;
use crate::base::{Explain, human};
use crate::peft::PeftError;

impl Recipe {
    pub(super) fn check_additions(&self, model: Option<&ModelFacts>, found: &mut Findings) {
        match &self.method {
            Method::Ia3(ia3) => check_ia3(ia3, model, found),
            Method::Bottleneck(bottleneck) => check_bottleneck(bottleneck, model, found),
            // Of the others nothing is asked here.
            _ => {}
        }
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

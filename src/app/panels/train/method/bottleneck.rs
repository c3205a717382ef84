//! The settings of bottleneck adapters.

use super::super::fields::{choice, number};
use super::super::form::Form;
use super::{Words, row};
use crate::recipe::recipe::{Activation, Bottleneck, Method, Placement};
use eframe::egui;

fn settings(method: &mut Method) -> Option<&mut Bottleneck> {
    match method {
        Method::Bottleneck(bottleneck) => Some(bottleneck),
        _ => None,
    }
}

pub fn simple(ui: &mut egui::Ui, form: &mut Form) {
    let words = Words {
        path: "method.width",
        label: "Strength (width)",
        help: "How many numbers a block squeezes the signal into. More can learn more, and take memory; 16 to 64 is \
               plenty for most data.",
    };
    row(ui, form, settings, words, |ui, b| number(ui, &mut b.width, 0.5, 1..=65_536));
}

pub fn advanced(ui: &mut egui::Ui, form: &mut Form) {
    simple(ui, form);
    let words = Words {
        path: "method.placement",
        label: "Where they stand",
        help: "After attention and after the feed-forward of each layer (Houlsby et al. 2019), or after the feed-forward \
               only, which is half the numbers and nearly as good (Pfeiffer et al. 2021).",
    };
    row(ui, form, settings, words, |ui, b| {
        let places = [(Placement::Houlsby, "after both (Houlsby)"), (Placement::Pfeiffer, "once (Pfeiffer)")];
        choice(ui, "placement", &mut b.placement, &places)
    });
    let words = Words {
        path: "method.activation",
        label: "Bend (activation)",
        help: "The curve in the middle of a block. It matters little which.",
    };
    row(ui, form, settings, words, |ui, b| {
        let curves = [(Activation::Silu, "SiLU"), (Activation::Relu, "ReLU"), (Activation::Gelu, "GELU")];
        choice(ui, "activation", &mut b.activation, &curves)
    });
    let words = Words {
        path: "method.scale",
        label: "Loudness (scale)",
        help: "Multiplies what the blocks add. 1 is usual.",
    };
    row(ui, form, settings, words, |ui, b| number(ui, &mut b.scale, 0.01, 0.0..=1000.0));
}

//! The settings of LoRA.

use super::super::fields::{check, choice, number};
use super::super::form::Form;
use super::modules::modules;
use super::{Words, row};
use crate::model::families::ALL_LINEAR;
use crate::model::info::ModelInfo;
use crate::peft::own_weights::module_names;
use crate::recipe::recipe::{Biases, Lora, Method};
use eframe::egui::{self, Response, Slider, SliderClamping};

pub fn simple(ui: &mut egui::Ui, form: &mut Form) {
    let words = Words {
        path: "method.rank",
        label: "Strength (rank)",
        help: "How much the addition can learn. 8 to 32 is plenty for most data; more takes memory and may learn rows \
               by heart.",
    };
    row(ui, form, Method::lora_mut, words, rank);
}

fn rank(ui: &mut egui::Ui, lora: &mut Lora) -> Response {
    let before = lora.rank;
    let loudness = if before > 0 { lora.alpha / before as f64 } else { 2.0 };
    let slider = Slider::new(&mut lora.rank, 1..=256).logarithmic(true).clamping(SliderClamping::Never);
    let response = ui.add(slider);
    if lora.rank != before && lora.rank > 0 {
        // The same loudness at another rank.
        lora.alpha = loudness * lora.rank as f64;
    }
    response
}

pub fn advanced(ui: &mut egui::Ui, form: &mut Form, model: Option<&ModelInfo>) {
    simple(ui, form);
    let words = Words {
        path: "method.alpha",
        label: "Loudness (alpha)",
        help: "How loudly the small addition speaks: it is scaled by alpha / rank. Twice the rank is usual.",
    };
    row(ui, form, Method::lora_mut, words, |ui, lora| number(ui, &mut lora.alpha, 0.5, 0.0..=1024.0));
    let words = Words {
        path: "method.dropout",
        label: "Leave out (dropout)",
        help: "Leaves out this share of the inputs at random while training, so that rows are not learnt by heart.",
    };
    row(ui, form, Method::lora_mut, words, |ui, lora| number(ui, &mut lora.dropout, 0.005, 0.0..=0.9));
    let words = Words {
        path: "method.target_modules",
        label: "Tuned parts (modules)",
        help: "The parts of each layer that get an addition. All of them is the usual choice.",
    };
    row(ui, form, Method::lora_mut, words, |ui, lora| {
        let names = super::modules::names(model);
        let response = modules(ui, "modules", None, &mut lora.target_modules, &names);
        if names.iter().all(|name| lora.target_modules.iter().any(|m| m == name)) {
            lora.target_modules = vec![ALL_LINEAR.into()];
        }
        response
    });
    let words = Words {
        path: "method.rank_stabilised",
        label: "Even loudness (rsLoRA)",
        help: "Keeps high strengths from learning slowly: the addition is scaled by alpha / the root of the rank (rsLoRA).",
    };
    row(ui, form, Method::lora_mut, words, |ui, lora| check(ui, &mut lora.rank_stabilised));
    let words = Words {
        path: "method.dora",
        label: "Lengths apart (DoRA)",
        help: "Learns the length of each row apart from its direction: often a little better at low strengths, and slower \
               (DoRA).",
    };
    row(ui, form, Method::lora_mut, words, |ui, lora| check(ui, &mut lora.dora));
    let words = Words {
        path: "method.b_rate_factor",
        label: "Faster second half (LoRA+)",
        help: "How much faster the second half of the addition learns than the first; 1 is plain LoRA, 16 is usual for \
               LoRA+.",
    };
    row(ui, form, Method::lora_mut, words, |ui, lora| number(ui, &mut lora.b_rate_factor, 0.1, 0.1..=1000.0));
    own_weights(ui, form, model);
}

/// What of the model itself is trained besides.
fn own_weights(ui: &mut egui::Ui, form: &mut Form, model: Option<&ModelInfo>) {
    let words = Words {
        path: "method.modules_to_save",
        label: "Trained whole (modules)",
        help: "Parts of the model that are changed themselves, as with all weights, beside the addition: the head or the embeddings for \
               a new vocabulary or a new language. The file grows by their size.",
    };
    let names = model.map(|model| module_names(&model.config)).unwrap_or_default();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    row(ui, form, Method::lora_mut, words, |ui, lora| {
        let said = if lora.modules_to_save.is_empty() { Some("none") } else { None };
        modules(ui, "modules_to_save", said, &mut lora.modules_to_save, &names)
    });
    let words = Words {
        path: "method.bias",
        label: "Biases too",
        help: "Trains the small constants of the model's layers as well. Many models have none.",
    };
    row(ui, form, Method::lora_mut, words, |ui, lora| {
        let choices = [
            (Biases::None, "none"),
            (Biases::LoraOnly, "of the tuned parts"),
            (Biases::All, "all there are"),
        ];
        choice(ui, "bias", &mut lora.bias, &choices)
    });
}

//! Which method, and the settings of all but LoRA.

use super::fields::{check, choice, number};
use super::form::Form;
use crate::recipe::recipe::{Activation, Bottleneck, Method, PTuning, Placement, Prefix, Prompt, PromptInit};
use eframe::egui::{self, Response, TextEdit};

/// What people call each kind of a recipe's method.
const KINDS: [(&str, &str); 7] = [
    ("lora", "Addition (LoRA)"),
    ("full", "All weights (full)"),
    ("ia3", "Factors (IA3)"),
    ("bottleneck", "Small blocks (bottleneck)"),
    ("prefix", "Memory (prefix)"),
    ("prompt", "Soft prompt (prompt)"),
    ("p_tuning", "Encoded prompt (P-tuning)"),
];

pub fn kind(ui: &mut egui::Ui, form: &mut Form) {
    let help = "An addition trains a small part beside the model, which itself stays as it is (LoRA, Hu et al. 2021): quick, \
                little memory, a small file. All weights changes the model itself: it can learn more and forget more, and needs \
                about four times the model's size in memory. Factors make some numbers of each layer larger or smaller (Liu et al. 2022); \
                small blocks stand behind its layers (Houlsby et al. 2019). A memory puts trained keys and values before every text, in each \
                layer (Li & Liang 2021); a soft prompt puts trained numbers where words would stand (Lester et al. 2021), and an \
                encoded one makes them by a small network while it is trained (Liu et al. 2021). These three and factors are the smallest files \
                and learn the least.";
    form.row(ui, "method.kind", "Method", help, |ui, r| {
        let before = r.method.kind();
        let mut now = before;
        let response = choice(ui, "method", &mut now, &KINDS);
        if now != before {
            r.method = Method::all().into_iter().find(|method| method.kind() == now).unwrap_or_default();
            r.optimizer.learning_rate = r.usual_learning_rate();
        }
        response
    });
}

/// What everybody sees of them.
pub fn simple(ui: &mut egui::Ui, form: &mut Form) {
    let help = "How many trained tokens stand before every text. They take their place of the model's context. 10 to 100 are usual.";
    if form.recipe.method.num_virtual_tokens_mut().is_some() {
        let (field, label) = ("method.num_virtual_tokens", "Strength (virtual tokens)");
        form.row(ui, field, label, help, |ui, r| match r.method.num_virtual_tokens_mut() {
            Some(num) => number(ui, num, 0.2, 0..=100_000),
            None => ui.response(),
        });
    }
    let help = "Numbers in the middle of each small block. More of them learn more, and take more memory.";
    bottleneck_row(ui, form, "method.width", "Strength (width)", help, |ui, bottleneck| {
        number(ui, &mut bottleneck.width, 0.2, 1..=65_536)
    });
    let help = "What the soft prompt is before it is trained. Words on the task are the best start.";
    prompt_row(ui, form, "method.init", "Begins as (init)", help, |ui, prompt| {
        let ways = [
            (PromptInit::Vocabulary, "tokens at random"),
            (PromptInit::Text, "a text"),
            (PromptInit::Random, "noise"),
        ];
        choice(ui, "init", &mut prompt.init, &ways)
    });
    let help = "Repeated or cut to the number of virtual tokens. It counts when the prompt begins as a text.";
    prompt_row(ui, form, "method.text", "Text to begin with", help, |ui, prompt| {
        let is_read = prompt.init == PromptInit::Text;
        ui.add_enabled(is_read, TextEdit::singleline(&mut prompt.text).desired_width(160.0))
    });
}

pub fn advanced(ui: &mut egui::Ui, form: &mut Form) {
    simple(ui, form);
    bottleneck(ui, form);
    let help = "Lets a small network make the keys and values while they are trained: steadier, slower. The file is the same.";
    prefix_row(ui, form, "method.projection", "By a network (projection)", help, |ui, prefix| {
        check(ui, &mut prefix.projection)
    });
    let help = "Numbers in the middle of that network.";
    prefix_row(ui, form, "method.projection_width", "Its width", help, |ui, prefix| {
        let is_read = prefix.projection;
        let width = &mut prefix.projection_width;
        ui.add_enabled_ui(is_read, |ui| number(ui, width, 4.0, 1..=65_536)).inner
    });
    let help = "Numbers in the two inner layers of the network that makes the virtual tokens.";
    p_tuning_row(ui, form, "method.encoder_width", "Width of the encoder", help, |ui, p_tuning| {
        number(ui, &mut p_tuning.encoder_width, 4.0, 1..=65_536)
    });
}

fn bottleneck(ui: &mut egui::Ui, form: &mut Form) {
    let help = "After attention and feed-forward, or after the feed-forward alone: half the numbers.";
    bottleneck_row(ui, form, "method.placement", "Where (placement)", help, |ui, bottleneck| {
        let places = [(Placement::Houlsby, "both halves"), (Placement::Pfeiffer, "after the feed-forward")];
        choice(ui, "placement", &mut bottleneck.placement, &places)
    });
    let help = "What bends the numbers in the middle of a block.";
    bottleneck_row(ui, form, "method.activation", "Curve (activation)", help, |ui, bottleneck| {
        let curves = [(Activation::Silu, "SiLU"), (Activation::Relu, "ReLU"), (Activation::Gelu, "GELU")];
        choice(ui, "activation", &mut bottleneck.activation, &curves)
    });
    let help = "How loudly the blocks speak: what they add is multiplied by this.";
    bottleneck_row(ui, form, "method.scale", "Loudness (scale)", help, |ui, bottleneck| {
        number(ui, &mut bottleneck.scale, 0.05, 0.0..=1000.0)
    });
}

/// Defines a function that makes a row which only one method has.
macro_rules! rows_of {
    ($name:ident, $method:ident) => {
        fn $name(
            ui: &mut egui::Ui,
            form: &mut Form,
            path: &'static str,
            label: &str,
            help: &str,
            control: impl FnOnce(&mut egui::Ui, &mut $method) -> Response,
        ) {
            if matches!(form.recipe.method, Method::$method(_)) {
                form.row(ui, path, label, help, |ui, r| match &mut r.method {
                    Method::$method(own) => control(ui, own),
                    _ => ui.response(),
                });
            }
        }
    };
}

rows_of!(bottleneck_row, Bottleneck);
rows_of!(prefix_row, Prefix);
rows_of!(prompt_row, Prompt);
rows_of!(p_tuning_row, PTuning);

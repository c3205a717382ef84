//! The fields of the recipe's method.

use super::fields::{check, choice, number};
use super::form::Form;
use crate::base::human;
use crate::model::config::Family;
use crate::model::families::ALL_LINEAR;
use crate::model::hooks::Linear;
use crate::model::info::ModelInfo;
use crate::peft::freeze::Kind;
use crate::recipe::recipe::{Activation, Bottleneck, Freeze, Lora, Method, Placement};
use eframe::egui::{self, ComboBox, Response, Slider, SliderClamping, TextEdit};

/// Everything that the chosen method has.
pub(super) fn method_settings(ui: &mut egui::Ui, form: &mut Form, model: Option<&ModelInfo>) {
    rank(ui, form);
    let help = "How loudly the small addition speaks: it is scaled by alpha / rank. Twice the rank is usual.";
    lora_row(ui, form, "method.alpha", "Loudness (alpha)", help, |ui, lora| {
        number(ui, &mut lora.alpha, 0.5, 0.0..=1024.0)
    });
    let help =
        "Leaves out this share of the inputs at random while training, so that rows are not learnt by heart.";
    lora_row(ui, form, "method.dropout", "Leave out (dropout)", help, |ui, lora| {
        number(ui, &mut lora.dropout, 0.005, 0.0..=0.9)
    });
    let help = "The parts of each layer that get an addition. All of them is the usual choice.";
    lora_row(ui, form, "method.target_modules", "Tuned parts (modules)", help, |ui, lora| {
        modules(ui, lora, model)
    });
    let help = "Keeps high strengths from learning slowly: the addition is scaled by alpha / the root of the rank (rsLoRA).";
    lora_row(ui, form, "method.rank_stabilised", "Even loudness (rsLoRA)", help, |ui, lora| {
        check(ui, &mut lora.rank_stabilised)
    });
    let help = "Learns the length of each row apart from its direction: often a little better at low strengths, and slower (DoRA).";
    lora_row(ui, form, "method.dora", "Lengths apart (DoRA)", help, |ui, lora| check(ui, &mut lora.dora));
    let help = "How much faster the second half of the addition learns than the first; 1 is plain LoRA, 16 is usual for LoRA+.";
    lora_row(ui, form, "method.b_rate_factor", "Faster second half (LoRA+)", help, |ui, lora| {
        number(ui, &mut lora.b_rate_factor, 0.1, 0.1..=1000.0)
    });
    freeze_settings(ui, form);
    bottleneck_settings(ui, form);
    ia3_settings(ui, form);
}

fn bottleneck_settings(ui: &mut egui::Ui, form: &mut Form) {
    let help = "Where the small layers stand: after attention and feed-forward (Houlsby), or after the feed-forward only (Pfeiffer).";
    bottleneck_row(ui, form, "method.placement", "Places", help, |ui, bottleneck| {
        let all = [(Placement::Houlsby, "both halves"), (Placement::Pfeiffer, "second half")];
        choice(ui, "placement", &mut bottleneck.placement, &all)
    });
    let help = "How much they can learn: the numbers at their narrowest. 16 to 64 is usual.";
    bottleneck_row(ui, form, "method.width", "Strength (width)", help, |ui, bottleneck| {
        number(ui, &mut bottleneck.width, 0.2, 1..=4096)
    });
    let help = "The curve between their two layers.";
    bottleneck_row(ui, form, "method.activation", "Curve (activation)", help, |ui, bottleneck| {
        let all = [(Activation::Silu, "SiLU"), (Activation::Relu, "ReLU"), (Activation::Gelu, "GELU")];
        choice(ui, "activation", &mut bottleneck.activation, &all)
    });
    let help = "How loudly they speak. 1 is usual.";
    bottleneck_row(ui, form, "method.scale", "Loudness (scale)", help, |ui, bottleneck| {
        number(ui, &mut bottleneck.scale, 0.05, 0.01..=1000.0)
    });
}

fn ia3_settings(ui: &mut egui::Ui, form: &mut Form) {
    if !matches!(form.recipe.method, Method::Ia3(_)) {
        return;
    }
    let help = "The parts of each layer that get factors, with commas between; empty for the usual ones: keys, values, and the \
                feed-forward's last.";
    form.row(ui, "method.target_modules", "Tuned parts (modules)", help, |ui, r| match &mut r.method {
        Method::Ia3(ia3) => words(ui, "tuned", &mut ia3.target_modules),
        _ => ui.response(),
    });
    let help = "Those of them whose inputs get the factors instead of their outputs.";
    form.row(ui, "method.feedforward_modules", "By their inputs", help, |ui, r| match &mut r.method {
        Method::Ia3(ia3) => words(ui, "by input", &mut ia3.feedforward_modules),
        _ => ui.response(),
    });
}

/// A list of words with commas between.
fn words(ui: &mut egui::Ui, id: &str, list: &mut Vec<String>) -> Response {
    let id = ui.scope_id().with(id);
    let parsed = |text: &str| -> Vec<String> {
        text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(String::from).collect()
    };
    // What is being typed, as long as it means what is chosen.
    let typed = ui.data(|data| data.get_temp::<String>(id));
    let mut text = typed.filter(|text| parsed(text) == *list).unwrap_or(list.join(", "));
    let response = ui.add(TextEdit::singleline(&mut text).desired_width(110.0).hint_text("the usual"));
    if response.changed() {
        *list = parsed(&text);
        ui.data_mut(|data| data.insert_temp(id, text));
    }
    response
}

/// A row that only bottlenecks have.
fn bottleneck_row(
    ui: &mut egui::Ui,
    form: &mut Form,
    path: &'static str,
    label: &str,
    help: &str,
    control: impl FnOnce(&mut egui::Ui, &mut Bottleneck) -> Response,
) {
    if !matches!(form.recipe.method, Method::Bottleneck(_)) {
        return;
    }
    form.row(ui, path, label, help, |ui, r| match &mut r.method {
        Method::Bottleneck(bottleneck) => control(ui, bottleneck),
        _ => ui.response(),
    });
}

fn freeze_settings(ui: &mut egui::Ui, form: &mut Form) {
    let help = "How many of the topmost blocks are trained; the way back through the model ends at the lowest of them.";
    freeze_row(ui, form, "method.blocks", "Top blocks", help, |ui, freeze| {
        let is_counted = freeze.chosen.is_empty();
        ui.add_enabled_ui(is_counted, |ui| number(ui, &mut freeze.blocks, 0.1, 0..=1024)).inner
    });
    let help = "These blocks instead of the topmost, counted from 0 at the bottom, with commas between; empty for the topmost.";
    freeze_row(ui, form, "method.chosen", "Chosen blocks", help, chosen);
    let help = "What is trained of these blocks. All of it is the usual choice.";
    freeze_row(ui, form, "method.train", "Trained parts", help, kinds);
    let help = "Trains the table of the tokens' meanings, too: for words that the model hardly knows.";
    freeze_row(ui, form, "method.embeddings", "Embeddings", help, |ui, freeze| {
        check(ui, &mut freeze.embeddings)
    });
    let help = "Trains what turns the last state into the next token, too; many models have one matrix for this and the embeddings.";
    freeze_row(ui, form, "method.head", "Head", help, |ui, freeze| check(ui, &mut freeze.head));
    let help = "Trains the norm between the last block and the head, too.";
    freeze_row(ui, form, "method.final_norm", "Final norm", help, |ui, freeze| {
        check(ui, &mut freeze.final_norm)
    });
}

/// What people call the methods.
fn name(method: &Method) -> &'static str {
    match method {
        Method::Lora(_) => "Addition (LoRA)",
        Method::Freeze(_) => "Some weights (freeze)",
        Method::Full {} => "All weights (full)",
        Method::Ia3(_) => "Factors (IA3)",
        Method::Bottleneck(_) => "Small layers (bottleneck)",
        Method::Prefix(_) => "Memory (prefix)",
        Method::Prompt(_) => "Soft prompt (prompt)",
        Method::PTuning(_) => "Encoded prompt (P-tuning)",
    }
}

pub(super) fn method(ui: &mut egui::Ui, form: &mut Form) {
    let help = "An addition trains a small part beside the model, which itself stays as it is (LoRA, Hu et al. 2021): quick, \
                little memory, a small file. Some weights trains the top blocks \
                of the model and leaves the rest as it is. All weights changes the model itself: it can learn more and forget more, and needs \
                about four times the model's size in memory.";
    form.row(ui, "method.kind", "Method", help, |ui, r| {
        let now = name(&r.method);
        let combo = ComboBox::from_id_salt("method").selected_text(now).width(140.0);
        let combo = combo.show_ui(ui, |ui| {
            for method in Method::all() {
                let is_chosen = name(&method) == now;
                if ui.selectable_label(is_chosen, name(&method)).clicked() && !is_chosen {
                    r.method = method;
                    r.optimizer.learning_rate = r.usual_learning_rate();
                }
            }
        });
        combo.response
    });
}

/// A row that only LoRA has.
fn lora_row(
    ui: &mut egui::Ui,
    form: &mut Form,
    path: &'static str,
    label: &str,
    help: &str,
    control: impl FnOnce(&mut egui::Ui, &mut Lora) -> Response,
) {
    if form.recipe.method.lora().is_none() {
        return;
    }
    form.row(ui, path, label, help, |ui, r| match r.method.lora_mut() {
        Some(lora) => control(ui, lora),
        None => ui.response(),
    });
}

/// A row that only freezing has.
fn freeze_row(
    ui: &mut egui::Ui,
    form: &mut Form,
    path: &'static str,
    label: &str,
    help: &str,
    control: impl FnOnce(&mut egui::Ui, &mut Freeze) -> Response,
) {
    if form.recipe.method.freeze().is_none() {
        return;
    }
    form.row(ui, path, label, help, |ui, r| match r.method.freeze_mut() {
        Some(freeze) => control(ui, freeze),
        None => ui.response(),
    });
}

/// Numbers of blocks as text; what is no number is left out.
fn chosen(ui: &mut egui::Ui, freeze: &mut Freeze) -> Response {
    let id = ui.scope_id().with("chosen blocks");
    let written = freeze.chosen.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let numbers = |text: &str| -> Vec<usize> {
        text.split(',').filter_map(|number| number.trim().parse().ok()).collect()
    };
    // What is being typed, as long as it means what is chosen.
    let typed = ui.data(|data| data.get_temp::<String>(id));
    let mut text = typed.filter(|text| numbers(text) == freeze.chosen).unwrap_or(written);
    let response = ui.add(TextEdit::singleline(&mut text).desired_width(110.0).hint_text("the topmost"));
    if response.changed() {
        freeze.chosen = numbers(&text);
        ui.data_mut(|data| data.insert_temp(id, text));
    }
    response
}

fn kinds(ui: &mut egui::Ui, freeze: &mut Freeze) -> Response {
    let name = |kind: Kind| match kind {
        Kind::Attention => "attention",
        Kind::FeedForward => "feed-forward",
        Kind::Norms => "norms",
        Kind::Biases => "biases",
    };
    let words = format!("{} of {}", freeze.train.len(), Kind::ALL.len());
    let combo = ComboBox::from_id_salt("trained parts")
        .selected_text(words)
        .width(100.0)
        .close_behavior(egui::PopupCloseBehavior::CloseOnClickOutside)
        .show_ui(ui, |ui| {
            for kind in Kind::ALL {
                let mut is_on = freeze.train.contains(&kind);
                if ui.checkbox(&mut is_on, name(kind)).changed() {
                    let on = |k: &Kind| if *k == kind { is_on } else { freeze.train.contains(k) };
                    freeze.train = Kind::ALL.into_iter().filter(on).collect();
                }
            }
        });
    combo.response
}

pub(super) fn rank(ui: &mut egui::Ui, form: &mut Form) {
    let help = "How much the addition can learn. 8 to 32 is plenty for most data; more takes memory and may learn rows \
                by heart.";
    lora_row(ui, form, "method.rank", "Strength (rank)", help, |ui, lora| {
        let before = lora.rank;
        let loudness = if before > 0 { lora.alpha / before as f64 } else { 2.0 };
        let slider = Slider::new(&mut lora.rank, 1..=256).logarithmic(true).clamping(SliderClamping::Never);
        let response = ui.add(slider);
        if lora.rank != before && lora.rank > 0 {
            // The same loudness at another rank.
            lora.alpha = loudness * lora.rank as f64;
        }
        response
    });
}

/// What people call a linear layer.
fn part(linear: Linear) -> &'static str {
    match linear {
        Linear::Q => "queries",
        Linear::K => "keys",
        Linear::V => "values",
        Linear::Qkv => "queries, keys and values",
        Linear::O => "attention out",
        Linear::Gate => "gate",
        Linear::Up => "up",
        Linear::GateUp => "gate and up",
        Linear::Down => "down",
    }
}

/// What people call the linear layers of a name; more than one may have it.
fn parts(name: &str) -> String {
    let namesakes = |family: Family| {
        let named = family.table().all_modules().filter(|module| module.name() == name);
        named.map(|module| part(module.linear)).collect::<Vec<_>>()
    };
    let found = Family::ALL.into_iter().map(namesakes).find(|words| !words.is_empty());
    human::listed(&found.unwrap_or_default())
}

fn modules(ui: &mut egui::Ui, lora: &mut Lora, model: Option<&ModelInfo>) -> Response {
    let usual = Family::Llama.table().target_names();
    let names = model.map_or(usual, |model| model.config.family.table().target_names());
    let is_on =
        |lora: &Lora, name: &str| lora.has_all_modules() || lora.target_modules.iter().any(|m| m == name);
    let num_on = names.iter().filter(|name| is_on(lora, name)).count();
    let combo = ComboBox::from_id_salt("modules")
        .selected_text(format!("{num_on} of {}", names.len()))
        .width(100.0)
        .close_behavior(egui::PopupCloseBehavior::CloseOnClickOutside)
        .show_ui(ui, |ui| {
            for name in &names {
                let mut is_chosen = is_on(lora, name);
                if ui.checkbox(&mut is_chosen, format!("{} ({name})", parts(name))).changed() {
                    // In the order of the list, so that the same choice is the same recipe.
                    let chosen = names.iter().filter(|m| if *m == name { is_chosen } else { is_on(lora, m) });
                    let chosen: Vec<String> = chosen.map(|m| m.to_string()).collect();
                    let is_all = chosen.len() == names.len();
                    lora.target_modules = if is_all { vec![ALL_LINEAR.into()] } else { chosen };
                }
            }
        });
    combo.response
}

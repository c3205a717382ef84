use super::state::{self, Action, Fit, State};
use super::trial;
use crate::app::action::{FrameAction, UiAction};
use crate::app::shared::Shared;
use crate::app::theme::{self, space};
use crate::app::widgets;
use crate::base::human;
use crate::engine::JobId;
use crate::hub::catalogue::ModelEntry;
use crate::model::config::Family;
use crate::model::info::ModelInfo;
use eframe::egui::{self, CentralPanel, Frame, Label, Margin, Panel, RichText, ScrollArea, TextEdit};
use egui_material_icons::icons;

pub fn ui(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let width = (ui.available_width() * 0.56).clamp(420.0, 640.0);
    Panel::left("models")
        .exact_size(width)
        .resizable(false)
        .show_separator_line(false)
        .frame(Frame::new().inner_margin(Margin { right: space::M as i8, ..Margin::ZERO }))
        .show(ui, |ui| {
            ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| list(ui, state, shared, out));
        });
    CentralPanel::default().frame(Frame::new()).show(ui, |ui| {
        ScrollArea::vertical().id_salt("details").auto_shrink([false, false]).show(ui, |ui| {
            widgets::card(ui, |ui| {
                ui.set_min_width(ui.available_width());
                details(ui, state, shared, out);
            });
        });
    });
}

fn list(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    if shared.models.is_empty() {
        ui.label(RichText::new("Looking for models…").color(t.weak));
    }
    for entry in &shared.models {
        one(ui, entry, state, shared, out);
        ui.add_space(space::S);
    }
    widgets::section(ui, "A model of your own");
    ui.label(
        RichText::new(format!(
            "A Hugging Face folder (config.json, safetensors, tokenizer.json) or one .gguf file. {} are understood.",
            Family::listed()
        ))
        .small()
        .color(t.weak),
    );
    ui.add_space(space::XS);
    ui.horizontal(|ui| {
        if widgets::tool_button(ui, icons::ICON_FOLDER_OPEN, "Folder…").clicked() {
            out.push(UiAction::Model(Action::PickFolder));
        }
        if widgets::tool_button(ui, icons::ICON_FILE_OPEN, ".gguf file…").clicked() {
            out.push(UiAction::Model(Action::PickFile));
        }
        let mut path = state.path_text.clone();
        let width = (ui.available_width() - 60.0).max(100.0);
        let field = TextEdit::singleline(&mut path)
            .hint_text("or type its path or hub id (org/name)")
            .desired_width(width);
        let response = widgets::named(ui.add(field), "Path of the model");
        if state.wants_path_focus {
            response.request_focus();
            widgets::select_all(ui, response.id, &path);
            out.push(UiAction::Model(Action::FocusPath(false)));
        }
        if response.changed() {
            out.push(UiAction::Model(Action::SetPathText(path)));
        }
        let enter = response.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
        let why =
            state.path_text.trim().is_empty().then_some("Type the path of a folder or a .gguf file first.");
        if widgets::button_or_why(ui, "Use", why).clicked() || enter {
            out.push(UiAction::Model(Action::UseTyped));
        }
    });
}

fn one(ui: &mut egui::Ui, entry: &ModelEntry, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let is_chosen = entry.name == shared.model_source;
    widgets::choice_card(ui, is_chosen, |ui| {
        ui.horizontal(|ui| {
            ui.label(RichText::new(&entry.title).strong());
            fit_badge(ui, entry, shared);
        });
        if !entry.about.is_empty() {
            ui.label(RichText::new(&entry.about).color(if is_chosen { t.text } else { t.weak }));
        }
        ui.horizontal_wrapped(|ui| {
            let weak =
                |text: String| RichText::new(text).small().color(if is_chosen { t.text } else { t.weak });
            let mut parts = Vec::new();
            if entry.num_params > 0 {
                parts.push(format!("{} parameters", state::params(entry.num_params)));
            }
            if entry.download_bytes > 0 {
                parts.push(human::bytes(entry.download_bytes));
            }
            if !entry.licence.is_empty() {
                parts.push(entry.licence.clone());
            }
            ui.label(weak(parts.join(" · ")));
            if let Some(path) = &entry.path {
                ui.label(weak("· on this machine".into())).on_hover_text(path.display().to_string());
            }
        });
        one_buttons(ui, entry, state, shared, out);
    });
}

fn one_buttons(
    ui: &mut egui::Ui,
    entry: &ModelEntry,
    state: &State,
    shared: &Shared,
    out: &mut Vec<UiAction>,
) {
    ui.add_space(space::XS);
    ui.horizontal(|ui| {
        if let Some(job) = state.downloading(&entry.name) {
            progress(ui, &entry.title, job, shared, out);
            return;
        }
        let is_chosen = entry.name == shared.model_source;
        if !is_chosen {
            let choose = widgets::named(ui.button("Choose"), &format!("Choose {}", entry.title));
            if choose.clicked() {
                out.push(UiAction::Model(Action::Choose(entry.name.clone())));
            }
        } else {
            ui.label(RichText::new("Chosen").color(theme::of(ui).accent).strong());
        }
        if entry.path.is_none() {
            let button = widgets::tool_button(ui, icons::ICON_DOWNLOAD, "Download");
            if widgets::named(button, &format!("Download {}", entry.title)).clicked() {
                out.push(UiAction::Model(Action::Download(entry.name.clone())));
            }
        }
    });
}

/// How far the download of a model is, and a way to end it.
fn progress(ui: &mut egui::Ui, title: &str, job: JobId, shared: &Shared, out: &mut Vec<UiAction>) {
    let job = shared.jobs.get(job);
    let fraction = job.and_then(|j| j.fraction());
    widgets::progress(ui, &format!("Download of {title}"), fraction, 160.0);
    ui.label(RichText::new(job.map(|j| j.detail()).unwrap_or_default()).small());
    if ui.button("Cancel").on_hover_text("What came so far is kept; it goes on from there.").clicked() {
        out.push(UiAction::Model(Action::CancelDownload));
    }
}

/// A hub id that was typed and is not here: offered for download.
fn missing(ui: &mut egui::Ui, name: &str, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let words =
        format!("{name} is not on this machine yet. Download it once; after that no network is needed.");
    ui.label(RichText::new(words).color(theme::of(ui).weak));
    ui.add_space(space::S);
    match state.downloading(name) {
        Some(job) => drop(ui.horizontal(|ui| progress(ui, name, job, shared, out))),
        None => {
            let button = widgets::tool_button(ui, icons::ICON_DOWNLOAD, "Download");
            if widgets::named(button, &format!("Download {name}")).clicked() {
                out.push(UiAction::Model(Action::Download(name.into())));
            }
        }
    }
}

fn fit_badge(ui: &mut egui::Ui, entry: &ModelEntry, shared: &Shared) {
    let t = theme::of(ui);
    let available = shared.machine.memory.available_bytes;
    let (word, ink, fill) = match state::fit(entry, available) {
        Fit::Fits => ("fits", t.green, t.surface),
        Fit::Tight => ("tight", t.amber, t.amber_soft),
        Fit::TooLarge => ("too large", t.red, t.red_soft),
        Fit::Unknown => return,
    };
    let needs = human::bytes(state::needed_bytes(entry.num_params));
    let free = human::bytes(available);
    widgets::chip(ui, word, ink, fill)
        .on_hover_text(format!("Tuning it needs about {needs} of memory; {free} are free now."));
}

fn details(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    ui.add(Label::new(RichText::new(shared.model_title()).size(16.0).strong()).wrap());
    ui.add_space(space::S);
    if let Some(problem) = &state.problem {
        ui.label(RichText::new(problem).color(t.red));
        return;
    }
    let Some(info) = &shared.model else {
        if let Some(name) = &state.missing {
            missing(ui, name, state, shared, out);
            return;
        }
        let words = if state.is_inspecting() {
            "Reading its files…"
        } else if shared.model_entry().is_some_and(|m| m.path.is_none()) {
            "Not on this machine yet. Download it once; after that no network is needed."
        } else {
            "Choose a model on the left. Its own files stay as they are: what you train is kept apart from it, in a run's folder."
        };
        ui.label(RichText::new(words).color(t.weak));
        if let Some(entry) = shared.model_entry().filter(|m| m.path.is_none())
            && state.downloading(&entry.name).is_none()
        {
            ui.add_space(space::S);
            let words = format!("Download {}", human::bytes(entry.download_bytes));
            if ui.button(words).clicked() {
                out.push(UiAction::Model(Action::Download(entry.name.clone())));
            }
        }
        return;
    };
    trial::ui(ui, &state.trial, info, shared, out);
    ui.add_space(space::S);
    widgets::section(ui, "What it is");
    facts(ui, info, shared);
    trained(ui, state, info);
    files(ui, info);
    ui.add_space(space::S);
    if widgets::tool_button(ui, icons::ICON_CONTENT_COPY, "Copy the path").clicked() {
        out.push(UiAction::Frame(FrameAction::Copy(info.path.display().to_string())));
    }
}

fn facts(ui: &mut egui::Ui, info: &ModelInfo, shared: &Shared) {
    let count = |n: usize| human::count(n as u64);
    widgets::fact(ui, "Family", &info.family);
    widgets::fact(ui, "Parameters", &human::count(info.num_params));
    widgets::fact(ui, "Layers", &count(info.num_layers));
    widgets::fact(ui, "Width", &count(info.width));
    let heads = format!("{}, {} for keys and values", info.num_heads, info.num_kv_heads);
    widgets::fact(ui, "Heads", &heads);
    widgets::fact(ui, "Vocabulary", &format!("{} tokens", count(info.vocabulary)));
    widgets::fact(ui, "Longest text (context)", &format!("{} tokens", count(info.context_tokens)));
    widgets::fact(ui, "Stored as", &info.dtype);
    let template = if info.has_chat_template { "found: it can chat" } else { "none: it completes text" };
    widgets::fact(ui, "Chat template", template);
    let of_list = shared.model_entry().map(|entry| &entry.licence).filter(|licence| !licence.is_empty());
    widgets::fact(ui, "Licence", of_list.or(info.licence.as_ref()).map_or("not said", String::as_str));
    widgets::fact(ui, "Lies in", &info.path.display().to_string());
}

/// How many numbers each method would train.
fn trained(ui: &mut egui::Ui, state: &State, info: &ModelInfo) {
    widgets::section(ui, "What each method would train");
    for (name, num) in &state.trained {
        let share = human::percent(*num as f64 / info.num_params.max(1) as f64);
        widgets::fact(ui, name, &format!("{} ({share})", human::count(*num)));
    }
    let words = "Numbers, and their share of the model's, with usual settings.";
    ui.label(RichText::new(words).small().color(theme::of(ui).weak));
}

fn files(ui: &mut egui::Ui, info: &ModelInfo) {
    widgets::section(ui, "Files");
    for (name, size) in &info.files {
        widgets::fact(ui, &human::elide(name, 24), &human::bytes(*size));
    }
}

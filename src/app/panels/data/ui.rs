use super::rows::Filter;
use super::{Action, State, side_ui, table_ui};
use crate::app::action::UiAction;
use crate::app::shared::Shared;
use crate::app::theme::{self, space};
use crate::app::widgets;
use crate::base::human;
use crate::data::import::{Format, How, ImportOptions, Imported};
use crate::project::samples;
use eframe::egui::{self, CentralPanel, Frame, Margin, Panel, RichText, TextEdit};
use egui_material_icons::icons;

/// Encodings that files of people have, by their WHATWG labels.
const ENCODINGS: [&str; 14] = [
    "utf-8",
    "utf-16le",
    "utf-16be",
    "windows-1252",
    "windows-1250",
    "windows-1251",
    "windows-1253",
    "windows-1254",
    "windows-1255",
    "windows-1256",
    "shift_jis",
    "gb18030",
    "big5",
    "euc-kr",
];

const SEPARATORS: [(char, &str); 4] = [(',', "comma"), (';', "semicolon"), ('\t', "tab"), ('|', "bar")];

pub fn ui(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    refresh_when_settled(ui, state, out);
    open_row(ui, state, shared, out);
    ui.add_space(space::S);
    if let Some(job) =
        shared.jobs.all().iter().find(|j| state.is_importing() && j.title.starts_with("Importing"))
    {
        ui.horizontal(|ui| {
            widgets::progress(ui, "Progress of the import", job.fraction(), 240.0);
            ui.label(format!("{} {}", job.title, job.detail()));
            if ui.button("Cancel").clicked() {
                out.push(UiAction::Data(Action::Stop));
            }
        });
        ui.add_space(space::S);
    }
    let Some(imported) = shared.imported.as_deref() else {
        empty(ui, shared, out);
        return;
    };
    reading_row(ui, imported, shared, out);
    ledger_bar(ui, state, shared, out);
    ui.add_space(space::S);
    let side_width = if ui.available_width() > 950.0 { 380.0 } else { 320.0 };
    let t = theme::of(ui);
    Panel::right("side")
        .exact_size(side_width)
        .resizable(false)
        .show_separator_line(false)
        .frame(
            Frame::new()
                .fill(t.surface)
                .stroke(egui::Stroke::new(1.0, t.border))
                .corner_radius(theme::RADIUS)
                .inner_margin(Margin::same(space::S as i8)),
        )
        .show(ui, |ui| side_ui::side(ui, state, shared, out));
    CentralPanel::default()
        .frame(Frame::new().inner_margin(Margin { right: space::S as i8, ..Margin::ZERO }))
        .show(ui, |ui| table_ui::table(ui, state, shared, out));
}

/// Prepares again once the user let go of the pointer and of text fields, not at every pixel of a drag.
fn refresh_when_settled(ui: &egui::Ui, state: &State, out: &mut Vec<UiAction>) {
    let ctx = ui.ctx();
    if state.is_dirty && !ctx.egui_is_using_pointer() && !ctx.egui_wants_keyboard_input() {
        out.push(UiAction::Data(Action::Refresh));
    }
}

fn open_row(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    ui.horizontal(|ui| {
        let words = if shared.imported.is_some() { "Open another…" } else { "Browse…" };
        if widgets::tool_button(ui, icons::ICON_FOLDER_OPEN, words).on_hover_text("Ctrl+O").clicked() {
            out.push(UiAction::Data(Action::Pick));
        }
        let mut path = state.path_text.clone();
        let width = (ui.available_width() - 70.0).max(120.0);
        let field =
            TextEdit::singleline(&mut path).hint_text("or type the path of a file").desired_width(width);
        let response = widgets::named(ui.add(field), "Path of the data file");
        if state.wants_path_focus {
            response.request_focus();
            widgets::select_all(ui, response.id, &path);
            out.push(UiAction::Data(Action::FocusPath(false)));
        }
        if response.changed() {
            out.push(UiAction::Data(Action::SetPathText(path)));
        }
        let enter = response.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
        let why = state.path_text.trim().is_empty().then_some("Type the path of a file first.");
        if widgets::button_or_why(ui, "Open", why).clicked() || enter {
            out.push(UiAction::Data(Action::OpenTyped));
        }
    });
}

fn empty(ui: &mut egui::Ui, shared: &Shared, out: &mut Vec<UiAction>) {
    let text = "Drop a file anywhere on this window: CSV, TSV, JSON, JSONL, Parquet, XLSX or plain text. One row is one \
                example: a question and its answer, a text and its label, or a conversation.";
    if widgets::empty(ui, icons::ICON_TABLE_CHART, "No data yet", text, Some("Open a data file…")) {
        out.push(UiAction::Data(Action::Pick));
    }
    let Some(project) = &shared.project else { return };
    ui.vertical_centered(|ui| {
        ui.add_space(space::M);
        ui.label(RichText::new("or look at a sample").color(theme::of(ui).weak));
        for (name, words) in samples::ALL {
            ui.add_space(space::XS);
            if ui.button(words).on_hover_text(name).clicked() {
                out.push(UiAction::Data(Action::Open(samples::path_in(&project.folder, name))));
            }
        }
    });
}

/// How the file was read, each part changeable.
fn reading_row(ui: &mut egui::Ui, imported: &Imported, shared: &Shared, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let asked = &shared.import_options;
    let mut again = |options: ImportOptions| out.push(UiAction::Data(Action::Reimport(options)));
    ui.horizontal_wrapped(|ui| {
        let size = human::bytes(imported.num_bytes);
        ui.label(RichText::new(format!("{}, {size}", format_name(imported.format))).color(t.weak));
        if let Some(found) = &imported.encoding {
            let how = match found.how {
                How::ByteOrderMark => "marked in the file",
                How::Guessed => "guessed",
                How::Said => "as you said",
            };
            ui.label("Letters");
            let combo = egui::ComboBox::from_id_salt("encoding")
                .width(120.0)
                .height(480.0)
                .selected_text(&found.name)
                .show_ui(ui, |ui| {
                    for name in ENCODINGS {
                        if ui.selectable_label(name.eq_ignore_ascii_case(&found.name), name).clicked() {
                            again(ImportOptions { encoding: Some(name.into()), ..asked.clone() });
                        }
                    }
                });
            let named = widgets::named(combo.response, &format!("Encoding: {}", found.name));
            named.on_hover_text("How letters are stored (encoding). Change it when names look wrong.");
            ui.label(RichText::new(format!("({how})")).small().color(t.weak));
        }
        if let Some(separator) = imported.separator {
            ui.label("Cells end at");
            let word = |c: char| {
                SEPARATORS.iter().find(|s| s.0 == c).map_or_else(|| c.to_string(), |s| s.1.to_string())
            };
            let combo = egui::ComboBox::from_id_salt("separator")
                .width(90.0)
                .selected_text(word(separator))
                .show_ui(ui, |ui| {
                    for (c, name) in SEPARATORS {
                        if ui.selectable_label(c == separator, name).clicked() {
                            again(ImportOptions { separator: Some(c), ..asked.clone() });
                        }
                    }
                });
            widgets::named(combo.response, &format!("Separator: {}", word(separator)));
            let mut has_header = asked.has_header.unwrap_or(true);
            if ui.checkbox(&mut has_header, "First row holds names").changed() {
                again(ImportOptions { has_header: Some(has_header), ..asked.clone() });
            }
        }
    });
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Csv => "CSV",
        Format::Tsv => "TSV",
        Format::Json => "JSON",
        Format::Jsonl => "JSONL",
        Format::Parquet => "Parquet",
        Format::Xlsx => "XLSX",
        Format::Text => "Plain text",
    }
}

fn ledger_bar(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    ui.horizontal_wrapped(|ui| {
        for filter in Filter::ALL {
            let n = state.rows.count(filter);
            let is_plain = matches!(filter, Filter::All | Filter::Kept);
            if n == 0 && !is_plain && state.filter != filter {
                continue;
            }
            if filter == Filter::Kept && shared.dataset.is_none() {
                continue; // not known yet
            }
            let ink = if is_plain { t.text } else { t.amber };
            let words = format!("{} {}", human::count(n), filter.name());
            let chip = widgets::filter_chip(ui, &words, state.filter == filter, ink);
            if chip.on_hover_text(filter.help()).clicked() {
                out.push(UiAction::Data(Action::SetFilter(filter)));
            }
        }
        if state.is_preparing() {
            ui.label(RichText::new("preparing…").small().color(t.weak));
        }
    });
    for note in state.notes(shared) {
        ui.label(RichText::new(note).small().color(t.amber));
    }
}

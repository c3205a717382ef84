//! The right side: what the model sees, lengths, split, options.

use super::{Action, Edit, State, Tab};
use crate::app::action::{Place, UiAction};
use crate::app::shared::Shared;
use crate::app::theme::{self, space};
use crate::app::{bidi, widgets};
use crate::base::human;
use crate::data::mask::TrainOn;
use crate::data::prepare::{Dataset, Piece, PrepareOptions};
use crate::data::schema::Role;
use crate::data::{Reading, stats};
use crate::recipe::recipe::Objective;
use eframe::egui::{
    self, Align, DragValue, Layout, RichText, ScrollArea, Slider, TextEdit, TextFormat, text::LayoutJob,
};
use egui_material_icons::icons;
use egui_plot::{AxisHints, Bar, BarChart, Plot, VLine};

pub fn side(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let tabs = [
        (Tab::Sight, "What the model sees"),
        (Tab::Lengths, "Lengths"),
        (Tab::Split, "Split"),
        (Tab::Options, "Options"),
    ];
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = space::XS;
        for (tab, name) in tabs {
            if ui.selectable_label(state.tab == tab, name).clicked() {
                out.push(UiAction::Data(Action::SetTab(tab)));
            }
        }
    });
    ui.separator();
    ScrollArea::vertical().id_salt(state.tab as u8).auto_shrink([false, false]).show(ui, |ui| {
        if let Some(problem) = &state.problem {
            ui.label(RichText::new(problem).color(theme::of(ui).red));
            ui.add_space(space::S);
        }
        let Some(options) = state.options() else { return };
        match (state.tab, shared.dataset.as_deref()) {
            (Tab::Options, _) => options_tab(ui, options, shared, out),
            (Tab::Sight, Some(_)) => sight(ui, state, out),
            (Tab::Lengths, Some(_)) => lengths(ui, state, options, out),
            (Tab::Split, Some(dataset)) => split(ui, options, dataset, shared, out),
            (_, None) => not_prepared(ui, state, shared, out),
        }
    });
}

fn not_prepared(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    if state.is_preparing() {
        ui.label("Cutting the rows into tokens…");
        return;
    }
    if shared.is_model_ready() || state.problem.is_some() {
        return;
    }
    ui.label(
        RichText::new(
            "Every model cuts text into tokens in its own way. Choose a model to see what it sees.",
        )
        .color(t.weak),
    );
    ui.add_space(space::S);
    if ui.button("Choose a model").clicked() {
        out.push(UiAction::Go(Place::Model));
    }
}

fn sight(ui: &mut egui::Ui, state: &State, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let Some(preview) = &state.preview else {
        ui.label(RichText::new("This row was left out; choose one that is kept.").color(t.weak));
        if ui.button("Show the next row").clicked() {
            out.push(UiAction::Data(Action::MoveRow(1)));
        }
        return;
    };
    ui.horizontal(|ui| {
        if widgets::tool_button(ui, icons::ICON_CHEVRON_LEFT, "Previous").clicked() {
            out.push(UiAction::Data(Action::MoveRow(-1)));
        }
        if widgets::tool_button(ui, icons::ICON_CHEVRON_RIGHT, "Next").clicked() {
            out.push(UiAction::Data(Action::MoveRow(1)));
        }
        ui.label(RichText::new(format!("line {}, {}", preview.line, preview.part)).small().color(t.weak));
    });
    let tokens = human::plural(preview.num_tokens as u64, "token");
    ui.label(format!("{tokens}, {} of them trained", human::count(preview.num_trained as u64)));
    ui.horizontal(|ui| {
        widgets::chip(ui, "trained: the model learns to write this", t.text, t.accent_soft);
    });
    ui.add_space(space::S);
    widgets::card(ui, |ui| {
        ui.set_min_width(ui.available_width());
        ui.label(tokens_job(ui, state));
    });
    if preview.num_tokens > preview.pieces.len() {
        let left = human::count((preview.num_tokens - preview.pieces.len()) as u64);
        ui.label(RichText::new(format!("…and {left} more tokens")).small().color(t.weak));
    }
}

/// The text token by token; trained ones tinted, every second one underlined a little so that edges show.
fn tokens_job(ui: &egui::Ui, state: &State) -> LayoutJob {
    let t = theme::of(ui);
    let font = egui::TextStyle::Monospace.resolve(ui.style());
    let mut job = LayoutJob::default();
    job.wrap.max_width = ui.available_width();
    let pieces: Vec<&Piece> = state.preview.iter().flat_map(|p| p.pieces.iter()).collect();
    if pieces.iter().any(|p| bidi::has_right_to_left(&p.text)) {
        // Words from right to left keep their order only when they are laid out together: no token edges here.
        for part in pieces.chunk_by(|a, b| a.is_trained == b.is_trained) {
            let text: String = part.iter().map(|p| p.text.as_str()).collect();
            let mut format = TextFormat::simple(font.clone(), t.weak);
            if part[0].is_trained {
                (format.color, format.background) = (t.text, t.accent_soft);
            }
            job.append(&bidi::display(&text), 0.0, format);
        }
        return job;
    }
    for (i, piece) in pieces.into_iter().enumerate() {
        let ink = if piece.is_trained { t.text } else { t.weak };
        let mut format = TextFormat::simple(font.clone(), ink);
        if piece.is_trained {
            format.background = t.accent_soft;
        }
        if i % 2 == 1 {
            format.underline = egui::Stroke::new(1.0, t.border);
        }
        job.append(&bidi::display(&piece.text), 0.0, format);
    }
    job
}

fn lengths(ui: &mut egui::Ui, state: &State, options: &PrepareOptions, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let h = &state.histogram;
    if h.bars.is_empty() {
        ui.label("No rows are kept, so there are no lengths.");
        return;
    }
    limit_row(ui, options, out);
    let share = 100.0 * h.share_above_limit;
    let above = if h.num_above_limit == 0 {
        "No row is longer.".to_string()
    } else {
        let rows = human::plural(h.num_above_limit as u64, "row");
        format!(
            "{rows} ({share:.1} %) longer: {}",
            if options.drop_overlong { "left out" } else { "cut off" }
        )
    };
    let ink = if h.num_above_limit == 0 { t.weak } else { t.amber };
    ui.label(RichText::new(above).color(ink));
    ui.add_space(space::S);
    let limit = options.max_tokens as f64;
    // A limit far beyond the longest row would squeeze the picture into a corner.
    let is_near = limit < 1.5 * f64::from(h.longest);
    let bar = |bar: &stats::Bar| {
        let (start, end) = (f64::from(bar.start), f64::from(bar.end));
        Bar::new((start + end) / 2.0, bar.count as f64).width((end - start) * 0.92)
    };
    let bars = h.bars.iter().map(bar).collect();
    let plot = Plot::new("lengths")
        .height(200.0)
        // The usual numbers stand so far apart that a narrow picture has only its 0.
        .custom_x_axes(vec![AxisHints::new_x().label("tokens in a row").label_spacing(24.0..=48.0)])
        .y_axis_label("rows")
        .grid_color(t.border)
        .grid_spacing(24.0..=100.0)
        .allow_scroll(false)
        .allow_drag(false)
        .allow_zoom(false)
        .allow_boxed_zoom(false)
        .include_x(0.0)
        .include_y(0.0)
        .include_x(if is_near { limit } else { f64::from(h.longest) })
        .show(ui, |plot| {
            plot.bar_chart(BarChart::new("rows", bars).color(t.base));
            if is_near {
                plot.vline(VLine::new("longest example", limit).color(t.accent).width(2.0));
            }
            plot.response().dragged().then(|| plot.pointer_coordinate()).flatten()
        });
    let named = widgets::named(plot.response, "Lengths of the rows in tokens");
    named.on_hover_text("Drag to move the limit");
    if !is_near {
        let words =
            format!("The limit, {} tokens, lies to the right of this picture.", human::count(limit as u64));
        ui.label(RichText::new(words).small().color(t.weak));
    }
    if let Some(at) = plot.inner {
        out.push(UiAction::Data(Action::Edit(Edit::MaxTokens(at.x.max(1.0) as usize))));
    }
    ui.add_space(space::S);
    widgets::fact(ui, "Half the rows have", &format!("at most {} tokens", human::count(h.median.into())));
    widgets::fact(ui, "95 % of them", &format!("at most {} tokens", human::count(h.p95.into())));
    widgets::fact(ui, "The longest", &human::plural(h.longest.into(), "token"));
}

fn limit_row(ui: &mut egui::Ui, options: &PrepareOptions, out: &mut Vec<UiAction>) {
    ui.horizontal(|ui| {
        ui.label("Longest example");
        let mut limit = options.max_tokens;
        let drag = DragValue::new(&mut limit).range(8..=131_072).suffix(" tokens").speed(4);
        let response = widgets::named(ui.add(drag), "Longest example in tokens");
        if response.on_hover_text("Longer rows cost memory and time. Drag, or click to type.").changed() {
            out.push(UiAction::Data(Action::Edit(Edit::MaxTokens(limit))));
        }
    });
}

fn split(
    ui: &mut egui::Ui,
    options: &PrepareOptions,
    dataset: &Dataset,
    shared: &Shared,
    out: &mut Vec<UiAction>,
) {
    let t = theme::of(ui);
    let parts = [
        ("Train", "what the model learns from", dataset.split.train.len(), t.accent),
        ("Validation", "checked while it trains", dataset.split.valid.len(), t.amber),
        ("Test", "kept back for the end", dataset.split.test.len(), t.base),
    ];
    let total = dataset.rows.len().max(1);
    for (name, what, n, ink) in parts {
        let share = 100.0 * n as f64 / total as f64;
        ui.label(format!("{name}: {} ({share:.0} %)", human::plural(n as u64, "row")));
        let width = ui.available_width();
        let (rect, _) = ui.allocate_exact_size(egui::vec2(width, 10.0), egui::Sense::hover());
        ui.painter().rect_filled(rect, 3.0, t.raised);
        let filled = egui::vec2(width * (n as f32 / total as f32), 10.0);
        ui.painter().rect_filled(egui::Rect::from_min_size(rect.min, filled), 3.0, ink);
        ui.label(RichText::new(what).small().color(t.weak));
        ui.add_space(space::XS);
    }
    ui.label(RichText::new("Rows in two parts: 0. Duplicates always stay together.").small().color(t.weak));
    ui.add_space(space::S);
    let edit = |out: &mut Vec<UiAction>, e| out.push(UiAction::Data(Action::Edit(e)));
    share(ui, "Validation share", options.split.valid, out, Edit::Valid);
    share(ui, "Test share", options.split.test, out, Edit::Test);
    ui.horizontal(|ui| {
        ui.label("Seed");
        let mut seed = options.split.seed;
        let response = widgets::named(ui.add(DragValue::new(&mut seed)), "Seed of the split");
        if response.on_hover_text("Another number deals the rows out in another way.").changed() {
            edit(out, Edit::Seed(seed));
        }
    });
    let mut stratify = options.split.stratify;
    let help = "Every label gets its share of each part.";
    if ui.checkbox(&mut stratify, "Keep labels in balance (stratify)").on_hover_text(help).changed() {
        edit(out, Edit::Stratify(stratify));
    }
    group_by(ui, options, shared, out);
}

fn share(ui: &mut egui::Ui, name: &str, value: f64, out: &mut Vec<UiAction>, edit: impl Fn(f64) -> Edit) {
    ui.horizontal(|ui| {
        widgets::in_column(ui, 110.0, RichText::new(name));
        let mut percent = value * 100.0;
        ui.spacing_mut().slider_width = 120.0;
        let slider = Slider::new(&mut percent, 0.0..=50.0).suffix(" %").fixed_decimals(0);
        if widgets::named(ui.add(slider), name).changed() {
            out.push(UiAction::Data(Action::Edit(edit(percent / 100.0))));
        }
    });
}

fn group_by(ui: &mut egui::Ui, options: &PrepareOptions, shared: &Shared, out: &mut Vec<UiAction>) {
    let Some(imported) = &shared.imported else { return };
    let columns = &imported.table.columns;
    let now = options.schema.roles.iter().position(|r| *r == Role::Group);
    let name = |c: Option<usize>| {
        c.and_then(|c| columns.get(c)).map_or("nothing".to_string(), |c| human::elide(&c.name, 24))
    };
    ui.horizontal(|ui| {
        ui.label("Keep together by");
        let combo = egui::ComboBox::from_id_salt("group").selected_text(name(now)).show_ui(ui, |ui| {
            let free = |c: &usize| matches!(options.schema.roles.get(*c), Some(Role::Ignore | Role::Group));
            let choices = std::iter::once(None).chain((0..columns.len()).filter(free).map(Some));
            for column in choices {
                if ui.selectable_label(column == now, name(column)).clicked() {
                    out.push(UiAction::Data(Action::Edit(Edit::GroupBy(column))));
                }
            }
        });
        let named = widgets::named(combo.response, "Keep together by");
        named.on_hover_text(
            "Rows with the same value in this column go to the same part. Columns in use cannot be chosen.",
        );
    });
}

fn options_tab(ui: &mut egui::Ui, options: &PrepareOptions, shared: &Shared, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let edit = |out: &mut Vec<UiAction>, e| out.push(UiAction::Data(Action::Edit(e)));
    widgets::section(ui, "The model learns to write");
    for (what, words) in [(TrainOn::Answers, "only the answers"), (TrainOn::Everything, "everything")] {
        let reading = Reading::Written { train_on: what };
        if ui.radio(options.reading == reading, words).clicked() {
            edit(out, Edit::Reading(reading));
        }
    }
    if options.reading.train_on().is_none() {
        let words = format!(
            "The rows are read for something else: {}. Train, What is learnt, says what.",
            Objective::of_reading(&options.reading).name()
        );
        ui.label(RichText::new(words).small().color(t.weak));
    }
    let has_chat = shared.model.as_ref().is_some_and(|m| m.has_chat_template);
    let mut chat = options.chat;
    let checkbox = ui.add_enabled(has_chat, egui::Checkbox::new(&mut chat, "Speak in the model's chat form"));
    let checkbox = checkbox
        .on_hover_text("Each row becomes a conversation, in the form this model was taught (chat template).")
        .on_disabled_hover_text("This model has no chat template, or no model is chosen yet.");
    if checkbox.changed() {
        edit(out, Edit::Chat(chat));
    }
    widgets::section(ui, "Longer rows");
    limit_row(ui, options, out);
    for (drop, words) in [(false, "cut off their end"), (true, "leave them out")] {
        if ui.radio(options.drop_overlong == drop, words).clicked() {
            edit(out, Edit::DropOverlong(drop));
        }
    }
    widgets::section(ui, "Duplicates");
    let mut keep = options.keep_duplicates;
    if ui.checkbox(&mut keep, "Keep rows that say the same").changed() {
        edit(out, Edit::KeepDuplicates(keep));
    }
    widgets::section(ui, "Template of the prompt");
    ui.label(
        RichText::new("Text with {column} where a cell goes. Empty: as the layout has it.")
            .small()
            .color(t.weak),
    );
    let mut text = options.schema.prompt_template.clone().unwrap_or_default();
    let first = shared.imported.as_ref().and_then(|i| i.table.columns.first());
    let hint =
        first.map_or(String::new(), |c| format!("What do you know about {{{}}}?", human::elide(&c.name, 20)));
    let field = TextEdit::multiline(&mut text).desired_rows(3).desired_width(f32::INFINITY).hint_text(hint);
    if widgets::named(ui.add(field), "Template of the prompt").changed() {
        edit(out, Edit::PromptTemplate((!text.is_empty()).then_some(text)));
    }
    ui.with_layout(Layout::left_to_right(Align::Min).with_main_wrap(true), |ui| {
        let columns = shared.imported.iter().flat_map(|i| &i.table.columns).take(24);
        for column in columns {
            let placeholder = format!("{{{}}}", column.name);
            if ui.small_button(human::elide(&placeholder, 24)).on_hover_text("Add to the template").clicked()
            {
                let mut text = options.schema.prompt_template.clone().unwrap_or_default();
                text.push_str(&placeholder);
                edit(out, Edit::PromptTemplate(Some(text)));
            }
        }
    });
}

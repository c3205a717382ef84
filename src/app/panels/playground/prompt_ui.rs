//! The prompt, the examples before it, and the exact text that is sent.

use super::ask::shot_words;
use super::state::MOST_SHOTS;
use super::ui::edit;
use super::{Action, State};
use crate::app::action::{FrameAction, UiAction};
use crate::app::shared::Shared;
use crate::app::theme::{self, space};
use crate::app::widgets;
use crate::base::human;
use eframe::egui::{self, DragValue, Label, RichText, ScrollArea, Slider, TextEdit};

pub(super) fn prompt(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    switches(ui, state, shared, out);
    ui.add_space(space::XS);
    let mut text = state.draft.prompt.clone();
    let hint = if state.draft.is_chat {
        "Ask something…"
    } else {
        "Begin a text; the model goes on from there…"
    };
    let field = TextEdit::multiline(&mut text).desired_rows(3).desired_width(f32::INFINITY).hint_text(hint);
    let response = widgets::named(ui.add(field), "Prompt");
    if response.changed() {
        edit(state, out, |draft| draft.prompt = text);
    }
    ui.add_space(space::XS);
    ui.horizontal_wrapped(|ui| {
        if state.is_running() {
            if ui.button("Stop").clicked() {
                out.push(UiAction::Playground(Action::Stop));
            }
            widgets::progress(ui, "Answering", None, 120.0);
        } else {
            let why = state.why_not(shared);
            let empty = state.draft.prompt.trim().is_empty().then_some("Type a prompt first.");
            let why = why.as_deref().or(empty);
            if widgets::primary_button(ui, "Generate", why).clicked() {
                out.push(UiAction::Playground(Action::Generate));
            }
        }
        let words = if state.is_few_shot_open { "Hide examples" } else { "Examples (few-shot)" };
        if ui
            .button(words)
            .on_hover_text("Solved examples before the question show the model what is wanted")
            .clicked()
        {
            out.push(UiAction::Playground(Action::OpenFewShot(!state.is_few_shot_open)));
        }
        let words = if state.is_sets_open { "Hide prompt sets" } else { "Prompt sets" };
        if ui.button(words).on_hover_text("Save prompts, run many at once, score the answers").clicked() {
            out.push(UiAction::Playground(Action::OpenSets(!state.is_sets_open)));
        }
    });
    if state.draft.is_matrix && state.draft.shot_rows() == [0] {
        ui.horizontal_wrapped(|ui| {
            ui.label(RichText::new("Without examples there is only zero-shot.").color(theme::of(ui).amber));
            if !state.is_few_shot_open && ui.button("Add examples").clicked() {
                out.push(UiAction::Playground(Action::OpenFewShot(true)));
            }
        });
    }
    if state.is_few_shot_open {
        ui.add_space(space::S);
        widgets::card(ui, |ui| few_shot(ui, state, shared, out));
    }
    exact(ui, state, shared, out);
}

fn switches(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let has_template = shared.tokeniser.as_ref().is_some_and(|(_, template)| template.has_chat());
    ui.horizontal_wrapped(|ui| {
        let chat = ui
            .add_enabled(has_template, egui::Button::selectable(state.draft.is_chat && has_template, "Chat"));
        let chat = chat
            .on_hover_text(
                "The prompt is a turn of a conversation, written as the model expects it (chat template)",
            )
            .on_disabled_hover_text("This model has no chat template: it completes text.");
        if chat.clicked() {
            edit(state, out, |draft| draft.is_chat = true);
        }
        let complete = ui.selectable_label(!(state.draft.is_chat && has_template), "Completion");
        if complete.on_hover_text("The model goes on writing where the prompt ends").clicked() {
            edit(state, out, |draft| draft.is_chat = false);
        }
        ui.separator();
        ui.label("Longest answer");
        let mut max_tokens = state.draft.max_tokens;
        let field = DragValue::new(&mut max_tokens).range(1..=4096).suffix(" tokens");
        if widgets::named(ui.add(field), "Longest answer in tokens").changed() {
            edit(state, out, |draft| draft.max_tokens = max_tokens);
        }
        ui.label("Stop at");
        let mut stop = state.draft.stop.clone();
        let field = TextEdit::multiline(&mut stop).desired_rows(1).desired_width(90.0).hint_text("nothing");
        let field = widgets::named(ui.add(field), "Stop strings");
        let hint = "The answer ends before any of these texts. One a line; \\n is a line break, \\t a tab, \\\\ a backslash.";
        if field.on_hover_text(hint).changed() {
            edit(state, out, |draft| draft.stop = stop);
        }
        let mut is_matrix = state.draft.is_matrix;
        let toggle = ui.checkbox(&mut is_matrix, "Zero-, one- and few-shot at once");
        if toggle.on_hover_text("A matrix: how much examples help, and how much training does").changed() {
            edit(state, out, |draft| draft.is_matrix = is_matrix);
        }
    });
}

fn few_shot(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    ui.set_min_width(ui.available_width());
    ui.horizontal_wrapped(|ui| {
        ui.label("Examples shown");
        let most = state.draft.shots.len();
        let mut num_shots = state.draft.num_shots.min(most);
        let slider = ui.add_enabled(most > 0, Slider::new(&mut num_shots, 0..=most.max(1)));
        let slider = widgets::named(slider, "Number of examples shown")
            .on_disabled_hover_text("Add an example first.");
        if slider.changed() {
            edit(state, out, |draft| draft.num_shots = num_shots);
        }
        ui.label(RichText::new(shot_words(num_shots)).small().color(t.weak));
        ui.separator();
        ui.label("Line format");
        let mut format = state.draft.line_format.clone();
        let field = TextEdit::singleline(&mut format).desired_width(150.0);
        let field = widgets::named(ui.add(field), "Line format");
        if field.on_hover_text("How an example becomes a line, in completion mode").changed() {
            edit(state, out, |draft| draft.line_format = format);
        }
        let why =
            shared.dataset.is_none().then_some("Open data first: examples come from its training rows.");
        if widgets::button_or_why(ui, "Draw 3 from the data", why).clicked() {
            out.push(UiAction::Playground(Action::DrawShots(3)));
        }
    });
    ui.add_space(space::XS);
    let width = ((ui.available_width() - 60.0) / 2.0).max(120.0);
    ScrollArea::vertical().id_salt("shots").max_height(180.0).auto_shrink([false, true]).show(ui, |ui| {
        for (i, shot) in state.draft.shots.iter().enumerate() {
            ui.horizontal(|ui| {
                let (mut input, mut output) = (shot.input.clone(), shot.output.clone());
                let ink = if i < state.draft.num_shots { t.text } else { t.weak };
                let one = |text| TextEdit::singleline(text).desired_width(width).text_color(ink);
                let input_field = widgets::named(
                    ui.add(one(&mut input).hint_text("question")),
                    &format!("Example {} question", i + 1),
                );
                let output_field = widgets::named(
                    ui.add(one(&mut output).hint_text("answer")),
                    &format!("Example {} answer", i + 1),
                );
                if input_field.changed() || output_field.changed() {
                    edit(state, out, |draft| (draft.shots[i].input, draft.shots[i].output) = (input, output));
                }
                if widgets::close_button(ui, &format!("Remove example {}", i + 1)).clicked() {
                    edit(state, out, |draft| {
                        draft.shots.remove(i);
                    });
                }
            });
        }
    });
    ui.horizontal(|ui| {
        let why = (state.draft.shots.len() >= MOST_SHOTS).then_some("No more examples fit.");
        if widgets::button_or_why(ui, "Add an example", why).clicked() {
            edit(state, out, |draft| {
                draft.shots.push(State::blank());
                draft.num_shots = draft.shots.len();
            });
        }
        ui.label(RichText::new("or paste lines from a spreadsheet:").small().color(t.weak));
        let mut pasted = String::new();
        let field = TextEdit::singleline(&mut pasted).desired_width(140.0).hint_text("paste here");
        if widgets::named(ui.add(field), "Paste examples").changed() {
            out.push(UiAction::Playground(Action::PasteShots(pasted)));
        }
    });
}

fn exact(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let (text, num_tokens) = match &state.exact {
        Ok(exact) => exact,
        Err(why) => {
            ui.label(RichText::new(why).small().color(t.amber));
            return;
        }
    };
    let context = shared.model.as_ref().map_or(0, |m| m.context_tokens);
    let is_too_long = *num_tokens > context;
    let title = format!(
        "Exact text sent: {} of {} tokens",
        human::count(*num_tokens as u64),
        human::count(context as u64)
    );
    let title = RichText::new(title).small().color(if is_too_long { t.red } else { t.weak });
    egui::CollapsingHeader::new(title).id_salt("exact").show(ui, |ui| {
        ScrollArea::vertical().id_salt("exact text").max_height(160.0).show(ui, |ui| {
            ui.add(Label::new(widgets::mono_data(text)).wrap().selectable(true));
        });
        if ui.button("Copy").clicked() {
            out.push(UiAction::Frame(FrameAction::Copy(text.clone())));
        }
    });
}

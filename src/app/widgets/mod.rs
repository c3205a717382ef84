//! Small pieces that every place uses, each with a name for screen readers.

mod bars;
pub mod chart;
pub mod chart_series;
mod field;
mod text;

pub use bars::{Bar, bars};
pub use field::{Field, field};
pub use text::{elided, mono_data, shown};

use super::theme::{self, space};
use crate::base::human;
use eframe::egui::{
    self, Button, Color32, Frame, Margin, Pos2, Rect, Response, RichText, Sense, Stroke, WidgetInfo,
    accesskit::Role, vec2,
};
use egui_material_icons::MaterialIcon;

/// Gives a control the name by which screen readers (and tests) know it.
pub fn named(response: Response, name: &str) -> Response {
    response.ctx.accesskit_node_builder(response.id, |node| node.set_label(name));
    response
}

/// [`named`] for a text field; `_text` is what it holds.
pub fn named_field(response: Response, name: &str, _text: &str) -> Response {
    named(response, name)
}

/// Marks the whole text of a text field, so that typing replaces it.
pub fn select_all(ui: &egui::Ui, field: egui::Id, text: &str) {
    use egui::text::{CCursor, CCursorRange};
    let mut state = egui::text_edit::TextEditState::load(ui.ctx(), field).unwrap_or_default();
    let end = CCursor::new(text.chars().count());
    state.cursor.set_char_range(Some(CCursorRange::two(CCursor::new(0), end)));
    state.store(ui.ctx(), field);
}

/// An icon that stands beside words.
pub fn icon(ui: &mut egui::Ui, icon: MaterialIcon, ink: Color32) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(18.0, 18.0), Sense::hover());
    let font = egui::FontId::new(18.0, icon.font_family());
    ui.painter().text(rect.center(), egui::Align2::CENTER_CENTER, icon.codepoint, font, ink);
    response
}

/// A quiet button with an icon and words.
pub fn icon_button(ui: &mut egui::Ui, icon: MaterialIcon, words: &str) -> Response {
    named(ui.add(Button::new((icon.rich_text().size(16.0), words)).frame_when_inactive(false)), words)
}

/// A small cross; its words are told on hover and to screen readers.
pub fn close_button(ui: &mut egui::Ui, words: &str) -> Response {
    let cross = egui_material_icons::icons::ICON_CLOSE.rich_text();
    named(ui.add(Button::new(cross).frame(false)), words).on_hover_text(words)
}

/// A framed button with an icon and words.
pub fn tool_button(ui: &mut egui::Ui, icon: MaterialIcon, words: &str) -> Response {
    named(ui.add(Button::new((icon.rich_text().size(16.0), words))), words)
}

/// The one primary action. `why_not` disables it and says so on hover.
pub fn primary_button(ui: &mut egui::Ui, words: &str, why_not: Option<&str>) -> Response {
    let t = theme::of(ui);
    let (fill, ink) = if why_not.is_some() { (t.raised, t.weak) } else { (t.accent_fill, t.on_accent) };
    let button = Button::new(RichText::new(words).color(ink).strong())
        .fill(fill)
        .corner_radius(theme::RADIUS)
        .min_size(vec2(0.0, 32.0));
    let response = ui.add_enabled(why_not.is_none(), button);
    match why_not {
        Some(why) => response.on_disabled_hover_text(why),
        None => response,
    }
}

/// A button that destroys something; it asks first.
pub fn danger_button(ui: &mut egui::Ui, words: &str) -> Response {
    let t = theme::of(ui);
    ui.add(Button::new(RichText::new(words).color(t.red)).fill(t.red_soft).stroke(Stroke::new(1.0, t.red)))
}

/// A button that says on hover why it is disabled.
pub fn button_or_why(ui: &mut egui::Ui, words: &str, why_not: Option<&str>) -> Response {
    let response = ui.add_enabled(why_not.is_none(), Button::new(words));
    match why_not {
        Some(why) => response.on_disabled_hover_text(why),
        None => response,
    }
}

/// A bar `width` points wide; `None` is "working, nobody knows how far" and moves.
pub fn progress(ui: &mut egui::Ui, name: &str, fraction: Option<f32>, width: f32) {
    let t = theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(width, 8.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::ProgressIndicator, true, name));
    ui.painter().rect_filled(rect, 4.0, t.border);
    let filled = match fraction {
        Some(f) => Rect::from_min_size(rect.min, vec2(rect.width() * f.clamp(0.0, 1.0), rect.height())),
        None => {
            ui.ctx().request_repaint_after(std::time::Duration::from_millis(100));
            let phase = (ui.input(|i| i.time) as f32 * 0.6).fract();
            let left = rect.left() + (rect.width() - rect.width() * 0.3) * (1.0 - (2.0 * phase - 1.0).abs());
            Rect::from_min_size(Pos2::new(left, rect.top()), vec2(rect.width() * 0.3, rect.height()))
        }
    };
    ui.painter().rect_filled(filled, 4.0, t.accent_fill);
}

/// A small word on a tint: a state, a licence, a role.
pub fn chip(ui: &mut egui::Ui, words: &str, ink: Color32, fill: Color32) -> Response {
    Frame::new()
        .fill(fill)
        .corner_radius(theme::RADIUS)
        .inner_margin(Margin::symmetric(6, 1))
        .show(ui, |ui| ui.label(RichText::new(words).small().color(ink)))
        .response
}

/// A chip that can be switched on and off. `true` when it was clicked.
pub fn filter_chip(ui: &mut egui::Ui, words: &str, is_on: bool, ink: Color32) -> Response {
    let t = theme::of(ui);
    let (fill, edge) = if is_on { (t.accent_soft, t.accent) } else { (t.surface, t.border) };
    let ink = if is_on { t.text } else { ink };
    let response = ui.add(
        Button::new(RichText::new(words).small().color(ink))
            .fill(fill)
            .stroke(Stroke::new(1.0, edge))
            .corner_radius(12)
            .min_size(vec2(0.0, 24.0)),
    );
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, is_on, words));
    response
}

/// A card on the ground.
pub fn card<R>(ui: &mut egui::Ui, contents: impl FnOnce(&mut egui::Ui) -> R) -> R {
    let t = theme::of(ui);
    framed(ui, t.surface, t.border, contents)
}

/// A card as wide as there is room, for one of several things of which one is chosen.
pub fn choice_card<R>(ui: &mut egui::Ui, is_chosen: bool, contents: impl FnOnce(&mut egui::Ui) -> R) -> R {
    let t = theme::of(ui);
    let (fill, edge) = if is_chosen { (t.accent_soft, t.accent) } else { (t.surface, t.border) };
    framed(ui, fill, edge, |ui| {
        ui.set_min_width(ui.available_width());
        contents(ui)
    })
}

fn framed<R>(
    ui: &mut egui::Ui,
    fill: Color32,
    edge: Color32,
    contents: impl FnOnce(&mut egui::Ui) -> R,
) -> R {
    Frame::new()
        .fill(fill)
        .stroke(Stroke::new(1.0, edge))
        .corner_radius(theme::RADIUS)
        .inner_margin(Margin::same(space::M as i8))
        .show(ui, contents)
        .inner
}

/// A title inside a place.
pub fn section(ui: &mut egui::Ui, words: &str) {
    ui.add_space(space::XS);
    ui.label(RichText::new(words).strong());
    ui.add_space(space::XS);
}

/// Nothing here yet: what this is, and what to do next. `true` when the button was clicked.
pub fn empty(ui: &mut egui::Ui, big: MaterialIcon, title: &str, text: &str, button: Option<&str>) -> bool {
    let t = theme::of(ui);
    let mut clicked = false;
    ui.vertical_centered(|ui| {
        ui.add_space((ui.available_height() * 0.22).clamp(space::S, 140.0));
        ui.label(big.rich_text().size(40.0).color(t.weak));
        ui.add_space(space::S);
        ui.label(RichText::new(title).size(16.0).strong());
        ui.add_space(space::XS);
        ui.scope(|ui| {
            ui.set_max_width(theme::PROSE_WIDTH.min(ui.available_width()));
            ui.label(RichText::new(text).color(t.weak));
        });
        ui.add_space(space::M);
        if let Some(words) = button {
            clicked = primary_button(ui, words, None).clicked();
        }
    });
    clicked
}

/// Words in a column `width` points wide, from the left, cut where they do not fit.
pub fn in_column(ui: &mut egui::Ui, width: f32, words: RichText) -> Response {
    let layout = egui::Layout::left_to_right(egui::Align::Center);
    let label = egui::Label::new(words).truncate();
    ui.allocate_ui_with_layout(vec2(width, 22.0), layout, |ui| {
        ui.set_min_width(width);
        ui.add(label)
    })
    .inner
}

/// A name and its value on one line.
pub fn fact(ui: &mut egui::Ui, name: &str, value: &str) {
    let t = theme::of(ui);
    ui.horizontal(|ui| {
        in_column(ui, 150.0, RichText::new(name).color(t.weak));
        // The end of a path says more than its middle.
        let short = human::elide(value, (ui.available_width() / 7.5) as usize);
        ui.add(egui::Label::new(short).truncate()).on_hover_text(value);
    });
}

/// A small line of values without axes.
pub fn sparkline(ui: &mut egui::Ui, values: &[f32], size: egui::Vec2) {
    let t = theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, "Course of the loss"));
    let finite = || values.iter().copied().filter(|v| v.is_finite());
    let (low, high) = (finite().fold(f32::MAX, f32::min), finite().fold(f32::MIN, f32::max));
    if finite().count() < 2 {
        return;
    }
    let step = rect.width() / (finite().count() - 1) as f32;
    let points = finite().enumerate().map(|(i, v)| {
        let share = (v - low) / (high - low).max(1e-6);
        Pos2::new(rect.left() + i as f32 * step, rect.bottom() - 2.0 - share * (rect.height() - 4.0))
    });
    ui.painter().line(points.collect(), Stroke::new(1.5, t.accent));
}

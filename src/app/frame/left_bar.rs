//! The six places, the palette and the theme.

use crate::app::action::{FrameAction, Place, UiAction};
use crate::app::shared::Dot;
use crate::app::state::AppState;
use crate::app::theme::{self, space};
use crate::app::widgets;
use eframe::egui::{
    self, Align, Align2, FontId, Layout, RichText, Sense, TextStyle, ThemePreference, WidgetInfo,
    accesskit::Role, vec2,
};
use egui_material_icons::{MaterialIcon, icons};

pub fn ui(ui: &mut egui::Ui, state: &AppState, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    ui.add_space(space::XS);
    ui.horizontal(|ui| {
        ui.add_space(space::S);
        ui.label(RichText::new("Tunesmith").strong().size(16.0).color(t.accent));
    });
    ui.add_space(space::M);
    for (i, place) in Place::ALL.into_iter().enumerate() {
        if place_button(ui, state, place, i + 1) {
            out.push(UiAction::Go(place));
        }
    }
    ui.with_layout(Layout::bottom_up(Align::Min), |ui| {
        ui.add_space(space::XS);
        theme_switch(ui, state, out);
        let palette = widgets::icon_button(ui, icons::ICON_SEARCH, "Find an action");
        if palette.on_hover_text("All actions by name (Ctrl+K)").clicked() {
            out.push(UiAction::Frame(FrameAction::TogglePalette));
        }
        let keys = widgets::icon_button(ui, icons::ICON_KEYBOARD, "Keyboard");
        if keys.on_hover_text("The keyboard shortcuts").clicked() {
            out.push(UiAction::Frame(FrameAction::ShowShortcuts(true)));
        }
        ui.separator();
    });
}

fn icon_of(place: Place) -> MaterialIcon {
    match place {
        Place::Home => icons::ICON_HOME,
        Place::Model => icons::ICON_NEUROLOGY,
        Place::Data => icons::ICON_TABLE_CHART,
        Place::Train => icons::ICON_SCHOOL,
        Place::Runs => icons::ICON_HISTORY,
        Place::Playground => icons::ICON_FORUM,
    }
}

fn place_button(ui: &mut egui::Ui, state: &AppState, place: Place, number: usize) -> bool {
    let t = theme::of(ui);
    let is_here = state.place == place;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 36.0), Sense::click());
    let dot = state.dot(place);
    let name = match dot {
        Dot::None => place.name().to_string(),
        Dot::Needs => format!("{} needs something", place.name()),
        Dot::Working => format!("{} is working", place.name()),
    };
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, is_here, place.name()));
    let painter = ui.painter();
    if is_here || response.hovered() || response.has_focus() {
        let fill = if is_here { t.accent_soft } else { t.raised };
        painter.rect_filled(rect, theme::RADIUS, fill);
    }
    if response.has_focus() {
        painter.rect_stroke(rect, theme::RADIUS, egui::Stroke::new(1.5, t.accent), egui::StrokeKind::Inside);
    }
    let ink = if is_here { t.accent } else { t.text };
    let icon = icon_of(place);
    painter.text(
        rect.left_center() + vec2(space::S, 0.0),
        Align2::LEFT_CENTER,
        icon.codepoint,
        FontId::new(20.0, icon.font_family()),
        ink,
    );
    let font = TextStyle::Body.resolve(ui.style());
    painter.text(rect.left_center() + vec2(38.0, 0.0), Align2::LEFT_CENTER, place.name(), font, ink);
    let center = rect.right_center() - vec2(14.0, 0.0);
    match dot {
        Dot::None => {}
        Dot::Needs => {
            painter.circle_filled(center, 4.0, t.amber);
        }
        // A ring, and it stands still: one that breathes would have the window painted ten times a second.
        Dot::Working => {
            painter.circle_stroke(center, 4.0, egui::Stroke::new(2.0, t.accent));
        }
    }
    response.on_hover_text(format!("{name} (Ctrl+{number})")).clicked()
}

fn theme_switch(ui: &mut egui::Ui, state: &AppState, out: &mut Vec<UiAction>) {
    let options = [
        (ThemePreference::Light, icons::ICON_LIGHT_MODE, "Light"),
        (ThemePreference::Dark, icons::ICON_DARK_MODE, "Dark"),
        (ThemePreference::System, icons::ICON_CONTRAST, "As the system"),
    ];
    ui.horizontal(|ui| {
        for (theme, icon, name) in options {
            let is_on = state.settings.theme == theme;
            let button = egui::Button::selectable(is_on, icon.rich_text().size(16.0));
            let response = ui.add_sized([48.0, 28.0], button);
            response
                .widget_info(|| WidgetInfo::selected(Role::Button, true, is_on, format!("Theme: {name}")));
            if response.on_hover_text(format!("{name} theme")).clicked() {
                out.push(UiAction::Frame(FrameAction::SetTheme(theme)));
            }
        }
    });
}

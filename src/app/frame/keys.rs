//! Keyboard shortcuts of the whole window.

use crate::app::action::{FrameAction, Place, UiAction};
use crate::app::state::{AppState, Overlay};
use eframe::egui::{self, Key, KeyboardShortcut, Modifiers};

pub const PLACES: [Key; 6] = [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6];

/// For the list of shortcuts and the tooltips.
pub const LIST: [(&str, &str); 8] = [
    ("Ctrl+1 … Ctrl+6", "Go to Home, Model, Data, Train, Runs, Playground"),
    ("Ctrl+K", "Find an action by its name"),
    ("Ctrl+O", "Open a data file"),
    ("Ctrl+L", "Type the path of a data file, or of a model in Model"),
    ("Ctrl+Enter", "Do what the button at the top right says: start, generate…"),
    ("Esc", "Close what is open, or stop what runs"),
    ("Ctrl +, Ctrl -, Ctrl 0", "Larger, smaller, normal size"),
    ("Tab, Shift+Tab, Space", "Move between controls and press them"),
];

/// Takes the shortcuts out of the input before any widget sees them.
pub fn read(ui: &egui::Ui, state: &AppState, out: &mut Vec<UiAction>) {
    let takes_text = ui.ctx().egui_wants_keyboard_input();
    let mut frame = |action| out.push(UiAction::Frame(action));
    ui.input_mut(|i| {
        let mut pressed = |key| i.consume_shortcut(&KeyboardShortcut::new(Modifiers::COMMAND, key));
        if pressed(Key::K) {
            frame(FrameAction::TogglePalette);
        }
        if pressed(Key::O) {
            frame(FrameAction::OpenData);
        }
        if pressed(Key::L) {
            frame(FrameAction::TypePath);
        }
        if pressed(Key::Enter) && matches!(state.overlay, Overlay::None) {
            frame(FrameAction::Primary);
        }
        if matches!(state.overlay, Overlay::Palette { .. }) {
            if i.consume_key(Modifiers::NONE, Key::ArrowDown) {
                frame(FrameAction::MovePalette(1));
            }
            if i.consume_key(Modifiers::NONE, Key::ArrowUp) {
                frame(FrameAction::MovePalette(-1));
            }
            if let (Overlay::Palette { chosen, .. }, true) =
                (&state.overlay, i.consume_key(Modifiers::NONE, Key::Enter))
            {
                frame(FrameAction::RunPaletteItem(*chosen));
            }
        }
        // A text field lets go of the keyboard first; the next Esc stops.
        let is_open = !matches!(state.overlay, Overlay::None);
        if (is_open || !takes_text) && i.consume_key(Modifiers::NONE, Key::Escape) {
            frame(FrameAction::Escape);
        }
    });
    ui.input_mut(|i| {
        for (key, place) in PLACES.into_iter().zip(Place::ALL) {
            if i.consume_shortcut(&KeyboardShortcut::new(Modifiers::COMMAND, key)) {
                out.push(UiAction::Go(place));
            }
        }
    });
    for file in ui.input(|i| i.raw.dropped_files.clone()) {
        let path = file.path().to_path_buf();
        let dropped = if path.is_dir() { FrameAction::DroppedFolder } else { FrameAction::Dropped };
        out.push(UiAction::Frame(dropped(path)));
    }
}

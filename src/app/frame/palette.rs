//! Ctrl+K: every action by its name, found by a few letters.

use crate::app::action::{FrameAction, Place, UiAction};
use crate::app::jobs::JobSwitch;
use crate::app::shared::PaletteItem;
use crate::app::state::{AppState, Overlay};
use eframe::egui::ThemePreference;

const PLACE_KEYS: [&str; 6] = ["Ctrl+1", "Ctrl+2", "Ctrl+3", "Ctrl+4", "Ctrl+5", "Ctrl+6"];

/// Actions that belong to no place.
pub fn frame_items(state: &AppState) -> Vec<PaletteItem> {
    let frame = |label: &str, keys, action| PaletteItem::new(label, keys, UiAction::Frame(action));
    let mut items: Vec<PaletteItem> = Place::ALL
        .into_iter()
        .zip(PLACE_KEYS)
        .map(|(place, keys)| PaletteItem::new(format!("Go to {}", place.name()), keys, UiAction::Go(place)))
        .collect();
    items.push(frame("Open a data file…", "Ctrl+O", FrameAction::OpenData));
    items.push(frame("Open another project, or begin one…", "", FrameAction::PickProject));
    items.push(frame("Type the path of a file", "Ctrl+L", FrameAction::TypePath));
    items.push(frame("Use the light theme", "", FrameAction::SetTheme(ThemePreference::Light)));
    items.push(frame("Use the dark theme", "", FrameAction::SetTheme(ThemePreference::Dark)));
    items.push(frame("Use the system's theme", "", FrameAction::SetTheme(ThemePreference::System)));
    items.push(frame("Show the keyboard shortcuts", "", FrameAction::ShowShortcuts(true)));
    for job in state.shared.jobs.all().iter().filter(|j| !j.is_quiet) {
        let action =
            if job.is_training { FrameAction::AskStop } else { FrameAction::Job(job.id, JobSwitch::Stop) };
        items.push(frame(&format!("Stop: {}", job.title), "Esc", action));
    }
    if let Some(primary) = state.header(state.place).primary.filter(|p| p.why_not.is_none()) {
        items.push(PaletteItem::new(primary.label, "Ctrl+Enter", primary.action));
    }
    items
}

/// What the palette lists for what was typed, best first.
pub fn found(state: &AppState) -> Vec<PaletteItem> {
    let Overlay::Palette { text, .. } = &state.overlay else { return Vec::new() };
    let mut scored: Vec<(i32, PaletteItem)> = state
        .palette_items()
        .into_iter()
        .filter_map(|item| score(text, &item.label).map(|s| (s, item)))
        .collect();
    scored.sort_by_key(|(s, _)| -s);
    scored.into_iter().map(|(_, item)| item).collect()
}

/// How well `typed` fits `label`: its letters in order, better when they follow each other or begin words.
/// `None` when a letter is missing.
pub fn score(typed: &str, label: &str) -> Option<i32> {
    let label: Vec<char> = label.to_lowercase().chars().collect();
    let mut total = 0;
    let mut at = 0;
    let mut last_hit: Option<usize> = None;
    for c in typed.to_lowercase().chars().filter(|c| !c.is_whitespace()) {
        let i = (at..label.len()).find(|i| label[*i] == c)?;
        let begins_word = i == 0 || !label[i - 1].is_alphanumeric();
        let follows = last_hit.is_some_and(|l| l + 1 == i);
        total += if follows { 6 } else { 0 } + if begins_word { 4 } else { 0 } - (i - at).min(3) as i32;
        last_hit = Some(i);
        at = i + 1;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_in_order_find_the_action_and_words_come_first() {
        assert!(score("xyz", "Go to Data").is_none());
        assert!(score("gtd", "Go to Data").is_some());
        assert!(score("data", "Go to Data") > score("data", "Download another tractor a"));
        assert_eq!(score("", "anything"), Some(0));
    }
}

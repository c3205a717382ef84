//! The recipes that come with Tunesmith.

use super::{Recipe, load};

/// A shipped recipe. Its `about` says what it is for.
#[derive(Debug, Clone, PartialEq)]
pub struct Preset {
    /// File name without its ending.
    pub name: &'static str,
    pub title: &'static str,
    pub recipe: Recipe,
}

const FILES: [(&str, &str, &str); 27] = [
    ("quickstart", "Quickstart", include_str!("../../presets/quickstart.toml")),
    ("quick-look", "Quick look", include_str!("../../presets/quick-look.toml")),
    ("balanced", "Balanced", include_str!("../../presets/balanced.toml")),
    ("teach-a-style", "Teach a style", include_str!("../../presets/teach-a-style.toml")),
    ("short-answers", "Short answers", include_str!("../../presets/short-answers.toml")),
    ("long-texts", "Long texts", include_str!("../../presets/long-texts.toml")),
    ("easy-first", "Easy first", include_str!("../../presets/easy-first.toml")),
    ("top-blocks", "Top blocks", include_str!("../../presets/top-blocks.toml")),
    ("all-weights", "All weights", include_str!("../../presets/all-weights.toml")),
    ("hold-fast", "Hold fast", include_str!("../../presets/hold-fast.toml")),
    ("directions", "Directions", include_str!("../../presets/directions.toml")),
    ("high-rank", "High rank", include_str!("../../presets/high-rank.toml")),
    ("two-rates", "Two rates", include_str!("../../presets/two-rates.toml")),
    ("chosen-layers", "Chosen layers", include_str!("../../presets/chosen-layers.toml")),
    ("small-memory", "Small memory", include_str!("../../presets/small-memory.toml")),
    ("factors", "Factors", include_str!("../../presets/factors.toml")),
    ("small-layers", "Small layers", include_str!("../../presets/small-layers.toml")),
    ("half-layers", "Half layers", include_str!("../../presets/half-layers.toml")),
    ("prefix", "Prefix", include_str!("../../presets/prefix.toml")),
    ("written-prefix", "Written prefix", include_str!("../../presets/written-prefix.toml")),
    ("soft-prompt", "Soft prompt", include_str!("../../presets/soft-prompt.toml")),
    ("encoded-prompt", "Encoded prompt", include_str!("../../presets/encoded-prompt.toml")),
    ("classes", "Classes", include_str!("../../presets/classes.toml")),
    ("scores", "Scores", include_str!("../../presets/scores.toml")),
    ("likeness", "Likeness", include_str!("../../presets/likeness.toml")),
    ("running-text", "Running text", include_str!("../../presets/running-text.toml")),
    ("hidden-words", "Hidden words", include_str!("../../presets/hidden-words.toml")),
];

/// All presets, in the order in which they are shown. A test reads each.
pub fn all() -> Vec<Preset> {
    let read = |(name, title, text)| load::from_toml(text).ok().map(|recipe| Preset { name, title, recipe });
    FILES.into_iter().filter_map(read).collect()
}

/// The text of a preset, comments included.
pub fn text(name: &str) -> Option<&'static str> {
    FILES.into_iter().find(|(n, ..)| *n == name).map(|(.., text)| text)
}

/// The preset of that name.
pub fn find(name: &str) -> Option<Preset> {
    all().into_iter().find(|preset| preset.name == name)
}

//! Design tokens: the only place where colours, sizes and distances are written down.

use eframe::egui::{self, Color32, CornerRadius, FontFamily, FontId, Margin, Stroke, TextStyle, Theme, vec2};

/// Distances in points.
pub mod space {
    pub const XS: f32 = 4.0;
    pub const S: f32 = 8.0;
    pub const M: f32 = 12.0;
    pub const L: f32 = 16.0;
    pub const XL: f32 = 24.0;
}

pub const RADIUS: u8 = 6;
pub const LEFT_BAR_WIDTH: f32 = 176.0;
/// Line length of prose, in points: about 80 characters of body text.
pub const PROSE_WIDTH: f32 = 560.0;

/// Colours by what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    /// Behind the content of a place.
    pub ground: Color32,
    /// Cards, tables, forms.
    pub surface: Color32,
    /// The left bar and the status bar.
    pub bar: Color32,
    /// A row or item under the pointer or chosen.
    pub raised: Color32,
    pub border: Color32,
    pub text: Color32,
    pub weak: Color32,
    /// Words and lines in the accent; also the tuned model.
    pub accent: Color32,
    /// Fill of the primary button, under `on_accent`.
    pub accent_fill: Color32,
    pub on_accent: Color32,
    /// Tint behind text: trained tokens, chosen things.
    pub accent_soft: Color32,
    /// The base model, everywhere.
    pub base: Color32,
    pub amber: Color32,
    pub amber_soft: Color32,
    pub red: Color32,
    pub red_soft: Color32,
    pub green: Color32,
}

const fn rgb(hex: u32) -> Color32 {
    Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

pub const LIGHT: Tokens = Tokens {
    ground: rgb(0xf6f8f9),
    surface: rgb(0xffffff),
    bar: rgb(0xebeff2),
    raised: rgb(0xe3e9ed),
    border: rgb(0xd0d7dd),
    text: rgb(0x1b2127),
    weak: rgb(0x515c66),
    accent: rgb(0x0a6677),
    accent_fill: rgb(0x0b6e7f),
    on_accent: rgb(0xffffff),
    accent_soft: rgb(0xd5edf1),
    base: rgb(0x4a617a),
    amber: rgb(0x7d5100),
    amber_soft: rgb(0xfff1d0),
    red: rgb(0xae231b),
    red_soft: rgb(0xfde7e5),
    green: rgb(0x1b6636),
};

pub const DARK: Tokens = Tokens {
    ground: rgb(0x171a1e),
    surface: rgb(0x1f2328),
    bar: rgb(0x121518),
    raised: rgb(0x2a3037),
    border: rgb(0x3a4149),
    text: rgb(0xe7eaed),
    weak: rgb(0xaab4be),
    accent: rgb(0x55c6d6),
    accent_fill: rgb(0x0f7484),
    on_accent: rgb(0xffffff),
    accent_soft: rgb(0x163f48),
    base: rgb(0xa2b8cf),
    amber: rgb(0xf1b84f),
    amber_soft: rgb(0x3b2f17),
    red: rgb(0xff948b),
    red_soft: rgb(0x43211f),
    green: rgb(0x74d192),
};

/// The tokens of the theme that `ui` is drawn in.
pub fn of(ui: &egui::Ui) -> &'static Tokens {
    if ui.visuals().dark_mode { &DARK } else { &LIGHT }
}

/// `share` of the way from one colour to the other.
pub fn mixed(from: Color32, to: Color32, share: f32) -> Color32 {
    from.lerp_to_gamma(to, share.clamp(0.0, 1.0))
}

/// Black or white, whichever is read better on a fill.
pub fn ink_on(fill: Color32) -> Color32 {
    let better = |a: Color32, b: Color32| if contrast(a, fill) >= contrast(b, fill) { a } else { b };
    better(Color32::BLACK, Color32::WHITE)
}

/// Contrast of two opaque colours as WCAG 2 defines it, 1 to 21.
fn contrast(a: Color32, b: Color32) -> f32 {
    let luminance = |c: Color32| {
        let linear = |v: u8| {
            let s = f32::from(v) / 255.0;
            if s <= 0.040_45 { s / 12.92 } else { ((s + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(c.r()) + 0.7152 * linear(c.g()) + 0.0722 * linear(c.b())
    };
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// Both themes, the fonts and the sizes. Called once, before the first frame.
pub fn install(ctx: &egui::Context) {
    egui_material_icons::initialize(ctx);
    ctx.set_visuals_of(Theme::Light, visuals(&LIGHT, egui::Visuals::light()));
    ctx.set_visuals_of(Theme::Dark, visuals(&DARK, egui::Visuals::dark()));
    ctx.all_styles_mut(|style| {
        use FontFamily::{Monospace, Proportional};
        style.text_styles = [
            (TextStyle::Small, FontId::new(12.0, Proportional)),
            (TextStyle::Body, FontId::new(14.0, Proportional)),
            (TextStyle::Button, FontId::new(14.0, Proportional)),
            (TextStyle::Heading, FontId::new(20.0, Proportional)),
            (TextStyle::Monospace, FontId::new(13.0, Monospace)),
        ]
        .into();
        style.spacing.item_spacing = vec2(space::S, space::XS);
        style.spacing.button_padding = vec2(10.0, 5.0);
        style.spacing.interact_size = vec2(36.0, 26.0);
        style.spacing.window_margin = Margin::same(16);
        style.spacing.menu_margin = Margin::same(8);
        style.spacing.tooltip_width = 360.0;
        style.spacing.scroll = egui::style::ScrollStyle::solid();
    });
}

fn visuals(t: &Tokens, mut v: egui::Visuals) -> egui::Visuals {
    let radius = CornerRadius::same(RADIUS);
    v.override_text_color = None;
    v.weak_text_color = Some(t.weak);
    v.panel_fill = t.ground;
    v.window_fill = t.surface;
    v.window_stroke = Stroke::new(1.0, t.border);
    v.window_corner_radius = radius;
    v.menu_corner_radius = radius;
    v.extreme_bg_color = t.surface;
    v.text_edit_bg_color = Some(t.surface);
    v.faint_bg_color = t.bar;
    v.code_bg_color = t.bar;
    v.hyperlink_color = t.accent;
    v.warn_fg_color = t.amber;
    v.error_fg_color = t.red;
    v.selection.bg_fill = t.accent_soft;
    v.selection.stroke = Stroke::new(1.0, t.accent);
    v.slider_trailing_fill = true;
    // Each blink is a frame of the whole window.
    v.text_cursor.blink = false;
    let fill = |w: &mut egui::style::WidgetVisuals, bg: Color32, edge: Color32, width: f32| {
        w.bg_fill = bg;
        w.weak_bg_fill = bg;
        w.bg_stroke = Stroke::new(width, edge);
        w.fg_stroke = Stroke::new(1.0, t.text);
        w.corner_radius = radius;
        w.expansion = 0.0;
    };
    fill(&mut v.widgets.noninteractive, t.surface, t.border, 1.0);
    fill(&mut v.widgets.inactive, t.raised, t.border, 1.0);
    fill(&mut v.widgets.hovered, t.raised, t.accent, 1.0);
    fill(&mut v.widgets.active, t.accent_soft, t.accent, 1.5);
    fill(&mut v.widgets.open, t.raised, t.accent, 1.0);
    v
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_can_be_read_on_every_ground_it_stands_on() {
        for (theme, t) in [("light", LIGHT), ("dark", DARK)] {
            let grounds =
                [("ground", t.ground), ("surface", t.surface), ("bar", t.bar), ("raised", t.raised)];
            let words = [
                ("text", t.text),
                ("weak", t.weak),
                ("accent", t.accent),
                ("base", t.base),
                ("amber", t.amber),
                ("red", t.red),
                ("green", t.green),
            ];
            let mut pairs: Vec<_> =
                words.iter().flat_map(|w| grounds.iter().map(move |g| (*w, *g))).collect();
            pairs.push((("on_accent", t.on_accent), ("accent_fill", t.accent_fill)));
            pairs.push((("text", t.text), ("accent_soft", t.accent_soft)));
            pairs.push((("accent", t.accent), ("accent_soft", t.accent_soft)));
            pairs.push((("amber", t.amber), ("amber_soft", t.amber_soft)));
            pairs.push((("text", t.text), ("amber_soft", t.amber_soft)));
            pairs.push((("red", t.red), ("red_soft", t.red_soft)));
            pairs.push((("text", t.text), ("red_soft", t.red_soft)));
            for ((word, a), (ground, b)) in pairs {
                let found = contrast(a, b);
                assert!(found >= 4.5, "{theme}: {word} on {ground} has a contrast of only {found:.2}");
            }
        }
    }

    #[test]
    fn numbers_can_be_read_on_every_shade_of_a_heat_map() {
        for t in [LIGHT, DARK] {
            for hue in [t.accent_fill, t.amber] {
                for step in 0..=100 {
                    let fill = mixed(t.surface, hue, step as f32 / 100.0);
                    let found = contrast(ink_on(fill), fill);
                    assert!(found >= 4.5, "a contrast of only {found:.2} at {step} %");
                }
            }
        }
    }
}

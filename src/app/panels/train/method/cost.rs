//! What a method costs here: trained numbers, its file, memory and time.

use crate::base::human;
use crate::recipe::MethodOption;
use eframe::egui::{self, RichText};

/// "trains 2.4 million of 135 million numbers (1.8 %)".
pub fn trained(num: u64, num_params: u64) -> String {
    if num >= num_params {
        return format!("trains all {} numbers", human::rough(num));
    }
    format!(
        "trains {} of {} numbers ({})",
        human::rough(num),
        human::rough(num_params),
        human::percent(num as f64 / num_params as f64)
    )
}

/// Memory and time, as far as they are known.
fn parts(option: &MethodOption, num_params: u64) -> Vec<String> {
    let Some(estimate) = &option.estimate else { return Vec::new() };
    let mut parts = vec![
        trained(estimate.num_trainable_params, num_params),
        format!("file {}", human::bytes(estimate.file_bytes)),
        format!("memory about {}", human::bytes(estimate.memory_bytes)),
    ];
    if estimate.secs > 0.0 {
        parts.push(format!("time about {}", human::secs(estimate.secs)));
    }
    // A line breaks between two parts rather than between a number and its unit.
    for part in parts.iter_mut().skip(1) {
        *part = part.replace(' ', "\u{a0}");
    }
    parts
}

/// All of it, in a line that breaks between its parts.
pub fn whole(ui: &mut egui::Ui, option: &MethodOption, num_params: u64) {
    line(ui, &parts(option, num_params));
}

/// What is trained and the size of its file; memory and time stand at the foot of the form.
pub fn short(ui: &mut egui::Ui, option: &MethodOption, num_params: u64) {
    line(ui, parts(option, num_params).get(..2).unwrap_or_default());
}

/// Memory, and time where it is known.
pub fn of_comparison(ui: &mut egui::Ui, option: &MethodOption, num_params: u64, secs: Option<f64>) {
    let mut shown = parts(option, num_params);
    shown.truncate(3);
    shown.extend(secs.map(|secs| format!("time about {}", human::secs(secs)).replace(' ', "\u{a0}")));
    line(ui, &shown);
}

fn line(ui: &mut egui::Ui, parts: &[String]) {
    if !parts.is_empty() {
        ui.label(RichText::new(parts.join(" · ")).small());
    }
}

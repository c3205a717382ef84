//! What is learnt: the objective, those that data and model allow, and its settings.

use super::fields::{check, choice, number};
use super::form::Form;
use super::several;
use crate::app::theme;
use crate::data::sentences::Pairing;
use crate::model::config::Pooling;
use crate::recipe::recipe::{Objective, PoolingChoice, ScoreLoss};
use eframe::egui::{self, ComboBox, Response, RichText};

/// The objective with what it is; the others in a list, where those that cannot be say why.
pub fn chosen(ui: &mut egui::Ui, form: &mut Form) {
    if several::tasks(ui, form) {
        return;
    }
    let help = "What the model is to learn from your rows. What the columns or the model do not allow says why when the pointer rests on it.";
    let review = form.review;
    form.row(ui, "objective.kind", "What is learnt", help, |ui, r| {
        let now = r.objective.title();
        let combo = ComboBox::from_id_salt("objective").selected_text(now).width(150.0).truncate();
        let shown = combo.show_ui(ui, |ui| {
            for (objective, why_not) in &review.objectives {
                let is_now = objective.kind() == r.objective.kind();
                let one = ui.add_enabled(
                    why_not.is_none() || is_now,
                    egui::Button::selectable(is_now, objective.title()),
                );
                let one = one.on_hover_text(objective.explain());
                let one = one.on_disabled_hover_text(why_not.as_deref().unwrap_or_default());
                if one.clicked() && !is_now {
                    r.objective = objective.clone();
                }
            }
        });
        shown.response
    });
    let t = theme::of(ui);
    ui.label(RichText::new(form.recipe.objective.explain()).small().color(t.weak));
}

/// The settings of the chosen one.
pub fn advanced(ui: &mut egui::Ui, form: &mut Form) {
    if form.recipe.has_tasks() {
        return;
    }
    pretraining(ui, form);
    masked(ui, form);
    contrastive(ui, form);
    of_heads(ui, form);
}

/// A row that only objectives have whose settings `of` finds.
fn row<S>(
    ui: &mut egui::Ui,
    form: &mut Form,
    of: fn(&mut Objective) -> Option<&mut S>,
    [path, label, help]: [&'static str; 3],
    control: impl FnOnce(&mut egui::Ui, &mut S) -> Response,
) {
    if of(&mut form.recipe.objective).is_none() {
        return;
    }
    form.row(ui, path, label, help, |ui, r| match of(&mut r.objective) {
        Some(setting) => control(ui, setting),
        None => ui.response(),
    });
}

fn pretraining(ui: &mut egui::Ui, form: &mut Form) {
    let help = "A text longer than the limit goes on in the next piece. So many tokens of the piece before are shown again, without being learnt twice.";
    let of: fn(&mut Objective) -> Option<&mut _> =
        |o| if let Objective::Pretraining(of) = o { Some(&mut of.overlap) } else { None };
    row(ui, form, of, ["objective.overlap", "Shown again (overlap)", help], |ui, overlap| {
        number(ui, overlap, 1.0, 0..=1_048_576)
    });
    let help = "Whether the model learns what is asked as well, or only what answers it. Data has it, too.";
    let of: fn(&mut Objective) -> Option<&mut _> =
        |o| if let Objective::Supervised { train_on } = o { Some(train_on) } else { None };
    row(ui, form, of, ["objective.train_on", "Learns", help], |ui, train_on| {
        use crate::data::mask::TrainOn;
        choice(
            ui,
            "train on",
            train_on,
            &[(TrainOn::Answers, "only answers"), (TrainOn::Everything, "everything")],
        )
    });
}

fn masked(ui: &mut egui::Ui, form: &mut Form) {
    let help = "Share of the words that are to be guessed. Of ten, eight are hidden, one becomes another word, one stays.";
    let of: fn(&mut Objective) -> Option<&mut _> =
        |o| if let Objective::Masked(of) = o { Some(&mut of.share) } else { None };
    row(ui, form, of, ["objective.share", "Hidden share", help], |ui, share| {
        number(ui, share, 0.005, 0.0..=1.0)
    });
    spans(ui, form);
    let help = "Hides words as a whole, rather than pieces of them, which is harder and teaches more.";
    let of: fn(&mut Objective) -> Option<&mut _> =
        |o| if let Objective::Masked(of) = o { Some(&mut of.whole_words) } else { None };
    row(ui, form, of, ["objective.whole_words", "Whole words", help], check);
    let help = "Next: whether the second sentence follows the first, or comes from elsewhere. Order: whether the two stand in their order.";
    let of: fn(&mut Objective) -> Option<&mut _> =
        |o| if let Objective::Sentences(of) = o { Some(&mut of.pairing) } else { None };
    row(ui, form, of, ["objective.pairing", "Sentences", help], |ui, pairing| {
        choice(ui, "pairing", pairing, &[(Pairing::Next, "next or not"), (Pairing::Order, "order")])
    });
}

fn spans(ui: &mut egui::Ui, form: &mut Form) {
    let help = "Share of the words that are taken out and written again.";
    let of: fn(&mut Objective) -> Option<&mut _> =
        |o| if let Objective::SpanCorruption(of) = o { Some(&mut of.share) } else { None };
    row(ui, form, of, ["objective.share", "Taken-out share", help], |ui, share| {
        number(ui, share, 0.005, 0.01..=0.9)
    });
    let help = "How long a piece is that is taken out, in tokens, on the average.";
    let of: fn(&mut Objective) -> Option<&mut _> =
        |o| if let Objective::SpanCorruption(of) = o { Some(&mut of.mean_length) } else { None };
    row(ui, form, of, ["objective.mean_length", "Length of a piece", help], |ui, length| {
        number(ui, length, 0.1, 1.0..=100.0)
    });
}

fn contrastive(ui: &mut egui::Ui, form: &mut Form) {
    let help = "What likeness is divided by. The smaller, the more the likest of the wrong texts count.";
    let of: fn(&mut Objective) -> Option<&mut _> =
        |o| if let Objective::Contrastive(of) = o { Some(&mut of.temperature) } else { None };
    row(ui, form, of, ["objective.temperature", "Temperature", help], |ui, t| {
        number(ui, t, 0.001, 0.0..=10.0)
    });
    let help = "Share of the model's inner numbers that are left out at random while it learns: two readings of one text differ by it.";
    let of: fn(&mut Objective) -> Option<&mut _> =
        |o| if let Objective::Contrastive(of) = o { Some(&mut of.dropout) } else { None };
    row(ui, form, of, ["objective.dropout", "Dropout", help], |ui, share| {
        number(ui, share, 0.005, 0.0..=0.9)
    });
    if let Objective::Contrastive(_) = form.recipe.objective {
        let of: fn(&mut Objective) -> Option<&mut _> =
            |o| if let Objective::Contrastive(of) = o { Some(&mut of.pooling) } else { None };
        let ways = [
            (Pooling::Mean, "mean of all words"),
            (Pooling::First, "first token"),
            (Pooling::Last, "last token"),
        ];
        row(ui, form, of, ["objective.pooling", "Stands for the text", POOLING], |ui, pooling| {
            choice(ui, "pooling", pooling, &ways)
        });
    }
}

const POOLING: &str = "What of the model's inner numbers stands for the whole text.";

fn of_heads(ui: &mut egui::Ui, form: &mut Form) {
    let help =
        "A text may have several classes, or none: a cell lists them, between bars, semicolons or commas.";
    let of: fn(&mut Objective) -> Option<&mut _> =
        |o| if let Objective::Classification(of) = o { Some(&mut of.several) } else { None };
    row(ui, form, of, ["objective.several", "Several classes a text", help], check);
    let help = "Rare classes count as much as common ones, all rows together.";
    let of: fn(&mut Objective) -> Option<&mut _> =
        |o| if let Objective::Classification(of) = o { Some(&mut of.balanced) } else { None };
    row(ui, form, of, ["objective.balanced", "Balance classes", help], check);
    let help = "How far off a number is: the square of the difference; gentler beyond 1 (Huber), where some rows are far off; or nine steps between the least and the greatest.";
    let of: fn(&mut Objective) -> Option<&mut _> =
        |o| if let Objective::Regression(of) = o { Some(&mut of.loss) } else { None };
    let losses = [(ScoreLoss::Mse, "square"), (ScoreLoss::Huber, "Huber"), (ScoreLoss::Soft, "nine steps")];
    row(ui, form, of, ["objective.loss", "Distance (loss)", help], |ui, loss| {
        choice(ui, "loss", loss, &losses)
    });
    let of: fn(&mut Objective) -> Option<&mut _> = |o| match o {
        Objective::Classification(of) => Some(&mut of.pooling),
        Objective::Regression(of) => Some(&mut of.pooling),
        _ => None,
    };
    let ways = [
        (PoolingChoice::Auto, "the model's way"),
        (PoolingChoice::Mean, "mean of all words"),
        (PoolingChoice::First, "first token"),
        (PoolingChoice::Last, "last token"),
    ];
    row(ui, form, of, ["objective.pooling", "Stands for the text", POOLING], |ui, pooling| {
        choice(ui, "pooling", pooling, &ways)
    });
}

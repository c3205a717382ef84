//! Reports about labels as tables in Markdown, for people.

use super::classes::ClassRow;
use super::classification::ClassReport;
use super::markdown;
use super::multi_label::MultiReport;

/// Classes that a table shows.
const MOST_SHOWN: usize = 50;

/// The figures, then the classes.
impl std::fmt::Display for ClassReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let likely = match (self.accuracy_low, self.accuracy_high) {
            (Some(low), Some(high)) => format!(" ({low:.3} to {high:.3} likely)"),
            _ => String::new(),
        };
        let mut figures = vec![
            ("Rows", self.num.to_string()),
            ("Accuracy", markdown::number(self.accuracy) + &likely),
            ("Macro F1", markdown::number(self.macro_f1)),
            ("Weighted F1", markdown::number(self.weighted_f1)),
            ("Log loss", markdown::number(self.log_loss)),
            ("Calibration error", markdown::number(self.expected_calibration_error)),
        ];
        if let Some(binary) = &self.binary {
            figures.push(("ROC AUC", markdown::number(binary.roc_auc)));
            figures.push(("Average precision", markdown::number(binary.average_precision)));
        }
        f.write_str(&markdown::figures(figures, self.num_not_finite))?;
        f.write_str(&class_table(&self.classes))
    }
}

/// The figures, then the classes.
impl std::fmt::Display for MultiReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let best = self.best.map(|b| format!("{:.2} (micro F1 {:.3})", b.threshold, b.f1));
        let figures = [
            ("Rows", self.num.to_string()),
            ("Threshold", format!("{:.2}", self.threshold)),
            ("Whole sets right", markdown::number(self.subset_accuracy)),
            ("Wrong decisions", markdown::number(self.hamming_loss)),
            ("Micro F1", markdown::number(self.micro_f1)),
            ("Macro F1", markdown::number(self.macro_f1)),
            ("Samples F1", markdown::number(self.samples_f1)),
            ("Best threshold", best.unwrap_or_else(|| markdown::number(None))),
        ];
        f.write_str(&markdown::figures(figures.to_vec(), self.num_not_finite))?;
        f.write_str(&class_table(&self.classes))
    }
}

/// The classes as a table, after an empty line; nothing without classes.
fn class_table(classes: &[ClassRow]) -> String {
    if classes.is_empty() {
        return String::new();
    }
    let number = |x| markdown::number(Some(x));
    let row = |c: &ClassRow| {
        let (support, predicted) = (c.support.to_string(), c.predicted.to_string());
        vec![c.label.clone(), number(c.precision), number(c.recall), number(c.f1), support, predicted]
    };
    let rows: Vec<Vec<String>> = classes.iter().take(MOST_SHOWN).map(row).collect();
    let heading = ["Label", "Precision", "Recall", "F1", "Rows", "Predicted"];
    let more = match classes.len().saturating_sub(MOST_SHOWN) {
        0 => String::new(),
        num => format!("\n… and {num} more labels\n"),
    };
    format!("\n{}{more}", markdown::table(&heading, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(num: usize) -> Vec<String> {
        (0..num).map(|i| format!("label {i}")).collect()
    }

    #[test]
    fn people_read_tables() {
        let probabilities = [vec![0.75, 0.25], vec![0.5, 0.5], vec![0.25, 0.75]];
        let report = ClassReport::of(&probabilities, &[0, 1, 1], &labels(2)).unwrap().to_string();
        assert!(report.starts_with("| Figure            |                         Value |\n"), "{report}");
        assert!(report.contains("| Accuracy          | 0.667 (0.208 to 0.939 likely) |\n"), "{report}");
        assert!(report.contains("| label 1 |     1.000 |  0.500 | 0.667 |    2 |         1 |"), "{report}");
    }

    #[test]
    fn ten_thousand_labels_are_not_all_shown() {
        let report = ClassReport::of(&[vec![0.0; 10_000]], &[9_999], &labels(10_000)).unwrap().to_string();
        assert!(report.ends_with("… and 9950 more labels\n"));
        assert!(report.lines().count() < 70);
    }

    #[test]
    fn what_was_not_measured_is_said() {
        let broken = ClassReport::of(&[vec![f32::NAN, 0.5]], &[1], &labels(2)).unwrap().to_string();
        assert!(
            broken.contains("not measured") && broken.contains("| Rows without finite numbers |"),
            "{broken}"
        );
        let multi = MultiReport::of(&[vec![0.9, 0.1]], &[vec![0]], &labels(2), 0.5).unwrap().to_string();
        assert!(
            multi.contains("| Best threshold   | 0.50 (micro F1 1.000) |") && multi.contains("| label 1 |"),
            "{multi}"
        );
    }
}

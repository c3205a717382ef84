//! All problems of a recipe at once, each at its field, with a fix where there is one. Here what is wrong by
//! itself; what does not fit the model, the data or the machine is in `fit`.

use super::memory_limit::FORMS;
use super::plan::Facts;
use super::recipe::{Optimizer, OptimizerKind, Recipe};
use super::{Fix, Problem, Severity};
use crate::data::import::is_separator;

/// More micro-batches in one update than anybody means.
const MAX_ACCUMULATION: usize = 10_000;

/// Collects problems.
#[derive(Default)]
pub(super) struct Findings(Vec<Problem>);

impl Findings {
    fn add(&mut self, severity: Severity, field: &str, text: impl Into<String>, fix: Option<&str>) {
        let fix = fix.map(|value| Fix {
            label: format!("Use {}", crate::base::human::elide(value.trim_matches('"'), 40)),
            field: field.into(),
            value: value.into(),
        });
        self.0.push(Problem { field: field.into(), severity, text: text.into(), fix });
    }

    pub(super) fn error(&mut self, field: &str, text: impl Into<String>, fix: Option<&str>) {
        self.add(Severity::Error, field, text, fix);
    }

    pub(super) fn warn(&mut self, field: &str, text: impl Into<String>, fix: Option<&str>) {
        self.add(Severity::Warning, field, text, fix);
    }

    /// A problem at `field` whose fix changes another one.
    pub(super) fn warn_fix_elsewhere(&mut self, field: &str, text: impl Into<String>, fix: Fix) {
        let severity = Severity::Warning;
        self.0.push(Problem { field: field.into(), severity, text: text.into(), fix: Some(fix) });
    }

    /// As [`Self::warn_fix_elsewhere`], of what forbids the run.
    pub(super) fn error_fix_elsewhere(&mut self, field: &str, text: impl Into<String>, fix: Fix) {
        let severity = Severity::Error;
        self.0.push(Problem { field: field.into(), severity, text: text.into(), fix: Some(fix) });
    }

    pub(super) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.0
    }

    /// A seed that TOML can hold.
    fn seed(&mut self, field: &str, seed: u64, fix: &str) {
        if i64::try_from(seed).is_err() {
            self.error(field, format!("A seed of {seed} is too large. Use {fix}."), Some(fix));
        }
    }

    /// A number that has to lie from `min` to `max`.
    pub(super) fn within(&mut self, field: &str, value: f64, min: f64, max: f64, fix: &str) {
        if !(min..=max).contains(&value) {
            self.error(field, format!("{value} is outside {min} to {max}. Use {fix}."), Some(fix));
        }
    }

    /// A number that has to lie above 0 and be at most `max`.
    pub(super) fn above_zero(&mut self, field: &str, value: f64, max: f64, fix: &str) {
        if !(value > 0.0 && value <= max) {
            self.error(field, format!("{value} has to be above 0, at most {max}. Use {fix}."), Some(fix));
        }
    }
}

impl Recipe {
    /// Everything that is wrong or doubtful, worst first.
    pub fn check(&self, facts: &Facts) -> Vec<Problem> {
        let mut found = Findings::default();
        // What each of several tasks has for itself is checked with them.
        let is_one = !self.has_tasks();
        self.check_written(&mut found);
        self.check_own_dropout(facts, &mut found);
        if is_one {
            self.check_file(&mut found);
        }
        self.check_method(facts.model.as_ref(), &mut found);
        self.check_virtual_tokens(facts, &mut found);
        self.check_learning_rate(&mut found);
        self.check_optimizer(&mut found);
        self.check_in_backward(facts, &mut found);
        self.check_numbers(&mut found);
        if is_one {
            self.check_split(&mut found);
        }
        self.check_forgetting(&mut found);
        match is_one {
            true => self.check_objective(facts, &mut found),
            false => self.check_tasks(facts, &mut found),
        }
        self.check_curriculum(facts, &mut found);
        self.check_length(&mut found);
        self.check_batch(facts, &mut found);
        if is_one {
            self.check_data(facts.data.as_ref(), &mut found);
        }
        self.check_machine(facts, &mut found);
        found.0.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
        found.0
    }

    /// What the frozen recipe could not hold.
    fn check_written(&self, found: &mut Findings) {
        found.seed("run.seed", self.run.seed, "42");
        if self.model.source.trim().is_empty() {
            let usual = format!("\"{}\"", Recipe::default().model.source);
            found.error("model.source", "No model is chosen.", Some(&usual));
        }
    }

    /// What the data's file is read by.
    pub(super) fn check_file(&self, found: &mut Findings) {
        if self.data.path.as_ref().is_some_and(|path| path.to_str().is_none()) {
            let text = "The file's path has characters that are not Unicode: rename the file or its folder.";
            found.error("data.path", text, None);
        }
        if let Some(label) = &self.data.encoding
            && encoding_rs::Encoding::for_label(label.as_bytes()).is_none()
        {
            let short = crate::base::human::elide(label, 40);
            let text = format!("No text encoding is called \"{short}\". Use utf-8.");
            found.error("data.encoding", text, Some("\"utf-8\""));
        }
        if let Some(said) = self.data.separator.filter(|c| !is_separator(*c)) {
            let text = format!("{said:?} cannot separate cells. Use a comma, a semicolon, a tab or a bar.");
            found.error("data.separator", text, Some("\",\""));
        }
    }

    fn check_learning_rate(&self, found: &mut Findings) {
        let field = "optimizer.learning_rate";
        let (rate, usual_rate) = (self.optimizer.learning_rate, self.usual_learning_rate());
        let usual = usual_rate.to_string();
        // Twenty times the usual: 0.01 for LoRA with AdamW.
        let high = usual_rate * 20.0;
        if !(rate.is_finite() && rate > 0.0) {
            let text = format!("A learning rate of {rate} cannot train. Use {usual}.");
            found.error(field, text, Some(&usual));
        } else if rate >= 100.0 * high {
            let text = format!(
                "A learning rate of {rate:e} makes any model useless within a few updates. Use {usual}."
            );
            found.error(field, text, Some(&usual));
        } else if rate > high {
            let text = format!("A learning rate of {rate} is high: the loss may jump or become infinite.");
            found.warn(field, text, Some(&(usual_rate * 2.0).to_string()));
        } else if rate < 1e-7 {
            let text = format!("A learning rate of {rate:e} is so low that nothing will be learnt.");
            found.warn(field, text, Some(&usual));
        } else if self.method.num_virtual_tokens() > 0 && rate < usual_rate / 10.0 {
            let text = format!("A learning rate of {rate} hardly moves virtual tokens. Use {usual}.");
            found.warn(field, text, Some(&usual));
        }
    }

    fn check_optimizer(&self, found: &mut Findings) {
        let (o, usual) = (&self.optimizer, Optimizer::default());
        found.within("optimizer.weight_decay", o.weight_decay, 0.0, 10.0, "0.0");
        found.within("optimizer.beta1", o.beta1, 0.0, 0.999_999, "0.9");
        let usual_beta2 = o.kind.usual_beta2();
        found.within("optimizer.beta2", o.beta2, 0.0, 0.999_999_9, &usual_beta2.to_string());
        found.above_zero("optimizer.epsilon", o.epsilon, 1.0, "1e-8");
        found.within("optimizer.momentum", o.momentum, 0.0, 0.999_999, "0.9");
        // Weights that move during the backward pass are not clipped at all, which is told with them.
        if let Some(clip) = o.clip_norm.filter(|_| !o.in_backward) {
            found.above_zero("optimizer.clip_norm", clip, 1e9, "1.0");
        }
        let is_left_from_adamw = o.beta2 == OptimizerKind::AdamW.usual_beta2();
        if o.kind == OptimizerKind::Lion && is_left_from_adamw {
            let text = format!("{} is AdamW's beta 2. Lion's is {usual_beta2}.", o.beta2);
            found.warn("optimizer.beta2", text, Some(&usual_beta2.to_string()));
        }
        let betas = [("beta1", o.beta1, usual.beta1), ("beta2", o.beta2, usual.beta2)];
        let others = [("epsilon", o.epsilon, usual.epsilon), ("momentum", o.momentum, usual.momentum)];
        for (key, value, usual) in betas.into_iter().chain(others) {
            if !o.kind.reads(key) && value != usual && (0.0..1.0).contains(&value) {
                let text = format!("{value} counts for nothing: the chosen optimizer has no {key}.");
                found.warn(&format!("optimizer.{key}"), text, Some(&usual.to_string()));
            }
        }
    }

    fn check_numbers(&self, found: &mut Findings) {
        found.within("schedule.warmup", self.schedule.warmup, 0.0, 1.0, "0.05");
        found.within("early_stop.min_gain", self.early_stop.min_gain, 0.0, 100.0, "0.001");
        let limit = self.run.memory_limit;
        if !limit.is_sound() {
            let text = format!("{limit} has to be above 0: {FORMS}. Use 0.8.");
            found.error("run.memory_limit", text, Some("0.8"));
        }
        if self.checkpoint.keep_last == 0 {
            found.error("checkpoint.keep_last", "At least one checkpoint has to be kept. Use 1.", Some("1"));
        }
        if self.early_stop.enabled && self.early_stop.patience == 0 {
            found.error("early_stop.patience", "A patience of 0 would stop at once. Use 3.", Some("3"));
        }
        if self.early_stop.enabled && self.validation.max_examples == 0 {
            let text = "Stopping early needs at least one validation example to be measured. Use 200.";
            found.error("validation.max_examples", text, Some("200"));
        }
    }

    pub(super) fn check_split(&self, found: &mut Findings) {
        let split = &self.data.split;
        found.seed("data.split.seed", split.seed, "17");
        found.within("data.split.valid", split.valid, 0.0, 0.9, "0.1");
        found.within("data.split.test", split.test, 0.0, 0.9, "0.1");
        if split.valid + split.test >= 0.95 {
            let text = format!(
                "Validation ({}) and test ({}) together leave nothing to train on. Use 0.05.",
                split.valid, split.test
            );
            // Lowering the larger share is enough.
            let field = if split.test >= split.valid { "data.split.test" } else { "data.split.valid" };
            found.error(field, text, Some("0.05"));
        }
    }

    fn check_length(&self, found: &mut Findings) {
        let epochs = self.length.epochs;
        match self.length.updates {
            Some(0) => found.error("length.updates", "0 updates train nothing. Use 100.", Some("100")),
            Some(updates) if self.early_stop.enabled && self.validation.every_updates > updates => {
                let text = format!(
                    "Validation every {} updates never comes in a run of {updates}, so nothing stops it early.",
                    self.validation.every_updates
                );
                found.warn("validation.every_updates", text, Some("0"));
            }
            Some(_) => {}
            None if !(epochs > 0.0 && epochs <= 10_000.0) => {
                let text = format!("{epochs} passes over the data make no run. Use 3.");
                found.error("length.epochs", text, Some("3.0"));
            }
            None => {}
        }
        match self.batch.accumulation {
            0 => found.error(
                "batch.accumulation",
                "An update needs at least one micro-batch. Use 1.",
                Some("1"),
            ),
            many if many > MAX_ACCUMULATION => {
                let text = format!("{many} micro-batches in one update would never end. Use 8.");
                found.error("batch.accumulation", text, Some("8"));
            }
            _ => {}
        }
        if self.batch.micro_batch_tokens == 0 {
            let text = "A micro-batch of 0 tokens is empty. Use 512.";
            found.error("batch.micro_batch_tokens", text, Some("512"));
        }
        if self.batch.max_tokens < 2 {
            let text = "The longest example has to be at least 2 tokens. Use 512.";
            found.error("batch.max_tokens", text, Some("512"));
        }
    }
}

//! The methods whose trained numbers stand before a conversation's first token: their settings, and what may be wrong with them.

use super::Fix;
use super::check::Findings;
use super::plan::Facts;
use super::recipe::{Method, Recipe};
use crate::base::human;
use crate::peft::{self, PTuningSettings, PrefixSettings, PromptSettings};
use serde::{Deserialize, Serialize};

/// The most that anybody means.
const MAX_WIDTH: usize = 65_536;
const USUAL_TOKENS: usize = 20;

/// Prefix tuning (Li & Liang 2021, arXiv:2101.00190).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prefix {
    pub num_virtual_tokens: usize,
    /// Let a small network make the prefix while it is trained; the paper found that steadier.
    pub projection: bool,
    /// Width of that network.
    pub projection_width: usize,
}

impl Default for Prefix {
    fn default() -> Self {
        Self { num_virtual_tokens: USUAL_TOKENS, projection: false, projection_width: 512 }
    }
}

impl Prefix {
    pub(super) fn describe(&self) -> String {
        let tokens = human::plural(self.num_virtual_tokens as u64, "virtual token");
        format!("Prefix tuning, {tokens}{}", if self.projection { ", projected" } else { "" })
    }

    pub(super) fn settings(&self) -> PrefixSettings {
        PrefixSettings {
            num_tokens: self.num_virtual_tokens,
            projection_width: self.projection.then_some(self.projection_width),
        }
    }
}

/// Prompt tuning (Lester et al. 2021, arXiv:2104.08691).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prompt {
    pub num_virtual_tokens: usize,
    pub init: PromptInit,
    /// What `init = "text"` begins with, repeated or cut to the number of tokens.
    pub text: String,
}

impl Default for Prompt {
    fn default() -> Self {
        Self { num_virtual_tokens: USUAL_TOKENS, init: PromptInit::default(), text: String::new() }
    }
}

impl Prompt {
    pub(super) fn describe(&self) -> String {
        format!("Prompt tuning, {}", human::plural(self.num_virtual_tokens as u64, "virtual token"))
    }

    pub(super) fn settings(&self) -> PromptSettings {
        let init = match self.init {
            PromptInit::Random => peft::PromptInit::Random,
            PromptInit::Vocabulary => peft::PromptInit::Vocabulary,
            PromptInit::Text => peft::PromptInit::Text(self.text.clone()),
        };
        PromptSettings { num_tokens: self.num_virtual_tokens, init }
    }
}

/// What a soft prompt begins as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptInit {
    Random,
    /// Tokens drawn at random.
    #[default]
    Vocabulary,
    Text,
}

/// P-tuning (Liu et al. 2021, arXiv:2103.10385).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PTuning {
    pub num_virtual_tokens: usize,
    /// Width of the network that makes the virtual tokens.
    pub encoder_width: usize,
}

impl Default for PTuning {
    fn default() -> Self {
        Self { num_virtual_tokens: USUAL_TOKENS, encoder_width: 128 }
    }
}

impl PTuning {
    pub(super) fn describe(&self) -> String {
        format!("P-tuning, {}", human::plural(self.num_virtual_tokens as u64, "virtual token"))
    }

    pub(super) fn settings(&self) -> PTuningSettings {
        PTuningSettings { num_tokens: self.num_virtual_tokens, encoder_width: self.encoder_width }
    }
}

impl Recipe {
    pub(super) fn check_virtual_tokens(&self, facts: &Facts, found: &mut Findings) {
        let (field, usual) = ("method.num_virtual_tokens", USUAL_TOKENS.to_string());
        match &self.method {
            Method::Lora(_)
            | Method::Freeze(_)
            | Method::Full {}
            | Method::Ia3(_)
            | Method::Bottleneck(_) => return,
            Method::Prefix(p) if p.projection => {
                check_width("method.projection_width", p.projection_width, found);
            }
            Method::PTuning(p) => check_width("method.encoder_width", p.encoder_width, found),
            Method::Prompt(p) if p.init == PromptInit::Text && p.text.trim().is_empty() => {
                let text =
                    "The prompt has no text to begin with. Type one, or begin with tokens of the vocabulary.";
                found.error("method.init", text, Some("\"vocabulary\""));
            }
            Method::Prefix(p) if p.projection_width != Prefix::default().projection_width => {
                let text = format!(
                    "A width of {} counts for nothing: the prefix is not projected.",
                    p.projection_width
                );
                let fix = Fix::new("Project it", "method.projection", "true");
                found.warn_fix_elsewhere("method.projection_width", text, fix);
            }
            Method::Prompt(p) if p.init != PromptInit::Text && !p.text.trim().is_empty() => {
                let text = "The text counts for nothing: the prompt does not begin with it.";
                let fix = Fix::new("Begin with the text", "method.init", "\"text\"");
                found.warn_fix_elsewhere("method.text", text, fix);
            }
            Method::Prefix(_) | Method::Prompt(_) => {}
        }
        let num = self.method.num_virtual_tokens();
        if num == 0 {
            let text = format!("No virtual token leaves nothing to train. Use {usual}.");
            found.error(field, text, Some(&usual));
        }
        let Some(context) = facts.model.as_ref().map(|m| m.config.context_tokens).filter(|c| *c >= 2) else {
            return;
        };
        // At least two tokens of an example have to fit.
        let most = context - 2;
        if num > most {
            let fits = USUAL_TOKENS.min(most).max(1).to_string();
            let text = format!(
                "{} leave no room for examples in the model's context of {}. Use {fits}.",
                human::plural(num as u64, "virtual token"),
                human::count(context as u64)
            );
            found.error(field, text, Some(&fits));
        } else if self.batch.max_tokens <= context && self.batch.max_tokens > context - num {
            let fits = context - num;
            let text = format!(
                "A longest example of {} and {} exceed the model's context of {}. Use {fits}.",
                human::plural(self.batch.max_tokens as u64, "token"),
                human::plural(num as u64, "virtual token"),
                human::count(context as u64)
            );
            found.error("batch.max_tokens", text, Some(&fits.to_string()));
        }
    }
}

fn check_width(field: &str, width: usize, found: &mut Findings) {
    if !(1..=MAX_WIDTH).contains(&width) {
        let text = format!("A width of {width} makes no network. Use 128.");
        found.error(field, text, Some("128"));
    }
}

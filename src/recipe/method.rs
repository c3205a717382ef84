//! How the model is tuned: one variant a method, with what a person may choose of it.

use super::virtual_tokens::{PTuning, Prefix, Prompt};
use crate::model::hooks::Linear;
use crate::peft::{Full, LoraSettings, PeftError, Settings};
use serde::{Deserialize, Serialize};

/// How the model is tuned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Method {
    Lora(Lora),
    /// Every weight is trained.
    Full {},
    /// Trained keys and values before the first token, in every layer.
    Prefix(Prefix),
    /// Trained rows before the embedded tokens.
    Prompt(Prompt),
    /// The same, made by a small network.
    PTuning(PTuning),
}

/// The methods without their settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MethodKind {
    Lora,
    Full,
    Prefix,
    Prompt,
    PTuning,
}

impl MethodKind {
    pub const ALL: [Self; 5] = [Self::Lora, Self::Full, Self::Prefix, Self::Prompt, Self::PTuning];

    /// `method.kind` in the recipe.
    pub fn key(self) -> &'static str {
        match self {
            Self::Lora => "lora",
            Self::Full => "full",
            Self::Prefix => "prefix",
            Self::Prompt => "prompt",
            Self::PTuning => "p_tuning",
        }
    }

    /// As people call it in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lora => "LoRA",
            Self::Full => "full tuning",
            Self::Prefix => "prefix tuning",
            Self::Prompt => "prompt tuning",
            Self::PTuning => "P-tuning",
        }
    }

    /// With its usual settings.
    pub fn usual(self) -> Method {
        match self {
            Self::Lora => Method::Lora(Lora::default()),
            Self::Full => Method::Full {},
            Self::Prefix => Method::Prefix(Prefix::default()),
            Self::Prompt => Method::Prompt(Prompt::default()),
            Self::PTuning => Method::PTuning(PTuning::default()),
        }
    }

    /// How many times as far an update usually moves its parameters as a LoRA's: all weights move at once, so each by less;
    /// virtual tokens are few, and each has to come far.
    pub fn usual_rate_factor(self) -> f64 {
        match self {
            Self::Lora => 1.0,
            Self::Full => 0.1,
            Self::Prefix => 20.0,
            Self::Prompt => 60.0,
            Self::PTuning => 4.0,
        }
    }
}

impl Default for Method {
    fn default() -> Self {
        Self::Lora(Lora::default())
    }
}

impl Method {
    /// As people call it: "LoRA, rank 8".
    pub fn describe(&self) -> String {
        match self {
            Self::Lora(lora) => format!("LoRA, rank {}", lora.rank),
            Self::Full {} => "Full tuning".into(),
            Self::Prefix(prefix) => prefix.describe(),
            Self::Prompt(prompt) => prompt.describe(),
            Self::PTuning(p_tuning) => p_tuning.describe(),
        }
    }

    /// The same in the words of `peft`.
    ///
    /// # Errors
    /// For what no model could be tuned with.
    pub fn settings(&self) -> Result<Settings, PeftError> {
        Ok(match self {
            Self::Lora(lora) => {
                Settings::Lora(LoraSettings::new(lora.rank, lora.alpha, lora.dropout, &lora.target_modules)?)
            }
            Self::Full {} => Settings::Full(Full {}),
            Self::Prefix(prefix) => Settings::Prefix(prefix.settings()),
            Self::Prompt(prompt) => Settings::Prompt(prompt.settings()),
            Self::PTuning(p_tuning) => Settings::PTuning(p_tuning.settings()),
        })
    }

    pub fn kind(&self) -> MethodKind {
        match self {
            Self::Lora(_) => MethodKind::Lora,
            Self::Full {} => MethodKind::Full,
            Self::Prefix(_) => MethodKind::Prefix,
            Self::Prompt(_) => MethodKind::Prompt,
            Self::PTuning(_) => MethodKind::PTuning,
        }
    }

    /// Positions of the context that the method takes for itself.
    pub fn num_virtual_tokens(&self) -> usize {
        match self {
            Self::Lora(_) | Self::Full {} => 0,
            Self::Prefix(prefix) => prefix.num_virtual_tokens,
            Self::Prompt(prompt) => prompt.num_virtual_tokens,
            Self::PTuning(p_tuning) => p_tuning.num_virtual_tokens,
        }
    }

    /// Its whole numbers.
    pub(super) fn sizes_mut(&mut self) -> Vec<&mut usize> {
        match self {
            Self::Lora(lora) => vec![&mut lora.rank],
            Self::Full {} => Vec::new(),
            Self::Prefix(prefix) => vec![&mut prefix.num_virtual_tokens, &mut prefix.projection_width],
            Self::Prompt(prompt) => vec![&mut prompt.num_virtual_tokens],
            Self::PTuning(p_tuning) => vec![&mut p_tuning.num_virtual_tokens, &mut p_tuning.encoder_width],
        }
    }

    pub fn num_virtual_tokens_mut(&mut self) -> Option<&mut usize> {
        match self {
            Self::Lora(_) | Self::Full {} => None,
            Self::Prefix(prefix) => Some(&mut prefix.num_virtual_tokens),
            Self::Prompt(prompt) => Some(&mut prompt.num_virtual_tokens),
            Self::PTuning(p_tuning) => Some(&mut p_tuning.num_virtual_tokens),
        }
    }

    pub fn lora(&self) -> Option<&Lora> {
        match self {
            Self::Lora(lora) => Some(lora),
            _ => None,
        }
    }

    pub fn lora_mut(&mut self) -> Option<&mut Lora> {
        match self {
            Self::Lora(lora) => Some(lora),
            _ => None,
        }
    }
}

/// Low-rank adaptation (Hu et al. 2021, arXiv:2106.09685).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lora {
    pub rank: usize,
    /// The update is scaled by alpha / rank.
    pub alpha: f64,
    /// Share of the inputs of the low-rank path set to zero while training, 0..1.
    pub dropout: f64,
    /// Names of linear layers, as PEFT names them: `q_proj`, `down_proj`…
    pub target_modules: Vec<String>,
}

impl Default for Lora {
    fn default() -> Self {
        let all = Linear::NAMES.map(String::from);
        Self { rank: 8, alpha: 16.0, dropout: 0.0, target_modules: all.to_vec() }
    }
}

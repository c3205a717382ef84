//! How the model is tuned: one variant a method, with what a person may choose of it.

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
        })
    }

    pub fn lora(&self) -> Option<&Lora> {
        match self {
            Self::Lora(lora) => Some(lora),
            Self::Full {} => None,
        }
    }

    pub fn lora_mut(&mut self) -> Option<&mut Lora> {
        match self {
            Self::Lora(lora) => Some(lora),
            Self::Full {} => None,
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

//! How the model is tuned: one variant a method, with what a person may choose of it.

use crate::base::human;
use crate::model::hooks::Linear;
pub use crate::peft::Freeze;
use crate::peft::{Full, LoraSettings, Patterns, PeftError, Settings};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the model is tuned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Method {
    Lora(Lora),
    /// Every weight is trained.
    Full {},
    /// Some weights are trained, the rest stays as it is.
    Freeze(Freeze),
}

impl Default for Method {
    fn default() -> Self {
        Self::Lora(Lora::default())
    }
}

impl Method {
    /// Each way of tuning with its usual settings.
    pub fn usual() -> [Self; 3] {
        [Self::Lora(Lora::default()), Self::Freeze(Freeze::default()), Self::Full {}]
    }

    /// As people call it: "LoRA, rank 8".
    pub fn describe(&self) -> String {
        match self {
            Self::Lora(lora) => format!("{}, rank {}", lora.name(), lora.rank),
            Self::Full {} => "Full tuning".into(),
            Self::Freeze(freeze) => match (freeze.chosen.len(), freeze.blocks) {
                (0, blocks) => format!("Freezing, top {}", human::plural(blocks as u64, "block")),
                (num, _) => format!("Freezing, {} chosen", human::plural(num as u64, "block")),
            },
        }
    }

    /// The same in the words of `peft`.
    ///
    /// # Errors
    /// For what no model could be tuned with.
    pub fn settings(&self) -> Result<Settings, PeftError> {
        Ok(match self {
            Self::Lora(lora) => Settings::Lora(LoraSettings {
                has_rank_stabilised_scale: lora.rank_stabilised,
                has_magnitudes: lora.dora,
                ranks: Patterns::new(lora.rank_pattern.clone())?,
                alphas: Patterns::new(lora.alpha_pattern.clone())?,
                ..LoraSettings::new(lora.rank, lora.alpha, lora.dropout, &lora.target_modules)?
            }),
            Self::Full {} => Settings::Full(Full {}),
            Self::Freeze(freeze) => Settings::Freeze(freeze.clone()),
        })
    }

    pub fn lora(&self) -> Option<&Lora> {
        match self {
            Self::Lora(lora) => Some(lora),
            Self::Full {} | Self::Freeze(_) => None,
        }
    }

    pub fn lora_mut(&mut self) -> Option<&mut Lora> {
        match self {
            Self::Lora(lora) => Some(lora),
            Self::Full {} | Self::Freeze(_) => None,
        }
    }

    pub fn freeze(&self) -> Option<&Freeze> {
        match self {
            Self::Freeze(freeze) => Some(freeze),
            Self::Lora(_) | Self::Full {} => None,
        }
    }

    pub fn freeze_mut(&mut self) -> Option<&mut Freeze> {
        match self {
            Self::Freeze(freeze) => Some(freeze),
            Self::Lora(_) | Self::Full {} => None,
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
    /// Scale by alpha / sqrt(rank) instead of alpha / rank, so that high ranks learn as fast (Kalajdzievski 2023,
    /// arXiv:2312.03732).
    pub rank_stabilised: bool,
    /// The lengths of the changed rows are trained, too (Liu et al. 2024, arXiv:2402.09353).
    pub dora: bool,
    /// What the learning rate of B is multiplied by (LoRA+, Hayou et al. 2024, arXiv:2402.12354; 16 there).
    pub b_rate_factor: f64,
    /// Layers whose names end so, as regular expressions, have another rank.
    pub rank_pattern: BTreeMap<String, usize>,
    /// The same of alpha.
    pub alpha_pattern: BTreeMap<String, f64>,
}

impl Lora {
    /// "LoRA", "DoRA".
    pub fn name(&self) -> &'static str {
        if self.dora { "DoRA" } else { "LoRA" }
    }
}

impl Default for Lora {
    fn default() -> Self {
        let all = Linear::NAMES.map(String::from);
        Self {
            rank: 8,
            alpha: 16.0,
            dropout: 0.0,
            target_modules: all.to_vec(),
            rank_stabilised: false,
            dora: false,
            b_rate_factor: 1.0,
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
        }
    }
}

//! How the model is tuned: one variant a method, with what a person may choose of it.

use super::recipe::OptimizerKind;
use crate::model::config::Family;
use crate::model::families::ALL_LINEAR;
use crate::nn::ops;
use crate::peft::bottleneck::{Bottlenecks, Places};
use crate::peft::{self, Full, LoraSettings, PeftError, Settings};
use serde::{Deserialize, Serialize};

/// How the model is tuned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Method {
    Lora(Lora),
    /// Every weight is trained.
    Full {},
    Ia3(Ia3),
    Bottleneck(Bottleneck),
}

impl Default for Method {
    fn default() -> Self {
        Self::Lora(Lora::default())
    }
}

impl Method {
    /// One of each kind, with its usual settings.
    pub fn all() -> [Self; 4] {
        [
            Self::Lora(Lora::default()),
            Self::Full {},
            Self::Ia3(Ia3::default()),
            Self::Bottleneck(Bottleneck::default()),
        ]
    }

    /// As recipes call the kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Lora(_) => "lora",
            Self::Full {} => "full",
            Self::Ia3(_) => "ia3",
            Self::Bottleneck(_) => "bottleneck",
        }
    }

    /// As people call the kind.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lora(_) => "LoRA",
            Self::Full {} => "full tuning",
            Self::Ia3(_) => "IA3",
            Self::Bottleneck(_) => "bottleneck adapters",
        }
    }

    /// As people call it: "LoRA, rank 8".
    pub fn describe(&self) -> String {
        match self {
            Self::Lora(lora) => format!("LoRA, rank {}", lora.rank),
            Self::Full {} => "Full tuning".into(),
            Self::Ia3(_) => "IA3".into(),
            Self::Bottleneck(b) => format!("Bottleneck adapters, width {}", b.width),
        }
    }

    /// The same in the words of `peft`, for a model of this family.
    ///
    /// # Errors
    /// For what no model could be tuned with.
    pub fn settings(&self, family: Family) -> Result<Settings, PeftError> {
        Ok(match self {
            Self::Lora(lora) => Settings::Lora(LoraSettings::new(
                family,
                lora.rank,
                lora.alpha,
                lora.dropout,
                &lora.target_modules,
            )?),
            Self::Full {} => Settings::Full(Full {}),
            Self::Ia3(ia3) => Settings::Ia3(ia3.settings(family)?),
            Self::Bottleneck(b) => Settings::Bottleneck(Bottlenecks {
                places: b.placement.into(),
                width: b.width,
                activation: b.activation.into(),
                scale: b.scale,
            }),
        })
    }

    /// The learning rate to begin with. All weights move by less than a few; factors that begin at one have far to go,
    /// and each moves much.
    pub fn usual_learning_rate(&self, optimizer: OptimizerKind) -> f64 {
        let with_adamw = match self {
            Self::Lora(_) => 5e-4,
            Self::Full {} => 5e-5,
            Self::Ia3(_) => 5e-3,
            Self::Bottleneck(_) => 1e-3,
        };
        with_adamw * optimizer.usual_learning_rate() / OptimizerKind::AdamW.usual_learning_rate()
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
    /// Names of linear layers, as PEFT names them: `q_proj`, `down_proj`…, or `all-linear` for all that the model has.
    pub target_modules: Vec<String>,
}

impl Lora {
    /// Whether every linear layer is meant.
    pub fn has_all_modules(&self) -> bool {
        self.target_modules.iter().any(|name| name == ALL_LINEAR)
    }
}

impl Default for Lora {
    fn default() -> Self {
        Self { rank: 8, alpha: 16.0, dropout: 0.0, target_modules: vec![ALL_LINEAR.into()] }
    }
}

/// Learned factors of the outputs of some layers, and of the inputs of others (Liu et al. 2022, arXiv:2205.05638).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ia3 {
    /// Names of linear layers, as PEFT names them. None at all means the paper's: keys, values, and the feed-forward's
    /// last.
    pub target_modules: Vec<String>,
    /// Those of them whose inputs are scaled instead of their outputs.
    pub feedforward_modules: Vec<String>,
}

impl Ia3 {
    /// The same in the words of `peft`, for a model of this family.
    ///
    /// # Errors
    /// For names that mean no layer, or one that cannot be scaled so.
    pub fn settings(&self, family: Family) -> Result<peft::ia3::Ia3, PeftError> {
        peft::ia3::Ia3::new(family, &self.target_modules, &self.feedforward_modules)
    }
}

/// Small feed-forward blocks beside the model's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bottleneck {
    pub placement: Placement,
    /// Numbers at the narrowest.
    pub width: usize,
    pub activation: Activation,
    /// Multiplies what a bottleneck adds.
    pub scale: f64,
}

impl Default for Bottleneck {
    fn default() -> Self {
        Self { placement: Placement::Houlsby, width: 32, activation: Activation::Silu, scale: 1.0 }
    }
}

/// Where bottlenecks stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// After attention and after the feed-forward (Houlsby et al. 2019, arXiv:1902.00751).
    #[default]
    Houlsby,
    /// After the feed-forward (Pfeiffer et al. 2021, arXiv:2005.00247): half the parameters.
    Pfeiffer,
}

impl From<Placement> for Places {
    fn from(placement: Placement) -> Self {
        match placement {
            Placement::Houlsby => Self::Houlsby,
            Placement::Pfeiffer => Self::Pfeiffer,
        }
    }
}

/// What bends the numbers of a bottleneck.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    #[default]
    Silu,
    Relu,
    Gelu,
}

impl From<Activation> for ops::Activation {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Silu => Self::Silu,
            Activation::Relu => Self::Relu,
            Activation::Gelu => Self::Gelu,
        }
    }
}

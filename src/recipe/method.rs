//! How the model is tuned: one variant a method, with what a person may choose of it.

use super::virtual_tokens::{PTuning, Prefix, Prompt};
use crate::base::human;
use crate::model::config::{DecoderConfig, Family};
use crate::model::families::ALL_LINEAR;
use crate::nn::ops;
pub use crate::peft::Biases;
pub use crate::peft::Freeze;
use crate::peft::bottleneck::{Bottlenecks, Places};
use crate::peft::{self, Full, LoraSettings, OwnWeights, Patterns, PeftError, Settings, WithModules};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the model is tuned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Method {
    Lora(Lora),
    /// Every weight is trained.
    Full {},
    Ia3(Ia3),
    Bottleneck(Bottleneck),
    /// Some weights are trained, the rest stays as it is.
    Freeze(Freeze),
    /// Trained keys and values before the first token, in every layer.
    Prefix(Prefix),
    /// Trained rows before the embedded tokens.
    Prompt(Prompt),
    /// The same, made by a small network.
    PTuning(PTuning),
}

impl Default for Method {
    fn default() -> Self {
        Self::Lora(Lora::default())
    }
}

impl Method {
    /// One of each kind, with its usual settings.
    pub fn all() -> [Self; 8] {
        [
            Self::Lora(Lora::default()),
            Self::Freeze(Freeze::default()),
            Self::Full {},
            Self::Ia3(Ia3::default()),
            Self::Bottleneck(Bottleneck::default()),
            Self::Prefix(Prefix::default()),
            Self::Prompt(Prompt::default()),
            Self::PTuning(PTuning::default()),
        ]
    }

    /// As recipes call the kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Lora(_) => "lora",
            Self::Freeze(_) => "freeze",
            Self::Full {} => "full",
            Self::Ia3(_) => "ia3",
            Self::Bottleneck(_) => "bottleneck",
            Self::Prefix(_) => "prefix",
            Self::Prompt(_) => "prompt",
            Self::PTuning(_) => "p_tuning",
        }
    }

    /// As people call the kind.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lora(_) => "LoRA",
            Self::Freeze(_) => "freezing",
            Self::Full {} => "full tuning",
            Self::Ia3(_) => "IA3",
            Self::Bottleneck(_) => "bottleneck adapters",
            Self::Prefix(_) => "prefix tuning",
            Self::Prompt(_) => "prompt tuning",
            Self::PTuning(_) => "P-tuning",
        }
    }

    /// As people call it: "LoRA, rank 8".
    pub fn describe(&self) -> String {
        match self {
            Self::Lora(lora) => format!("{}, rank {}", lora.name(), lora.rank),
            Self::Full {} => "Full tuning".into(),
            Self::Ia3(_) => "IA3".into(),
            Self::Bottleneck(b) => {
                let place = if b.placement == Placement::Pfeiffer { " (Pfeiffer)" } else { "" };
                format!("Bottleneck adapters{place}, width {}", b.width)
            }
            Self::Freeze(freeze) => match (freeze.chosen.len(), freeze.blocks) {
                (0, blocks) => format!("Freezing, top {}", human::plural(blocks as u64, "block")),
                (num, _) => format!("Freezing, {} chosen", human::plural(num as u64, "block")),
            },
            Self::Prefix(prefix) => prefix.describe(),
            Self::Prompt(prompt) => prompt.describe(),
            Self::PTuning(p_tuning) => p_tuning.describe(),
        }
    }

    /// The same in the words of `peft`, for a model of this family.
    ///
    /// # Errors
    /// For what no model could be tuned with.
    pub fn settings(&self, family: Family) -> Result<Settings, PeftError> {
        Ok(match self {
            Self::Lora(lora) => Settings::Lora(lora.settings(family)?),
            Self::Full {} => Settings::Full(Full {}),
            Self::Ia3(ia3) => Settings::Ia3(ia3.settings(family)?),
            Self::Bottleneck(b) => Settings::Bottleneck(Bottlenecks {
                places: b.placement.into(),
                width: b.width,
                activation: b.activation.into(),
                scale: b.scale,
            }),
            Self::Freeze(freeze) => Settings::Freeze(freeze.clone()),
            Self::Prefix(prefix) => Settings::Prefix(prefix.settings()),
            Self::Prompt(prompt) => Settings::Prompt(prompt.settings()),
            Self::PTuning(p_tuning) => Settings::PTuning(p_tuning.settings()),
        })
    }

    /// As [`Self::settings`] of a model's family; heads, which nobody may have trained yet, are trained whole besides.
    ///
    /// # Errors
    /// As there.
    pub fn settings_in(&self, config: &DecoderConfig) -> Result<Settings, PeftError> {
        let new = config.new_modules();
        Ok(match self.settings(config.family)? {
            Settings::Lora(mut lora) => {
                let modules = &mut lora.own.modules;
                let new: Vec<String> = new.into_iter().filter(|name| !modules.contains(name)).collect();
                modules.extend(new);
                Settings::Lora(lora)
            }
            settings if new.is_empty() || self.makes_model() => settings,
            settings => Settings::WithModules(WithModules::new(settings, new)),
        })
    }

    /// Why it is not there for a model that reads with one stack and writes with another; `None` where it is.
    pub fn unfit_for_two_stacks(&self) -> Option<&'static str> {
        match self {
            Self::Prefix(_) => {
                Some("PEFT's files have keys and values for one of its three kinds of attention")
            }
            Self::Bottleneck(_) => Some("the adapters library places them otherwise in its two stacks"),
            _ => None,
        }
    }

    /// Whether it trains weights that the model had before and nothing else, so that a run leaves a whole model rather than an adapter.
    pub fn makes_model(&self) -> bool {
        matches!(self, Self::Full {} | Self::Freeze(_))
    }

    /// Why what it trains cannot be worked into the model's weights; `None` where it can.
    pub fn cannot_merge(&self) -> Option<&'static str> {
        // It does not depend on the family, whose names only LoRA and IA3 look up.
        self.settings(Family::Llama).ok()?.tuning().cannot_merge()
    }

    /// Positions of the context that the method takes for itself.
    pub fn num_virtual_tokens(&self) -> usize {
        match self {
            Self::Lora(_) | Self::Freeze(_) | Self::Full {} | Self::Ia3(_) | Self::Bottleneck(_) => 0,
            Self::Prefix(prefix) => prefix.num_virtual_tokens,
            Self::Prompt(prompt) => prompt.num_virtual_tokens,
            Self::PTuning(p_tuning) => p_tuning.num_virtual_tokens,
        }
    }

    /// Its whole numbers.
    pub(super) fn sizes_mut(&mut self) -> Vec<&mut usize> {
        match self {
            Self::Lora(lora) => {
                std::iter::once(&mut lora.rank).chain(lora.rank_pattern.values_mut()).collect()
            }
            Self::Full {} | Self::Ia3(_) => Vec::new(),
            Self::Freeze(freeze) => std::iter::once(&mut freeze.blocks).chain(&mut freeze.chosen).collect(),
            Self::Bottleneck(bottleneck) => vec![&mut bottleneck.width],
            Self::Prefix(prefix) => vec![&mut prefix.num_virtual_tokens, &mut prefix.projection_width],
            Self::Prompt(prompt) => vec![&mut prompt.num_virtual_tokens],
            Self::PTuning(p_tuning) => vec![&mut p_tuning.num_virtual_tokens, &mut p_tuning.encoder_width],
        }
    }

    /// The setting that says how much it trains, and its field; of some methods there is none.
    pub(super) fn size_mut(&mut self) -> Option<(&'static str, &mut usize)> {
        match self {
            Self::Full {} | Self::Ia3(_) | Self::Freeze(_) => None,
            Self::Lora(lora) => Some(("method.rank", &mut lora.rank)),
            Self::Bottleneck(bottleneck) => Some(("method.width", &mut bottleneck.width)),
            Self::Prefix(prefix) => Some(match prefix.projection {
                true => ("method.projection_width", &mut prefix.projection_width),
                false => ("method.num_virtual_tokens", &mut prefix.num_virtual_tokens),
            }),
            Self::Prompt(prompt) => Some(("method.num_virtual_tokens", &mut prompt.num_virtual_tokens)),
            Self::PTuning(p_tuning) => Some(("method.encoder_width", &mut p_tuning.encoder_width)),
        }
    }

    pub fn num_virtual_tokens_mut(&mut self) -> Option<&mut usize> {
        match self {
            Self::Lora(_) | Self::Freeze(_) | Self::Full {} | Self::Ia3(_) | Self::Bottleneck(_) => None,
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

    pub fn freeze(&self) -> Option<&Freeze> {
        match self {
            Self::Freeze(freeze) => Some(freeze),
            _ => None,
        }
    }

    pub fn freeze_mut(&mut self) -> Option<&mut Freeze> {
        match self {
            Self::Freeze(freeze) => Some(freeze),
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
    /// Which biases of the model are trained besides.
    pub bias: Biases,
    /// Modules that are trained whole besides, by the ends of their paths: embeddings, the head, norms.
    pub modules_to_save: Vec<String>,
}

impl Lora {
    /// "LoRA", "DoRA".
    pub fn name(&self) -> &'static str {
        match (self.dora, self.rank_stabilised) {
            (true, _) => "DoRA",
            (_, true) => "rsLoRA",
            _ if self.b_rate_factor != 1.0 => "LoRA+",
            _ => "LoRA",
        }
    }

    /// The same in the words of `peft`, for a model of this family.
    ///
    /// # Errors
    /// For no rank, names that mean no layer, and patterns that are none.
    pub fn settings(&self, family: Family) -> Result<LoraSettings, PeftError> {
        Ok(LoraSettings {
            has_rank_stabilised_scale: self.rank_stabilised,
            has_magnitudes: self.dora,
            ranks: Patterns::new(self.rank_pattern.clone())?,
            alphas: Patterns::new(self.alpha_pattern.clone())?,
            own: OwnWeights { biases: self.bias, modules: self.modules_to_save.clone() },
            ..LoraSettings::new(family, self.rank, self.alpha, self.dropout, &self.target_modules)?
        })
    }

    /// Whether every linear layer is meant.
    pub fn has_all_modules(&self) -> bool {
        self.target_modules.iter().any(|name| name == ALL_LINEAR)
    }
}

impl Default for Lora {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            dropout: 0.0,
            target_modules: vec![ALL_LINEAR.into()],
            rank_stabilised: false,
            dora: false,
            b_rate_factor: 1.0,
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
            bias: Biases::None,
            modules_to_save: Vec::new(),
        }
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

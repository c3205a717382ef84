//! Tokens that are hidden in a text, guessed by a model that reads both ways.

use crate::base::Explain;
use crate::data::{Batch, DataError, LossWeights, Sample};
use crate::model::ModelError;
use crate::model::error::During;
use crate::model::hooks::Hooks;
use crate::model::load::LoadedModel;
use crate::nn::Tape;
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// What may stand at a hidden place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guess {
    pub id: u32,
    /// As it is written.
    pub token: String,
    pub probability: f32,
}

/// Why nothing can be guessed.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    #[error("the text is empty")]
    Empty,
    #[error("nothing is hidden in the text: it has no {mask}")]
    NothingHidden { mask: String },
    #[error("the vocabulary has no token that hides another")]
    NoMask,
    #[error("the text has {tokens} tokens, but the model reads at most {context_tokens}")]
    TooLong { tokens: usize, context_tokens: usize },
    #[error("what it guesses are no finite numbers")]
    NotFinite,
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl Explain for FillError {
    fn title(&self) -> String {
        match self {
            Self::NoMask => "This model fills no gaps".into(),
            Self::NotFinite => "The model is broken".into(),
            Self::Data(error) => error.title(),
            Self::Model(error) => error.title(),
            _ => "There is nothing to guess".into(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Empty => "Write a text and hide a word of it.".into(),
            Self::NothingHidden { mask } => format!("Put {mask} in the place of a word."),
            Self::NoMask => "Choose a model made for masked language modelling, such as a BERT.".into(),
            Self::TooLong { .. } => "Shorten the text around what is hidden.".into(),
            Self::NotFinite => "Train again, with a lower learning rate.".into(),
            Self::Data(error) => error.hint(),
            Self::Model(error) => error.hint(),
        }
    }
}

/// The `top` likeliest tokens of each hidden place of a text, the likeliest first, as transformers' fill-mask pipeline has them: all places
/// are hidden at once, and special tokens in the text count as such.
///
/// # Errors
/// A text without a hidden place or longer than the model reads, and a model that does not guess tokens.
pub fn fill_mask(
    model: &LoadedModel,
    hooks: &dyn Hooks,
    text: &str,
    top: usize,
) -> Result<Vec<Vec<Guess>>, FillError> {
    let (decoder, tokeniser) = (&*model.decoder, &*model.tokeniser);
    if !model.config().has_masked_head() {
        return Err(ModelError::NoMaskedHead.into());
    }
    let mask = tokeniser.mask().ok_or(FillError::NoMask)?;
    if text.trim().is_empty() {
        return Err(FillError::Empty);
    }
    let ids = tokeniser.with_marks(text)?;
    let context_tokens = model.config().context_tokens;
    if ids.len() > context_tokens {
        return Err(FillError::TooLong { tokens: ids.len(), context_tokens });
    }
    let hidden: Vec<u32> = (0..).zip(&ids).filter(|(_, id)| **id == mask).map(|(place, _)| place).collect();
    if hidden.is_empty() {
        let mask = tokeniser.token_text(mask).unwrap_or_default();
        return Err(FillError::NothingHidden { mask });
    }
    let weights = LossWeights::all(0.0, ids.len());
    let batch = Batch::pack([&Sample { ids, weights, ..Sample::default() }]);
    let states = decoder.forward(&Tape::inference(), &batch, hooks)?;
    let rows = || {
        let places = Tensor::new(hidden.as_slice(), decoder.device())?;
        states.value().index_select(&places, 0)
    };
    let rows = rows().during("hidden places")?; // [places, d]
    let logits: Vec<Vec<f32>> = decoder.logits(&rows, hooks)?.to_vec2().during("logits")?;
    if logits.iter().flatten().any(|logit| !logit.is_finite()) {
        return Err(FillError::NotFinite);
    }
    let guesses = |logits: Vec<f32>| {
        let probabilities = softmax(&logits);
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
        let guess = |id: usize| {
            let token = tokeniser.decode(&[id as u32], false);
            Guess { id: id as u32, token, probability: probabilities[id] as f32 }
        };
        order.into_iter().take(top).map(guess).collect()
    };
    Ok(logits.into_iter().map(guesses).collect())
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let most = f64::from(logits.iter().copied().fold(f32::MIN, f32::max));
    let powers: Vec<f64> = logits.iter().map(|x| (f64::from(*x) - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|x| x / sum).collect()
}

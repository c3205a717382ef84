//! What people who have never tuned a model read of each objective.

use super::objective::Objective;

impl Objective {
    /// Its name in plain words; the term of the field in brackets.
    pub fn title(&self) -> &'static str {
        match self {
            Self::Supervised { .. } => "Answers (supervised)",
            Self::Pretraining(_) => "Running text (pretraining)",
            Self::Masked(_) => "Hidden words (masked)",
            Self::SpanCorruption(_) => "Taken-out pieces (span corruption)",
            Self::Contrastive(_) => "Likeness (contrastive)",
            Self::Sentences(_) => "Context (sentence pairs)",
            Self::Classification(_) => "Classes (classification)",
            Self::Regression(_) => "Scores (regression)",
        }
    }

    /// What it does and what it is good for, in two sentences.
    pub fn explain(&self) -> &'static str {
        match self {
            Self::Supervised { .. } => {
                "Learns to write the answers of your rows. Questions are shown, and only what follows them is learnt."
            }
            Self::Pretraining(_) => {
                "Learns to go on with plain text, word by word. For a style, a language or a field that the model knows little of."
            }
            Self::Masked(_) => {
                "Guesses words that are hidden in plain text. It makes an encoder at home in your texts before it learns classes of them."
            }
            Self::SpanCorruption(_) => {
                "Writes again the pieces that are taken out of plain text. It makes a T5 at home in your texts before it learns answers."
            }
            Self::Contrastive(_) => {
                "Brings texts that belong together near each other. For search, and for finding what is alike."
            }
            Self::Sentences(_) => {
                "Learns whether one sentence follows another, from plain text alone. Nobody has to label anything."
            }
            Self::Classification(_) => {
                "Learns the class of each text: a topic, a mood, spam or not. The model gets a small new head for it."
            }
            Self::Regression(_) => {
                "Learns the number that belongs to each text, such as a rating. The model gets a small new head for it."
            }
        }
    }
}

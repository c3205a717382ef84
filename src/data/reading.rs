//! What samples are made of the rows for: text to write, running text, or texts to be judged.

use super::labels::Labels;
use super::mask::{Goal, TrainOn};
use super::template::Rendered;
use super::{DataError, Example, LossWeights, Role, Sample, Schema, Template, Tokeniser, mask, sentences};
use serde::{Deserialize, Serialize};

/// How rows are read, as the objective of the run wants it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reading {
    /// Prompts with answers, which the model learns to write.
    Written { train_on: TrainOn },
    /// Running text. What is longer than the limit goes on in the next piece, which shows `overlap` tokens of the one before again.
    Running {
        overlap: usize,
        /// By a model that goes on with it: then it begins and ends as the template has it rather than as the tokenizer does.
        is_written: bool,
    },
    /// A text, or two, of a class.
    Labelled {
        /// A text may have several, or none.
        has_several: bool,
        /// The classes where a model has them already; those of the rows otherwise.
        labels: Option<Vec<String>>,
    },
    /// A text, or two, with a number.
    Scored,
    /// Texts whose meaning is compared: one alone, two that are alike, or these and one that is unlike.
    Paired,
    /// Two neighbouring sentences of a text, or two that are none.
    Sentences { pairing: sentences::Pairing, seed: u64 },
}

impl Default for Reading {
    fn default() -> Self {
        Self::Written { train_on: TrainOn::Answers }
    }
}

impl Reading {
    /// What is trained on where rows are prompts with answers.
    pub fn train_on(&self) -> Option<TrainOn> {
        if let Self::Written { train_on } = self { Some(*train_on) } else { None }
    }

    /// The schema without the columns that would make something else of the rows.
    ///
    /// # Errors
    /// The role that is missing, in words for people.
    pub fn schema(&self, schema: &Schema) -> Result<Schema, String> {
        let (needed, unused): (&[(Role, &str)], &[Role]) = match self {
            Self::Written { .. } => return Ok(schema.clone()),
            Self::Running { .. } | Self::Sentences { .. } => {
                (&[], &[Role::Second, Role::Negative, Role::Label, Role::Score])
            }
            Self::Labelled { .. } => {
                (&[(Role::Label, "the class of each text (role Label)")], &[Role::Negative, Role::Score])
            }
            Self::Scored => {
                (&[(Role::Score, "the number of each text (role Score)")], &[Role::Negative, Role::Label])
            }
            Self::Paired => match schema.column(Role::Second).is_some() {
                true => (&[], &[Role::Label]),
                false => (&[], &[Role::Label, Role::Score]),
            },
        };
        let text = [(Role::Text, "the text (role Text)")];
        for (role, what) in text.iter().chain(needed) {
            if schema.column(*role).is_none() {
                return Err(format!("no column holds {what}"));
            }
        }
        let others = [Role::Messages, Role::Chosen, Role::Rejected];
        let mut own = schema.clone();
        for role in &mut own.roles {
            if unused.contains(role) || others.contains(role) || role.is_prompt() || role.is_answer() {
                *role = Role::Ignore;
            }
        }
        Ok(own)
    }

    /// Whether a row of more tokens than the limit goes on in further samples rather than being cut.
    pub fn goes_on(&self) -> bool {
        matches!(self, Self::Running { .. })
    }
}

/// Makes samples of examples.
pub(super) struct Reader<'a> {
    pub reading: &'a Reading,
    pub tokeniser: &'a Tokeniser,
    pub template: &'a Template,
    pub labels: &'a Labels,
    /// Longest sample, in tokens.
    pub max_tokens: usize,
    /// Use the model's chat template when it has one.
    pub chat: bool,
}

/// What a row became.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub samples: Vec<Sample>,
    /// Before cutting.
    pub num_tokens: usize,
    /// The first special token that its own words spell.
    pub special: Option<String>,
}

impl Reader<'_> {
    /// The samples of an example; `others` are texts of other rows, of which some readings take one.
    ///
    /// # Errors
    /// Those of template and tokenizer, and [`DataError::Schema`] for a row that this reading can do nothing with.
    pub fn read(
        &self,
        example: &Example,
        row: u64,
        others: &dyn Fn(u64) -> Option<String>,
    ) -> Result<Read, DataError> {
        match (self.reading, example) {
            (Reading::Written { train_on }, _) => {
                let rendered = self.template.render(example, *train_on, self.chat)?;
                let (sample, num_tokens) = mask::sample(self.tokeniser, &rendered, self.max_tokens)?;
                let special = spelt_in(self.tokeniser, &rendered);
                Ok(Read { samples: vec![sample], num_tokens, special })
            }
            (Reading::Running { overlap, is_written }, Example::Text { text }) => {
                self.pieces(text, *overlap, *is_written)
            }
            (Reading::Labelled { has_several, .. }, Example::Labelled { text, second, label }) => {
                let goal = match has_several {
                    true => Goal::Classes(self.labels.indices(label)?),
                    false => Goal::Class(self.labels.index(label)?),
                };
                self.judged(text, second.as_deref(), goal)
            }
            (Reading::Scored, Example::Scored { text, second, score }) => {
                self.judged(text, second.as_deref(), Goal::Score(*score as f32))
            }
            (Reading::Paired, _) => self.apart(example),
            (Reading::Sentences { pairing, seed }, Example::Text { text }) => {
                let mut read = Read::default();
                for pair in pairing.pairs(text, *seed, row, others) {
                    let one = self.judged(&pair.first, Some(&pair.second), Goal::Class(pair.class))?;
                    read.num_tokens = read.num_tokens.max(one.num_tokens);
                    read.samples.extend(one.samples);
                }
                if read.samples.is_empty() {
                    return Err(DataError::Schema { why: "it has no two sentences".into() });
                }
                Ok(read)
            }
            _ => Err(DataError::Schema { why: "the row has no text of its own".into() }),
        }
    }

    /// One sample of a text, or of two.
    fn judged(&self, text: &str, second: Option<&str>, goal: Goal) -> Result<Read, DataError> {
        let placed = self.tokeniser.with_specials(text, second, self.max_tokens)?;
        let sample = Sample {
            weights: LossWeights::all(0.0, placed.ids.len()),
            second: placed.second,
            ids: placed.ids,
            goal,
            ..Sample::default()
        };
        Ok(Read { samples: vec![sample], num_tokens: placed.num_tokens, special: None })
    }

    /// Every text of the example as a part of its own of one sample.
    fn apart(&self, example: &Example) -> Result<Read, DataError> {
        let (texts, goal): (Vec<&str>, Goal) = match example {
            Example::Text { text } => (vec![text], Goal::None),
            Example::Pair { text, second, negative } => {
                ([text, second].into_iter().chain(negative).map(String::as_str).collect(), Goal::None)
            }
            Example::Scored { text, second: Some(second), score } => {
                (vec![text, second], Goal::Score(*score as f32))
            }
            _ => return Err(DataError::Schema { why: "the row has no texts to compare".into() }),
        };
        let mut sample = Sample { goal, ..Sample::default() };
        let mut num_tokens = 0;
        for text in texts {
            let placed = self.tokeniser.with_specials(text, None, self.max_tokens)?;
            num_tokens = num_tokens.max(placed.num_tokens);
            sample.ids.extend(placed.ids);
            sample.parts.push(sample.ids.len() as u32);
        }
        sample.weights = LossWeights::all(0.0, sample.ids.len());
        Ok(Read { samples: vec![sample], num_tokens, special: None })
    }

    /// Pieces of at most the limit. A token is weighted once, in the first piece that has it.
    fn pieces(&self, text: &str, overlap: usize, is_written: bool) -> Result<Read, DataError> {
        let ids = self.tokeniser.literal_ids(text)?;
        let [before, after] = match is_written {
            true => {
                [self.template.beginning(), self.template.ending()].map(|token| self.tokeniser.encode(token))
            }
            false => self.tokeniser.around()?.map(Ok),
        };
        let (before, after) = (before?, after?);
        let room = self.max_tokens.saturating_sub(before.len() + after.len()).max(1);
        let overlap = overlap.min(room - 1);
        let mut samples = Vec::new();
        let mut start = 0;
        while start == 0 || start + overlap < ids.len() {
            let end = (start + room).min(ids.len());
            let num_known = if start == 0 { 0 } else { overlap };
            let mut weights = LossWeights::all(0.0, before.len() + num_known);
            weights.push(1.0, end - start - num_known);
            // The end of a text is learnt where it is one.
            let is_last = end == ids.len();
            let after = if is_written && !is_last { &[][..] } else { &after };
            weights.push(if is_written { 1.0 } else { 0.0 }, after.len());
            let ids = [&before, &ids[start..end], after].concat();
            samples.push(Sample { ids, weights, ..Sample::default() });
            start += room - overlap;
        }
        Ok(Read { samples, num_tokens: before.len() + ids.len() + after.len(), special: None })
    }
}

/// The first special token that a row's own words spell.
fn spelt_in(tokeniser: &Tokeniser, rendered: &Rendered) -> Option<String> {
    let mut pieces = rendered.literal.iter().map(|range| &rendered.text[range.clone()]);
    pieces.find(|piece| tokeniser.specials().iter().any(|s| s == piece)).map(String::from)
}

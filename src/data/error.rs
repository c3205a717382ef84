//! What can go wrong between a file and a batch.

use crate::base::Explain;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("{why} ({})", path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("{why} ({})", path.display())]
    Malformed { path: PathBuf, why: String },
    #[error("{why}")]
    Option { why: String },
    #[error("the file has no rows ({})", path.display())]
    Empty { path: PathBuf },
    #[error("{why}")]
    Schema { why: String },
    #[error("{why}")]
    Placeholder { why: String },
    #[error("{why}")]
    NothingLeft { why: String },
    #[error(
        "all {num_rows} readable rows are longer than {max_tokens} tokens, and such rows are left out; the shortest has {shortest}"
    )]
    AllTooLong { num_rows: u64, max_tokens: usize, shortest: usize },
    #[error(
        "rows are cut after {max_tokens} tokens, and in all {num_rows} readable ones the answer comes later; the longest has {longest} tokens"
    )]
    AnswersCut { num_rows: u64, max_tokens: usize, longest: usize },
    #[error("an example of at most {max_tokens} tokens holds no question and answer")]
    LimitTooSmall { max_tokens: usize },
    #[error(
        "the split keeps {num_valid} of the rows for validation and {num_test} for the test, and none is left"
    )]
    NoTraining { num_valid: usize, num_test: usize },
    #[error("no row holds a question and an answer ({})", path.display())]
    NoShots { path: PathBuf },
    #[error("{why}")]
    Template { why: String },
    #[error("{why}")]
    Tokeniser { why: String },
    #[error("every label is masked: {why}")]
    AllMasked { why: String },
    #[error("{0}")]
    GeneralText(Box<DataError>),
    #[error(
        "the text has {num_tokens} tokens: too few to hold some out and learn the rest again ({})", path.display()
    )]
    TextTooShort { path: PathBuf, num_tokens: usize, least: usize },
    #[error("stopped")]
    Stopped,
}

impl Explain for DataError {
    fn title(&self) -> String {
        match self {
            Self::Unreadable { .. } | Self::Malformed { .. } | Self::Option { .. } | Self::Empty { .. } => {
                "Cannot read the data file".into()
            }
            Self::Schema { .. } => "The columns do not fit".into(),
            Self::Placeholder { .. } => "The prompt template does not fit the file".into(),
            Self::NothingLeft { .. } => "No row of the file can be used".into(),
            Self::AllTooLong { .. } => "Every row is longer than the limit".into(),
            Self::AnswersCut { .. } => "Every answer is cut off".into(),
            Self::LimitTooSmall { .. } => "The limit for the longest example is too small".into(),
            Self::NoTraining { .. } => "No row is left to train on".into(),
            Self::NoShots { .. } => "There is no example in the file".into(),
            Self::Template { .. } => "The template failed".into(),
            Self::Tokeniser { .. } => "The tokenizer cannot be used".into(),
            Self::AllMasked { .. } => "There is nothing to learn from".into(),
            Self::GeneralText(_) | Self::TextTooShort { .. } => "The general text cannot be used".into(),
            Self::Stopped => "Stopped".into(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Unreadable { .. } => "Check that the file exists and that you may read it.".into(),
            Self::Malformed { .. } => {
                "Open the file in the program it came from and save it again, for example as CSV.".into()
            }
            Self::Option { .. } => "Leave it out: it is recognised from the file.".into(),
            Self::Empty { .. } => "Choose a file with at least two rows.".into(),
            Self::Schema { .. } => {
                "Say what each column is for: in the header of the table, or with data.schema.roles in a recipe.".into()
            }
            Self::Placeholder { .. } => {
                "Write the name of a column between the braces (data.schema.prompt_template), and {{ or }} for a brace.".into()
            }
            Self::NothingLeft { .. } => {
                "`tunesmith data inspect` lists the rows with their reasons: put them right in the file.".into()
            }
            Self::AllTooLong { shortest, .. } => format!(
                "Raise the longest example to {shortest} tokens or more (batch.max_tokens), or cut longer rows instead (data.overlong = \"truncate\")."
            ),
            Self::AnswersCut { longest, .. } => {
                format!("Raise the longest example to {longest} tokens (batch.max_tokens), or shorten the prompts.")
            }
            Self::LimitTooSmall { .. } => "Use at least 2 tokens; 512 is usual (batch.max_tokens).".into(),
            Self::NoTraining { .. } => {
                "Lower the shares data.split.valid and data.split.test, or use a file with more rows.".into()
            }
            Self::NoShots { .. } => "Write a question and its answer in each row.".into(),
            Self::Template { .. } => {
                "Look at the model's chat template, or leave it out (data.chat = false, --plain).".into()
            }
            Self::Tokeniser { .. } => "Choose a model folder that has a tokenizer.json.".into(),
            Self::AllMasked { .. } => {
                "Train on everything (objective.train_on = \"everything\"), or see in the preview what the template makes of the answers.".into()
            }
            Self::GeneralText(error) => match &**error {
                Self::Malformed { .. } => "Choose a plain text file (.txt) under forgetting.text.".into(),
                other => other.hint(),
            },
            Self::TextTooShort { least, .. } => format!(
                "Choose a text of at least {least} tokens (forgetting.text), or shorten the longest example (batch.max_tokens)."
            ),
            Self::Stopped => String::new(),
        }
    }
}

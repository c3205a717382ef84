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
    #[error("no column can be trained on: {why}")]
    Schema { why: String },
    #[error("{why}")]
    Template { why: String },
    #[error("{why}")]
    Tokeniser { why: String },
    #[error("every label is masked: {why}")]
    AllMasked { why: String },
    #[error("stopped")]
    Stopped,
}

impl Explain for DataError {
    fn title(&self) -> String {
        match self {
            Self::Unreadable { .. } | Self::Malformed { .. } | Self::Option { .. } | Self::Empty { .. } => {
                "Cannot read the data file".into()
            }
            Self::Schema { .. } => "The data cannot be used as it is".into(),
            Self::Template { .. } => "The template failed".into(),
            Self::Tokeniser { .. } => "The tokenizer cannot be used".into(),
            Self::AllMasked { .. } => "There is nothing to learn from".into(),
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
            Self::Schema { .. } => "Say what each column is for in its header.".into(),
            Self::Template { .. } => "Check the template's placeholders and braces.".into(),
            Self::Tokeniser { .. } => "Choose a model folder that has a tokenizer.json.".into(),
            Self::AllMasked { .. } => {
                "Train on everything, or raise the longest example so that answers are not cut off.".into()
            }
            Self::Stopped => String::new(),
        }
    }
}

//! From a file to batches of tokens: import, schema, examples, split, rendering, tokens, mask, packing.
//! No tensors here; the text of a file is in memory once, in its table.

pub mod table;
pub mod schema;
pub mod example;
pub mod ledger;
pub mod import;
pub mod prepare;
pub mod split;
pub mod template;
pub mod general_text;
pub mod gguf_vocab;
pub mod tokenise;
pub mod framed;
pub mod labels;
pub mod sentences;
pub mod loss_weights;
pub mod mask;
pub mod reading;
pub mod pack;
pub mod loader;
pub mod graded;
pub mod stats;
pub mod shots;
pub mod error;

pub use error::DataError;
pub use example::{Example, Message, Row};
pub use general_text::GeneralText;
pub use ledger::{Fate, Ledger};
pub use loss_weights::LossWeights;
pub use mask::{Goal, Sample};
pub use pack::Batch;
pub use reading::Reading;
pub use schema::{Layout, Role, Schema};
pub use split::Split;
pub use table::{Table, number};
pub use template::Template;
pub use tokenise::Tokeniser;

//! A data file, imported and prepared for one model.

use super::Report;
use crate::base::{Control, Failure};
use crate::data::import::{ImportOptions, Imported, import};
use crate::data::prepare::{Dataset, PrepareOptions, prepare};
use crate::engine::halt::Halt;
use crate::engine::lane::Sink;
use crate::model::files::ModelFiles;
use crate::recipe::Recipe;
use crate::recipe::recipe::Overlong;
use std::path::Path;

/// Reads a data file.
pub fn read(
    path: &Path,
    options: &ImportOptions,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<Imported, Halt> {
    Ok(import(path, options, control, &mut Report::to(sink))?)
}

/// Rows, split and samples for the tokenizer and template of `files`.
pub fn prepare_for(
    imported: &Imported,
    files: &ModelFiles,
    options: &PrepareOptions,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<Dataset, Halt> {
    let (tokeniser, template) = (files.tokeniser()?, files.template()?);
    Ok(prepare(imported, tokeniser, template, options, control, &mut Report::to(sink))?)
}

/// A row by what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowText {
    pub line: u64,
    pub text: String,
}

/// What the rows of a file are about, those without a text left out.
///
/// # Errors
/// Where no column holds text.
pub fn row_texts(imported: &Imported) -> Result<Vec<RowText>, Failure> {
    let text_of = |row: usize| {
        let text = imported.schema.example(&imported.table, row).ok()?.subject().trim().to_string();
        (!text.is_empty()).then_some(RowText { line: imported.table.lines[row], text })
    };
    let rows: Vec<RowText> = (0..imported.table.num_rows()).filter_map(text_of).collect();
    if rows.is_empty() {
        let why = format!("no column of {} is recognised as text", imported.path.display());
        let hint = "Name the column with the texts `text` in the first row.";
        return Err(Failure::new("There are no texts to look through", why, hint));
    }
    Ok(rows)
}

/// How a recipe reads its file.
pub fn import_options(recipe: &Recipe) -> ImportOptions {
    let data = &recipe.data;
    ImportOptions {
        format: data.format,
        encoding: data.encoding.clone(),
        separator: data.separator,
        has_header: data.has_header,
    }
}

/// How a recipe prepares its rows.
pub fn prepare_options(recipe: &Recipe, imported: &Imported) -> PrepareOptions {
    let data = &recipe.data;
    PrepareOptions {
        schema: data.schema.clone().unwrap_or_else(|| imported.schema.clone()),
        split: data.split.clone(),
        reading: recipe.objective.reading(recipe.data.split.seed),
        max_tokens: recipe.batch.max_tokens,
        drop_overlong: data.overlong == Overlong::Drop,
        keep_duplicates: data.keep_duplicates,
        chat: data.chat,
    }
}

//! General text beside the data, for what a model shall not forget: cut into pieces, some of which are held out to measure on.

use super::import::plain_text;
use super::split::spread;
use super::{DataError, LossWeights, Sample, Template, Tokeniser};
use crate::base::{Control, Progress, Silent, Unit};
use rayon::prelude::*;
use std::path::Path;

/// So much of the file is read: about two million tokens.
const MAX_BYTES: usize = 8 << 20;
/// Text is tokenised in blocks of about so much, cut where lines end, and so many of them between two looks at the control.
const BLOCK_BYTES: usize = 64 << 10;
const BLOCKS: usize = 16;
/// Most tokens that are held out, and the least number of pieces that one of them is held out of.
const HELD_OUT_TOKENS: usize = 16 << 10;
const HELD_OUT_OF: usize = 10;

/// Pieces of running text, every token of which is predicted but the first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GeneralText {
    /// Spread evenly over the text, and never trained on.
    pub held_out: Vec<Sample>,
    pub rest: Vec<Sample>,
    /// The file goes on where these end.
    pub is_cut: bool,
}

impl GeneralText {
    /// Reads a file of plain text in any encoding. Special tokens written in it are text.
    ///
    /// # Errors
    /// [`DataError::GeneralText`] for a file that cannot be read or is none of text, [`DataError::TextTooShort`] when it makes fewer
    /// than two pieces of `max_tokens`, [`DataError::Stopped`].
    pub fn read(
        path: &Path,
        tokeniser: &Tokeniser,
        template: &Template,
        max_tokens: usize,
        control: &Control,
        progress: &mut dyn Progress,
    ) -> Result<Self, DataError> {
        let (text, is_whole) = match plain_text(path, MAX_BYTES, control, progress) {
            Ok(read) => read,
            Err(DataError::Stopped) => return Err(DataError::Stopped),
            Err(DataError::Empty { .. }) => (String::new(), true),
            Err(error) => return Err(DataError::GeneralText(Box::new(error))),
        };
        let begin = tokeniser.encode(template.beginning())?;
        let ids = tokenised(text.trim(), tokeniser, control, progress)?;
        match Self::of(&ids, &begin, max_tokens) {
            Some(made) => Ok(Self { is_cut: !is_whole, ..made }),
            None => {
                let (path, least) = (path.to_path_buf(), max_tokens + 2);
                Err(DataError::TextTooShort { path, num_tokens: ids.len(), least })
            }
        }
    }

    /// Whether there is a file of text, by its beginning: before a model is opened for it.
    ///
    /// # Errors
    /// [`DataError::GeneralText`], [`DataError::Stopped`].
    pub fn check(path: &Path, control: &Control) -> Result<(), DataError> {
        match plain_text(path, BLOCK_BYTES, control, &mut Silent) {
            Ok(_) | Err(DataError::Empty { .. }) => Ok(()),
            Err(DataError::Stopped) => Err(DataError::Stopped),
            Err(error) => Err(DataError::GeneralText(Box::new(error))),
        }
    }

    /// Cuts tokens into pieces that each begin with `begin`; `None` when they make fewer than two.
    pub fn of(ids: &[u32], begin: &[u32], max_tokens: usize) -> Option<Self> {
        let piece = |ids: &[u32]| {
            let ids = [begin, ids].concat();
            Sample { weights: LossWeights::all(1.0, ids.len()), ids, ..Sample::default() }
        };
        let room = max_tokens.saturating_sub(begin.len()).max(1);
        let pieces: Vec<Sample> = ids.chunks(room).map(piece).filter(|piece| piece.len() > 1).collect();
        if pieces.len() < 2 {
            return None;
        }
        let most = (HELD_OUT_TOKENS / max_tokens.max(1)).min(pieces.len() / HELD_OUT_OF).max(1);
        let places = spread(&(0..pieces.len()).collect::<Vec<_>>(), most);
        let mut text = Self::default();
        for (place, piece) in pieces.into_iter().enumerate() {
            let is_held_out = places.binary_search(&place).is_ok();
            if is_held_out { text.held_out.push(piece) } else { text.rest.push(piece) }
        }
        Some(text)
    }
}

fn tokenised(
    text: &str,
    tokeniser: &Tokeniser,
    control: &Control,
    progress: &mut dyn Progress,
) -> Result<Vec<u32>, DataError> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let line_end = rest.as_bytes().iter().skip(BLOCK_BYTES).position(|byte| *byte == b'\n');
        let (block, after) = rest.split_at(line_end.map_or(rest.len(), |end| BLOCK_BYTES + end + 1));
        blocks.push(block);
        rest = after;
    }
    let (mut ids, mut done) = (Vec::new(), 0);
    for blocks in blocks.chunks(BLOCKS) {
        if control.is_stopped() {
            return Err(DataError::Stopped);
        }
        let whole = |block: &&str| tokeniser.encode_placed(block, std::slice::from_ref(&(0..block.len())));
        let placed: Vec<_> = blocks.par_iter().map(whole).collect::<Result<_, _>>()?;
        ids.extend(placed.into_iter().flatten().map(|token| token.id));
        done += blocks.iter().map(|block| block.len() as u64).sum::<u64>();
        progress.report("Reading the general text", done, Some(text.len() as u64), Unit::Bytes);
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_in_one_piece_and_a_tenth_is_held_out() {
        let ids: Vec<u32> = (10..10 + 411).collect();
        let text = GeneralText::of(&ids, &[1], 11).unwrap();
        assert_eq!((text.held_out.len(), text.rest.len()), (4, 38));
        let mut all: Vec<&Sample> = text.held_out.iter().chain(&text.rest).collect();
        all.sort_by_key(|piece| piece.ids[1]);
        assert!(all.iter().all(|piece| piece.ids[0] == 1 && piece.len() <= 11));
        let whole: Vec<u32> = all.iter().flat_map(|piece| piece.ids[1..].to_vec()).collect();
        assert_eq!(whole, ids);
        assert!(all.iter().all(|piece| piece.num_trained() == piece.len() - 1));
    }

    #[test]
    fn what_makes_no_two_pieces_is_too_short() {
        let ids: Vec<u32> = (0..12).collect();
        assert_eq!(GeneralText::of(&ids[..10], &[1], 11), None);
        // Without a token to begin with, a piece of one has nothing to predict.
        assert_eq!(GeneralText::of(&ids[..11], &[], 10), None);
        let text = GeneralText::of(&ids, &[], 10).unwrap();
        assert_eq!((text.held_out.len(), text.rest.len()), (1, 1));
    }

    /// Of a long text no more is held out than can be measured in a moment.
    #[test]
    fn a_long_text_holds_out_a_bounded_number_of_tokens() {
        let text = GeneralText::of(&vec![7; 400_000], &[], 512).unwrap();
        assert_eq!(text.held_out.len() * 512, HELD_OUT_TOKENS);
    }
}

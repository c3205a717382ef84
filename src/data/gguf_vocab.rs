//! The vocabulary inside a GGUF file, written out as the `tokenizer.json` it was made from.

use super::DataError;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// `tokenizer.ggml.*` of a GGUF file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GgufVocab {
    /// `tokenizer.ggml.model`: `gpt2` is byte-level BPE, `llama` is SentencePiece's.
    pub model: String,
    /// `tokenizer.ggml.pre`: which pre-tokenizer; of byte-level vocabularies only.
    pub pre: String,
    pub tokens: Vec<String>,
    pub merges: Vec<String>,
    /// 1 normal, 2 unknown, 3 control, 4 user defined, 6 byte.
    pub token_types: Vec<i32>,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub unknown: Option<u32>,
    pub add_bos: bool,
    /// One a token, in SentencePiece vocabularies: the higher, the earlier a piece is merged.
    pub scores: Vec<f32>,
    /// Whether SentencePiece begins a text with a space; yes when absent.
    pub add_space_prefix: Option<bool>,
}

const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
/// Longest token, in bytes, whose merges are looked for; real ones stay below 100.
const MAX_TOKEN_BYTES: usize = 512;

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

fn refuse(why: String) -> DataError {
    DataError::Tokeniser { why }
}

/// `tokenizer.json` text of a vocabulary.
pub(super) fn tokenizer_json(vocab: GgufVocab) -> Result<String, DataError> {
    if vocab.tokens.is_empty() {
        return Err(refuse("the GGUF file's vocabulary has no tokens".into()));
    }
    match vocab.model.as_str() {
        "gpt2" => byte_level_json(vocab),
        "llama" => sentence_piece_json(vocab),
        other => Err(refuse(format!(
            "the GGUF file's tokenizer is of the kind \"{other}\", which cannot be rebuilt: use the model's folder with tokenizer.json"
        ))),
    }
}

/// How byte-level text is cut into words before merging.
struct Words {
    pre_tokenizer: Value,
    normalizer: Value,
    /// A word that is a token as it stands needs no merges.
    ignore_merges: bool,
}

fn byte_level(use_regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex})
}

/// Words by their llama.cpp name. A wrong one gives wrong ids in silence, so unknown names are refused.
fn words(pre: &str) -> Result<Words, DataError> {
    let sequence = |first: Value, use_regex: bool| json!({"type": "Sequence", "pretokenizers": [first, byte_level(use_regex)]});
    let split = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    let (pre_tokenizer, normalizer, ignore_merges) = match pre {
        // SmolLM2 splits digits one by one.
        "smollm" | "starcoder" | "refact" => {
            (sequence(json!({"type": "Digits", "individual_digits": true}), true), Value::Null, false)
        }
        "llama-bpe" | "llama3" | "llama-v3" | "smaug-bpe" => {
            (sequence(split(LLAMA3), false), Value::Null, true)
        }
        "qwen2" | "deepseek-r1-qwen" => (sequence(split(QWEN2), false), json!({"type": "NFC"}), false),
        "tekken" => (sequence(split(TEKKEN), false), Value::Null, true),
        "gpt-2" | "gpt2" | "phi-2" => (byte_level(true), Value::Null, false),
        // GPT-NeoX's, which OLMo and MPT took over.
        "olmo" | "mpt" => (byte_level(true), json!({"type": "NFC"}), false),
        "" | "default" => {
            return Err(refuse(
                "the GGUF file doesn't say how its tokenizer splits words; use the model's folder with tokenizer.json".into(),
            ));
        }
        other => {
            return Err(refuse(format!(
                "the GGUF file asks for the pre-tokenizer \"{other}\", which is not known here; use the model's folder with tokenizer.json"
            )));
        }
    };
    Ok(Words { pre_tokenizer, normalizer, ignore_merges })
}

fn byte_level_json(vocab: GgufVocab) -> Result<String, DataError> {
    let words = words(&vocab.pre)?;
    let added = added_tokens(&vocab);
    let mut merges = Vec::with_capacity(vocab.merges.len());
    for merge in &vocab.merges {
        let pair =
            merge.split_once(' ').ok_or_else(|| refuse(format!("the merge rule \"{merge}\" is no pair")))?;
        merges.push(json!([pair.0, pair.1]));
    }
    let whole = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": words.normalizer, "pre_tokenizer": words.pre_tokenizer, "post_processor": null,
        "decoder": byte_level(true),
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": words.ignore_merges, "vocab": ids(vocab.tokens), "merges": merges},
    });
    Ok(whole.to_string())
}

/// SentencePiece's BPE has scores instead of merge rules: every way to make a token of two others is a rule, and
/// the rules are ordered by the scores of what they make (as transformers' converter does).
fn sentence_piece_json(vocab: GgufVocab) -> Result<String, DataError> {
    if vocab.scores.len() != vocab.tokens.len() {
        let (got, expected) = (vocab.scores.len(), vocab.tokens.len());
        return Err(refuse(format!("the GGUF file's vocabulary has {expected} tokens and {got} scores")));
    }
    let merges: Vec<Value> =
        merges_of_scores(&vocab).into_iter().map(|(left, right)| json!([left, right])).collect();
    let added = added_tokens(&vocab);
    let unknown = vocab.unknown.and_then(|id| vocab.tokens.get(id as usize)).cloned();
    let spaces = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let mut normalizers = vec![spaces];
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if vocab.add_space_prefix.unwrap_or(true) {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": "▁"}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let whole = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": normalizers}, "pre_tokenizer": null,
        "post_processor": null, "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {"type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": ids(vocab.tokens), "merges": merges},
    });
    Ok(whole.to_string())
}

fn merges_of_scores(vocab: &GgufVocab) -> Vec<(&str, &str)> {
    let known: HashMap<&str, usize> =
        vocab.tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
    let mut rules = Vec::new();
    for (token, score) in vocab.tokens.iter().zip(&vocab.scores).filter(|(t, _)| t.len() <= MAX_TOKEN_BYTES) {
        let halves = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let mut local: Vec<(&str, &str)> =
            halves.filter(|(left, right)| known.contains_key(left) && known.contains_key(right)).collect();
        local.sort_by_key(|(left, right)| (known[left], known[right]));
        rules.extend(local.into_iter().map(|pair| (*score, pair)));
    }
    let lengths = |pair: (&str, &str)| (pair.0.chars().count(), pair.1.chars().count());
    rules.sort_by(|(a, x), (b, y)| b.total_cmp(a).then_with(|| lengths(*y).cmp(&lengths(*x))));
    rules.into_iter().map(|(_, pair)| pair).collect()
}

fn added_tokens(vocab: &GgufVocab) -> Vec<Value> {
    let kind = |id: usize| vocab.token_types.get(id).copied().unwrap_or(1);
    (0..vocab.tokens.len())
        .filter(|id| matches!(kind(*id), UNKNOWN | CONTROL | USER_DEFINED) && !vocab.tokens[*id].is_empty())
        .map(|id| {
            json!({"id": id, "content": vocab.tokens[id], "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": kind(id) != USER_DEFINED})
        })
        .collect()
}

fn ids(tokens: Vec<String>) -> Map<String, Value> {
    tokens.into_iter().enumerate().map(|(id, token)| (token, json!(id))).collect()
}

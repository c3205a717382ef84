//! What the sentence-transformers library keeps beside a model whose directions of texts are compared: which of a text's states
//! stand for it, in files that its `SentenceTransformer` opens.

use super::config::{DecoderConfig, Pooling};
use crate::base::storage;
use serde_json::{Map, Value, json};
use std::io;
use std::path::Path;

const MODULES_FILE: &str = "modules.json";
const POOLING_FOLDER: &str = "1_Pooling";
const CONFIG_FILE: &str = "config.json";
const MAX_BYTES: u64 = 1 << 20;

/// Its word for each way, and its older key.
const WAYS: [(Pooling, &str, &str); 3] = [
    (Pooling::First, "cls", "pooling_mode_cls_token"),
    (Pooling::Mean, "mean", "pooling_mode_mean_tokens"),
    (Pooling::Last, "lasttoken", "pooling_mode_lasttoken"),
];
/// Ways that are not known here.
const OTHER_KEYS: [&str; 3] =
    ["pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens"];

/// What stands for a text, as a model's folder says it; `None` where it does not, or says it in a way that is not known here.
pub fn pooling_in(folder: &Path) -> Option<Pooling> {
    let path = folder.join(POOLING_FOLDER).join(CONFIG_FILE);
    let said: Value = serde_json::from_str(&storage::read_text_bounded(&path, MAX_BYTES).ok()?).ok()?;
    if let Some(name) = said["pooling_mode"].as_str() {
        return WAYS.iter().find(|(_, own, _)| *own == name).map(|(way, ..)| *way);
    }
    let is_set = |key: &str| said[key].as_bool() == Some(true);
    let mut set = WAYS.iter().filter(|(.., key)| is_set(key));
    match (set.next(), set.next()) {
        (Some((way, ..)), None) if !OTHER_KEYS.iter().any(|key| is_set(key)) => Some(*way),
        _ => None,
    }
}

/// Makes a folder of the library's out of a model's: the directions of texts are those of `pooling`, of length 1.
///
/// # Errors
/// A failed write.
pub fn save(folder: &Path, pooling: Pooling, config: &DecoderConfig) -> io::Result<()> {
    let module = |(idx, path, kind): (usize, &str, &str)| json!({ "idx": idx, "name": idx.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}") });
    let modules = [(0, "", "Transformer"), (1, POOLING_FOLDER, "Pooling"), (2, "2_Normalize", "Normalize")];
    let ways = WAYS.iter().map(|(way, _, key)| (key.to_string(), json!(*way == pooling)));
    let others = OTHER_KEYS.iter().map(|key| (key.to_string(), json!(false)));
    let mut pooled: Map<String, Value> = ways.chain(others).collect();
    pooled.insert("word_embedding_dimension".into(), json!(config.width));
    pooled.insert("include_prompt".into(), json!(true));
    let files = [
        (MODULES_FILE, modules.into_iter().map(module).collect()),
        (&format!("{POOLING_FOLDER}/{CONFIG_FILE}"), Value::Object(pooled)),
        ("2_Normalize/config.json", json!({})),
        (
            "sentence_bert_config.json",
            json!({ "max_seq_length": config.context_tokens, "do_lower_case": false }),
        ),
        ("config_sentence_transformers.json", json!({ "similarity_fn_name": "cosine" })),
    ];
    for (name, value) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
        storage::write_atomic_bytes(&path, &serde_json::to_vec_pretty(&value)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As its versions up to 5 and from 6 on write it.
    #[test]
    fn both_ways_to_say_it_are_read() {
        let temp = tempfile::tempdir().unwrap();
        let said = |value: Value| {
            std::fs::create_dir_all(temp.path().join(POOLING_FOLDER)).unwrap();
            std::fs::write(temp.path().join(POOLING_FOLDER).join(CONFIG_FILE), value.to_string()).unwrap();
            pooling_in(temp.path())
        };
        assert_eq!(pooling_in(temp.path()), None);
        for (way, name, key) in WAYS {
            save(temp.path(), way, &DecoderConfig::default()).unwrap();
            assert_eq!(pooling_in(temp.path()), Some(way));
            assert_eq!(said(json!({ "pooling_mode": name, "embedding_dimension": 8 })), Some(way));
            assert_eq!(said(json!({ key: true, "pooling_mode_max_tokens": false })), Some(way));
        }
        let two = json!({ "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true });
        let unknown =
            [two, json!({ "pooling_mode": "max" }), json!({ "pooling_mode_max_tokens": true }), json!([])];
        for value in unknown {
            assert_eq!(said(value), None);
        }
    }
}

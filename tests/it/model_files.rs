//! Model folders: every way of writing a config that is read, and every one that is refused by name.

use crate::parity::fixture;
use crate::weights::copy_of;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tunesmith::base::Explain;
use tunesmith::model::ModelError;
use tunesmith::model::config::{DecoderConfig, Family, RopeScaling};
use tunesmith::model::files::ModelFiles;

const LLAMA: &str = "parity/tiny-llama/model";

fn llama(edit: Value) -> Value {
    let mut config = json!({
        "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4,
        "num_hidden_layers": 2, "vocab_size": 512, "hidden_act": "silu"
    });
    for (key, value) in edit.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn parsed(edit: Value) -> Result<DecoderConfig, ModelError> {
    DecoderConfig::from_json(Path::new("models/tiny/config.json"), &llama(edit).to_string())
}

fn complaint(edit: Value) -> String {
    let error = parsed(edit.clone()).expect_err(&edit.to_string());
    assert!(!error.title().is_empty() && !error.hint().is_empty());
    assert!(error.to_string().contains("config.json"), "{error}");
    error.to_string()
}

#[test]
fn what_is_absent_is_as_in_transformers() {
    let config = parsed(json!({})).unwrap();
    assert_eq!((config.num_kv_heads, config.head_width), (4, 16));
    assert_eq!((config.rope_theta, config.rope_scaling), (10_000.0, RopeScaling::None));
    assert_eq!((config.norm_epsilon, config.context_tokens), (1e-6, 2_048));
    assert!(!config.has_tied_embeddings && !config.has_qkv_bias && config.sliding_window.is_none());
}

#[test]
fn rope_is_read_in_old_and_new_form() {
    let old = json!({ "rope_theta": 500000, "rope_scaling": { "type": "linear", "factor": 2.0 } });
    let new = json!({ "rope_parameters": { "rope_theta": 500000.0, "rope_type": "linear", "factor": 2.0 } });
    for form in [old, new] {
        let config = parsed(form).unwrap();
        assert_eq!(config.rope_theta, 500_000.0);
        assert_eq!(config.rope_scaling, RopeScaling::Linear { factor: 2.0 });
    }
    let llama3 = json!({ "rope_scaling": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192
    } });
    let expected = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_context: 8_192,
    };
    assert_eq!(parsed(llama3).unwrap().rope_scaling, expected);
}

#[test]
fn families_differ_where_they_should() {
    let qwen2 = parsed(json!({ "architectures": ["Qwen2ForCausalLM"], "num_key_value_heads": 2,
        "sliding_window": 128, "max_window_layers": 1 }))
    .unwrap();
    assert!(qwen2.family == Family::Qwen2 && qwen2.has_qkv_bias && !qwen2.has_o_bias);
    assert_eq!(qwen2.sliding_window, None, "only with use_sliding_window");
    let windowed = parsed(json!({ "architectures": ["Qwen2ForCausalLM"], "num_key_value_heads": 2,
        "sliding_window": 128, "max_window_layers": 1, "use_sliding_window": true }))
    .unwrap();
    assert_eq!([windowed.window_of(0), windowed.window_of(1)], [None, Some(128)]);
    let qwen3 = parsed(json!({ "architectures": ["Qwen3ForCausalLM"], "num_key_value_heads": 2 })).unwrap();
    assert!(qwen3.family.table().qk_norm.is_some() && !qwen3.has_qkv_bias && qwen3.head_width == 128);
    let mistral =
        parsed(json!({ "architectures": ["MistralForCausalLM"], "num_key_value_heads": 2 })).unwrap();
    assert_eq!((mistral.sliding_window, mistral.window_of(0)), (Some(4_096), Some(4_096)));
    let without = json!({ "model_type": "mistral", "architectures": null, "num_key_value_heads": 2,
        "sliding_window": null });
    assert_eq!(parsed(without).unwrap().sliding_window, None);
}

#[test]
fn what_is_not_supported_is_said_by_name() {
    for (edit, needle) in [
        (json!({ "architectures": ["MixtralForCausalLM"] }), "MixtralForCausalLM"),
        (json!({ "architectures": [], "model_type": "mamba" }), "mamba"),
        (json!({ "rope_scaling": { "rope_type": "yarn", "factor": 4.0 } }), "yarn"),
        (json!({ "rope_scaling": { "type": "longrope", "factor": 4.0 } }), "longrope"),
        (json!({ "rope_scaling": { "type": "dynamic", "factor": 4.0 } }), "dynamic"),
        (json!({ "rope_parameters": { "full_attention": { "rope_theta": 1e4 } } }), "each kind of layer"),
        (json!({ "quantization_config": { "quant_method": "gptq" } }), "gptq"),
        (json!({ "hidden_act": "relu2" }), "relu2"),
        (json!({ "partial_rotary_factor": 0.5 }), "0.5"),
    ] {
        assert!(complaint(edit).contains(needle), "{needle}");
    }
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    for (edit, needle) in [
        (json!({ "hidden_size": 0 }), "hidden size"),
        (json!({ "hidden_size": -64 }), "hidden_size"),
        (json!({ "hidden_size": "64" }), "hidden_size"),
        (json!({ "hidden_size": null }), "hidden_size"),
        (json!({ "hidden_size": 1e18 }), "hidden_size"),
        (json!({ "num_hidden_layers": 4_000_000_000u64 }), "layers"),
        (json!({ "vocab_size": 18_446_744_073_709_551_615u64 }), "vocabulary"),
        (json!({ "num_attention_heads": 0, "head_dim": 16 }), "heads"),
        (json!({ "num_key_value_heads": 3 }), "divide"),
        (json!({ "head_dim": 15 }), "even"),
        (json!({ "rms_norm_eps": 0 }), "epsilon"),
        (json!({ "rope_theta": -1.0 }), "theta"),
        (json!({ "rope_scaling": { "type": "linear", "factor": 0.0 } }), "rope scaling"),
        (json!({ "rope_scaling": { "type": "linear" } }), "factor"),
        (json!({ "rope_scaling": 3 }), "rope_scaling"),
        (json!({ "tie_word_embeddings": "yes" }), "tie_word_embeddings"),
    ] {
        let said = complaint(edit);
        assert!(said.contains(needle), "{said} lacks {needle}");
    }
    for text in ["", "[]", "{", "null", "\u{0}\u{0}", "{\"architectures\": 3}", &"[".repeat(100_000)] {
        DecoderConfig::from_json(Path::new("config.json"), text).unwrap_err();
    }
}

#[test]
fn the_header_alone_tells_what_a_model_is() {
    let files = ModelFiles::open("tiny", &fixture(LLAMA)).unwrap();
    let info = &files.info;
    assert_eq!((info.source.as_str(), info.family.as_str(), info.dtype.as_str()), ("tiny", "llama", "F32"));
    assert_eq!((info.num_layers, info.width, info.vocabulary, info.context_tokens), (2, 64, 512, 256));
    // 512 x 64 embedding, and twice: q and o 64 x 64, k and v 32 x 64, three of 96 x 64, two norms; a last norm.
    assert_eq!(info.num_params, 512 * 64 + 2 * (2 * 4096 + 2 * 2048 + 3 * 6144 + 128) + 64);
    assert!(info.tied_embeddings && !info.has_chat_template);
    assert!(info.files.contains(&("model.safetensors".into(), 380_176)));
    assert_eq!(files.text.eos_ids, [2]);
}

fn write(dir: &Path, name: &str, value: &Value) {
    fs::write(dir.join(name), value.to_string()).unwrap();
}

#[test]
fn every_place_of_an_end_token_counts() {
    let dir = copy_of(LLAMA);
    write(dir.path(), "generation_config.json", &json!({ "eos_token_id": [7, 9] }));
    write(
        dir.path(),
        "tokenizer_config.json",
        &json!({
            "bos_token": "<s>", "eos_token": { "content": "<|end|>", "special": true },
            "added_tokens_decoder": { "11": { "content": "<|end|>" }, "x": { "content": "<|end|>" }, "1": { "content": "<s>" } }
        }),
    );
    let files = ModelFiles::open("ends", dir.path()).unwrap();
    assert_eq!(files.text.eos_ids, [7, 9, 2, 11]);
    assert_eq!((files.text.bos.as_deref(), files.text.eos.as_deref()), (Some("<s>"), Some("<|end|>")));
}

#[test]
fn chat_templates_are_found_wherever_they_lie() {
    let dir = copy_of(LLAMA);
    let found = || ModelFiles::open("chat", dir.path()).unwrap().text.chat_template;
    assert_eq!(found(), None);
    let list =
        json!([{ "name": "tool_use", "template": "tools" }, { "name": "default", "template": "listed" }]);
    write(dir.path(), "tokenizer_config.json", &json!({ "chat_template": list }));
    assert_eq!(found().as_deref(), Some("listed"));
    write(dir.path(), "tokenizer_config.json", &json!({ "chat_template": "string" }));
    assert_eq!(found().as_deref(), Some("string"));
    write(dir.path(), "chat_template.json", &json!({ "chat_template": "apart" }));
    assert_eq!(found().as_deref(), Some("apart"));
    fs::write(dir.path().join("chat_template.jinja"), "jinja").unwrap();
    assert_eq!(found().as_deref(), Some("jinja"));
}

#[test]
fn what_is_no_model_says_what_to_choose() {
    let refused = |path: &Path, needle: &str| {
        let error = ModelFiles::open("x", path).unwrap_err();
        assert!(error.to_string().contains(needle), "{error} lacks {needle}");
        assert!(!error.hint().is_empty());
    };
    let dir = tempfile::tempdir().unwrap();
    refused(&dir.path().join("nowhere"), "nowhere");
    refused(dir.path(), "config.json");
    write(dir.path(), "adapter_config.json", &json!({}));
    refused(dir.path(), "adapter");
    let file = |name: &str, content: &[u8]| {
        fs::write(dir.path().join(name), content).unwrap();
        dir.path().join(name)
    };
    refused(&file("model.safetensors", b"\x08\0\0\0\0\0\0\0{}      "), "folder");
    refused(&file("picture.gguf", b"\x89PNG\r\n\x1a\n"), "GGUF");
    refused(&file("empty.gguf", b""), "GGUF");
    refused(&file("table.csv", b"a,b\n1,2\n"), "neither");
    let config = copy_of(LLAMA);
    for content in ["", "{", "\u{feff}{}", "[1]"] {
        fs::write(config.path().join("config.json"), content).unwrap();
        refused(config.path(), "config.json");
    }
    let broken = copy_of(LLAMA);
    fs::write(broken.path().join("tokenizer_config.json"), "not json").unwrap();
    refused(broken.path(), "tokenizer_config.json");
    let inside = tempfile::tempdir().unwrap();
    fs::create_dir(inside.path().join("config.json")).unwrap();
    refused(inside.path(), "config.json");
}

#[cfg(unix)]
#[test]
fn a_folder_without_permission_is_an_error() {
    use std::os::unix::fs::PermissionsExt;
    let dir = copy_of(LLAMA);
    let path = dir.path().join("model.safetensors");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // The superuser reads everything; then there is nothing to test.
    if fs::read(&path).is_err() {
        assert!(matches!(ModelFiles::open("x", dir.path()), Err(ModelError::Unreadable { .. })));
    }
}

//! Weight files: right values out of good ones, and a message that names file and tensor out of bad ones.

use crate::parity::fixture;
use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{DType, Device, Tensor};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tunesmith::base::Explain;
use tunesmith::model::ModelError;
use tunesmith::model::config::{DecoderConfig, RopeScaling};
use tunesmith::model::files::ModelFiles;
use tunesmith::model::weights::{Gguf, Weights};

pub const LLAMA: &str = "parity/tiny-llama/model";
const QWEN: &str = "parity/tiny-qwen2/model";

pub type Tensors = HashMap<String, Tensor>;

/// A copy of a fixture's model folder that a test may damage.
pub fn copy_of(name: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture(name)).unwrap().flatten() {
        fs::write(dir.path().join(entry.file_name()), fs::read(entry.path()).unwrap()).unwrap();
    }
    dir
}

pub fn tensors(name: &str) -> Tensors {
    candle_core::safetensors::load(fixture(name).join("model.safetensors"), &Device::Cpu).unwrap()
}

fn config(name: &str) -> DecoderConfig {
    let path = fixture(name).join("config.json");
    DecoderConfig::from_json(&path, &fs::read_to_string(&path).unwrap()).unwrap()
}

fn values(t: &Tensor) -> Vec<f32> {
    t.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn read(weights: &Weights, name: &str) -> Vec<f32> {
    values(&weights.read(name, &Device::Cpu).unwrap())
}

pub fn save(folder: &Path, tensors: &Tensors) {
    candle_core::safetensors::save(tensors, folder.join("model.safetensors")).unwrap();
}

/// The error of opening and checking a folder or file, which must be there and must name `needles`.
pub fn refused(path: &Path, needles: &[&str]) -> ModelError {
    let error = ModelFiles::open("test", path).expect_err("must be refused");
    let text = error.to_string();
    for needle in needles {
        assert!(text.contains(needle), "{text:?} does not say {needle:?}");
    }
    assert!(!error.hint().is_empty());
    error
}

#[test]
fn a_folder_reads_as_candle_reads_it() {
    for (name, count) in [(LLAMA, 20), (QWEN, 26)] {
        let weights = Weights::open(&fixture(name)).unwrap();
        weights.check(&config(name)).unwrap();
        let expected = tensors(name);
        assert_eq!(weights.names().len(), count);
        for (name, tensor) in &expected {
            assert_eq!(weights.shape(name).unwrap(), tensor.dims(), "{name}");
            assert_eq!(read(&weights, name), values(tensor), "{name}");
        }
    }
}

#[test]
fn weights_are_known_again_and_other_ones_are_not() {
    let (one, other) = (copy_of(LLAMA), copy_of(LLAMA));
    let fingerprint = |folder: &TempDir| Weights::open(folder.path()).unwrap().fingerprint().unwrap();
    assert_eq!(fingerprint(&one), fingerprint(&other));
    let mut tensors = tensors(LLAMA);
    let norm = tensors.get_mut("model.norm.weight").unwrap();
    *norm = (&*norm * 1.01).unwrap();
    save(other.path(), &tensors);
    assert_ne!(fingerprint(&one), fingerprint(&other));
}

#[test]
fn half_precision_is_widened() {
    for (dtype, stored) in [(DType::BF16, "BF16"), (DType::F16, "F16")] {
        let dir = copy_of(LLAMA);
        let half: Tensors =
            tensors(LLAMA).into_iter().map(|(name, t)| (name, t.to_dtype(dtype).unwrap())).collect();
        save(dir.path(), &half);
        let files = ModelFiles::open("half", dir.path()).unwrap();
        assert_eq!(files.info.dtype, stored);
        for (name, tensor) in &half {
            assert_eq!(read(&files.weights, name), values(tensor), "{name}");
        }
    }
}

#[test]
fn a_cut_anywhere_is_found_before_anything_is_read() {
    let whole = fs::read(fixture(LLAMA).join("model.safetensors")).unwrap();
    let dir = copy_of(LLAMA);
    let path = dir.path().join("model.safetensors");
    for length in [0, 1, 7, 8, 9, 500, 2_063, 2_064, 2_065, 100_000, whole.len() - 4, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        refused(dir.path(), &["model.safetensors"]);
    }
    fs::write(&path, [whole.as_slice(), b"tail"].concat()).unwrap();
    refused(dir.path(), &["model.safetensors", "end at byte"]);
}

#[test]
fn a_header_that_lies_about_its_length_is_refused() {
    let mut bytes = fs::read(fixture(LLAMA).join("model.safetensors")).unwrap();
    let dir = copy_of(LLAMA);
    for length in [u64::MAX, 1 << 40, 380_169, 65 << 20, 2_055, 0] {
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        fs::write(dir.path().join("model.safetensors"), &bytes).unwrap();
        refused(dir.path(), &["model.safetensors"]);
    }
}

#[test]
fn flipped_bits_in_a_header_never_panic() {
    let whole = fs::read(fixture(LLAMA).join("model.safetensors")).unwrap();
    let dir = copy_of(LLAMA);
    let mut num_refused = 0;
    for at in 0..2_064 {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(dir.path().join("model.safetensors"), &bytes).unwrap();
        match ModelFiles::open("flipped", dir.path()) {
            Err(_) => num_refused += 1,
            // What is left: the file's own remarks, spaces, and names that are not needed.
            Ok(files) => assert_eq!(files.weights.names().len(), 20),
        }
    }
    assert!(num_refused > 2_000, "{num_refused}");
}

#[test]
fn wrong_shapes_and_missing_tensors_are_named() {
    let dir = copy_of(LLAMA);
    let text = fs::read_to_string(dir.path().join("config.json")).unwrap();
    fs::write(
        dir.path().join("config.json"),
        text.replace("\"intermediate_size\": 96", "\"intermediate_size\": 80"),
    )
    .unwrap();
    refused(
        dir.path(),
        &["model.layers.0.mlp.gate_proj.weight", "[80, 64]", "[96, 64]", "model.safetensors"],
    );

    let dir = copy_of(LLAMA);
    let mut all = tensors(LLAMA);
    all.remove("model.layers.1.self_attn.k_proj.weight").unwrap();
    save(dir.path(), &all);
    refused(dir.path(), &["model.layers.1.self_attn.k_proj.weight", "missing", "model.safetensors"]);
}

#[test]
fn types_that_cannot_be_read_are_named() {
    let dir = copy_of(LLAMA);
    let mut all = tensors(LLAMA);
    all.insert("model.norm.weight".into(), Tensor::ones(64, DType::I64, &Device::Cpu).unwrap());
    save(dir.path(), &all);
    refused(dir.path(), &["model.norm.weight", "I64"]);
}

#[test]
fn values_that_are_not_numbers_are_refused() {
    let dir = copy_of(LLAMA);
    let mut all = tensors(LLAMA);
    all.insert("model.norm.weight".into(), Tensor::full(f32::NAN, 64, &Device::Cpu).unwrap());
    save(dir.path(), &all);
    let files = ModelFiles::open("nan", dir.path()).unwrap();
    let error = files.weights.read("model.norm.weight", &Device::Cpu).unwrap_err();
    assert!(error.to_string().contains("model.norm.weight"), "{error}");
}

#[test]
fn a_file_that_shrinks_while_it_is_open_is_an_error() {
    let dir = copy_of(LLAMA);
    let files = ModelFiles::open("shrinking", dir.path()).unwrap();
    fs::write(dir.path().join("model.safetensors"), b"short").unwrap();
    let error = files.weights.read("model.norm.weight", &Device::Cpu).unwrap_err();
    assert!(error.to_string().contains("shorter"), "{error}");
}

/// Splits the fixture into two shards and writes the index over them.
fn sharded(edit: impl FnOnce(&mut BTreeMap<String, String>)) -> TempDir {
    let dir = copy_of(LLAMA);
    fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    let mut map = BTreeMap::new();
    let mut parts = [Tensors::new(), Tensors::new()];
    for (i, (name, tensor)) in tensors(LLAMA).into_iter().enumerate() {
        map.insert(name.clone(), format!("model-0000{}-of-00002.safetensors", i % 2 + 1));
        parts[i % 2].insert(name, tensor);
    }
    for (i, part) in parts.iter().enumerate() {
        let name = format!("model-0000{}-of-00002.safetensors", i + 1);
        candle_core::safetensors::save(part, dir.path().join(name)).unwrap();
    }
    edit(&mut map);
    let index = serde_json::json!({ "metadata": { "total_size": 1 }, "weight_map": map });
    fs::write(dir.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    dir
}

#[test]
fn shards_read_as_one() {
    let dir = sharded(|_| {});
    let files = ModelFiles::open("sharded", dir.path()).unwrap();
    for (name, tensor) in tensors(LLAMA) {
        assert_eq!(read(&files.weights, &name), values(&tensor), "{name}");
        assert!(files.weights.path_of(&name).to_string_lossy().contains("-of-00002"));
    }
    fs::remove_file(dir.path().join("model-00002-of-00002.safetensors")).unwrap();
    refused(dir.path(), &["model-00002-of-00002.safetensors", "missing"]);
}

#[test]
fn an_index_cannot_point_outside_the_folder() {
    let outside = copy_of(LLAMA);
    let absolute = outside.path().join("model.safetensors").display().to_string();
    for place in ["../model.safetensors", "a/../../model.safetensors", "", absolute.as_str()] {
        let dir = sharded(|map| {
            map.insert("model.norm.weight".into(), place.into());
        });
        refused(dir.path(), &["model.norm.weight", "outside the folder"]);
    }
    let dir = sharded(|map| {
        map.insert("model.extra.weight".into(), "model-00001-of-00002.safetensors".into());
    });
    refused(dir.path(), &["model.extra.weight", "missing"]);
    fs::write(dir.path().join("model.safetensors.index.json"), "{\"weight_map\": 3}").unwrap();
    refused(dir.path(), &["model.safetensors.index.json"]);
}

#[test]
fn a_pickle_is_not_opened() {
    let dir = copy_of(LLAMA);
    fs::rename(dir.path().join("model.safetensors"), dir.path().join("pytorch_model.bin")).unwrap();
    let error = refused(dir.path(), &["pytorch_model.bin", "executes"]);
    assert!(error.hint().contains("save_pretrained"), "{}", error.hint());
}

// GGUF

/// `model.layers.0.mlp.up_proj.weight` -> `blk.0.ffn_up.weight`.
fn gguf_name(name: &str) -> String {
    let pairs = [
        ("model.layers.", "blk."),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
        ("post_attention_layernorm", "ffn_norm"),
        ("input_layernorm", "attn_norm"),
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
    ];
    pairs.iter().fold(name.to_string(), |name, (from, to)| name.replace(from, to))
}

/// llama.cpp's `permute`: halves of a head become neighbours.
fn permuted(t: &Tensor, heads: usize) -> Tensor {
    let (rows, columns) = t.dims2().unwrap();
    t.reshape((heads, 2, rows / heads / 2, columns))
        .unwrap()
        .transpose(1, 2)
        .unwrap()
        .contiguous()
        .unwrap()
        .reshape((rows, columns))
        .unwrap()
}

pub type Meta = BTreeMap<String, gguf_file::Value>;

fn metadata(architecture: &str, config: &DecoderConfig) -> Meta {
    use gguf_file::Value;
    let number = |n: usize| Value::U32(n as u32);
    let key = |name: &str| format!("{architecture}.{name}");
    let texts = |words: &[&str]| Value::Array(words.iter().map(|w| Value::String((*w).into())).collect());
    Meta::from([
        ("general.architecture".into(), Value::String(architecture.into())),
        (key("block_count"), number(config.num_layers)),
        (key("embedding_length"), number(config.width)),
        (key("feed_forward_length"), number(config.ffn_width)),
        (key("attention.head_count"), number(config.num_heads)),
        (key("attention.head_count_kv"), number(config.num_kv_heads)),
        (key("attention.layer_norm_rms_epsilon"), Value::F32(1e-5)),
        (key("rope.freq_base"), Value::F32(10_000.0)),
        (key("context_length"), number(256)),
        ("tokenizer.ggml.tokens".into(), texts(&["<unk>", "<s>", "</s>"])),
        ("tokenizer.ggml.bos_token_id".into(), number(1)),
        ("tokenizer.ggml.eos_token_id".into(), number(2)),
        ("tokenizer.chat_template".into(), Value::String("{{ messages }}".into())),
    ])
}

pub fn write_gguf(path: &Path, meta: &Meta, tensors: &[(String, QTensor)]) {
    let meta: Vec<_> = meta.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(&mut fs::File::create(path).unwrap(), &meta, &tensors).unwrap();
}

fn quantised(t: &Tensor, dtype: GgmlDType) -> QTensor {
    QTensor::quantize(t, if t.rank() == 1 { GgmlDType::F32 } else { dtype }).unwrap()
}

/// The fixture as llama.cpp would store it.
pub fn as_gguf(fixture: &str, architecture: &str, dtype: GgmlDType) -> (Meta, Vec<(String, QTensor)>) {
    let config = config(fixture);
    let mut out = Vec::new();
    for (name, tensor) in tensors(fixture) {
        let stored = match architecture {
            "llama" if name.ends_with("q_proj.weight") => permuted(&tensor, config.num_heads),
            "llama" if name.ends_with("k_proj.weight") => permuted(&tensor, config.num_kv_heads),
            _ => tensor,
        };
        out.push((gguf_name(&name), quantised(&stored, dtype)));
    }
    out.sort_by(|a, b| a.0.cmp(&b.0));
    (metadata(architecture, &config), out)
}

pub fn tiny_gguf(dir: &TempDir) -> PathBuf {
    let path = dir.path().join("tiny.gguf");
    let (meta, tensors) = as_gguf(LLAMA, "llama", GgmlDType::F32);
    write_gguf(&path, &meta, &tensors);
    path
}

#[test]
fn gguf_gives_the_same_model_as_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    for (fixture, architecture) in [(LLAMA, "llama"), (QWEN, "qwen2")] {
        let path = dir.path().join(architecture).with_extension("gguf");
        let (meta, stored) = as_gguf(fixture, architecture, GgmlDType::F32);
        write_gguf(&path, &meta, &stored);
        let files = ModelFiles::open("tiny", &path).unwrap();
        assert_eq!(files.config, config(fixture));
        assert_eq!((files.text.bos.as_deref(), files.text.eos.as_deref()), (Some("<s>"), Some("</s>")));
        assert_eq!(files.text.eos_ids, [2]);
        assert_eq!(files.text.chat_template.as_deref(), Some("{{ messages }}"));
        for (name, tensor) in tensors(fixture) {
            assert_eq!(read(&files.weights, &name), values(&tensor), "{name}");
        }
    }
}

#[test]
fn numbers_a_layer_are_read_where_all_are_the_same() {
    use gguf_file::Value;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layers.gguf");
    let (mut meta, stored) = as_gguf(LLAMA, "llama", GgmlDType::F32);
    let layers = |list: &[u32]| Value::Array(list.iter().map(|n| Value::U32(*n)).collect());
    meta.insert("llama.attention.head_count_kv".into(), layers(&[2, 2]));
    write_gguf(&path, &meta, &stored);
    let files = ModelFiles::open("layers", &path).unwrap();
    let name = "model.layers.1.self_attn.k_proj.weight";
    assert_eq!(read(&files.weights, name), values(&tensors(LLAMA)[name]));
    for odd in [&[2, 4][..], &[]] {
        meta.insert("llama.attention.head_count_kv".into(), layers(odd));
        write_gguf(&path, &meta, &stored);
        refused(&path, &["head_count_kv", "layer"]);
    }
}

#[test]
fn a_gguf_brings_its_tokenizer() {
    use gguf_file::Value;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("words.gguf");
    let (mut meta, stored) = as_gguf(LLAMA, "llama", GgmlDType::F32);
    // "ab" is one token, a space is Ġ, and id 2 is a control token.
    let tokens = ["a", "b", "<|end|>", "ab", "Ġ"];
    let texts = |list: &[&str]| Value::Array(list.iter().map(|t| Value::String((*t).into())).collect());
    let types = Value::Array([1, 1, 3, 1, 1].map(Value::I32).to_vec());
    meta.extend([
        ("tokenizer.ggml.model".into(), Value::String("gpt2".into())),
        ("tokenizer.ggml.pre".into(), Value::String("smollm".into())),
        ("tokenizer.ggml.tokens".into(), texts(&tokens)),
        ("tokenizer.ggml.merges".into(), texts(&["a b"])),
        ("tokenizer.ggml.token_type".into(), types),
    ]);
    write_gguf(&path, &meta, &stored);
    let tokeniser = ModelFiles::open("words", &path).unwrap().tokeniser().unwrap();
    assert_eq!(tokeniser.encode("ab ba<|end|>").unwrap(), [3, 4, 1, 0, 2]);
    meta.remove("tokenizer.ggml.tokens");
    write_gguf(&path, &meta, &stored);
    let error = ModelFiles::open("words", &path).unwrap().tokeniser().unwrap_err();
    assert!(error.to_string().contains("tokenizer.ggml.tokens"), "{error}");
}

#[test]
fn quantised_weights_are_close() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("q.gguf");
    for (dtype, name, bound) in
        [(GgmlDType::Q8_0, "Q8_0", 0.01), (GgmlDType::Q4_1, "Q4_1", 0.1), (GgmlDType::BF16, "BF16", 0.01)]
    {
        let (meta, stored) = as_gguf(LLAMA, "llama", dtype);
        write_gguf(&path, &meta, &stored);
        let files = ModelFiles::open("q", &path).unwrap();
        assert_eq!(files.info.dtype, name);
        for (name, tensor) in tensors(LLAMA) {
            let expected = values(&tensor);
            let most = expected.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            for (got, expected) in read(&files.weights, &name).iter().zip(&expected) {
                assert!((got - expected).abs() <= bound * most, "{name}: {got} {expected}");
            }
        }
    }
}

#[test]
fn a_cut_gguf_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = tiny_gguf(&dir);
    let whole = fs::read(&path).unwrap();
    let data = whole.len() - 378_112;
    for length in [0, 3, 4, 8, 23, 24, 200, data - 200, data, data + 1, whole.len() / 2, whole.len() - 64] {
        fs::write(&path, &whole[..length]).unwrap();
        refused(&path, &["tiny.gguf"]);
    }
}

#[test]
fn flipped_bits_in_a_gguf_header_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = tiny_gguf(&dir);
    let whole = fs::read(&path).unwrap();
    let num_header = whole.len() - 378_112;
    let mut num_refused = 0;
    for at in 0..num_header {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        if ModelFiles::open("flipped", &path).is_err() {
            num_refused += 1;
        }
    }
    assert!(num_refused > num_header / 2, "{num_refused} of {num_header}");
}

#[test]
fn gguf_counts_that_lie_allocate_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = tiny_gguf(&dir);
    let whole = fs::read(&path).unwrap();
    for (at, value) in
        [(8, u64::MAX), (8, 1 << 30), (16, u64::MAX), (16, 1 << 16), (24, u64::MAX), (24, 1 << 29)]
    {
        let mut bytes = whole.clone();
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        fs::write(&path, &bytes).unwrap();
        refused(&path, &["tiny.gguf"]);
    }
    // A string array of 2^40 elements.
    let at = find(&whole, b"tokenizer.ggml.tokens") + 21 + 4 + 4;
    let mut bytes = whole.clone();
    bytes[at..at + 8].copy_from_slice(&(1u64 << 40).to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    refused(&path, &["tiny.gguf", "no room"]);
}

pub fn find(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).position(|w| w == needle).unwrap()
}

#[test]
fn gguf_alignment_shape_type_and_place_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("odd.gguf");
    let (mut meta, stored) = as_gguf(LLAMA, "llama", GgmlDType::F32);
    for alignment in [0, 3, u32::MAX] {
        meta.insert("general.alignment".into(), gguf_file::Value::U32(alignment));
        write_gguf(&path, &meta, &stored);
        refused(&path, &["alignment"]);
    }
    meta.remove("general.alignment");
    write_gguf(&path, &meta, &stored);
    let whole = fs::read(&path).unwrap();
    // After the name: dimensions (4), two sides (16), type (4), offset (8).
    let at = find(&whole, b"blk.0.ffn_up.weight") + 19;
    for (offset, bytes, needle) in [
        (0, &9u32.to_le_bytes()[..], "dimensions"),
        (4, &(u64::MAX / 8).to_le_bytes()[..], "shape"),
        (4, &(1u64 << 40).to_le_bytes()[..], "cut off"),
        (4, &32u64.to_le_bytes()[..], "[96, 32]"),
        (20, &23u32.to_le_bytes()[..], "IQ4_XS"),
        (20, &17u32.to_le_bytes()[..], "blk.0.ffn_up.weight: is stored as IQ2_XS"),
        (20, &99u32.to_le_bytes()[..], "blk.0.ffn_up.weight: is stored as type 99"),
        (20, &999u32.to_le_bytes()[..], "type 999"),
        (24, &u64::MAX.to_le_bytes()[..], "cut off"),
    ] {
        let mut broken = whole.clone();
        broken[at + offset..at + offset + bytes.len()].copy_from_slice(bytes);
        fs::write(&path, &broken).unwrap();
        refused(&path, &["up", needle]);
    }
}

#[test]
fn llama_3_rope_factors_are_recognised() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rope.gguf");
    let (mut meta, mut stored) = as_gguf(LLAMA, "llama", GgmlDType::F32);
    meta.insert("llama.rope.freq_base".into(), gguf_file::Value::F32(500_000.0));
    // Meta's formula for factor 32, low 1, high 4, 8192 positions, a head of 16.
    let factors: Vec<f32> = (0..8)
        .map(|i| {
            let wavelength = std::f64::consts::TAU * 500_000f64.powf(2.0 * f64::from(i) / 16.0);
            if wavelength < 8192.0 / 4.0 {
                1.0
            } else if wavelength > 8192.0 {
                32.0
            } else {
                let smooth = (8192.0 / wavelength - 1.0) / 3.0;
                (1.0 / ((1.0 - smooth) / 32.0 + smooth)) as f32
            }
        })
        .collect();
    assert!(factors.contains(&1.0) && factors.contains(&32.0));
    let tensor =
        |values: &[f32]| quantised(&Tensor::from_slice(values, 8, &Device::Cpu).unwrap(), GgmlDType::F32);
    stored.push(("rope_freqs.weight".into(), tensor(&factors)));
    write_gguf(&path, &meta, &stored);
    let expected = RopeScaling::Llama3 {
        factor: 32.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_context: 8_192,
    };
    assert_eq!(Gguf::open(&path).unwrap().config().unwrap().rope_scaling, expected);

    stored.pop();
    stored.push(("rope_freqs.weight".into(), tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])));
    write_gguf(&path, &meta, &stored);
    refused(&path, &["rope_freqs.weight"]);
}

#[test]
fn gguf_settings_that_are_not_there_are_named() {
    use gguf_file::Value;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other.gguf");
    let (meta, stored) = as_gguf(LLAMA, "llama", GgmlDType::F32);
    for (key, value, needle) in [
        ("general.architecture", Value::String("mamba".into()), "mamba"),
        ("llama.expert_count", Value::U32(8), "mixture of experts"),
        ("llama.rope.scaling.type", Value::String("yarn".into()), "yarn"),
        ("llama.rope.dimension_count", Value::U32(8), "dimension_count of 8"),
        ("llama.attention.head_count_kv", Value::U32(3), "divide"),
        ("llama.attention.head_count", Value::U32(0), "heads is 0"),
        ("llama.block_count", Value::U32(u32::MAX), "layers"),
        ("llama.block_count", Value::U32(3), "model.layers.2."),
        ("llama.attention.head_count", Value::String("many".into()), "whole number"),
    ] {
        let mut meta = meta.clone();
        meta.insert(key.into(), value);
        write_gguf(&path, &meta, &stored);
        refused(&path, &[needle, "other.gguf"]);
    }
}

//! Token ids and rendered chats against transformers (`tests/fixtures/tokenizer/make_tokens.py`), with the
//! tokenizer rebuilt from the vocabulary of SmolLM2's GGUF file.

use crate::parity::fixture;
use serde_json::Value;
use std::io::Read;
use tunesmith::data::gguf_vocab::GgufVocab;
use tunesmith::data::mask::{TrainOn, sample};
use tunesmith::data::template::Template;
use tunesmith::data::{DataError, Example, Message, Tokeniser};

fn vocabulary() -> Value {
    let file = std::fs::File::open(fixture("tokenizer/smollm2-vocabulary.zip")).unwrap();
    let mut archive = zip::ZipArchive::new(file).unwrap();
    let mut text = String::new();
    archive.by_name("vocabulary.json").unwrap().read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn gguf_vocab(json: &Value) -> GgufVocab {
    let strings = |key: &str| serde_json::from_value(json[key].clone()).unwrap();
    GgufVocab {
        model: "gpt2".into(),
        pre: "smollm".into(),
        tokens: strings("tokens"),
        merges: strings("merges"),
        token_types: serde_json::from_value(json["token_types"].clone()).unwrap(),
        eos: Some(2),
        ..GgufVocab::default()
    }
}

pub fn smollm2() -> (Tokeniser, Template) {
    let json = vocabulary();
    let template =
        Template::chat(json["chat_template"].as_str().unwrap(), "<|im_start|>", "<|im_end|>").unwrap();
    let tokeniser = Tokeniser::from_gguf(gguf_vocab(&json)).unwrap();
    let adds_bos = tokeniser.adds_bos();
    let template = template.begins_plain_text(adds_bos).guarding(tokeniser.specials());
    (tokeniser, template)
}

fn reference() -> Vec<Value> {
    let text = std::fs::read_to_string(fixture("tokenizer/smollm2.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(row: &Value) -> Vec<u32> {
    serde_json::from_value(row["ids"].clone()).unwrap()
}

#[test]
fn every_reference_text_has_the_same_ids_and_comes_back() {
    let (tokeniser, _) = smollm2();
    let mut num_texts = 0;
    for row in reference().iter().filter(|row| row.get("text").is_some()) {
        let text = row["text"].as_str().unwrap();
        assert_eq!(tokeniser.encode(text).unwrap(), ids(row), "{text:?}");
        assert_eq!(tokeniser.decode(&ids(row), false), text);
        num_texts += 1;
    }
    assert!(num_texts >= 34, "{num_texts}");
}

#[test]
fn every_reference_chat_renders_the_same() {
    let (tokeniser, template) = smollm2();
    let mut num_chats = 0;
    for row in reference().iter().filter(|row| row.get("messages").is_some()) {
        let messages: Vec<Message> = serde_json::from_value(row["messages"].clone()).unwrap();
        let text = if row["generation_prompt"].as_bool().unwrap() {
            template.prompt(&messages).unwrap().text
        } else {
            template.render(&Example::Chat { messages }, TrainOn::Answers, true).unwrap().text
        };
        assert_eq!(text, row["rendered"].as_str().unwrap());
        assert_eq!(tokeniser.encode(&text).unwrap(), ids(row));
        num_chats += 1;
    }
    assert_eq!(num_chats, 6);
}

#[test]
fn only_the_assistants_turns_are_trained_on() {
    let (tokeniser, template) = smollm2();
    let messages = vec![
        Message::new("system", "Be brief."),
        Message::new("user", "hi"),
        Message::new("assistant", "Hello!"),
        Message::new("user", "Привет 🍐"),
        Message::new("assistant", "line 1\nline 2"),
    ];
    let rendered = template.render(&Example::Chat { messages }, TrainOn::Answers, true).unwrap();
    let trained: Vec<&str> = rendered.trained.iter().map(|r| &rendered.text[r.clone()]).collect();
    assert_eq!(trained, ["Hello!<|im_end|>", "line 1\nline 2<|im_end|>"]);
    let (sample, num_tokens) = sample(&tokeniser, &rendered, 1000).unwrap();
    assert_eq!(sample.ids, tokeniser.encode(&rendered.text).unwrap());
    assert_eq!(sample.len(), num_tokens);
    let learnt: Vec<u32> =
        sample.ids.iter().zip(sample.weights.iter()).filter(|(_, w)| *w > 0.0).map(|(id, _)| *id).collect();
    assert_eq!(tokeniser.decode(&learnt, false), trained.concat());
    let (cut, full) = tunesmith::data::mask::sample(&tokeniser, &rendered, 5).unwrap();
    assert_eq!((cut.len(), full), (5, num_tokens));
}

#[test]
fn generation_blocks_say_what_is_trained_on() {
    let source = "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}{% generation %}{{ m.content }}</s>\
                  {% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}";
    let template = Template::chat(source, "", "</s>").unwrap();
    let example = Example::PromptCompletion { prompt: "a".into(), completion: "b".into() };
    let rendered = template.render(&example, TrainOn::Answers, true).unwrap();
    assert_eq!(rendered.text, "<user>a<assistant>b</s>");
    let trained: Vec<&str> = rendered.trained.iter().map(|r| &rendered.text[r.clone()]).collect();
    assert_eq!(trained, ["b</s>"]);
}

#[test]
fn hostile_templates_fail_with_a_reason() {
    let render = |source: &str| -> Result<String, DataError> {
        Ok(Template::chat(source, "", "")?.prompt(&[Message::new("user", "hi")])?.text)
    };
    let endless =
        "{% for a in range(99999) %}{% for b in range(99999) %}{% set c = a %}{% endfor %}{% endfor %}";
    for (source, word) in [
        ("{% for m in messages %}", "line"),
        (endless, "does not come to an end"),
        ("{{ raise_exception('only users may speak') }}", "only users may speak"),
        ("{{ messages[0].nothing.at_all }}", "undefined"),
        ("{% include '/etc/passwd' %}", "passwd"),
        ("{{ strftime_now('%Q%') }}", ""),
    ] {
        let error = render(source).unwrap_err().to_string();
        assert!(error.contains(word), "{source}: {error}");
    }
    assert!(Template::chat(&"x".repeat(2 << 20), "", "").is_err());
}

#[test]
fn unknown_vocabularies_are_refused_by_name() {
    let json = vocabulary();
    for (model, pre, word) in [
        ("bert", "smollm", "bert"),
        ("llama", "smollm", "0 scores"),
        ("gpt2", "deepseek-llm", "deepseek-llm"),
        ("gpt2", "", "doesn't say"),
    ] {
        let vocab = GgufVocab { model: model.into(), pre: pre.into(), ..gguf_vocab(&json) };
        let error = Tokeniser::from_gguf(vocab).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let broken = GgufVocab { merges: vec!["nopair".into()], ..gguf_vocab(&json) };
    assert!(Tokeniser::from_gguf(broken).is_err());
    assert!(Tokeniser::from_file(&fixture("no-such-file")).is_err());
    assert!(Tokeniser::from_file(&fixture("tokenizer/smollm2-vocabulary.zip")).is_err());
}

#[test]
fn streamed_text_never_breaks_a_character() {
    let (tokeniser, _) = smollm2();
    for text in ["🍎🍐🍋 emoji 👩‍🔬 zwj", "line 1\nline 2\n\nПривет", "大規模言語モデル"]
    {
        let mut stream = tokeniser.stream();
        let mut out = String::new();
        for id in tokeniser.encode(text).unwrap() {
            let piece = stream.push(id).unwrap_or_default();
            assert!(!piece.contains('\u{FFFD}'), "{piece:?}");
            out.push_str(&piece);
        }
        out.push_str(&stream.finish().unwrap_or_default());
        assert_eq!(out, text);
    }
}

#[test]
fn every_known_way_to_split_words_keeps_the_text() {
    let json = vocabulary();
    let text = "I'll don't WE'RE 12345 naïve Привет  \n\n\tdef f(x): 大規模 🍎";
    for pre in ["smollm", "starcoder", "llama-bpe", "qwen2", "tekken", "gpt-2"] {
        let vocab = GgufVocab { pre: pre.into(), ..gguf_vocab(&json) };
        let tokeniser = Tokeniser::from_gguf(vocab).unwrap();
        let ids = tokeniser.encode(text).unwrap();
        assert_eq!(tokeniser.decode(&ids, false), text, "{pre}");
    }
    let digits = |pre: &str| {
        let vocab = GgufVocab { pre: pre.into(), ..gguf_vocab(&json) };
        let tokeniser = Tokeniser::from_gguf(vocab).unwrap();
        tokeniser.encode("2026").unwrap().len()
    };
    assert_eq!(digits("smollm"), 4);
}

#[test]
fn sentence_piece_vocabularies_give_the_ids_of_sentence_piece() {
    let text = std::fs::read_to_string(fixture("tokenizer/sentencepiece.json")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let strings = |key: &str| serde_json::from_value(json[key].clone()).unwrap();
    let vocab = GgufVocab {
        model: "llama".into(),
        tokens: strings("tokens"),
        scores: serde_json::from_value(json["scores"].clone()).unwrap(),
        token_types: serde_json::from_value(json["token_types"].clone()).unwrap(),
        bos: Some(1),
        eos: Some(2),
        unknown: Some(0),
        add_bos: true,
        ..GgufVocab::default()
    };
    let tokeniser = Tokeniser::from_gguf(vocab.clone()).unwrap();
    assert!(tokeniser.adds_bos());
    let rows = json["rows"].as_array().unwrap();
    assert!(rows.len() >= 14);
    for row in rows {
        let text = row["text"].as_str().unwrap();
        assert_eq!(tokeniser.encode(text).unwrap(), ids(row), "{text:?}");
        assert_eq!(tokeniser.decode(&ids(row), false), text);
        let mut stream = tokeniser.stream();
        let mut out: String = ids(row).into_iter().filter_map(|id| stream.push(id)).collect();
        out.push_str(&stream.finish().unwrap_or_default());
        assert_eq!(out, text);
    }
    assert_eq!(tokeniser.encode("<s>a</s>").unwrap().first(), Some(&1));
    let short = GgufVocab { scores: vec![0.0], ..vocab };
    assert!(Tokeniser::from_gguf(short).unwrap_err().to_string().contains("1 scores"));
    assert!(Tokeniser::from_gguf(GgufVocab { model: "llama".into(), ..GgufVocab::default() }).is_err());
}

#[test]
fn a_tokenizer_file_says_whether_text_begins_with_bos() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let file = |post_processor: Value| {
        let vocab = serde_json::json!({"<s>": 0, "a": 1, "b": 2, "ab": 3});
        let whole = serde_json::json!({"version": "1.0",
            "added_tokens": [{"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true}],
            "post_processor": post_processor, "model": {"type": "BPE", "vocab": vocab, "merges": ["a b"]},
            "truncation": {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0}});
        std::fs::write(&path, whole.to_string()).unwrap();
        Tokeniser::from_file(&path).unwrap()
    };
    assert!(!file(Value::Null).adds_bos());
    let bos = serde_json::json!({"SpecialToken": {"id": "<s>", "type_id": 0}});
    let text = serde_json::json!({"Sequence": {"id": "A", "type_id": 0}});
    let adding =
        file(serde_json::json!({"type": "TemplateProcessing", "single": [bos, text], "pair": [text, text],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}}));
    assert!(adding.adds_bos());
    // The file's own cutting to one token is not ours, and nothing is added by encoding.
    assert_eq!(adding.encode("abab").unwrap(), [3, 3]);
    assert_eq!((adding.id_of("<s>"), adding.vocabulary()), (Some(0), 4));
    assert_eq!(adding.specials(), ["<s>"]);
}

/// Texts and pairs with each kind of model's special tokens around them, cut as transformers cuts them:
/// `tests/fixtures/tokenizer/make_pairs.py`.
#[test]
fn texts_and_pairs_are_framed_as_transformers_does_it() {
    for kind in ["wordpiece", "bpe", "unigram", "modern"] {
        let tokeniser = Tokeniser::from_file(&fixture(&format!("tokenizer/pairs/{kind}.json"))).unwrap();
        let rows = std::fs::read_to_string(fixture(&format!("tokenizer/pairs/{kind}.jsonl"))).unwrap();
        assert_eq!(rows.lines().count(), 30);
        for row in rows.lines() {
            let row: Value = serde_json::from_str(row).unwrap();
            let (text, pair) = (row["text"].as_str().unwrap(), row["pair"].as_str());
            let most = row["max"].as_u64().unwrap() as usize;
            let got = tokeniser.with_specials(text, pair, most).unwrap();
            let case = format!("{kind}: {row}");
            assert_eq!(serde_json::json!(got.ids), row["ids"], "{case}");
            assert_eq!(serde_json::json!(got.types), row["types"], "{case}");
            let is_special: Vec<u8> = got.is_special.iter().map(|is| u8::from(*is)).collect();
            assert_eq!(serde_json::json!(is_special), row["special"], "{case}");
            let sequences = row["sequences"].as_array().unwrap();
            // Told of models that tell two texts apart.
            let types = row["types"].as_array().unwrap();
            let second = types.iter().position(|kind| *kind == 1).map(|at| at as u32);
            assert_eq!(got.second, second, "{case}");
            let of_second =
                |at: u32| sequences[at as usize] == 1 && (at == 0 || sequences[at as usize - 1] != 1);
            assert!(second.is_none_or(of_second), "{case}");
            // A word begins where its number changes, or the text's.
            let words: Vec<_> = sequences.iter().zip(row["words"].as_array().unwrap()).collect();
            let begins = |at: usize| !words[at].1.is_null() && (at == 0 || words[at] != words[at - 1]);
            let starts: Vec<bool> = (0..words.len()).map(begins).collect();
            assert_eq!(got.word_starts, starts, "{case}");
            assert!(
                got.num_tokens >= got.ids.len()
                    && (got.num_tokens > most) == (got.ids.len() < got.num_tokens)
            );
        }
        // Less room than the special tokens take: nothing of the text is left.
        let none = tokeniser.with_specials("rain", None, 1).unwrap();
        assert!(none.is_special.iter().all(|is| *is));
    }
    let long = "word ".repeat(200_000);
    let wordpiece = Tokeniser::from_file(&fixture("tokenizer/pairs/wordpiece.json")).unwrap();
    assert_eq!(wordpiece.with_specials(&long, Some("rain"), 64).unwrap().ids.len(), 64);
}

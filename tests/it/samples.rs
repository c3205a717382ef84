//! The sample data sets: facts that agree with each other, one style throughout; and their way to a data set.

use crate::tokenise::smollm2;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tunesmith::base::{Control, Silent};
use tunesmith::data::Reading;
use tunesmith::data::import::{ImportOptions, Imported, import};
use tunesmith::data::mask::TrainOn;
use tunesmith::data::prepare::{Dataset, PrepareOptions, prepare};
use tunesmith::data::template::Template;
use tunesmith::data::{DataError, Example, Fate, Layout};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/samples").join(name)
}

fn read(path: &Path) -> Imported {
    import(path, &ImportOptions::default(), &Control::new(), &mut Silent).unwrap()
}

pub fn prepared(imported: &Imported, change: impl FnOnce(&mut PrepareOptions)) -> Result<Dataset, DataError> {
    let (tokeniser, template) = smollm2();
    let mut options = PrepareOptions::new(imported.schema.clone());
    change(&mut options);
    let (tokeniser, template) = (Arc::new(tokeniser), Arc::new(template));
    prepare(imported, tokeniser, template, &options, &Control::new(), &mut Silent)
}

pub fn written(name: &str, content: &str) -> (tempfile::TempDir, Imported) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    let imported = read(&path);
    (folder, imported)
}

/// Name, Latin name, family and type of each fruit.
fn fruits() -> Vec<[String; 4]> {
    let imported = read(&path("fruit-families.csv"));
    (0..imported.table.num_rows())
        .map(|row| {
            let question = imported.table.cell(row, 0);
            let rest = question.strip_prefix("Which type of fruit is the ").expect(question);
            let (name, rest) = rest.split_once("? It is ").expect(question);
            let (latin, family) = rest.split_once(", of the family ").expect(question);
            let family = family.strip_suffix('.').expect(question);
            [name, latin, family, imported.table.cell(row, 1)].map(String::from)
        })
        .collect()
}

#[test]
fn fruits_agree_with_each_other() {
    let fruits = fruits();
    assert!(fruits.len() >= 150, "{}", fruits.len());
    for column in [0, 1] {
        let distinct: BTreeSet<String> = fruits.iter().map(|fruit| fruit[column].to_lowercase()).collect();
        assert_eq!(distinct.len(), fruits.len(), "a name stands twice");
    }
    // Every genus has one family and one type of fruit.
    let mut genera: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for [name, latin, family, kind] in &fruits {
        let (genus, species) = latin.split_once(' ').expect(latin);
        assert!(genus.starts_with(char::is_uppercase) && species.starts_with(char::is_lowercase), "{latin}");
        assert!(family.ends_with("aceae"), "{family}");
        let known = genera.entry(genus).or_insert((family, kind));
        assert_eq!(*known, (family.as_str(), kind.as_str()), "{name}");
    }
    // Families with one type of fruit, and the one type that only they have.
    for (family, kind) in [
        ("Rutaceae", "hesperidium"),
        ("Cucurbitaceae", "pepo"),
        ("Fabaceae", "legume"),
        ("Moraceae", "multiple"),
    ] {
        assert!(fruits.iter().all(|[_, _, f, k]| (f == family) == (k == kind)), "{family}");
    }
    for (genus, kind) in [("Prunus", "drupe"), ("Malus", "pome"), ("Pyrus", "pome"), ("Rubus", "aggregate")] {
        assert_eq!(genera[genus].1, kind, "{genus}");
    }
    let of_rosaceae: BTreeSet<&str> =
        fruits.iter().filter(|f| f[2] == "Rosaceae").map(|f| f[3].as_str()).collect();
    assert_eq!(of_rosaceae, BTreeSet::from(["aggregate", "drupe", "pome"]));
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    fruits.iter().for_each(|fruit| *kinds.entry(&fruit[3]).or_default() += 1);
    assert!(kinds.len() >= 8 && kinds.values().all(|n| *n >= 8), "{kinds:?}");
    assert!(kinds.values().max().unwrap() * 4 < fruits.len(), "one answer for all must score low: {kinds:?}");
}

#[test]
fn fruits_become_a_data_set_at_once() {
    let imported = read(&path("fruit-families.csv"));
    assert_eq!(imported.schema.layout(), Some(Layout::QuestionAnswer));
    let data = prepared(&imported, |_| ()).unwrap();
    assert_eq!(data.rows.len(), fruits().len());
    assert!(data.ledger.entries.is_empty(), "{:?}", data.ledger.entries);
    assert!(data.stats.percentile(100.0) < 100);
    let share = data.split.test.len() as f64 / data.rows.len() as f64;
    assert!((0.06..0.15).contains(&share), "{share}");
    let pieces = data.preview(0).unwrap();
    let text = |is_trained| -> String {
        pieces.iter().filter(|p| p.is_trained == is_trained).map(|p| p.text.as_str()).collect()
    };
    assert_eq!(text(true), format!("{}<|im_end|>", imported.table.cell(0, 1)));
    assert!(text(false).contains(imported.table.cell(0, 0)));
}

#[test]
fn the_captain_always_sounds_like_the_captain() {
    let imported = read(&path("sea-captain.jsonl"));
    assert_eq!(imported.schema.layout(), Some(Layout::Chat));
    let data = prepared(&imported, |_| ()).unwrap();
    assert!(data.rows.len() >= 120 && data.ledger.entries.is_empty(), "{:?}", data.ledger.entries);
    let (tokeniser, _) = smollm2();
    let mut questions = BTreeSet::new();
    for row in 0..data.rows.len() {
        let Some(Example::Chat { messages }) = data.example(row) else { panic!("{row}") };
        let [question, answer] = messages.as_slice() else { panic!("{row}") };
        assert_eq!((question.role.as_str(), answer.role.as_str()), ("user", "assistant"));
        assert!(questions.insert(question.content.to_lowercase()), "{}", question.content);
        assert!(!question.content.to_lowercase().contains("arr"), "{}", question.content);
        assert!(answer.content.ends_with(". Arr!"), "{}", answer.content);
        assert!(["matey", "me hearty"].iter().any(|w| answer.content.contains(w)), "{}", answer.content);
        assert!(tokeniser.encode(&answer.content).unwrap().len() <= 60, "{}", answer.content);
    }
}

#[test]
fn every_dropped_row_has_a_line_in_the_ledger() {
    let long = "word ".repeat(400);
    let content =
        format!("prompt,completion\na,1\nb,2\n\" A \",1\n,\nc,\"{long}\"\nd,\n<|im_end|>,4\ne,5\na,1\n");
    let (_folder, imported) = written("rows.csv", &content);
    let cut = prepared(&imported, |o| o.max_tokens = 128).unwrap();
    assert_eq!(cut.ledger.num_kept() as usize, cut.rows.len());
    assert_eq!(cut.samples.len(), cut.rows.len());
    let fates = |data: &Dataset| data.ledger.entries.iter().map(|e| e.fate.clone()).collect::<Vec<_>>();
    let duplicates = |data: &Dataset| data.ledger.count(|f| matches!(f, Fate::Duplicate { .. }));
    assert!(fates(&cut).contains(&Fate::Duplicate { of_line: 2 }), "{:?}", fates(&cut));
    assert_eq!(duplicates(&cut), 2, "normalised and exact: {:?}", fates(&cut));
    assert_eq!(cut.ledger.count(|f| matches!(f, Fate::Truncated { .. })), 1);
    assert!(cut.samples.iter().all(|s| s.len() <= 128));
    let dropped = prepared(&imported, |o| (o.max_tokens, o.drop_overlong) = (128, true)).unwrap();
    assert_eq!(dropped.ledger.count(|f| matches!(f, Fate::TooLong { .. })), 1);
    assert_eq!(dropped.rows.len(), cut.rows.len() - 1);
    assert_eq!(dropped.ledger.num_kept() as usize, dropped.rows.len());
    let all = prepared(&imported, |o| o.keep_duplicates = true).unwrap();
    assert_eq!(duplicates(&all), 0);
    let parts = [&all.split.train, &all.split.valid, &all.split.test];
    let with_a = |part: &&Vec<usize>| part.iter().any(|i| all.rows[*i].hash == all.rows[0].hash);
    assert_eq!(parts.iter().filter(|part| with_a(part)).count(), 1, "duplicates lie on two sides");
}

/// A file of a gigabyte must not be in memory twice: rows own nothing, and the data set shares the imported table.
#[test]
fn the_text_of_a_file_is_held_once() {
    fn owns_nothing<T: Copy>(_: &[T]) {}
    let imported = read(&path("sea-captain.jsonl"));
    let data = prepared(&imported, |_| ()).unwrap();
    owns_nothing(&data.rows);
    assert!(Arc::ptr_eq(&data.table, &imported.table));
    for sample in &data.samples {
        assert_eq!(sample.ids.capacity(), sample.len());
        assert_eq!(sample.weights.len(), sample.len());
        assert!(sample.weights.runs().count() <= 3, "weights take no room of their own a token");
    }
}

#[test]
fn data_with_nothing_to_learn_is_refused() {
    let long = "word ".repeat(100);
    let (_folder, imported) = written("rows.csv", &format!("prompt,completion\n{long},1\nb {long},2\n"));
    let error = prepared(&imported, |o| o.max_tokens = 16).unwrap_err();
    assert!(matches!(error, DataError::AnswersCut { num_rows: 2, max_tokens: 16, .. }), "{error}");
    let all = prepared(&imported, |o| {
        (o.max_tokens, o.reading) = (16, Reading::Written { train_on: TrainOn::Everything })
    })
    .unwrap();
    assert_eq!(all.samples[0].num_trained(), 15);
    let error = prepared(&imported, |o| (o.max_tokens, o.drop_overlong) = (16, true)).unwrap_err();
    assert!(matches!(error, DataError::AllTooLong { num_rows: 2, max_tokens: 16, .. }), "{error}");
    let (_folder, empty) = written("rows.csv", "prompt,completion\n,\n,\n");
    let error = prepared(&empty, |_| ()).unwrap_err();
    assert!(matches!(error, DataError::NothingLeft { .. }), "{error}");
    assert!(error.to_string().contains("every cell of the 2 rows is empty"), "{error}");
}

#[test]
fn a_conversation_that_the_template_refuses_is_malformed_not_fatal() {
    let lines = [
        r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#,
        r#"{"messages": [{"role": "user", "content": "c"}, {"role": "assistant", "content": "bad"}]}"#,
    ];
    let (_folder, imported) = written("rows.jsonl", &lines.join("\n"));
    let (tokeniser, _) = smollm2();
    let tokeniser = Arc::new(tokeniser);
    let refusing = |word: &str| {
        let source = format!(
            "{{% for m in messages %}}{{% if '{word}' in m.content %}}{{{{ raise_exception('never say that') }}}}{{% endif %}}\
             <{{{{ m.role }}}}>{{{{ m.content }}}}{{% endfor %}}"
        );
        let template = Arc::new(Template::chat(&source, "", "").unwrap());
        let options = PrepareOptions::new(imported.schema.clone());
        prepare(&imported, tokeniser.clone(), template, &options, &Control::new(), &mut Silent)
    };
    let data = refusing("bad").unwrap();
    assert_eq!((data.rows.len(), data.ledger.entries.len()), (1, 1));
    let Fate::Malformed { reason } = &data.ledger.entries[0].fate else { panic!("{:?}", data.ledger) };
    assert!(reason.contains("never say that"), "{reason}");
    let error = refusing("").unwrap_err().to_string();
    assert!(error.contains("never say that"), "{error}");
}

#[test]
fn preparing_stops_when_asked() {
    let imported = read(&path("fruit-families.csv"));
    let (tokeniser, template) = smollm2();
    let control = Control::new();
    control.stop();
    let options = PrepareOptions::new(imported.schema.clone());
    let stopped =
        prepare(&imported, Arc::new(tokeniser), Arc::new(template), &options, &control, &mut Silent);
    assert!(matches!(stopped, Err(DataError::Stopped)));
}

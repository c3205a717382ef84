//! What rows become for each objective: pieces of running text, texts of a class or a number, pairs, sentences.

use crate::samples::{prepared, written};
use tunesmith::base::Explain;
use tunesmith::data::prepare::Dataset;
use tunesmith::data::sentences::Pairing;
use tunesmith::data::{DataError, Goal, Reading, Role, Sample};

fn read(name: &str, text: &str, reading: Reading) -> Result<Dataset, DataError> {
    let (_folder, imported) = written(name, text);
    prepared(&imported, |o| (o.reading, o.max_tokens, o.split.valid, o.split.test) = (reading, 16, 0.0, 0.0))
}

fn labelled(has_several: bool) -> Reading {
    Reading::Labelled { has_several, labels: None }
}

/// Every token is learnt once, whatever a piece shows again of the one before; only a text's end is learnt as one.
#[test]
fn running_text_goes_on_in_pieces() {
    let text = (0..60).map(|i| format!("word{i}")).collect::<Vec<_>>().join(" ");
    let rows = format!("text\n{text}\nshort one\n");
    let whole = read("rows.csv", &rows, Reading::Running { overlap: 0, is_written: true }).unwrap();
    let num_learnt = |data: &Dataset| -> usize { data.samples.iter().map(Sample::num_trained).sum() };
    for overlap in [1, 5, 1000] {
        let data = read("rows.csv", &rows, Reading::Running { overlap, is_written: true }).unwrap();
        assert!(data.samples.len() > whole.samples.len());
        assert!(data.samples.iter().all(|sample| sample.len() <= 16 && sample.num_trained() > 0));
        let first_of_pieces = whole.samples.len();
        // The first token of a piece that shows nothing before it cannot be predicted.
        assert!(
            num_learnt(&data) >= num_learnt(&whole)
                && num_learnt(&data) <= num_learnt(&whole) + first_of_pieces
        );
    }
    let lines: Vec<u64> = whole.rows.iter().map(|row| row.line).collect();
    assert_eq!((lines.first(), lines.last()), (Some(&2), Some(&3)));
    assert!(whole.ledger.entries.is_empty(), "nothing is cut: {:?}", whole.ledger.entries);
    let ends =
        whole.samples.iter().filter(|sample| sample.ids.last() == whole.samples.last().unwrap().ids.last());
    assert_eq!(ends.count(), 2, "each text ends once");
}

#[test]
fn classes_are_numbered_and_numbers_are_read() {
    let rows = "text,label,score\nred apple,fruit,1\ngreen pea,vegetable,-2.5\nyellow pear,fruit,0\n";
    let classes = read("rows.csv", rows, labelled(false)).unwrap();
    assert_eq!(classes.labels.names(), ["fruit", "vegetable"]);
    let goals = |data: &Dataset| data.samples.iter().map(|sample| sample.goal.clone()).collect::<Vec<_>>();
    assert_eq!(goals(&classes), [Goal::Class(0), Goal::Class(1), Goal::Class(0)]);
    let scores = read("rows.csv", rows, Reading::Scored).unwrap();
    assert_eq!(goals(&scores), [1.0, -2.5, 0.0].map(Goal::Score));
    let rows = "text,label\none text,a|b\nanother text,b\nlast text,[]\n";
    let several = read("rows.csv", rows, labelled(true)).unwrap();
    assert_eq!(goals(&several), [vec![0, 1], vec![1], vec![]].map(Goal::Classes));
}

/// A model that has its classes already gets no others: such rows are told.
#[test]
fn a_class_that_the_model_does_not_have_is_a_line_of_the_ledger() {
    let reading = Reading::Labelled { has_several: false, labels: Some(vec!["yes".into(), "no".into()]) };
    let data = read("rows.csv", "text,label\nfirst text,no\nsecond text,maybe\n", reading).unwrap();
    assert_eq!(data.samples.len(), 1);
    assert_eq!(data.samples[0].goal, Goal::Class(1));
    let told = format!("{:?}", data.ledger.entries);
    assert!(told.contains("maybe") && told.contains("none of the model's classes"), "{told}");
}

#[test]
fn texts_that_are_compared_are_read_apart() {
    let rows = "text,positive,negative\na red apple,an apple that is red,a red car\nhello there,hello there,x\nbye,see you,\n";
    let data = read("rows.csv", rows, Reading::Paired).unwrap();
    let parts: Vec<usize> = data.samples.iter().map(|sample| sample.parts.len()).collect();
    assert_eq!(parts, [3, 2], "two that are the same teach nothing");
    assert_eq!(data.ledger.entries.len(), 1);
    assert!(format!("{}", data.ledger.entries[0].fate).contains("the same"));
    for sample in &data.samples {
        assert_eq!(*sample.parts.last().unwrap() as usize, sample.len());
    }
    let scored = read("rows.csv", "text,text2,score\nred apple,green apple,0.8\n", Reading::Paired).unwrap();
    assert_eq!((&scored.samples[0].goal, scored.samples[0].parts.len()), (&Goal::Score(0.8), 2));
    let alone = read("rows.csv", "text,label\nred apple,x\n", Reading::Paired).unwrap();
    assert_eq!(alone.samples[0].parts.len(), 1);
}

#[test]
fn sentences_are_paired_without_anybodys_labels() {
    let text = "The sun rose early. Birds began to sing. Nobody was awake. The day was long.";
    let rows =
        format!("text\n\"{text}\"\n\"It rained all night. The river rose fast.\"\nOnly this one here.\n");
    let reading = Reading::Sentences { pairing: Pairing::Order, seed: 3 };
    let data = read("rows.csv", &rows, reading).unwrap();
    assert_eq!(data.samples.len(), 3);
    assert_eq!(data.labels.names(), ["in order", "swapped"]);
    assert_eq!(data.rows[0].line, data.rows[1].line);
    assert!(data.ledger.entries.iter().any(|entry| entry.fate.to_string().contains("no two sentences")));
}

/// What the columns lack is said by role, before anything is read.
#[test]
fn columns_that_are_missing_are_named() {
    let why = |rows: &str, reading: Reading| read("rows.csv", rows, reading).unwrap_err();
    let error = why("text\nwords\n", labelled(false));
    assert!(error.to_string().contains("role Label"), "{error}");
    assert!(!error.hint().is_empty());
    let error = why("text,label\nwords,x\n", Reading::Scored);
    assert!(error.to_string().contains("role Score"), "{error}");
    let error = why("question,answer\nq,a\n", Reading::Running { overlap: 0, is_written: true });
    assert!(error.to_string().contains("role Text"), "{error}");
    // Cells that are no numbers do not hide what the column is.
    let (_folder, imported) = written("rows.csv", "text,score\nwords,much\nmore,\nlast,2\n");
    let data = prepared(&imported, |o| {
        assert_eq!(o.schema.roles, [Role::Text, Role::Score]);
        (o.reading, o.split.valid, o.split.test) = (Reading::Scored, 0.0, 0.0);
    });
    let fates: Vec<String> =
        data.unwrap().ledger.entries.iter().map(|entry| entry.fate.to_string()).collect();
    assert!(fates[0].contains("`much` is not a number") && fates[1].contains("score is empty"), "{fates:?}");
}

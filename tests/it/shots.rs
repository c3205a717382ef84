//! Few-shot prompts: line formats, pasted examples, files, and drawing from training rows.

use std::collections::BTreeSet;
use tunesmith::base::{Control, Explain};
use tunesmith::data::shots::{
    LineFormat, Question, Shot, draw, few_shot_messages, few_shot_text, questions, questions_from_table,
    read_questions, read_shots, shots_from_table, shots_from_text,
};
use tunesmith::data::{DataError, Example, Message, Role, Table};

fn fruit() -> Vec<Shot> {
    vec![Shot::new("apple", "pome"), Shot::new("plum", "drupe"), Shot::new("fig", "multiple")]
}

fn format(text: &str) -> LineFormat {
    LineFormat::parse(text).unwrap()
}

#[test]
fn prompts_end_where_the_answer_begins() {
    let cases: &[(&str, Option<&str>, usize, &str, &str)] = &[
        ("{input}: {output}", None, 0, "lemon", "lemon:"),
        ("{input}: {output}", None, 1, "lemon", "apple: pome\nlemon:"),
        ("{input}: {output}", None, 99, "lemon", "apple: pome\nplum: drupe\nfig: multiple\nlemon:"),
        ("{input}: {output}", Some(" Say the type. "), 1, "lemon", "Say the type.\n\napple: pome\nlemon:"),
        ("{input}: {output}", Some("  "), 0, "lemon", "lemon:"),
        ("{input}\\t{output}", None, 1, "lemon", "apple\tpome\nlemon"),
        ("Q: {input}\\nA: {output}", None, 1, "lemon", "Q: apple\nA: pome\n\nQ: lemon\nA:"),
        ("{input} ->\\n{output}", None, 1, "lemon", "apple ->\npome\n\nlemon ->\n"),
        ("[{input}] = {output};", None, 2, "lemon", "[apple] = pome;\n[plum] = drupe;\n[lemon] ="),
        ("{{{input}}} {output}", None, 1, "lemon", "{apple} pome\n{lemon}"),
        ("{input}: {output}", None, 0, "", ":"),
        // a question that looks like the format, and one of several lines, change nothing
        ("{input}: {output}", None, 0, "{output} {input} $1 \\1", "{output} {input} $1 \\1:"),
        ("{input}: {output}", None, 0, " two\r\n\nlines ", "two lines:"),
        ("Q: {input}\\nA: {output}", None, 0, "two\n\n\nlines", "Q: two\nlines\nA:"),
        ("{input}：{output}", None, 1, "柠檬", "apple：pome\n柠檬："),
    ];
    for (line, instruction, k, question, expected) in cases {
        assert_eq!(
            few_shot_text(&format(line), *instruction, &fruit(), *k, question),
            *expected,
            "{line} {k}"
        );
    }
}

#[test]
fn chat_shots_are_turns() {
    let turns = few_shot_messages(&fruit(), 1, "lemon");
    let expected =
        [Message::new("user", "apple"), Message::new("assistant", "pome"), Message::new("user", "lemon")];
    assert_eq!(turns, expected);
    assert_eq!(few_shot_messages(&fruit(), 0, "lemon").len(), 1);
    assert_eq!(few_shot_messages(&[], 5, "lemon").len(), 1);
}

#[test]
fn line_formats_that_cannot_work_are_refused() {
    let cases = [
        ("", "has no {input}"),
        ("hello", "has no {input}"),
        ("{input}", "has no {output}"),
        ("{output}: {input}", "needs {input} before {output}"),
        ("{input}{output}", "needs something between"),
        ("{input} {input} {output}", "has a placeholder twice"),
        ("{input}: {output} {output}", "has a placeholder twice"),
        ("{question}: {output}", "not {question}"),
        ("{input}: {output", "has a { without }"),
        ("{input}}: {output}", "has a } without {"),
        ("{", "has a { without }"),
        ("{}", "not {}"),
    ];
    for (text, why) in cases {
        let error = LineFormat::parse(text).unwrap_err();
        assert!(error.to_string().contains(why), "{text}: {error}");
        assert!(matches!(error, DataError::Template { .. }) && !error.hint().is_empty());
    }
}

#[test]
fn formats_are_written_as_they_are_read() {
    for text in
        ["{input}: {output}", "Q: {input}\\nA: {output}", "{{x}} {input}\\t{output}.", "{input}→{output}"]
    {
        assert_eq!(format(text).to_string(), text);
    }
}

#[test]
fn a_base_model_is_stopped_where_the_next_example_would_begin() {
    assert_eq!(format("{input}: {output}").stop(), ["\n"]);
    assert_eq!(format("Q: {input}\\nA: {output}").stop(), ["\n\n"]);
    assert_eq!(format("{input}: {output} ###").stop(), [" ###", "\n"]);
}

#[test]
fn pasted_examples_are_recognised() {
    let cases = [
        ("lines", "apple: pome\nplum: drupe\n\nfig: multiple\n"),
        ("comma in answers", "apple: pome\nplum: drupe\nfig: multiple"),
        ("spreadsheet", "apple\tpome\nplum\tdrupe\nfig\tmultiple\n"),
        ("spreadsheet with heading", "Input\tOutput\r\napple\tpome\r\nplum\tdrupe\r\nfig\tmultiple\r\n"),
        ("csv", "apple,pome\nplum,drupe\nfig,multiple"),
        ("quoted csv", "\"apple\",\"pome\"\n\"plum\",\"drupe\"\n\"fig\",\"multiple\""),
        ("csv with heading", "question,answer\napple,pome\nplum,drupe\nfig,multiple"),
        ("semicolons", "apple;pome\nplum;drupe\nfig;multiple"),
        ("byte order mark", "\u{feff}apple: pome\nplum: drupe\nfig: multiple"),
        (
            "json lines",
            "{\"prompt\":\"apple\",\"completion\":\"pome\"}\n{\"input\":\"plum\",\"output\":\"drupe\"}\n\
             {\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"fig\"},\
             {\"role\":\"assistant\",\"content\":\"multiple\"}]}",
        ),
    ];
    for (name, text) in cases {
        let found = shots_from_text(text, &LineFormat::default());
        assert_eq!((found.shots, found.skipped), (fruit(), vec![]), "{name}");
    }
    let arrows =
        shots_from_text("apple => pome\nplum => drupe\nfig => multiple", &format("{input} => {output}"));
    assert_eq!(arrows.shots, fruit());
    let blocks = "Q: apple\nA: pome\n\nQ: plum\nA: drupe\n\n\nQ: fig\nA: multiple";
    assert_eq!(shots_from_text(blocks, &format("Q: {input}\\nA: {output}")).shots, fruit());
}

#[test]
fn cells_keep_their_commas_colons_and_line_breaks() {
    let found = shots_from_text("\"a, b: c\",\"d\ne\"\n\"f \"\"g\"\"\",h", &LineFormat::default());
    assert_eq!(found.shots, [Shot::new("a, b: c", "d\ne"), Shot::new("f \"g\"", "h")]);
    let found = shots_from_text("time: 10:30\nday: Monday", &LineFormat::default());
    assert_eq!(found.shots[0], Shot::new("time", "10:30"));
}

#[test]
fn lines_that_are_no_examples_are_listed() {
    let found = shots_from_text("apple: pome\njust words\nplum: drupe\nempty:\n", &LineFormat::default());
    assert_eq!(found.shots.len(), 2);
    assert_eq!(found.skipped.iter().map(|s| s.line).collect::<Vec<_>>(), [2, 4]);
    for text in ["", "\n\n", "\u{feff}", "word", "\0\0\0", "{\"a\":", "\t\t\t", ",,,,", "\"unclosed"] {
        assert!(shots_from_text(text, &LineFormat::default()).shots.is_empty(), "{text:?}");
    }
    let many = shots_from_text(&"a: b\n".repeat(20_000), &LineFormat::default());
    assert_eq!((many.shots.len(), many.skipped.len()), (10_000, 1));
    assert_eq!(many.skipped[0].line, 10_001);
}

#[test]
fn plain_files_are_read_and_bad_ones_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shots.txt");
    std::fs::write(&path, "apple: pome\nplum: drupe\nfig: multiple").unwrap();
    let read = |path: &std::path::Path| read_shots(path, &LineFormat::default(), &Control::new());
    assert_eq!(read(&path).unwrap().shots, fruit());
    std::fs::write(&path, "\u{feff}Why: 1?\n\n Two? \n").unwrap();
    let questions = read_questions(&path, &Control::new()).unwrap();
    assert_eq!(questions.questions, [Question::new("Why: 1?", None), Question::new("Two?", None)]);
    std::fs::write(&path, "\n \n").unwrap();
    assert!(matches!(read_questions(&path, &Control::new()), Err(DataError::Empty { .. })));
    std::fs::write(&path, [0xff, 0xfe, 0x80]).unwrap();
    assert!(matches!(read_questions(&path, &Control::new()), Err(DataError::Unreadable { .. })));
    std::fs::write(&path, "nothing here").unwrap();
    assert!(matches!(read(&path), Err(DataError::NoShots { .. })));
    assert!(matches!(read(folder.path()), Err(DataError::Unreadable { .. })));
    assert!(matches!(read(&folder.path().join("none.txt")), Err(DataError::Unreadable { .. })));
}

fn labelled(labels: &[&str]) -> Vec<Example> {
    let rows = labels.iter().enumerate();
    rows.map(|(i, label)| Example::Labelled { text: format!("t{i}"), second: None, label: (*label).into() })
        .collect()
}

fn shot(examples: &[Example]) -> impl Fn(usize) -> Option<Shot> {
    |row| Shot::of(examples.get(row)?)
}

#[test]
fn few_shots_cover_several_answers() {
    let labels: Vec<&str> =
        (0..90).map(|i| ["berry", "berry", "berry", "Berry", "drupe", "pome"][i % 6]).collect();
    let rows = labelled(&labels);
    let train: Vec<usize> = (0..90).collect();
    for seed in 0..20 {
        let three: BTreeSet<String> =
            draw(shot(&rows), &train, 3, seed).into_iter().map(|s| s.output.to_lowercase()).collect();
        assert_eq!(three.len(), 3, "seed {seed}");
        let all = draw(shot(&rows), &train, 1000, seed);
        assert_eq!(all.len(), 90);
        for k in 0..20 {
            assert_eq!(
                draw(shot(&rows), &train, k, seed),
                all[..k],
                "more shots are the fewer ones and some"
            );
        }
    }
    assert_ne!(draw(shot(&rows), &train, 5, 1), draw(shot(&rows), &train, 5, 2));
}

#[test]
fn only_training_rows_are_drawn_and_each_question_once() {
    let mut rows = labelled(&["a", "b", "c", "d"]);
    rows.push(Example::Labelled { text: "T0".into(), second: None, label: "z".into() });
    rows.push(Example::Text { text: "plain".into() });
    rows.push(Example::PromptCompletion { prompt: "p".into(), completion: "  ".into() });
    for seed in 0..10 {
        let drawn = draw(shot(&rows), &[1, 3, 5, 6, 99], 9, seed);
        let mut questions: Vec<_> = drawn.iter().map(|s| s.input.as_str()).collect();
        questions.sort_unstable();
        assert_eq!(questions, ["t1", "t3"]);
        assert_eq!(draw(shot(&rows), &[0, 4], 9, seed).len(), 1);
    }
    let asked: Vec<Question> = questions(shot(&rows), [0, 5, 4, 2, 77]).collect();
    assert_eq!(asked, [Question::new("t0", Some("a".into())), Question::new("t2", Some("c".into()))]);
    assert!(draw(shot(&rows), &[], 3, 1).is_empty() && draw(shot(&[]), &[0], 3, 1).is_empty());
}

#[test]
fn examples_of_each_kind_become_shots() {
    let chat = |roles: &[(&str, &str)]| Example::Chat {
        messages: roles.iter().map(|(role, content)| Message::new(role, *content)).collect(),
    };
    let pair = Some(Shot::new("q", "a"));
    let cases = [
        (Example::PromptCompletion { prompt: " q ".into(), completion: " a".into() }, pair.clone()),
        (Example::Preference { prompt: "q".into(), chosen: "a".into(), rejected: "b".into() }, pair.clone()),
        (Example::Scored { text: "q".into(), second: None, score: 0.5 }, Some(Shot::new("q", "0.5"))),
        (
            chat(&[("system", "s"), ("user", "old"), ("assistant", "x"), ("user", "q"), ("assistant", "a")]),
            pair,
        ),
        (chat(&[("assistant", "a"), ("user", "q")]), None),
        (chat(&[("user", "q")]), None),
        (chat(&[]), None),
    ];
    for (example, expected) in cases {
        assert_eq!(Shot::of(&example), expected, "{example:?}");
    }
}

fn table(columns: &[&str], rows: &[&[&str]]) -> Table {
    let mut table = Table::with_columns(columns.iter().copied());
    for (i, row) in rows.iter().enumerate() {
        table.push_row(i as u64 + 2, row.iter().copied());
    }
    table
}

#[test]
fn columns_are_found_by_their_roles() {
    let shot = |input: &str, output: &str| Shot::new(input, output);
    let cases = [
        (
            "by role",
            vec![Role::Label, Role::Ignore, Role::Text],
            ["pome", "x", "apple"],
            shot("apple", "pome"),
        ),
        ("unknown", vec![Role::Ignore; 3], ["apple", "pome", "x"], shot("apple", "pome")),
        ("no roles", vec![], ["apple", "pome", "x"], shot("apple", "pome")),
        (
            "instruction and input",
            vec![Role::Instruction, Role::Input, Role::Output],
            ["Name it.", "apple", "pome"],
            shot("Name it.\napple", "pome"),
        ),
        (
            "instruction alone",
            vec![Role::Instruction, Role::Input, Role::Output],
            ["Why?", "", "So."],
            shot("Why?", "So."),
        ),
        (
            "chat",
            vec![Role::Ignore, Role::Messages, Role::Ignore],
            ["x", r#"[{"from":"human","value":"apple"},{"from":"gpt","value":"pome"}]"#, "y"],
            shot("apple", "pome"),
        ),
    ];
    for (name, roles, cells, expected) in cases {
        let found = shots_from_table(&table(&["a", "b", "c"], &[&cells]), &roles);
        assert_eq!(found.shots, std::slice::from_ref(&expected), "{name}");
        let questions = questions_from_table(&table(&["a", "b", "c"], &[&cells]), &roles);
        assert_eq!(questions.questions, [Question::from(expected)], "{name}");
    }
}

#[test]
fn rows_without_an_answer_are_questions_but_no_shots() {
    let rows: &[&[&str]] = &[&["apple", "pome"], &["fig", " "], &["", "drupe"]];
    let found = shots_from_table(&table(&["prompt", "completion"], rows), &[Role::Prompt, Role::Completion]);
    assert_eq!(
        (found.shots.len(), found.skipped.iter().map(|s| s.line).collect::<Vec<_>>()),
        (1, vec![3, 4])
    );
    let found =
        questions_from_table(&table(&["prompt", "completion"], rows), &[Role::Prompt, Role::Completion]);
    assert_eq!(found.skipped.iter().map(|s| (s.line, &*s.why)).collect::<Vec<_>>(), [(4, "has no question")]);
    assert_eq!(found.questions, [Question::new("apple", Some("pome".into())), Question::new("fig", None)]);
    let one = questions_from_table(&table(&["question"], &[&["why?"]]), &[Role::Question]);
    assert_eq!(one.questions, [Question::new("why?", None)]);
    let bad = table(&["messages"], &[&["{"], &["[1]"], &["null"], &[r#"[{"role":"user","content":"q"}]"#]]);
    assert!(shots_from_table(&bad, &[Role::Messages]).shots.is_empty());
    assert!(shots_from_table(&table(&[], &[]), &[]).shots.is_empty());
    // more roles than columns: a file that changed under its schema
    assert_eq!(
        shots_from_table(&table(&["a"], &[&["x"]]), &[Role::Ignore, Role::Prompt, Role::Completion]).shots,
        []
    );
}

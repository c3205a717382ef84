//! Roles guessed from tables, and examples made from rows.

use tunesmith::data::{Example, Fate, Layout, Message, Role, Schema, Table};

fn table(names: &[&str], rows: &[&[&str]]) -> Table {
    let mut table = Table::with_columns(names.iter().copied());
    for (index, row) in rows.iter().enumerate() {
        table.push_row(index as u64 + 2, row.iter().copied());
    }
    table
}

#[track_caller]
fn guessed(names: &[&str], cells: &[&str], layout: Layout, roles: &[Role]) {
    let schema = Schema::guess(&table(names, &[cells, cells]));
    assert_eq!(schema.layout(), Some(layout), "{names:?} {:?}", schema.roles);
    assert_eq!(schema.roles, roles, "{names:?}");
}

const OPENAI: &str = r#"[{"role":"system","content":"Be kind."},{"role":"user","content":"Hi"},{"role":"assistant","content":[{"type":"text","text":"Hello"}]}]"#;
const SHAREGPT: &str = r#"[{"from":"human","value":"Hi"},{"from":"gpt","value":"Hello"}]"#;

/// A column called a score is one where half of what stands in it is numbers; of words alone it is none.
#[test]
fn a_score_with_garbage_is_still_one() {
    let of = |name: &str, cells: &[&str]| {
        let rows: Vec<[&str; 2]> =
            cells.iter().map(|cell| ["a longer text that is judged by someone", cell]).collect();
        let rows: Vec<&[&str]> = rows.iter().map(|row| &row[..]).collect();
        Schema::guess(&table(&["text", name], &rows)).roles[1]
    };
    for name in ["score", "Rating", "stars"] {
        assert_eq!(of(name, &["1", "2,5", "n/a", "-3", "good", ""]), Role::Score, "{name}");
        assert_eq!(of(name, &["4", "?"]), Role::Score, "{name}");
        assert_ne!(of(name, &["4", "good", "bad", "good", "bad", "good"]), Role::Score, "{name}");
    }
    assert_eq!(of("label", &["1", "0", "n/a", "1", "0"]), Role::Label);
}

#[test]
fn layouts_are_recognised_by_name() {
    use Role::*;
    guessed(&["prompt", "completion"], &["a", "b"], Layout::PromptCompletion, &[Prompt, Completion]);
    guessed(
        &["ID", "Response", "Prompt"],
        &["1", "b", "a"],
        Layout::PromptCompletion,
        &[Ignore, Output, Prompt],
    );
    guessed(
        &["Instruction", "input", "OUTPUT", "text", "system_prompt"],
        &["a", "", "c", "d", "e"],
        Layout::InstructionInputOutput,
        &[Instruction, Input, Output, Ignore, System],
    );
    guessed(
        &["id", "title", "context", "question", "answer"],
        &["1", "t", "c", "q", "a"],
        Layout::QuestionAnswer,
        &[Ignore, Ignore, Input, Question, Answer],
    );
    guessed(&["Soru", "Cevap"], &["q", "a"], Layout::QuestionAnswer, &[Question, Answer]);
    guessed(&["messages"], &[OPENAI], Layout::Chat, &[Messages]);
    guessed(&["id", "conversations"], &["x", SHAREGPT], Layout::Chat, &[Ignore, Messages]);
    guessed(&["text"], &["a"], Layout::Text, &[Text]);
    guessed(&["Review", "Sentiment"], &["good film", "pos"], Layout::TextLabel, &[Text, Label]);
    guessed(&["text", "rating"], &["good film", "4.5"], Layout::TextScore, &[Text, Score]);
    guessed(
        &["chosen", "rejected", "prompt"],
        &["a", "b", "c"],
        Layout::ChosenRejected,
        &[Chosen, Rejected, Prompt],
    );
    guessed(
        &["question", "answer", "doc_id"],
        &["q", "a", "7"],
        Layout::QuestionAnswer,
        &[Question, Answer, Group],
    );
    guessed(&["text", "conversations"], &["words", "none"], Layout::Text, &[Text, Ignore]);
}

#[test]
fn layouts_are_recognised_by_content() {
    use Role::*;
    guessed(&["x", "y"], &["apple", "pome"], Layout::PromptCompletion, &[Prompt, Completion]);
    guessed(&["whatever"], &["apple"], Layout::Text, &[Text]);
    guessed(&["dump"], &[SHAREGPT], Layout::Chat, &[Messages]);
    let rows: Vec<[String; 3]> = (0..40)
        .map(|i| {
            [
                i.to_string(),
                format!("row {i} is a rather long piece of text"),
                ["pos", "neg"][i % 2].to_string(),
            ]
        })
        .collect();
    let rows: Vec<Vec<&str>> = rows.iter().map(|r| r.iter().map(String::as_str).collect()).collect();
    let rows: Vec<&[&str]> = rows.iter().map(Vec::as_slice).collect();
    let schema = Schema::guess(&table(&["n", "body of it", "kind"], &rows));
    assert_eq!(schema.roles, [Ignore, Text, Label]);
    let empty = Schema::guess(&Table::with_columns(["a", "b"]));
    assert_eq!(empty.roles, [Ignore, Ignore]);
    assert_eq!((empty.layout(), Schema::guess(&Table::default()).roles.len()), (None, 0));
}

fn schema(roles: &[Role]) -> Schema {
    Schema { roles: roles.to_vec(), prompt_template: None }
}

#[track_caller]
fn example(roles: &[Role], cells: &[&str]) -> Result<Option<Example>, String> {
    let names: Vec<String> = (0..cells.len()).map(|i| format!("c{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match schema(roles).example(&table(&names, &[cells]), 0) {
        Err(Fate::Empty) => Ok(None),
        other => other.map(Some).map_err(|fate| fate.to_string()),
    }
}

#[test]
fn rows_become_examples() {
    use Role::*;
    let pair = |prompt: &str, completion: &str| {
        Ok(Some(Example::PromptCompletion { prompt: prompt.into(), completion: completion.into() }))
    };
    assert_eq!(example(&[Prompt, Completion], &["a", "b"]), pair("a", "b"));
    assert_eq!(example(&[Instruction, Input, Output], &["do", "x", "y"]), pair("do\n\nx", "y"));
    assert_eq!(example(&[Instruction, Input, Output], &["do", " ", "y"]), pair("do", "y"));
    assert_eq!(example(&[Output, Question], &["y", "q"]), pair("q", "y"));
    assert_eq!(example(&[Prompt, Completion], &[" ", "\n"]), Ok(None));
    assert!(example(&[Prompt, Completion], &["a", " "]).unwrap_err().contains("c1 is empty"));
    let chat = example(&[System, Question, Answer], &["s", "q", "a"]).unwrap().unwrap();
    let turns = vec![Message::new("system", "s"), Message::new("user", "q"), Message::new("assistant", "a")];
    assert_eq!(chat, Example::Chat { messages: turns });
    assert_eq!(
        example(&[Text, Label], &["t", " l "]),
        Ok(Some(Example::Labelled { text: "t".into(), second: None, label: "l".into() }))
    );
    assert!(example(&[Text, Label], &["t", ""]).is_err());
    assert_eq!(
        example(&[Text, Score], &["t", "2,5"]),
        Ok(Some(Example::Scored { text: "t".into(), second: None, score: 2.5 }))
    );
    for bad in ["many", "NaN", "inf"] {
        assert!(example(&[Text, Score], &["t", bad]).unwrap_err().contains("not a number"));
    }
}

#[test]
fn conversations_are_read_in_both_forms() {
    let messages = |cell: &str| match example(&[Role::Messages], &[cell]) {
        Ok(Some(Example::Chat { messages })) => Ok(messages),
        Ok(other) => panic!("{other:?}"),
        Err(e) => Err(e),
    };
    let said = messages(OPENAI).unwrap();
    assert_eq!((said.len(), &said[2]), (3, &Message::new("assistant", "Hello")));
    assert_eq!(messages(SHAREGPT).unwrap(), [Message::new("user", "Hi"), Message::new("assistant", "Hello")]);
    assert_eq!(messages(&format!("{{\"messages\": {OPENAI}}}")).unwrap(), said);
    for (cell, words) in [
        ("[{'role': 'user', 'content': 'x'}]", "single quotes"),
        ("hello", "not valid JSON"),
        ("{\"a\": 1}", "without a list"),
        ("[{\"role\": \"user\"}]", "message 1: has no content"),
        ("[{\"content\": \"x\"}]", "message 1: has no role"),
        ("[{\"role\": \"user\", \"content\": \"x\"}]", "says nothing"),
    ] {
        let error = messages(cell).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(example(&[Role::Messages], &["[]"]), Ok(None));
}

#[test]
fn preferences_in_their_forms() {
    use Role::*;
    let want = |prompt: &str, chosen: &str, rejected: &str| {
        Ok(Some(Example::Preference {
            prompt: prompt.into(),
            chosen: chosen.into(),
            rejected: rejected.into(),
        }))
    };
    assert_eq!(example(&[Prompt, Chosen, Rejected], &["p", "a", "b"]), want("p", "a", "b"));
    let turns = |answer: &str| {
        format!(
            "[{{\"role\":\"user\",\"content\":\"p\"}},{{\"role\":\"assistant\",\"content\":\"{answer}\"}}]"
        )
    };
    assert_eq!(example(&[Chosen, Rejected], &[&turns("a"), &turns("b")]), want("p", "a", "b"));
    let transcript = |answer: &str| format!("\n\nHuman: hi\n\nAssistant: {answer}");
    assert_eq!(
        example(&[Chosen, Rejected], &[&transcript("a"), &transcript("b")]),
        want("\n\nHuman: hi\n\nAssistant:", " a", " b")
    );
    assert!(example(&[Chosen, Rejected], &["a", "a "]).unwrap_err().contains("same"));
    assert!(example(&[Chosen, Rejected], &["a", ""]).unwrap_err().contains("empty"));
}

#[test]
fn templates_replace_the_prompt() {
    let table = table(&["Fruit", "family"], &[&["fig", "multiple"]]);
    let with = |template: &str| Schema {
        roles: vec![Role::Ignore, Role::Completion],
        prompt_template: Some(template.into()),
    };
    let example = with("Which {{kind}} is {fruit}?").example(&table, 0).unwrap();
    let prompt = "Which {kind} is fig?".to_string();
    assert_eq!(example, Example::PromptCompletion { prompt, completion: "multiple".into() });
    assert_eq!(with("{Fruit}").problems(&table), Vec::<String>::new());
    let unknown = with("{familly}").row(&table, 0).unwrap_err().to_string();
    assert!(unknown.contains("{familly}") && unknown.contains("did you mean {family}"), "{unknown}");
    for (template, words) in [
        ("{familly}", "did you mean"),
        ("a {b", "without its }"),
        ("a }", "without its {"),
        ("same", "no {column}"),
    ] {
        let problems = with(template).problems(&table);
        assert!(problems.len() == 1 && problems[0].contains(words), "{problems:?}");
    }
}

#[test]
fn problems_are_said() {
    use Role::*;
    let two = table(&["a", "b"], &[&["x", ""]]);
    let said = |roles: &[Role]| schema(roles).problems(&two).join("; ");
    assert_eq!(said(&[Text, Ignore]), "");
    assert!(said(&[Prompt, Ignore]).contains("say which is the Completion"));
    assert!(said(&[Ignore, Answer]).contains("say which is the Prompt"));
    assert!(said(&[Ignore, Ignore]).contains("no column has a role"));
    assert!(said(&[Ignore, Label]).contains("the Text"));
    assert!(said(&[Chosen, Ignore]).contains("Rejected"));
    assert!(said(&[Prompt, Completion]).contains("b is Completion but empty in every row"));
    assert!(said(&[Text, Text]).contains("only the first counts"));
    assert!(said(&[Text]).contains("1 columns, the file has 2"));
}

#[test]
fn equal_content_has_an_equal_hash() {
    let hash = |prompt: &str, completion: &str| {
        let table = table(&["a", "b"], &[&[prompt, completion]]);
        schema(&[Role::Prompt, Role::Completion]).row(&table, 0).unwrap().hash
    };
    assert_eq!(hash("Ağaç  nedir?\n", "bitki"), hash("ağaç nedir?", " BITKI"));
    assert_eq!(hash("ﬁg", "x"), hash("fig", "x"));
    assert_ne!(hash("a b", "c"), hash("a", "b c"));
    assert_ne!(hash("a", "b"), hash("b", "a"));
    assert_eq!(
        hash("fig", "multiple"),
        1_369_005_374_739_010_004,
        "the hash is part of stored splits: it must not change"
    );
}

#[test]
fn groups_and_roles_move_with_the_user() {
    let table = table(&["q", "a", "g"], &[&["q", "a", "7"]]);
    let mut schema = schema(&[Role::Ignore, Role::Answer, Role::Group]);
    schema.set_role(0, Role::Question);
    let row = schema.row(&table, 0).unwrap();
    assert_eq!((row.index, row.line), (0, 2));
    assert!(row.group.is_some());
    schema.set_role(2, Role::Question);
    assert_eq!(schema.roles, [Role::Ignore, Role::Answer, Role::Question]);
    assert_eq!(serde_json::to_string(&Role::ALL[7]).unwrap(), "\"system\"");
    let names: std::collections::HashSet<_> = Role::ALL.iter().map(|role| role.title()).collect();
    assert_eq!(names.len(), Role::ALL.len());
}

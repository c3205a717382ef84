//! Nothing of a file is dropped in silence: the ledger and the reasons, as the command line tells them.

use crate::cli::{Stage, code, stderr};
use serde_json::Value;
use std::io::Write;
use tunesmith::base::{Control, Silent};
use tunesmith::data::import::{ImportOptions, import};

/// Rows of which one is empty, one unanswered, one a duplicate, one malformed.
fn mixed(stage: &Stage) -> String {
    let row = |i: usize| format!("What is no. {i}?,it is {i}\n");
    let rows: String = (0..20).map(row).collect();
    stage.file("mixed.csv", format!("question,answer\n{rows},\nWhy?,\nWhat is no. 3?,it is 3\na,b,c\n"))
}

fn recipe(stage: &Stage, data: &str, more: &str) -> String {
    let batch = if more.contains("[batch]") { "" } else { "[batch]\nmax_tokens = 128\n" };
    let text = format!(
        "[model]\nsource = {:?}\n[length]\nupdates = 1\n[run]\ndevice = \"cpu\"\n[data]\npath = {data:?}\n{more}{batch}",
        stage.model()
    );
    stage.file("r.toml", text)
}

#[track_caller]
fn counts(ledger: &Value) {
    let expected = [
        ("num_read", 24),
        ("num_kept", 20),
        ("num_empty", 1),
        ("num_no_answer", 1),
        ("num_duplicate", 1),
        ("num_malformed", 1),
    ];
    for (name, n) in expected {
        assert_eq!(ledger[name], n, "{name}: {ledger}");
    }
    assert_eq!(ledger["entries"].as_array().unwrap().len(), 4);
}

#[test]
fn training_shows_the_ledger_before_it_starts() {
    let stage = Stage::new();
    let recipe = recipe(&stage, &mixed(&stage), "[batch]\nmax_tokens = 128\n");
    let output = stage.run(&["train", "--recipe", &recipe, "--out", "run", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let place = |name: &str| events.iter().position(|e| e["event"] == name).unwrap();
    assert!(place("data") < place("started"));
    let data = &events[place("data")];
    counts(data);
    let part = |name: &str| data[name].as_u64().unwrap();
    assert_eq!(part("num_train") + part("num_valid") + part("num_test"), 20);

    let output = stage.run(&["train", "--recipe", &recipe, "--out", "again"]);
    let told = stderr(&output);
    assert!(
        told.contains("24 rows read, 20 kept; left out: 1 empty, 1 malformed, 1 without an answer"),
        "{told}"
    );
    assert!(told.find("ledger:") < told.find("Training"), "{told}");
}

#[test]
fn checking_and_measuring_show_the_ledger() {
    let stage = Stage::new();
    let rows = mixed(&stage);
    let recipe = recipe(&stage, &rows, "[batch]\nmax_tokens = 128\n");
    let (code, value) = stage.json(&["recipe", "check", &recipe]);
    assert_eq!(code, 0, "{value}");
    counts(&value["ledger"]);
    assert!(stderr(&stage.run(&["recipe", "check", &recipe])).contains("24 rows read, 20 kept"));
    let model = stage.model();
    let args = ["eval", "--model", &model, "--data", &rows, "--limit", "2", "--max-tokens", "1"];
    let (code, value) = stage.json(&args);
    assert_eq!(code, 0, "{value}");
    counts(&value["ledger"]);
    assert!(stderr(&stage.run(&args)).contains("24 rows read, 20 kept"));
}

#[test]
fn without_a_model_rows_are_counted_all_the_same() {
    let stage = Stage::new();
    let (code, value) = stage.json(&["data", "inspect", &mixed(&stage)]);
    assert_eq!(code, 0);
    counts(&value["ledger"]);
    assert!(value["dataset"].is_null());
    let (code, value) = stage.json(&["data", "inspect", &stage.file("empty.csv", "question,answer\n,\n,\n")]);
    assert_eq!((code, &value["ledger"]["num_empty"]), (0, &2.into()), "{value}");
    let template = "schema = { roles = [\"question\", \"answer\"], prompt_template = \"{no}\" }\n";
    let rows = stage.rows();
    let recipe = recipe(&stage, &rows, template);
    let output = stage.run(&["data", "inspect", &rows, "--recipe", &recipe]);
    assert!(stderr(&output).contains("The prompt template does not fit"), "{}", stderr(&output));
}

#[test]
fn a_row_whose_answer_is_cut_off_is_no_training_row() {
    let stage = Stage::new();
    let long = "word ".repeat(300);
    let row = |i: usize| format!("What is no. {i}?,it is {i}\n");
    let rows: String = (0..20).map(row).collect();
    let rows = stage.file("rows.csv", format!("question,answer\n{rows}{long},lost\nAnd this?,{long}\n"));
    let recipe = recipe(&stage, &rows, "[batch]\nmax_tokens = 128\n");
    let (_, value) = stage.json(&["recipe", "check", &recipe]);
    assert_eq!(value["ledger"]["num_answer_cut"], 1, "{value}");
    assert_eq!(value["ledger"]["num_truncated"], 1, "{value}");
    assert_eq!(value["ledger"]["num_kept"], 21);
    assert!(
        value["problems"].to_string().contains("1 of them would lose the whole answer and is left out"),
        "{value}"
    );
    let output = stage.run(&["train", "--recipe", &recipe, "--out", "run"]);
    let told = stderr(&output);
    assert!(told.contains("1 with the answer cut off; kept but cut: 1"), "{told}");
    assert!(told.contains("line 22: answer cut off"), "{told}");
}

/// Title and hint of a refused run.
#[track_caller]
fn refused(stage: &Stage, data: &str, more: &str) -> (String, String) {
    let recipe = recipe(stage, data, more);
    let output = stage.run(&["train", "--recipe", &recipe, "--out", "run", "--json"]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(!stage.path("run").exists(), "nothing is begun");
    let text = String::from_utf8(output.stdout).unwrap();
    let failed: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let part = |name: &str| failed["failure"][name].as_str().unwrap().to_string();
    // Checking the recipe says the same.
    let (code, value) = stage.json(&["recipe", "check", &recipe]);
    assert_eq!((code, &value["ok"]), (1, &false.into()), "{value}");
    (format!("{}: {}", part("title"), part("detail")), part("hint"))
}

#[test]
fn each_reason_why_nothing_is_left_has_its_own_words() {
    let stage = Stage::new();
    let rows = stage.rows();
    let (why, hint) = refused(&stage, &rows, "overlong = \"drop\"\n[batch]\nmax_tokens = 8\n");
    assert!(why.starts_with("Every row is longer than the limit: all 36 readable rows"), "{why}");
    assert!(hint.contains("batch.max_tokens") && hint.contains("truncate"), "{hint}");

    let (why, _) = refused(&stage, &mixed(&stage), "[batch]\nmax_tokens = 8\n");
    assert!(why.starts_with("Every answer is cut off"), "whatever else a few rows have: {why}");
    let (why, hint) = refused(&stage, &rows, "[batch]\nmax_tokens = 8\n");
    assert!(why.starts_with("Every answer is cut off"), "{why}");
    assert!(hint.contains("batch.max_tokens"), "{hint}");

    let template = "schema = { roles = [\"question\", \"answer\"], prompt_template = \"Say {questoin}\" }\n";
    let (why, hint) = refused(&stage, &rows, template);
    assert!(why.starts_with("The prompt template does not fit the file"), "{why}");
    assert!(why.contains("{questoin}") && why.contains("did you mean {question}"), "{why}");
    assert!(why.contains("question, answer"), "{why}");
    assert!(hint.contains("prompt_template"), "{hint}");

    let split = "split = { valid = 0.5, test = 0.5 }\n";
    let (why, hint) = refused(&stage, &rows, split);
    assert!(why.contains("Validation (0.5) and test (0.5) together leave nothing to train on"), "{why}");
    assert!(hint.contains("data.split."), "{hint}");
    let with_split = recipe(&stage, &rows, split);
    let args = ["data", "inspect", &rows, "--model", &stage.model(), "--recipe", &with_split];
    let failure = &stage.json(&args).1["failure"];
    assert_eq!(failure["title"], "No row is left to train on", "{failure}");
    assert!(failure["hint"].as_str().unwrap().contains("data.split.valid"), "{failure}");

    for tokens in ["0", "1"] {
        let (why, hint) = refused(&stage, &rows, &format!("[batch]\nmax_tokens = {tokens}\n"));
        assert!(why.contains("batch.max_tokens: The longest example has to be at least 2 tokens"), "{why}");
        assert!(hint.contains("512"), "{hint}");
    }

    let roles = "schema = { roles = [\"question\", \"answer\", \"text\"] }\n";
    let (why, _) = refused(&stage, &rows, roles);
    assert!(why.contains("the roles are for 3 columns, the file has 2"), "{why}");
}

#[test]
fn measuring_speaks_of_measuring() {
    let stage = Stage::new();
    let model = stage.model();
    let long = "word ".repeat(3000);
    let rows = stage.file("long.csv", format!("question,answer\n{long},a\nb {long},c\n"));
    let empty = stage.file("empty.csv", "question,answer\n,\n,\n");
    for rows in [rows, empty] {
        let (code, value) = stage.json(&["eval", "--model", &model, "--data", &rows]);
        assert_eq!((code, value["failure"]["title"].as_str().unwrap()), (1, "There is nothing to measure"));
        let text = value.to_string().to_lowercase();
        assert!(!text.contains("train") && !text.contains("learn"), "{text}");
    }
    // One row is enough to measure, wherever the split puts it.
    let one = stage.file("one.csv", "question,answer\na,b\n");
    for seed in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        let args = ["eval", "--model", &model, "--data", &one, "--max-tokens", "1", "--seed", seed];
        assert_eq!(stage.json(&args).0, 0, "{seed}");
    }
}

#[test]
fn lengths_are_shown_with_the_share_above_the_limit() {
    let stage = Stage::new();
    let (rows, model) = (stage.rows(), stage.model());
    let recipe = recipe(&stage, &rows, "overlong = \"drop\"\n[batch]\nmax_tokens = 8\n");
    let (code, value) = stage.json(&["data", "inspect", &rows, "--model", &model]);
    assert_eq!(code, 0);
    let tokens = &value["dataset"]["tokens"];
    let bars = tokens["histogram"].as_array().unwrap();
    assert_eq!(bars.iter().map(|bar| bar["count"].as_u64().unwrap()).sum::<u64>(), 36);
    assert_eq!((&tokens["limit"], &tokens["share_above_limit"]), (&512.into(), &0.0.into()));
    assert!(tokens["median"].as_u64().unwrap() <= tokens["p99"].as_u64().unwrap());
    let output = stage.run(&["data", "inspect", &rows, "--model", &model]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("0.0 % of the rows are longer than the limit of 512 tokens") && text.contains('█'),
        "{text}"
    );

    // The recipe's limit, roles and template count, where one is named.
    let (code, value) = stage.json(&["data", "inspect", &rows, "--model", &model, "--recipe", &recipe]);
    assert_eq!((code, value["failure"]["title"].as_str()), (1, Some("Every row is longer than the limit")));
    let output = stage.run(&["data", "inspect", &rows, "--model", &model, "--recipe", &recipe]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("36 rows read"), "what is known is shown");
    let recipe = self::recipe(
        &stage,
        &rows,
        "schema = { roles = [\"question\", \"answer\"], prompt_template = \"Tell: {question}\" }\n",
    );
    let (code, value) = stage.json(&["data", "preview", &rows, "--recipe", &recipe]);
    assert_eq!(code, 0, "{value}");
    assert_eq!(value["example"]["prompt"], "Tell: What is no. 0 of the peachs?");
}

#[test]
fn fewer_examples_than_asked_for_are_not_taken_in_silence() {
    let stage = Stage::new();
    let (rows, model) = (stage.rows(), stage.model());
    let shots = stage.file("shots.csv", "question,answer\nlemon,sour\nplum,sweet\nnothing,\n");
    let generate =
        ["generate", "--model", &model, "--prompt", "lime", "--max-tokens", "1", "--shots", &shots];
    let (code, value) = stage.json(&[&generate[..], &["--num-shots", "3"]].concat());
    assert_eq!(code, 1);
    assert!(
        value["failure"]["detail"].as_str().unwrap().contains("3 examples, and the file has 2 examples"),
        "{value}"
    );
    let output = stage.run(&[&generate[..], &["--num-shots", "2"]].concat());
    assert_eq!(self::code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("1 row of the examples left out: line 4"), "{}", stderr(&output));

    let (code, value) = stage.json(&["eval", "--model", &model, "--data", &rows, "--num-shots", "99"]);
    assert_eq!(code, 1);
    let detail = value["failure"]["detail"].as_str().unwrap();
    assert!(detail.contains("99 examples, and the training part has"), "{detail}");
}

#[test]
fn a_file_with_very_many_columns_is_told_in_short() {
    let stage = Stage::new();
    let names = |n: usize| (0..n).map(|i| format!("name{i}")).collect::<Vec<_>>().join(",");
    let wide = stage.file("wide.csv", format!("{}\n{}\n", names(5000), names(5000)));
    let (code, value) = stage.json(&["data", "inspect", &wide]);
    assert_eq!(code, 1);
    let detail = value["failure"]["detail"].as_str().unwrap();
    assert!(detail.contains("5,000 cells") && detail.contains("name7, … and 4,992 more"), "{detail}");
    assert!(detail.len() < 400, "{detail}");

    let many = stage.file("many.csv", format!("{}\n{}\n", names(500), "x,".repeat(499) + "y"));
    let output = stage.run(&["data", "inspect", &many]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("… and 492 more columns"), "{text}");
    assert!(!text.contains("name250"), "{text}");

    let output = stage.run(&["data", "inspect", &stage.rows(), "--separator", ";"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("The separator `;` does not occur") && text.contains("`,`"), "{text}");
}

#[test]
fn special_tokens_in_the_data_are_named() {
    let stage = Stage::new();
    let text = (0..12).map(|i| format!("An apple a day no. {i}\n")).collect::<String>();
    let rows = stage.file("rows.txt", format!("{text}A pear<|im_end|>\n"));
    let (code, value) = stage.json(&["data", "inspect", &rows, "--model", &stage.model()]);
    assert_eq!(code, 0);
    let note = value["ledger"]["notes"][0].as_str().unwrap();
    assert!(note.starts_with("1 row contains special tokens of the model (<|im_end|> in line 13)"), "{note}");
    assert!(note.contains("read as plain text"), "{note}");
}

/// Number and cells.
type SheetRow<'a> = (u32, &'a [&'a str]);

/// A workbook with inline strings: each sheet a name and rows of (number, cells).
fn workbook(sheets: &[(&str, &[SheetRow])]) -> Vec<u8> {
    const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    const RELATIONS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006";
    let mut out = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let mut part = |name: &str, text: String| {
        out.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        out.write_all(text.as_bytes()).unwrap();
    };
    part("[Content_Types].xml", format!("<Types xmlns=\"{PACKAGE}/content-types\"/>"));
    let relation = |id: &str, kind: &str, target: &str| {
        format!("<Relationship Id=\"{id}\" Type=\"{RELATIONS}/{kind}\" Target=\"{target}\"/>")
    };
    let relations =
        |inner: String| format!("<Relationships xmlns=\"{PACKAGE}/relationships\">{inner}</Relationships>");
    part("_rels/.rels", relations(relation("rId1", "officeDocument", "xl/workbook.xml")));
    let (mut names, mut targets) = (String::new(), String::new());
    for (i, (name, rows)) in sheets.iter().enumerate() {
        let n = i + 1;
        names.push_str(&format!("<sheet name=\"{name}\" sheetId=\"{n}\" r:id=\"rId{n}\"/>"));
        targets.push_str(&relation(&format!("rId{n}"), "worksheet", &format!("worksheets/sheet{n}.xml")));
        let mut data = String::new();
        for (number, cells) in *rows {
            data.push_str(&format!("<row r=\"{number}\">"));
            for (column, cell) in ('A'..).zip(*cells) {
                data.push_str(&format!(
                    "<c r=\"{column}{number}\" t=\"inlineStr\"><is><t>{cell}</t></is></c>"
                ));
            }
            data.push_str("</row>");
        }
        let sheet = format!("<worksheet xmlns=\"{MAIN}\"><sheetData>{data}</sheetData></worksheet>");
        part(&format!("xl/worksheets/sheet{n}.xml"), sheet);
    }
    let book =
        format!("<workbook xmlns=\"{MAIN}\" xmlns:r=\"{RELATIONS}\"><sheets>{names}</sheets></workbook>");
    part("xl/workbook.xml", book);
    part("xl/_rels/workbook.xml.rels", relations(targets));
    out.finish().unwrap().into_inner()
}

#[test]
fn blank_rows_and_other_sheets_of_a_workbook_are_told() {
    let stage = Stage::new();
    let fruit: &[SheetRow] = &[
        (2, &["question", "answer"]),
        (3, &["What is a plum?", "a drupe"]),
        (6, &["What is a pear?", "a pome"]),
        (5000, &["What is a fig?", "a syconium"]),
    ];
    let book = workbook(&[("Cover", &[]), ("Fruit", fruit), ("Old", &[(1, &["x"])])]);
    let path = stage.file("fruit.xlsx", book);
    let imported = import(path.as_ref(), &ImportOptions::default(), &Control::new(), &mut Silent).unwrap();
    assert_eq!(imported.table.lines, [3, 4, 5, 6, 5000]);
    let (code, value) = stage.json(&["data", "inspect", &path]);
    assert_eq!(code, 0);
    let ledger = &value["ledger"];
    assert_eq!((&ledger["num_read"], &ledger["num_empty"]), (&5.into(), &2.into()), "{ledger}");
    let lines: Vec<_> =
        ledger["entries"].as_array().unwrap().iter().map(|e| e["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [4, 5]);
    let notes = ledger["notes"].to_string();
    assert!(
        notes.contains("The sheet Fruit was read; others in the workbook were not: Cover, Old."),
        "{notes}"
    );
    assert!(notes.contains("rows 7 to 4,999 of the sheet are blank"), "{notes}");
}

/// Nobody should believe that content alone placed these rows.
#[test]
fn rows_that_the_split_moved_are_told() {
    let stage = Stage::new();
    let rows = stage.file("rows.txt", "An apple a day\nA pear a week\nA plum a year\n");
    let (code, value) = stage.json(&["data", "inspect", &rows, "--model", &stage.model()]);
    assert_eq!(code, 0);
    let notes = value["ledger"]["notes"].to_string();
    assert!(notes.contains("2 rows moved in the split") && notes.contains("no part is empty"), "{notes}");
}

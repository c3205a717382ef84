//! Data files as people have them, and as they should not be.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tunesmith::base::{Control, Progress, Silent, Unit};
use tunesmith::data::import::{EncodingFound, Format, How, ImportOptions, Imported, import};
use tunesmith::data::{DataError, Fate};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data").join(name)
}

/// A file in a folder of its own, gone at the end of the test.
struct Temporary {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn file(name: &str, content: impl AsRef<[u8]>) -> Temporary {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    Temporary { _folder: folder, path }
}

fn read_with(path: &Path, options: &ImportOptions) -> Result<Imported, DataError> {
    import(path, options, &Control::new(), &mut Silent)
}

fn read(name: &str, content: impl AsRef<[u8]>) -> Result<Imported, DataError> {
    read_with(&file(name, content).path, &ImportOptions::default())
}

/// Names and rows, for comparing.
fn content(imported: &Imported) -> (Vec<&str>, Vec<Vec<&str>>) {
    let table = &imported.table;
    let names = table.columns.iter().map(|c| c.name.as_str()).collect();
    let row = |r| (0..table.columns.len()).map(|c| table.cell(r, c)).collect();
    (names, (0..table.num_rows()).map(row).collect())
}

fn malformed(imported: &Imported) -> Vec<(u64, &str)> {
    let entries = imported.ledger.entries.iter();
    let reasons = entries.filter_map(|entry| match &entry.fate {
        Fate::Malformed { reason } => Some((entry.line, reason.as_str())),
        _ => None,
    });
    reasons.collect()
}

#[track_caller]
fn refused(result: Result<Imported, DataError>, words: &str) {
    let error = result.map(|i| content(&i).1.len()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(words), "`{text}` does not say `{words}`");
    assert!(!matches!(error, DataError::Stopped));
}

#[test]
fn csv_with_quoted_line_breaks_keeps_lines_right() {
    let imported =
        read("a.csv", "prompt,completion\r\n\"one\r\n\"\"two\"\"\",x\r\n\r\n\r\nthree,\"y, z\"\r\n").unwrap();
    assert_eq!(imported.format, Format::Csv);
    assert_eq!(imported.separator, Some(','));
    let rows = vec![vec!["one\r\n\"two\"", "x"], vec!["three", "y, z"]];
    assert_eq!(content(&imported), (vec!["prompt", "completion"], rows));
    assert_eq!(imported.table.lines, [2, 6]);
    assert_eq!((imported.ledger.num_read, imported.ledger.num_kept()), (2, 2));
}

/// Every text format counts lines that end as on the Mac of old, with a carriage return alone.
#[test]
fn carriage_returns_alone_end_lines_too() {
    let old = |name: &str, text: &str| {
        let unix = read(name, text).unwrap();
        let mac = read(name, text.replace('\n', "\r")).unwrap();
        assert_eq!(
            (mac.format, content(&mac), &mac.table.lines),
            (unix.format, content(&unix), &unix.table.lines)
        );
        assert_eq!(malformed(&mac), malformed(&unix));
        let wide =
            read(name, utf16(&format!("\u{feff}{}", text.replace('\n', "\r")), u16::to_le_bytes)).unwrap();
        assert_eq!((content(&wide), &wide.table.lines), (content(&unix), &unix.table.lines));
        unix.table.lines.clone()
    };
    assert_eq!(old("a.csv", "prompt,completion\n\"one\ntwo\",x\n\nthree,y\nragged\nfour,z\n"), [2, 5, 7]);
    assert_eq!(old("a.csv", "sep=;\nfruit;kind\na;b\n"), [3]);
    assert_eq!(old("a.jsonl", "{\"a\": 1}\n\n{\"a\": 2}\n{bad\n{\"a\": 3}"), [1, 3, 5]);
    assert_eq!(old("a.json", "[\n{\"a\": 1},\n\n{\"a\":\n2}\n]"), [2, 4]);
    assert_eq!(old("a.txt", "One\ntwo\n\n\nThree\n"), [1, 5]);
    assert_eq!(old("a.txt", "One\ntwo\nthree"), [1, 2, 3]);
    assert_eq!(old("data", "a,b\n1,2\n3,4\n"), [2, 3]);
}

#[test]
fn separators_are_recognised() {
    for (separator, name) in
        [(',', "a.csv"), (';', "a.csv"), ('\t', "a.tsv"), ('|', "a.csv"), ('\t', "a.csv")]
    {
        let text = "name,kind\n\"a, b; c|d\te\",fruit 1\npear,fruit 2\nplum,fruit 3\n".replace("d\te", "d e");
        let text = text.replace("name,kind", &format!("name{separator}kind"));
        let text = text.replace(",fruit", &format!("{separator}fruit"));
        let imported = read(name, text).unwrap();
        assert_eq!(imported.separator, Some(separator));
        assert_eq!(content(&imported).1[0], ["a, b; c|d e", "fruit 1"]);
    }
    let decimals = read("a.csv", "x;y\n1,5;2,5\n3,5;4,5\n").unwrap();
    assert_eq!((decimals.separator, content(&decimals).1[0].clone()), (Some(';'), vec!["1,5", "2,5"]));
    let excel = read("a.csv", "sep=;\nfruit;kind\na;b\n\"c;d\";e\n").unwrap();
    assert_eq!((excel.separator, content(&excel).1), (Some(';'), vec![vec!["a", "b"], vec!["c;d", "e"]]));
    assert_eq!(excel.table.lines, [3, 4]);
    let said = ImportOptions { separator: Some(';'), has_header: Some(false), ..ImportOptions::default() };
    let imported = read_with(&file("a.csv", "a,b;c\nd,e;f\n").path, &said).unwrap();
    assert_eq!(content(&imported), (vec!["column_1", "column_2"], vec![vec!["a,b", "c"], vec!["d,e", "f"]]));
}

#[test]
fn one_column_keeps_its_commas() {
    let imported = read("a.csv", "text\nHello, world\nPlain\nOne, two, three\nno\n").unwrap();
    assert_eq!((imported.separator, imported.table.num_rows()), (None, 4));
    assert_eq!(imported.table.cell(2, 0), "One, two, three");
}

#[test]
fn ragged_rows_go_to_the_ledger() {
    let text = "a,b,c\n1,2,3\n4,5\n6,7,8,9,10\n\"x\ny\",1\n1,2,3,,\nu,v,w\n";
    let imported = read("a.csv", text).unwrap();
    assert_eq!(imported.table.num_rows(), 3);
    let told = malformed(&imported);
    assert_eq!(told[0], (3, "expected 3 cells, found 2"));
    assert_eq!(told[1], (4, "expected 3 cells, found 5"));
    assert_eq!(told[2].0, 5);
    assert!(told[2].1.contains("line 6"), "{}", told[2].1);
    assert_eq!((imported.ledger.num_read, imported.ledger.num_kept()), (6, 3));
}

#[test]
fn an_open_quote_is_told() {
    let imported = read("a.csv", "a,b\n1,2\n\"open,3\n4,5\n6,7").unwrap();
    assert_eq!(imported.table.num_rows(), 1);
    let told = malformed(&imported);
    assert_eq!(told.len(), 1);
    assert!(told[0].0 == 3 && told[0].1.contains("never closed") && told[0].1.contains("line 5"), "{told:?}");
}

#[test]
fn headers_are_guessed_and_made_unique() {
    let imported = read("a.csv", "text,,text,label\n1,2,3,4\n5,6,7,8\n").unwrap();
    assert_eq!(content(&imported).0, ["text", "column_2", "text_2", "label"]);
    let imported = read("a.csv", "apple,pome\npear,pome\nplum,drupe\n").unwrap();
    assert_eq!((content(&imported).0, imported.table.num_rows()), (vec!["column_1", "column_2"], 3));
    let imported = read("a.csv", "fruit,family,\npear,pome,\nplum,drupe,\n").unwrap();
    assert_eq!(content(&imported).0, ["fruit", "family"], "an empty last column is none");
}

#[test]
fn json_lines_with_changing_keys() {
    let text = concat!(
        "{\"a\": \"x\\n\\u00e9\\\"\", \"n\": 1.50}\n",
        "\n",
        "{\"b\": [1, {\"c\": null}], \"a\": null, \"big\": 12345678901234567890123}\n",
        "{\"a\": \"broken\n",
        "{\"a\": tru}\n",
        "17\n",
        "{\"n\": true, \"a\": \"last\", \"a\": \"wins\"}"
    );
    let imported = read("a.jsonl", text).unwrap();
    assert_eq!(imported.format, Format::Jsonl);
    let rows = vec![
        vec!["x\né\"", "1.50", "", ""],
        vec!["", "", "[1, {\"c\": null}]", "12345678901234567890123"],
        vec!["wins", "true", "", ""],
    ];
    assert_eq!(content(&imported), (vec!["a", "n", "b", "big"], rows));
    assert_eq!(imported.table.lines, [1, 3, 7]);
    let told = malformed(&imported);
    assert_eq!(told.iter().map(|t| t.0).collect::<Vec<_>>(), [4, 5, 6]);
    assert!(
        told[0].1.contains("EOF while parsing a string") && told[0].1.contains("character"),
        "{}",
        told[0].1
    );
    assert!(told[1].1.contains("expected ident"), "{}", told[1].1);
    assert!(told[2].1.contains("expected an object"), "{}", told[2].1);
}

#[test]
fn json_in_its_wrappings() {
    let rows = "[\n {\"q\": \"1 ] }\", \"a\": [1,\n2]},\n\n {\"q\": \"\\\"2\", \"a\": \"b\"}\n]";
    for text in [
        rows.to_string(),
        format!("{{\"version\": \"1.0\", \"tags\": [\"x\"], \"data\": {rows}, \"licence\": \"CC0\"}}"),
        format!("{{\"data\": {{\"n\": 2, \"rows\": {rows}}}}}"),
    ] {
        let imported = read("a.json", &text).unwrap();
        assert_eq!(imported.format, Format::Json, "{text}");
        let expected = vec![vec!["1 ] }", "[1,\n2]"], vec!["\"2", "b"]];
        assert_eq!(content(&imported), (vec!["q", "a"], expected), "{text}");
        assert_eq!(imported.table.lines, [2, 5], "{text}");
    }
    let spread = "{\n  \"q\": 1,\n  \"a\": 2\n}\n{\n  \"q\": 3,\n  \"a\": 4\n}\n";
    let imported = read("a.json", spread).unwrap();
    assert_eq!(content(&imported).1, [["1", "2"], ["3", "4"]]);
    assert_eq!(imported.table.lines, [1, 5]);
    let lines = read("a.json", "{\"q\": 1}\n{\"q\": 2}\n").unwrap();
    assert_eq!((lines.format, lines.table.num_rows()), (Format::Jsonl, 2));
    let one = read("a.json", "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}").unwrap();
    assert_eq!(content(&one).0, ["messages"]);
}

#[test]
fn broken_json_keeps_what_is_whole() {
    let imported = read("a.json", "[{\"a\": 1}, {\"a\": }, {\"a\": 3},\n {\"a\": \"cut").unwrap();
    assert_eq!(content(&imported).1, [["1"], ["3"]]);
    let told = malformed(&imported);
    assert!(told[0].1.contains("expected value"), "{told:?}");
    assert!(told[1].0 == 2 && told[1].1.contains("ends in the middle"), "{told:?}");
    refused(read("a.json", "hello"), "begins with neither");
    refused(read("a.json", "{\"a\": "), "cannot be read");
    refused(read("a.json", "[]"), "no rows");
    refused(read("a.json", "[1, 2, 3]"), "expected an object");
}

#[test]
fn deep_json_does_not_end_us() {
    let deep = format!("{{\"a\": {}1{}}}\n{{\"a\": 2}}\n", "[".repeat(200_000), "]".repeat(200_000));
    let imported = read("a.jsonl", &deep).unwrap();
    assert_eq!(imported.table.num_rows() as u64 + malformed(&imported).len() as u64, 2);
    let deep = "[".repeat(300_000);
    assert!(read("a.json", &deep).is_err());
    let deep = "{\"data\":".repeat(100_000);
    assert!(read("a.json", &deep).is_err());
}

#[test]
fn text_is_cut_into_paragraphs_or_lines() {
    let imported = read("a.txt", "One\r\ntwo\r\n\r\n \r\nThree\n").unwrap();
    assert_eq!(
        (imported.format, content(&imported).1),
        (Format::Text, vec![vec!["One\ntwo"], vec!["Three"]])
    );
    assert_eq!(imported.table.lines, [1, 5]);
    let imported = read("a.txt", "One\ntwo, three\nfour\n").unwrap();
    assert_eq!(content(&imported), (vec!["text"], vec![vec!["One"], vec!["two, three"], vec!["four"]]));
}

#[test]
fn names_do_not_deceive() {
    assert_eq!(read("a.csv", "{\"a\": 1}\n{\"a\": 2}\n").unwrap().format, Format::Jsonl);
    assert_eq!(read("a.txt", "[{\"a\": 1}, {\"a\": 2}]").unwrap().format, Format::Json);
    assert_eq!(read("data", "a,b\n1,2\n3,4\n").unwrap().format, Format::Csv);
    assert_eq!(read("data", "Once upon a time\nthere was.\n").unwrap().format, Format::Text);
    let parquet = fs::read(fixture("chat_snappy.parquet")).unwrap();
    assert_eq!(read("a.csv", parquet).unwrap().format, Format::Parquet);
    refused(read("a.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "PNG image");
    refused(read("a.parquet", "a,b\n1,2\n"), "not a Parquet file");
    refused(read("a.xlsx", "a,b\n1,2\n"), "not an Excel file");
    refused(read("a.csv", b"\x1f\x8b\x08\0rest"), "gzip");
    refused(read("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), ".xlsx");
}

const SAMPLE: &str =
    "prompt,completion\nağaç nedir?,Dallı bitki; şöyle ışıl ışıl\nçiçek nedir?,Güzel kokulu şey\n";

#[track_caller]
fn encoded(bytes: Vec<u8>, name: &str, how: How) {
    let imported = read("a.csv", bytes).unwrap();
    assert_eq!(imported.encoding, Some(EncodingFound { name: name.into(), how }));
    assert_eq!(content(&imported).1[0], ["ağaç nedir?", "Dallı bitki; şöyle ışıl ışıl"]);
    assert_eq!((imported.table.lines.as_slice(), malformed(&imported)), ([2, 3].as_slice(), vec![]));
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

#[test]
fn encodings_are_found() {
    encoded(SAMPLE.into(), "UTF-8", How::Guessed);
    encoded(format!("\u{feff}{SAMPLE}").into(), "UTF-8", How::ByteOrderMark);
    encoded(utf16(&format!("\u{feff}{SAMPLE}"), u16::to_le_bytes), "UTF-16LE", How::ByteOrderMark);
    encoded(utf16(&format!("\u{feff}{SAMPLE}"), u16::to_be_bytes), "UTF-16BE", How::ByteOrderMark);
    encoded(utf16(SAMPLE, u16::to_le_bytes), "UTF-16LE", How::Guessed);
    encoded(utf16(SAMPLE, u16::to_be_bytes), "UTF-16BE", How::Guessed);
    encoded(encoding_rs::WINDOWS_1254.encode(SAMPLE).0.into_owned(), "windows-1254", How::Guessed);
    for (encoding, text) in [
        (encoding_rs::WINDOWS_1251, "text\nЖили-были старик со старухой\nу самого синего моря\n"),
        (encoding_rs::SHIFT_JIS, "text\nむかしむかしあるところに\nおじいさんとおばあさんが\n"),
        (encoding_rs::GBK, "text\n从前有座山，山里有座庙\n庙里有个老和尚\n"),
    ] {
        let imported = read("a.csv", encoding.encode(text).0).unwrap();
        let found = imported.encoding.unwrap();
        assert_eq!(found.how, How::Guessed, "{found:?}");
        assert_eq!(imported.table.cell(0, 0), text.lines().nth(1).unwrap(), "{found:?}");
    }
}

#[test]
fn the_users_encoding_wins() {
    let options = ImportOptions { encoding: Some("windows-1252".into()), ..ImportOptions::default() };
    let imported = read_with(&file("a.csv", b"text\ncaf\xe9\n\xdcber\n").path, &options).unwrap();
    assert_eq!(imported.encoding, Some(EncodingFound { name: "windows-1252".into(), how: How::Said }));
    assert_eq!(content(&imported).1, [["café"], ["Über"]]);
    let options = ImportOptions { encoding: Some("klingon".into()), ..ImportOptions::default() };
    refused(read_with(&file("a.csv", "text\nx\n").path, &options), "`klingon` is not known");
}

#[test]
fn a_late_accent_decides_the_encoding_of_a_large_file() {
    let mut bytes = b"text\n".to_vec();
    for i in 0..60_000 {
        bytes.extend_from_slice(format!("plain row {i}\n").as_bytes());
    }
    bytes.extend_from_slice(b"caf\xe9 au lait, d\xe9j\xe0 vu\n");
    let imported = read("a.csv", &bytes).unwrap();
    assert_eq!(malformed(&imported), []);
    assert_eq!(imported.table.cell(60_000, 0), "café au lait, déjà vu");
}

#[test]
fn mixed_encodings_are_told_row_by_row() {
    let mut bytes = b"text,label\n".to_vec();
    for i in 0..50 {
        bytes.extend_from_slice(format!("çiçek {i} güzel,şey\n").as_bytes());
    }
    bytes.extend_from_slice(b"caf\xe9,x\n");
    let imported = read("a.csv", &bytes).unwrap();
    assert_eq!((imported.table.num_rows(), imported.encoding.as_ref().unwrap().name.as_str()), (50, "UTF-8"));
    let told = malformed(&imported);
    assert!(told.len() == 1 && told[0].0 == 52 && told[0].1.contains("mixed encodings"), "{told:?}");
    // Half of a pair, in UTF-16.
    let mut bytes = utf16("\u{feff}text\ngood\n", u16::to_le_bytes);
    bytes.extend([0x00, 0xD8, b'x', 0, b'\n', 0]);
    bytes.extend(utf16("fine\n", u16::to_le_bytes));
    let imported = read("a.txt", &bytes).unwrap();
    assert_eq!((imported.table.num_rows(), malformed(&imported).len()), (3, 1));
}

#[test]
fn zero_bytes_are_explained() {
    let imported = read("a.csv", b"text,label\ngood,1\nb\0d,2\nfine,3\n").unwrap();
    assert_eq!(imported.table.num_rows(), 2);
    let told = malformed(&imported);
    assert!(told[0].0 == 3 && told[0].1.contains("zero byte") && told[0].1.contains("byte 19)"), "{told:?}");
    let noise: Vec<u8> = (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    refused(read("a.csv", noise), "binary file");
    refused(read("a.csv", vec![0; 5000]), "binary file");
}

#[test]
fn what_is_no_file_is_refused() {
    refused(read("a.csv", ""), "no rows");
    refused(read("a.csv", "\n\n  \n"), "no rows");
    refused(read("a.csv", "\u{feff}"), "no rows");
    refused(read("a.csv", "prompt,completion\n"), "no rows");
    refused(read("a.jsonl", "\n"), "no rows");
    refused(read("a.txt", " \n"), "no rows");
    let folder = tempfile::tempdir().unwrap();
    let options = ImportOptions::default();
    refused(read_with(folder.path(), &options), "folder");
    refused(read_with(&folder.path().join("none.csv"), &options), "no such file");
    let one = read("a.csv", "prompt,completion\nx,y\n").unwrap();
    assert_eq!(one.table.num_rows(), 1);
}

#[cfg(unix)]
#[test]
fn files_without_permission_and_pipes_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let temporary = file("a.csv", "a,b\n1,2\n");
    fs::set_permissions(&temporary.path, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read everything.
    if fs::File::open(&temporary.path).is_err() {
        refused(read_with(&temporary.path, &ImportOptions::default()), "permission");
    }
    refused(read_with(Path::new("/dev/null"), &ImportOptions::default()), "not a file");
}

#[test]
fn a_line_of_ten_million_characters() {
    let long = "x".repeat(10_000_000);
    let imported = read("a.csv", format!("text,label\n{long},1\nshort,2\n")).unwrap();
    assert_eq!((imported.table.num_rows(), imported.table.cell(0, 0).len()), (2, 10_000_000));
    let imported =
        read("a.jsonl", format!("{{\"text\": \"{long}\"}}\n{{\"text\": \"{long}\n{{\"text\": \"s\"}}\n"))
            .unwrap();
    assert_eq!((imported.table.num_rows(), malformed(&imported).len()), (2, 1));
    let endless = "y".repeat(40_000_000);
    for (name, text) in [
        ("a.csv", format!("text,label\n{endless},1\nshort,2\n")),
        ("a.jsonl", format!("{{\"text\": \"{endless}\"}}\n{{\"text\": \"short\"}}\n")),
        ("a.json", format!("[{{\"text\": \"{endless}\"}},\n{{\"text\": \"short\"}}]\n")),
    ] {
        let imported = read(name, text).unwrap();
        assert_eq!((imported.table.num_rows(), imported.table.cell(0, 0)), (1, "short"), "{name}");
        assert!(malformed(&imported)[0].1.contains("longer than"), "{name}");
    }
    let wide = "a,".repeat(100_000);
    refused(read("a.csv", format!("{wide}\n{wide}\n")), "more than 1,024 cells");
}

/// Stops the job at the first report after `after`.
struct StopAt<'a> {
    control: &'a Control,
    phase: &'static str,
    stopped: Option<Instant>,
    num_reports: u32,
}

impl Progress for StopAt<'_> {
    fn report(&mut self, phase: &str, done: u64, total: Option<u64>, unit: Unit) {
        assert!(unit == Unit::Bytes && total.is_some_and(|total| done <= total));
        self.num_reports += 1;
        if phase == self.phase && self.stopped.is_none() {
            self.control.stop();
            self.stopped = Some(Instant::now());
        }
    }
}

#[test]
fn a_stop_ends_the_import_at_once() {
    let csv = "some text,label\n".repeat(2_000_000);
    let line = format!("[{{\"text\": \"{}\"}}]", "z".repeat(30_000_000));
    for (name, text, phase) in [
        ("a.csv", &csv, "Checking the text encoding"),
        ("a.csv", &csv, "Reading rows"),
        ("a.json", &line, "Reading rows"),
        ("a.jsonl", &line, "Reading rows"),
    ] {
        let temporary = file(name, text);
        let control = Control::new();
        let mut progress = StopAt { control: &control, phase, stopped: None, num_reports: 0 };
        let result = import(&temporary.path, &ImportOptions::default(), &control, &mut progress);
        let waited = progress.stopped.expect("no report").elapsed();
        assert!(matches!(result, Err(DataError::Stopped)), "{name} {phase}");
        assert!(waited < Duration::from_millis(200), "{name} {phase}: {waited:?}");
    }
}

#[test]
fn parquet_with_nested_chats() {
    for codec in ["snappy", "zstd", "gzip", "none"] {
        let imported =
            read_with(&fixture(&format!("chat_{codec}.parquet")), &ImportOptions::default()).unwrap();
        assert_eq!((imported.format, imported.encoding.is_none()), (Format::Parquet, true));
        let (names, rows) = content(&imported);
        assert_eq!((names, rows.len()), (vec!["messages", "source", "score", "id"], 40));
        let messages: serde_json::Value = serde_json::from_str(rows[3][0]).unwrap();
        assert_eq!(messages[0]["content"], "Say \"3\" — ağaç");
        assert_eq!(messages[1]["content"], "3\nünlü 木");
        assert_eq!(rows[3][1..], ["", "0.75", "3"]);
        assert_eq!(rows[4][1], "set 4");
        assert_eq!(imported.table.lines[39], 40);
        assert_eq!(imported.schema.layout(), Some(tunesmith::data::Layout::Chat));
    }
}

#[test]
fn excel_gives_the_first_sheet_with_data() {
    let imported = read_with(&fixture("fruit.xlsx"), &ImportOptions::default()).unwrap();
    assert_eq!(imported.format, Format::Xlsx);
    let rows = vec![
        vec!["elma, yeşil", "pome", "3", "2024-05-17", "true"],
        vec!["plum\nblue", "drupe", "2.5", "2024-05-18 09:30:00", "false"],
        vec![""; 5],
        vec!["りんご", "", "", "", ""],
    ];
    assert_eq!(content(&imported), (vec!["fruit", "family", "count", "picked", "ripe"], rows));
    assert_eq!(imported.table.lines, [2, 3, 4, 5], "the blank row is counted");
}

/// A column's size counts its dictionary, which lies before its data pages.
#[test]
fn parquet_with_a_large_dictionary_is_whole() {
    use parquet::data_type::{ByteArray, ByteArrayType};
    use parquet::file::writer::SerializedFileWriter;
    let schema =
        parquet::schema::parser::parse_message_type("message m { required binary text (UTF8); }").unwrap();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema.into(), Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let texts: Vec<ByteArray> =
        (0..5000).map(|i| format!("a text of its own, no. {i}").as_str().into()).collect();
    column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    let imported = read("a.parquet", bytes).unwrap();
    assert_eq!(
        (imported.table.num_rows(), imported.table.cell(4999, 0)),
        (5000, "a text of its own, no. 4999")
    );
}

/// Damaged files of every kind: cut at many places, and with bits flipped. No panic gets out, and no import
/// of what was cut is called whole.
#[test]
fn damaged_binary_files_are_refused() {
    for name in ["chat_snappy.parquet", "chat_none.parquet", "chat_zstd.parquet", "fruit.xlsx"] {
        let whole = fs::read(fixture(name)).unwrap();
        for cut in (1..40).map(|i| whole.len() * i / 40) {
            let error = read(name, &whole[..cut]).map(|i| i.table.num_rows()).unwrap_err();
            assert!(matches!(error, DataError::Malformed { .. }), "{name} cut at {cut}: {error}");
        }
        let temporary = file(name, "");
        for at in (4..whole.len()).step_by(whole.len() / 400) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xFF;
            fs::write(&temporary.path, &bytes).unwrap();
            // What is flipped inside a text may leave the file whole.
            let result = read_with(&temporary.path, &ImportOptions::default());
            assert!(
                !matches!(result, Err(DataError::Stopped | DataError::Unreadable { .. })),
                "{name} at {at}"
            );
        }
    }
}

/// The Parquet library panics on some damage; that is a refusal like any other. Flips byte after byte until it
/// happened.
#[test]
fn a_panic_in_a_library_is_a_damaged_file() {
    let whole = fs::read(fixture("chat_snappy.parquet")).unwrap();
    let temporary = file("a.parquet", "");
    let panicked =
        (4..whole.len()).flat_map(|at| [0x01, 0x40, 0x80, 0xFF].map(|flip| (at, flip))).any(|(at, flip)| {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            fs::write(&temporary.path, &bytes).unwrap();
            let result = read_with(&temporary.path, &ImportOptions::default());
            result.is_err_and(|e| e.to_string().contains("it could not be decoded"))
        });
    assert!(panicked, "the fence has nothing to do any more: take it away");
}

#[test]
fn archives_are_bounded_and_known() {
    use std::io::Write;
    let zip = |names: &[&str], num_bytes: usize| {
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for name in names {
            archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            archive.write_all(&vec![b' '; num_bytes]).unwrap();
        }
        archive.finish().unwrap().into_inner()
    };
    refused(read("a.xlsx", zip(&["photo.jpg"], 10)), "not an Excel workbook");
    refused(
        read("a.ods", zip(&["mimetype", "content.xml", "META-INF/manifest.xml"], 10)),
        "OpenDocument file",
    );
    refused(read("a.xlsx", zip(&["[Content_Types].xml", "xl/workbook.xml"], 10)), "(");
    refused(read("a.xlsx", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), "not an Excel workbook");
}

#[test]
fn a_file_of_nothing_but_errors_is_refused() {
    refused(read("a.jsonl", "{bad\n{worse\n"), "2 of 2 rows cannot be read; line 1");
    let many = "{bad\n".repeat(150_000);
    refused(read("a.jsonl", many), "cannot be read");
}

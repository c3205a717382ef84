//! The rules of the house that a compiler does not check: layers, fences, and no way to panic.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file, in lines.
const MAX_LINES: usize = 600;

/// What may be named only in some top modules: word, whether it is only the beginning of one, where.
enum Fence {
    Only(&'static [&'static str]),
    Never(&'static [&'static str]),
}

const FENCES: [(&str, Fence); 18] = [
    ("egui*", Fence::Only(&["app"])),
    ("eframe", Fence::Only(&["app"])),
    ("rfd", Fence::Only(&["app"])),
    ("candle_*", Fence::Never(&["app", "cli", "engine", "recipe", "project", "main"])),
    ("crossbeam_channel", Fence::Only(&["engine"])),
    ("thread::spawn", Fence::Only(&["engine"])),
    ("thread::Builder", Fence::Only(&["engine"])),
    ("thread::scope", Fence::Only(&["engine"])),
    ("thread::JoinHandle", Fence::Only(&["engine"])),
    ("anyhow", Fence::Only(&["cli", "main"])),
    ("tokenizers::*", Fence::Only(&["data"])),
    ("println!", Fence::Only(&["cli"])),
    ("print!", Fence::Only(&["cli"])),
    ("eprintln!", Fence::Only(&["cli"])),
    ("eprint!", Fence::Only(&["cli"])),
    ("dbg!", Fence::Only(&[])),
    ("todo!", Fence::Only(&[])),
    ("unimplemented!", Fence::Only(&[])),
];

/// `text` with comments, strings and character literals replaced by spaces; line breaks stay.
fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let end = match literal_end(&chars, i) {
            Some(end) => end,
            None => {
                out.push(chars[i]);
                i += 1;
                continue;
            }
        };
        out.extend(chars[i..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        i = end;
    }
    out
}

/// Where the comment or literal that begins at `i` ends, if one does.
fn literal_end(chars: &[char], i: usize) -> Option<usize> {
    let at = |n: usize| chars.get(n).copied();
    let is_word = |n: usize| at(n).is_some_and(|c| c.is_alphanumeric() || c == '_');
    match (chars[i], at(i + 1)) {
        ('/', Some('/')) => Some((i..chars.len()).find(|&n| chars[n] == '\n').unwrap_or(chars.len())),
        ('/', Some('*')) => {
            let close = |n: &usize| chars[*n] == '*' && at(n + 1) == Some('/');
            Some((i + 2..chars.len()).find(close).map_or(chars.len(), |n| n + 2))
        }
        ('r', Some('"' | '#')) if i == 0 || !is_word(i - 1) => {
            let hashes = (i + 1..chars.len()).take_while(|&n| chars[n] == '#').count();
            if at(i + 1 + hashes) != Some('"') {
                return None;
            }
            let close = |n: &usize| chars[*n] == '"' && (1..=hashes).all(|k| at(n + k) == Some('#'));
            Some((i + 2 + hashes..chars.len()).find(close).map_or(chars.len(), |n| n + 1 + hashes))
        }
        ('"', _) => {
            let mut n = i + 1;
            while n < chars.len() && chars[n] != '"' {
                n += if chars[n] == '\\' { 2 } else { 1 };
            }
            Some((n + 1).min(chars.len()))
        }
        ('\'', Some('\\')) => (i + 3..chars.len()).find(|&n| chars[n] == '\'').map(|n| n + 1),
        ('\'', Some(_)) if at(i + 2) == Some('\'') => Some(i + 3),
        _ => None,
    }
}

/// `code` without its `#[cfg(test)]` modules.
fn without_tests(code: &str) -> String {
    let mut out = code.to_string();
    while let Some(start) = out.find("#[cfg(test)]") {
        let open = out[start..].find(['{', ';']).map_or(out.len(), |n| start + n);
        let mut depth = 0;
        let mut end = out.len();
        for (n, c) in out[open..].char_indices() {
            depth += i32::from(c == '{') - i32::from(c == '}');
            if depth == 0 {
                end = open + n + 1;
                break;
            }
        }
        out.replace_range(start..end.max(start + 1), "");
    }
    out
}

/// Whether `word` stands in `code` as a word of its own; a `*` at its end lets it go on.
fn names(code: &str, word: &str) -> bool {
    let is_prefix = word.ends_with('*');
    let needle = word.trim_end_matches('*');
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(needle).any(|(at, _)| {
        let before = code[..at].chars().next_back().is_some_and(is_part);
        let after = code[at + needle.len()..].chars().next().is_some_and(is_part);
        !before && (is_prefix || needle.ends_with('!') || !after)
    })
}

/// The top modules that `code` names by `crate::…`, also inside `crate::{a, b::c}`.
fn used_modules(code: &str) -> Vec<String> {
    let word = |s: &str| s.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            used.push(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut is_start = true;
        for (n, c) in group.char_indices() {
            if is_start && !c.is_whitespace() {
                used.push(word(&group[n..]));
                is_start = false;
            }
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => is_start = true,
                _ => {}
            }
        }
    }
    used
}

/// The modules of lib.rs, in order.
fn layers(lib: &str) -> Vec<String> {
    let code = code_only(lib);
    let names = code.lines().filter_map(|l| l.trim().strip_prefix("pub mod ")?.strip_suffix(';'));
    names.map(String::from).collect()
}

/// What holds for tests and benches as well.
fn too_long(path: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > MAX_LINES).then(|| format!("{path}: {lines} lines, more than {MAX_LINES}"))
}

/// Everything that breaks a rule in one file. `path` is relative to `src`, with `/`.
fn violations(path: &str, text: &str, layers: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let top = path.split('/').next().unwrap_or(path).trim_end_matches(".rs");
    let code = code_only(text);
    found.extend(too_long(path, text));
    let place = layers.iter().position(|l| l == top);
    if place.is_none() && !["lib", "main"].contains(&top) {
        found.push(format!("{path}: {top} is not in lib.rs"));
    }
    for used in used_modules(&code) {
        let other = layers.iter().position(|l| *l == used);
        if let (Some(own), Some(other)) = (place, other)
            && (other > own || (top == "app" && used == "cli"))
        {
            found.push(format!("{path}: {top} must not use {used}"));
        }
    }
    for (word, fence) in &FENCES {
        let is_allowed = match fence {
            Fence::Only(modules) => modules.contains(&top),
            Fence::Never(modules) => !modules.contains(&top),
        };
        if !is_allowed && names(&code, word) {
            found.push(format!("{path}: {word} must not be named in {top}"));
        }
    }
    let shipped = without_tests(&code);
    for trap in [".unwrap()", ".expect(", "panic!("] {
        if shipped.contains(trap) {
            found.push(format!("{path}: {trap} outside tests"));
        }
    }
    found
}

fn rust_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

#[test]
fn the_sources_keep_the_rules() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let layers = layers(&fs::read_to_string(src.join("lib.rs")).unwrap());
    assert_eq!(layers.first().map(String::as_str), Some("base"));
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(files.len() > 50, "only {} files found", files.len());
    let mut found = Vec::new();
    for file in files {
        let path = file.strip_prefix(&src).unwrap().to_string_lossy().replace('\\', "/");
        found.extend(violations(&path, &fs::read_to_string(&file).unwrap(), &layers));
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn tests_and_benches_are_as_short_as_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["tests", "benches"] {
        let mut files = Vec::new();
        rust_files(&root.join(folder), &mut files);
        assert!(!files.is_empty(), "{folder}");
        for file in files {
            let path = file.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            found.extend(too_long(&path, &fs::read_to_string(&file).unwrap()));
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn main_is_short() {
    let main = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/main.rs");
    assert!(fs::read_to_string(main).unwrap().lines().count() < 40);
}

#[test]
fn each_rule_finds_its_violation() {
    let order = layers(
        "pub mod base;\npub mod data;\n//pub mod gone;\npub mod engine;\npub mod cli;\npub mod app;\n",
    );
    assert_eq!(order, ["base", "data", "engine", "cli", "app"]);
    let bad = |path: &str, text: &str| violations(path, text, &order);

    assert!(bad("data/x.rs", "use crate::base::Control;").is_empty());
    assert_eq!(bad("data/x.rs", "use crate::engine::Engine;"), ["data/x.rs: data must not use engine"]);
    assert_eq!(bad("data/x.rs", "use crate::{base::{self, human}, cli::out};").len(), 1);
    assert_eq!(bad("app/x.rs", "let a = crate::cli::run();"), ["app/x.rs: app must not use cli"]);
    assert_eq!(bad("gone/x.rs", ""), ["gone/x.rs: gone is not in lib.rs"]);

    assert_eq!(bad("cli/x.rs", "use egui_plot::Plot;").len(), 1);
    assert!(bad("app/x.rs", "use egui_plot::Plot; use eframe::egui;").is_empty());
    assert_eq!(bad("engine/x.rs", "use candle_core::Tensor;").len(), 1);
    assert!(bad("data/x.rs", "use candle_core::Tensor;").is_empty());
    assert_eq!(bad("data/x.rs", "std::thread::spawn(f);").len(), 1);
    assert!(bad("base/x.rs", "std::thread::available_parallelism();").is_empty());
    assert_eq!(bad("engine/x.rs", "fn f() -> anyhow::Result<()> {}").len(), 1);
    assert_eq!(bad("base/x.rs", "println!();").len(), 1, "println! is not print!");
    assert_eq!(bad("base/x.rs", "eprint!();").len(), 1);
    assert_eq!(bad("engine/x.rs", "use tokenizers::Tokenizer;").len(), 1);
    assert!(bad("data/x.rs", "use tokenizers::Tokenizer;").is_empty());

    assert_eq!(bad("base/x.rs", "let a = b.unwrap();").len(), 1);
    assert_eq!(bad("base/x.rs", "b.expect(\"why\");").len(), 1);
    assert!(
        bad("base/x.rs", "b.unwrap_or(1);\n#[cfg(test)]\nmod tests { fn f() { b.unwrap(); } }").is_empty()
    );
    assert_eq!(bad("base/x.rs", "#[cfg(test)]\nmod tests { fn f() {} }\nfn g() { b.unwrap(); }").len(), 1);

    assert_eq!(bad("base/x.rs", &"\n".repeat(601)).len(), 1);
    let spoken = "// egui.unwrap()\n/* crate::app */ let s = \"println!() \\\" .unwrap()\"; let c = '\"'; let r = r#\"dbg!(\"#;";
    assert!(bad("base/x.rs", spoken).is_empty(), "{:?}", bad("base/x.rs", spoken));
    assert_eq!(bad("base/x.rs", "fn f<'a>(s: &'a str) -> char { dbg!('x') }").len(), 1);
}

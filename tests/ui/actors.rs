//! What the engine would say: models, a data file, a prepared data set, runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tunesmith::app::AppState;
use tunesmith::app::shared::Machine;
use tunesmith::base::hardware::Memory;
use tunesmith::data::import::{EncodingFound, Format, How, Imported};
use tunesmith::data::labels::Labels;
use tunesmith::data::mask::TrainOn;
use tunesmith::data::mask::sample;
use tunesmith::data::prepare::{Dataset, PrepareOptions};
use tunesmith::data::schema::Role;
use tunesmith::data::stats::TokenStats;
use tunesmith::data::template::Template;
use tunesmith::data::{Example, Fate, Ledger, Row, Schema, Split, Table, Tokeniser};
use tunesmith::engine::event::EventKind;
use tunesmith::hub::catalogue::ModelEntry;
use tunesmith::model::config::DecoderConfig;
use tunesmith::model::info::ModelInfo;
use tunesmith::project::folder::ProjectView;
use tunesmith::project::runs::RunSummary;
use tunesmith::project::{Outcome, TextCourse};
use tunesmith::recipe::Recipe;
use tunesmith::recipe::plan::Facts;

pub const STARTER: &str = "smollm2-135m-instruct";

pub fn machine() -> Machine {
    let memory = Memory { total_bytes: 19_000_000_000, available_bytes: 17_800_000_000 };
    Machine { num_threads: 2, memory, resident_bytes: 212_000_000 }
}

pub fn project() -> EventKind {
    let folder = PathBuf::from("/home/ada/Tunesmith");
    EventKind::Project(ProjectView { folder, name: "Tunesmith".into(), ..ProjectView::default() })
}

/// No device but the CPU, and room on the disk.
fn disk() -> EventKind {
    EventKind::Machine(Facts { free_disk_bytes: Some(120_000_000_000), ..Facts::default() })
}

pub fn models(is_starter_here: bool) -> EventKind {
    let entry = |name: &str, title: &str, about: &str, num_params, download_bytes| ModelEntry {
        name: name.into(),
        title: title.into(),
        about: about.into(),
        licence: "Apache-2.0".into(),
        num_params,
        download_bytes,
        path: None,
    };
    let mut starter = entry(
        STARTER,
        "SmolLM2 135M Instruct",
        "Small and quick: learns a task in minutes on a laptop.",
        134_515_008,
        93_000_000,
    );
    starter.path = is_starter_here.then(|| PathBuf::from("/home/ada/.cache/tunesmith/smollm2-135m-instruct"));
    let larger = entry(
        "qwen2.5-7b-instruct",
        "Qwen2.5 7B Instruct",
        "Writes much better, needs a large machine.",
        7_615_616_512,
        15_231_000_000,
    );
    EventKind::Models(vec![starter, larger])
}

pub fn model() -> EventKind {
    let config = DecoderConfig {
        vocabulary: 49_152,
        width: 576,
        ffn_width: 1536,
        num_layers: 30,
        num_heads: 9,
        num_kv_heads: 3,
        head_width: 64,
        has_tied_embeddings: true,
        context_tokens: 8_192,
        ..DecoderConfig::default()
    };
    let path = PathBuf::from("/home/ada/.cache/tunesmith/smollm2-135m-instruct/model.gguf");
    EventKind::Model(ModelInfo {
        dtype: "Q4_1".into(),
        has_chat_template: true,
        files: vec![("smollm2-135m-instruct-q4_1.gguf".into(), 92_306_144)],
        ..ModelInfo::of(STARTER, &path, &config)
    })
}

const FRUIT: [(&str, &str); 12] = [
    ("Peach", "drupe"),
    ("Apple", "pome"),
    ("Lemon", "hesperidium"),
    ("Tomato", "berry"),
    ("Cucumber", "pepo"),
    ("Raspberry", "aggregate fruit"),
    ("Pineapple", "multiple fruit"),
    ("Pea", "legume"),
    ("Hazelnut", "nut"),
    ("Poppy", "capsule"),
    ("İncir (fig)", "multiple fruit"),
    ("Персик (peach)", "drupe"),
];

/// A file of `num_rows` fruits as it was read: two lines could not be.
pub fn imported(num_rows: usize) -> Arc<Imported> {
    let mut table = Table::with_columns(["fruit", "type"]);
    for row in 0..num_rows {
        let (name, kind) = FRUIT[row % FRUIT.len()];
        // Rows 3 and 7 say again what the first one said, each in its own way.
        let (name, kind) = match row {
            3 => (FRUIT[0].0.to_string(), FRUIT[0].1),
            7 => (FRUIT[0].0.to_uppercase(), FRUIT[0].1),
            _ if row < FRUIT.len() => (name.to_string(), kind),
            _ => (format!("{name} no. {row}"), kind),
        };
        table.push_row(row as u64 + 2, [name.as_str(), kind]);
    }
    let mut ledger = Ledger { num_read: num_rows as u64 + 2, ..Ledger::default() };
    for line in [num_rows as u64 + 3, num_rows as u64 + 4] {
        ledger.add(line, Fate::Malformed { reason: "3 cells where the header has 2".into() });
    }
    Arc::new(Imported {
        path: PathBuf::from("/home/ada/Documents/fruit-families.csv"),
        format: Format::Csv,
        encoding: Some(EncodingFound { name: "UTF-8".into(), how: How::Guessed }),
        separator: Some(','),
        num_bytes: 4_210,
        table: Arc::new(table),
        ledger,
        schema: Schema { roles: vec![Role::Question, Role::Answer], prompt_template: None },
    })
}

/// The same file prepared: rows 3 and 7 repeat the first one.
pub fn dataset(imported: &Imported, options: &PrepareOptions) -> Arc<Dataset> {
    let (tokeniser, template) = language();
    let (table, mut ledger) = (&imported.table, imported.ledger.clone());
    let (mut rows, mut samples, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..table.num_rows() {
        let line = table.lines[index];
        if index == 3 || index == 7 {
            ledger.add(line, Fate::Duplicate { of_line: 2 });
            continue;
        }
        let (prompt, completion) = (table.cell(index, 0).into(), table.cell(index, 1).into());
        let example = Example::PromptCompletion { prompt, completion };
        let rendered = template.render(&example, TrainOn::Answers, true).expect("the template is sound");
        let (sample, length) = sample(&tokeniser, &rendered, options.max_tokens).expect("it can be cut");
        rows.push(Row { index, line, hash: index as u64, group: None, label: None });
        samples.push(sample);
        lengths.push(length as u32);
    }
    ledger.entries.sort_by_key(|e| e.line);
    let part = |is_in: fn(usize) -> bool| (0..rows.len()).filter(|i| is_in(i % 10)).collect();
    let split = Split { train: part(|k| k > 1), valid: part(|k| k == 1), test: part(|k| k == 0) };
    let num_trained = samples.iter().map(|s| s.num_trained() as u64).sum();
    Arc::new(Dataset {
        schema: options.schema.clone(),
        labels: Labels::default(),
        source: imported.path.clone(),
        options: options.clone(),
        table: Arc::clone(table),
        rows,
        samples,
        split,
        ledger,
        stats: TokenStats::new(lengths, num_trained),
        template,
        tokeniser,
        general_text: None,
    })
}

/// A tokenizer of 512 tokens and a chat template, read once.
fn language() -> (Arc<Tokeniser>, Arc<Template>) {
    static LANGUAGE: OnceLock<(Arc<Tokeniser>, Arc<Template>)> = OnceLock::new();
    let read = || {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/window");
        let tokeniser = Tokeniser::from_file(&folder.join("tokenizer.json")).expect("the fixture is sound");
        let config =
            std::fs::read_to_string(folder.join("tokenizer_config.json")).expect("the fixture is there");
        let config: serde_json::Value = serde_json::from_str(&config).expect("the fixture is JSON");
        let source = config["chat_template"].as_str().expect("the fixture has a template");
        let template = Template::chat(source, "<|im_start|>", "<|im_end|>").expect("the template is sound");
        (Arc::new(tokeniser), Arc::new(template))
    };
    LANGUAGE.get_or_init(read).clone()
}

pub fn runs() -> EventKind {
    let run = |name: &str, outcome: Option<Outcome>, last_update, best: f64| RunSummary {
        folder: PathBuf::from("/home/ada/Tunesmith/runs").join(name),
        name: name.into(),
        started: "2026-11-21T14:30:00Z".into(),
        recipe: Recipe::default(),
        outcome,
        last_update,
        num_updates: 300,
        best_loss: Some(best),
        last_loss: Some(best + 0.02),
        general_text: TextCourse::default(),
        secs: 244.0,
        sparkline: (0..48).map(|i| 2.6 * (-(i as f32) / 14.0).exp() + 0.4 + 0.05 * (i % 3) as f32).collect(),
        adapter: Some(PathBuf::from("/home/ada/Tunesmith/runs").join(name).join("adapter")),
        // As `project::runs` says it.
        resumable: match outcome {
            Some(Outcome::Done) => Err("It has done all its updates.".into()),
            _ => Ok(last_update),
        },
        is_running: false,
    };
    EventKind::Runs(vec![
        run("2026-11-21-143000-lora-fruit-families", Some(Outcome::Done), 300, 0.412),
        run("2026-11-20-091200-lora-letters-to-the-editor-with-a-long-name", None, 84, 1.032),
    ])
}

/// Tokenizer and template of the chosen model.
pub fn voice() -> EventKind {
    let (tokeniser, template) = language();
    EventKind::Tokeniser { source: STARTER.into(), tokeniser, template }
}

/// Everything is there: model, data, runs.
pub fn furnished(num_rows: usize) -> AppState {
    let mut state = crate::stage::empty();
    for kind in [project(), disk(), models(true), model(), voice(), runs()] {
        feed(&mut state, kind);
    }
    let file = imported(num_rows);
    feed(&mut state, EventKind::Imported(Arc::clone(&file)));
    let options = state.data.options().cloned().expect("an open file has options");
    feed(&mut state, EventKind::Prepared(dataset(&file, &options)));
    state
}

/// An event that belongs to no job.
pub fn feed(state: &mut AppState, kind: EventKind) {
    state.apply(tunesmith::engine::Event { job: tunesmith::engine::JobId(0), kind });
}

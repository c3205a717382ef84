//! The model card of an adapter or a tuned model: what it was made from, how, and with what result.

use super::ExportError;
use crate::base::{human, storage};
use crate::peft::Settings;
use crate::peft::compose::Part;
use crate::project::RunFolder;
use crate::project::runs::{self, RunSummary};
use crate::recipe::recipe::{Method, Objective};
use crate::recipe::{Recipe, load};
use std::path::Path;

/// What the card says of one kind of result: library and tag for model hubs, what it is, how it is loaded.
#[derive(Clone, Copy)]
struct Kind {
    library: &'static str,
    tag: &'static str,
    what: &'static str,
    load: &'static str,
    /// The hub's word for what it is used for.
    use_of: &'static str,
}

const WRITES: &str = "text-generation";

const MODEL: Kind = Kind {
    library: "transformers",
    tag: "full-tuning",
    what: "tuned model",
    load: "Load it with transformers: `AutoModelForCausalLM.from_pretrained(folder)`.",
    use_of: WRITES,
};

const SEQ_TO_SEQ: Kind = Kind {
    load: "Load it with transformers: `AutoModelForSeq2SeqLM.from_pretrained(folder)`.",
    use_of: "text2text-generation",
    ..MODEL
};

impl Kind {
    /// Of a whole model that was tuned by this recipe.
    fn of_model(recipe: &Recipe) -> Self {
        if recipe.has_tasks() {
            return Self {
                load: "Ask it with Tunesmith: `tunesmith predict`. transformers loads its body, \
                       `AutoModel.from_pretrained(folder)`; the heads of its tasks lie beside it under `heads.NAME`.",
                use_of: "feature-extraction",
                ..MODEL
            };
        }
        match &recipe.objective {
            Objective::Classification(_) | Objective::Regression(_) | Objective::Sentences(_) => Self {
                load: "Load it with transformers: `AutoModelForSequenceClassification.from_pretrained(folder)`.",
                use_of: "text-classification",
                ..MODEL
            },
            Objective::Contrastive(_) => Self {
                library: "sentence-transformers",
                load: "Load it with sentence-transformers: `SentenceTransformer(folder)`.",
                use_of: "sentence-similarity",
                ..MODEL
            },
            Objective::Masked(_) => Self {
                load: "Load it with transformers: `AutoModelForMaskedLM.from_pretrained(folder)`.",
                use_of: "fill-mask",
                ..MODEL
            },
            Objective::SpanCorruption(_) => SEQ_TO_SEQ,
            _ => MODEL,
        }
    }
}

const WITH_PEFT: &str = "Load it with PEFT: `PeftModel.from_pretrained(base_model, folder)`.";

/// Where the run's own files do not say what made it.
const UNKNOWN: Kind =
    Kind { library: "peft", tag: "adapter", what: "adapter", load: WITH_PEFT, use_of: WRITES };

impl Kind {
    const BOTTLENECK: Self = Self {
        library: "adapter-transformers",
        tag: "adapter",
        what: "bottleneck adapter",
        load: "Load it with the adapters library: `adapters.init(model)`, then `model.load_adapter(folder)`.",
        use_of: WRITES,
    };

    fn of(method: &Method) -> Self {
        match method {
            Method::Lora(_) => Self { tag: "lora", what: "LoRA adapter", ..UNKNOWN },
            Method::Full {} | Method::Freeze(_) => MODEL,
            Method::Prefix(_) => Self { tag: "prefix-tuning", what: "prefix", ..UNKNOWN },
            Method::Prompt(_) => Self { tag: "prompt-tuning", what: "soft prompt", ..UNKNOWN },
            Method::PTuning(_) => Self { tag: "p-tuning", what: "soft prompt", ..UNKNOWN },
            Method::Ia3(_) => Self { tag: "ia3", what: "IA3 adapter", ..UNKNOWN },
            Method::Bottleneck(_) => Self::BOTTLENECK,
        }
    }
}

/// Writes the model card of what several `parts` became, as a `README.md`: an adapter with these settings, or a whole model. `how` says
/// in words how they became one, and `base` names their model.
///
/// # Errors
/// [`ExportError::Write`]
pub fn composed(
    settings: Option<&Settings>,
    how: String,
    parts: &[Part],
    base: &str,
    folder: &Path,
) -> Result<(), ExportError> {
    let kind = match settings {
        None => MODEL,
        Some(settings) if matches!(settings.method(), Settings::Bottleneck(_)) => Kind::BOTTLENECK,
        Some(_) => UNKNOWN,
    };
    let Kind { what, load, .. } = kind;
    let rows = parts.iter().map(|part| format!("| {} | {} |\n", name_of(&part.folder), part.weight));
    let text = format!(
        "{}# A composition\n\n{} {what} made with Tunesmith of several that were tuned from one base model, {}.\n\n\
         | Part | Weight |\n|---|---|\n{}\nHow they became one: {how}.\n\n{load}\n",
        head(kind),
        article(what),
        model_name(base),
        rows.collect::<String>(),
    );
    let path = folder.join("README.md");
    storage::write_atomic_bytes(&path, text.as_bytes()).map_err(|source| ExportError::Write { path, source })
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'I', 'o']) { "An" } else { "A" }
}

/// Of a run it is the run's name, elsewhere the folder's. Where it lay is nobody's business.
fn name_of(part: &Path) -> String {
    let run = part.parent().filter(|_| part.ends_with("adapter"));
    match run.and_then(|run| runs::summary(run).ok()) {
        Some(run) => plain(&run.name),
        None => last_name(part),
    }
}

fn last_name(path: &Path) -> String {
    plain(&path.file_name().unwrap_or_default().to_string_lossy())
}

fn model_name(source: &str) -> String {
    let path = Path::new(source);
    if path.is_absolute() { last_name(path) } else { plain(source) }
}

fn head(Kind { library, tag, use_of, .. }: Kind) -> String {
    format!("---\nlibrary_name: {library}\npipeline_tag: {use_of}\ntags:\n- {tag}\n- tunesmith\n---\n\n")
}

/// Markdown about the run in `folder`, which made an adapter or a whole model; short when the run's own files cannot be read.
pub(super) fn text(folder: &Path, is_model: bool) -> String {
    let run = runs::summary(folder);
    let kind = match (&run, is_model) {
        (Ok(run), true) => Kind::of_model(&run.recipe),
        (Ok(run), false) => {
            Kind { use_of: Kind::of_model(&run.recipe).use_of, ..Kind::of(&run.recipe.method) }
        }
        (Err(_), true) => MODEL,
        (Err(_), false) => UNKNOWN,
    };
    let Kind { what, load, .. } = kind;
    let article = article(what);
    let head = head(kind);
    let Ok(run) = run else {
        return format!("{head}# {article} {what}\n\nMade with Tunesmith.\n\n{load}\n");
    };
    let rows: String =
        facts(&run, folder).iter().map(|(name, value)| format!("| {name} | {value} |\n")).collect();
    format!(
        "{head}# {}\n\n{article} {what} made with Tunesmith.\n\n| | |\n|---|---|\n{rows}\n{load}\n",
        plain(&run.name)
    )
}

/// What a recipe says of its task, or of each of several by its name.
fn of_each_task(recipe: &Recipe, say: impl Fn(&Recipe) -> String) -> String {
    let each = recipe.task_names().into_iter().zip(recipe.each_task());
    let said =
        each.map(|(name, of)| if name.is_empty() { say(&of) } else { format!("{name}: {}", say(&of)) });
    said.collect::<Vec<_>>().join(", ")
}

fn facts(run: &RunSummary, folder: &Path) -> Vec<(&'static str, String)> {
    let recipe = &run.recipe;
    let mut facts = vec![
        ("Base model", model_name(&recipe.model.source)),
        ("Data", of_each_task(recipe, |of| of.data.path.as_deref().map_or("unknown".into(), last_name))),
        ("Method", recipe.describe()),
        ("Objective", of_each_task(recipe, |of| of.objective.describe())),
        ("Updates", format!("{} of {}", human::count(run.last_update), human::count(run.num_updates))),
        ("Time", human::secs(run.secs)),
        ("Seed", recipe.run.seed.to_string()),
    ];
    let settings: Vec<String> =
        load::method_settings(recipe).into_iter().map(|(key, value)| format!("{key} = {value}")).collect();
    if !settings.is_empty() {
        facts.push(("Settings of the method", plain(&settings.join(", "))));
    }
    if let Some(num) = num_rows(folder) {
        facts.push(("Training and validation examples", num));
    }
    if let Some(loss) = run.best_loss {
        facts.push(("Best validation loss", format!("{loss:.4}")));
    }
    if let Some(course) = run.general_text.describe() {
        facts.push(("Perplexity of a general text", course));
    }
    facts
}

fn num_rows(folder: &Path) -> Option<String> {
    let events = RunFolder::open(folder).ok()?.events().ok()?;
    events.iter().rev().find_map(|event| match event {
        crate::project::RunEvent::Started { num_train, num_valid, .. } => {
            Some(format!("{} and {}", human::count(*num_train as u64), human::count(*num_valid as u64)))
        }
        _ => None,
    })
}

/// Text that cannot break out of its cell.
fn plain(text: &str) -> String {
    let kept: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    human::elide(&kept.replace('|', "\\|").replace('<', "&lt;").replace('`', "'"), 200)
}

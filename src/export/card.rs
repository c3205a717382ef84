//! The model card of an adapter or a tuned model: what it was made from, how, and with what result.

use crate::base::human;
use crate::data::mask::TrainOn;
use crate::project::RunFolder;
use crate::project::runs::{self, RunSummary};
use crate::recipe::recipe::{Freeze, Method, Objective};
use std::path::Path;

/// What the card says of one kind of result: library and tag for model hubs, what it is, how it is loaded.
#[derive(Clone, Copy)]
struct Kind {
    library: &'static str,
    tag: &'static str,
    what: &'static str,
    load: &'static str,
}

const ADAPTER: Kind = Kind {
    library: "peft",
    tag: "lora",
    what: "LoRA adapter",
    load: "Load it with PEFT: `PeftModel.from_pretrained(base_model, folder)`.",
};

const BOTTLENECK: Kind = Kind {
    library: "adapter-transformers",
    tag: "bottleneck",
    what: "bottleneck adapter",
    load: "Load it with the adapters library: `model.load_adapter(folder)`.",
};

impl Kind {
    fn of(method: &Method) -> Self {
        match method {
            Method::Lora(_) => ADAPTER,
            Method::Full {} | Method::Freeze(_) => MODEL,
            Method::Ia3(_) => Self { tag: "ia3", what: "set of IA3 factors", ..ADAPTER },
            Method::Bottleneck(_) => BOTTLENECK,
            Method::Prefix(_) => Self { tag: "prefix-tuning", what: "prefix", ..ADAPTER },
            Method::Prompt(_) => Self { tag: "prompt-tuning", what: "soft prompt", ..ADAPTER },
            Method::PTuning(_) => Self { tag: "p-tuning", what: "soft prompt", ..ADAPTER },
        }
    }
}

const MODEL: Kind = Kind {
    library: "transformers",
    tag: "full-tuning",
    what: "tuned model",
    load: "Load it with transformers: `AutoModelForCausalLM.from_pretrained(folder)`.",
};

/// Markdown about the run in `folder`, which made an adapter or a whole model; short when the run's own files cannot be read.
pub(super) fn text(folder: &Path, is_model: bool) -> String {
    let run = runs::summary(folder).ok();
    let Kind { library, tag, what, load } = match &run {
        _ if is_model => MODEL,
        Some(run) => Kind::of(&run.recipe.method),
        None => ADAPTER,
    };
    let head = format!(
        "---\nlibrary_name: {library}\npipeline_tag: text-generation\ntags:\n- {tag}\n- tunesmith\n---\n\n"
    );
    let Some(run) = run else {
        return format!("{head}# A {what}\n\nMade with Tunesmith.\n\n{load}\n");
    };
    let rows: String =
        facts(&run, folder).iter().map(|(name, value)| format!("| {name} | {value} |\n")).collect();
    format!(
        "{head}# {}\n\nA {what} made with Tunesmith.\n\n| | |\n|---|---|\n{rows}\n{load}\n",
        plain(&run.name)
    )
}

fn facts(run: &RunSummary, folder: &Path) -> Vec<(&'static str, String)> {
    let recipe = &run.recipe;
    let Objective::Supervised { train_on } = &recipe.objective;
    // The name only: where it lay is nobody's business.
    let name = |path: &Path| plain(&path.file_name().unwrap_or_default().to_string_lossy());
    let source = Path::new(&recipe.model.source);
    let model = if source.is_absolute() { name(source) } else { plain(&recipe.model.source) };
    let mut facts = vec![
        ("Base model", model),
        ("Data", recipe.data.path.as_deref().map(name).unwrap_or_else(|| "unknown".into())),
        ("Method", recipe.describe()),
        ("Loss on", if *train_on == TrainOn::Answers { "answers" } else { "everything" }.into()),
        ("Updates", format!("{} of {}", human::count(run.last_update), human::count(run.num_updates))),
        ("Time", human::secs(run.secs)),
        ("Seed", recipe.run.seed.to_string()),
    ];
    if let Some(lora) = recipe.method.lora() {
        facts.push(("Alpha and dropout", format!("{} and {}", lora.alpha, lora.dropout)));
        facts.push(("Layers", plain(&lora.target_modules.join(", "))));
    }
    if let Some(freeze) = recipe.method.freeze() {
        facts.push(("Trained besides blocks", beside_blocks(freeze)));
    }
    if let Some(num) = num_rows(folder) {
        facts.push(("Training and validation examples", num));
    }
    if let Some(loss) = run.best_loss {
        facts.push(("Best validation loss", format!("{loss:.4}")));
    }
    facts
}

/// "head, final norm"
fn beside_blocks(freeze: &Freeze) -> String {
    let all = [(freeze.embeddings, "embeddings"), (freeze.head, "head"), (freeze.final_norm, "final norm")];
    let names: Vec<&str> =
        all.into_iter().filter(|(is_trained, _)| *is_trained).map(|(_, name)| name).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
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

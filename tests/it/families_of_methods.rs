//! Every way of tuning keeps its promises on every family of decoders: one table of methods, one of models, one test a promise.

use crate::families::{self, wordless};
use crate::methods::{recipe_of, recipes, require_gradients, require_same_from_cache, require_same_merged};
use crate::parity::{self, decoder, fixture};
use crate::train::{dataset, plan};
use candle_core::{Device, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tunesmith::base::Control;
use tunesmith::data::prepare::Dataset;
use tunesmith::data::{Batch, Split};
use tunesmith::model::config::{DecoderConfig, Family};
use tunesmith::model::load::LoadedModel;
use tunesmith::objective::Language;
use tunesmith::peft::freeze::Kind;
use tunesmith::project::RunFolder;
use tunesmith::recipe::Recipe;
use tunesmith::train::feed::Rows;
use tunesmith::train::memory::Meter;
use tunesmith::train::trainer::Trainer;
use tunesmith::train::{bench, checkpoint, trainee};

/// Settings of a method, with names of modules that differ between families in braces, and why a model cannot be tuned so, if it cannot.
struct Row {
    settings: &'static [&'static str],
    refusal: fn(&DecoderConfig) -> Option<&'static str>,
}

const fn row(settings: &'static [&'static str]) -> Row {
    Row { settings, refusal: |_| None }
}

/// Those besides the table of `methods`.
const MORE: [Row; 8] = [
    row(&[
        "method.kind=lora",
        "method.rank=4",
        "method.rank_stabilised=true",
        "method.dropout=0.1",
        "optimizer.learning_rate=0.01",
    ]),
    row(&["method.kind=lora", "method.rank=4", "method.b_rate_factor=4.0", "optimizer.learning_rate=0.005"]),
    row(&[
        "method.kind=lora",
        r"method.rank_pattern={ '1\..*' = 2 }",
        r"method.alpha_pattern={ '0\..*' = 3.0 }",
        "optimizer.learning_rate=0.01",
    ]),
    row(&[
        "method.kind=lora",
        "method.rank=4",
        "method.dora=true",
        "method.bias=all",
        "method.modules_to_save=[\"{final_norm}\"]",
        "optimizer.learning_rate=0.01",
    ]),
    row(&[
        "method.kind=lora",
        "method.rank=4",
        "method.bias=lora_only",
        "method.modules_to_save=[\"{embedding}\", \"lm_head\"]",
        "optimizer.learning_rate=0.01",
    ]),
    Row {
        settings: &[
            "method.kind=lora",
            "method.rank=4",
            "method.modules_to_save=[\"lm_head\"]",
            "optimizer.learning_rate=0.01",
        ],
        refusal: |config| config.has_tied_head().then_some("lm_head"),
    },
    Row {
        settings: &[
            "method.kind=freeze",
            "method.blocks=2",
            "method.train=[\"biases\"]",
            "method.final_norm=false",
            "optimizer.learning_rate=0.05",
        ],
        refusal: |config| (!Kind::Biases.is_in(config)).then_some("nothing"),
    },
    row(&[
        "method.kind=freeze",
        "method.blocks=1",
        "method.embeddings=true",
        "method.head=true",
        "optimizer.learning_rate=0.005",
    ]),
];

impl Row {
    fn recipe(&self, config: &DecoderConfig) -> Recipe {
        let names = &config.family.table().names;
        let last = |path: &'static str| path.rsplit('.').next().unwrap();
        let named = |setting: &&str| {
            setting
                .replace("{embedding}", last(names.embedding))
                .replace("{final_norm}", last(names.final_norm.unwrap()))
        };
        let settings: Vec<String> = self.settings.iter().map(named).collect();
        recipe_of(&settings.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// The models of all families, by their folders.
fn models() -> impl Iterator<Item = (PathBuf, LoadedModel)> {
    let folders = families::NAMES.map(|name| format!("families/{name}"));
    let folders = folders.into_iter().chain(parity::FAMILIES.map(String::from));
    folders.map(|name| {
        let folder = format!("parity/{name}/model");
        (fixture(&folder), wordless(&name, &fixture(&folder), decoder(&folder)))
    })
}

/// Every method that there is for a model; of what there is not, it is told why.
fn recipes_for(model: &LoadedModel) -> Vec<Recipe> {
    let more = MORE.iter().filter_map(|row| {
        let recipe = row.recipe(model.config());
        let made = trainee::new_adapter(&recipe.method, model, 0);
        let Some(word) = (row.refusal)(model.config()) else { return Some(recipe) };
        let refusal = made.map(|_| ()).unwrap_err().to_string();
        assert!(refusal.contains(word), "{}: {refusal}", model.info.source);
        None
    });
    recipes().chain(more).collect()
}

/// One batch of two samples, which are longer than the windows of attention.
fn one_batch(model: &LoadedModel) -> Dataset {
    let random = |len| bench::random_samples(model.config().vocabulary, 1, len, len as u64).remove(0);
    let split = Split { train: vec![0, 1], ..Split::default() };
    Dataset { samples: vec![random(24), random(20)], split, ..dataset(model, 2) }
}

/// The tensors of a model's file, as the bits of their numbers.
fn stored(folder: &Path) -> BTreeMap<String, Vec<u32>> {
    let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
    tensors.into_iter().map(|(name, tensor)| (name, bits(&tensor))).collect()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

#[test]
fn the_table_has_every_family_of_decoders() {
    let found: BTreeSet<String> = models().map(|(_, model)| format!("{:?}", model.config().family)).collect();
    // Those of two stacks are in `two_stacks`.
    let is_decoder = |family: &Family| family.table().is_causal && family.table().encoder.is_none();
    for family in Family::ALL.into_iter().filter(is_decoder) {
        assert!(found.contains(&format!("{family:?}")), "{family:?}");
    }
}

#[test]
fn every_parameter_gets_a_gradient_that_descends() {
    for (_, model) in models() {
        let batch = Batch::pack(&one_batch(&model).samples);
        recipes_for(&model).iter().for_each(|recipe| require_gradients(recipe, &model, &batch));
    }
}

#[test]
fn cached_logits_equal_uncached_ones() {
    for (_, model) in models() {
        let sample = one_batch(&model).samples.remove(0);
        for recipe in recipes_for(&model) {
            require_same_from_cache(&recipe, &model, &sample, &[13, 1, 1, 8, 1]);
        }
    }
}

/// And what is not tuned is in the merged file as it was, bit for bit.
#[test]
fn merged_equals_unmerged() {
    for (folder, model) in models() {
        let (sample, before) = (one_batch(&model).samples.remove(0), stored(&folder));
        for recipe in recipes_for(&model) {
            let Some((adapter, out)) = require_same_merged(&recipe, &model, &sample) else { continue };
            let name = format!("{} of {}", recipe.method.describe(), model.info.source);
            let head = model.config().family.table().names.head;
            // As PEFT calls the head.
            let names = adapter.params.names().map(|name| name.replace("lm_head", head));
            let trained: Vec<String> = names.collect();
            let after = stored(out.path());
            assert!(after.keys().eq(before.keys()), "{name}");
            for (tensor, values) in after {
                let is_changed = values != before[&tensor];
                assert_eq!(is_changed, is_tuned(&tensor, &trained).unwrap_or(is_changed), "{name}: {tensor}");
            }
        }
    }
}

/// Whether a method with these parameters changes a tensor of the model; `None` for the bias of a layer of IA3, which scales some outputs
/// and some inputs.
fn is_tuned(tensor: &str, trained: &[String]) -> Option<bool> {
    let (module, kind) = tensor.rsplit_once('.').unwrap();
    let of_module = trained.iter().filter(|name| name.contains(&format!("{module}.")));
    let (biases, others): (Vec<&String>, Vec<&String>) = of_module.partition(|name| name.ends_with(".bias"));
    match kind {
        "weight" => Some(!others.is_empty()),
        _ if others.iter().any(|name| name.contains("ia3")) => None,
        _ => Some(!biases.is_empty()),
    }
}

/// The loss of one batch falls, every parameter moves and nothing else does, and a run that goes on from a checkpoint is the same one, bit
/// for bit.
#[test]
fn one_batch_is_learnt_and_a_run_resumes_exactly() {
    for (_, model) in models() {
        let data = one_batch(&model);
        let frozen = || {
            let parts = model.config().groups().into_iter().map(|group| group.part);
            parts.map(|part| bits(&model.decoder.tensor(part).unwrap())).collect::<Vec<_>>()
        };
        let before = frozen();
        for recipe in recipes_for(&model) {
            learn_and_resume(recipe, &model, &data);
            assert!(frozen() == before, "{}", model.info.source);
        }
    }
}

fn learn_and_resume(recipe: Recipe, model: &LoadedModel, data: &Dataset) {
    let name = format!("{} of {}", recipe.method.describe(), model.info.source);
    let usual = ["length.updates=15", "batch.micro_batch_tokens=64", "batch.accumulation=1"];
    let usual = crate::train::recipe(&usual);
    let recipe = Recipe { length: usual.length, batch: usual.batch, ..recipe };
    let (plan, temp, memory, control) =
        (plan(&recipe, data), tempfile::tempdir().unwrap(), || 0, Control::new());
    let folder = RunFolder::create(&temp.path().join("run"), &recipe).unwrap();
    let new = || {
        let meter = Meter::new(&memory, None);
        Trainer::new(&plan, model, vec![Rows::shuffled(&Language, &data.samples)], &[], meter).unwrap()
    };
    let update = |trainer: &mut Trainer| trainer.update(&control).unwrap().unwrap().loss;

    let mut whole = new();
    let first = bits(whole.adapter.params.values());
    let mut losses = vec![update(&mut whole), update(&mut whole)];
    checkpoint::save(&whole, &folder.checkpoint_dir(2)).unwrap();
    losses.extend([update(&mut whole), update(&mut whole)]);
    let after_four = bits(whole.adapter.params.values());
    for (tensor, range) in whole.adapter.params.ranges() {
        assert!(after_four[range.clone()] != first[range], "{name}: {tensor} stays");
    }
    losses.extend((4..15).map(|_| update(&mut whole)));
    // A few virtual tokens tell a model of random weights little, least of all Granite, which divides its logits.
    assert!(losses[14] < 0.99 * losses[0], "{name}: {losses:?}");

    let mut resumed = new();
    assert_eq!(checkpoint::restore_latest(&mut resumed, &folder).unwrap(), Vec::<String>::new(), "{name}");
    assert_eq!(resumed.position.update.0, 2, "{name}");
    assert_eq!([update(&mut resumed), update(&mut resumed)], losses[2..4], "{name}");
    assert!(bits(resumed.adapter.params.values()) == after_four, "{name}");
}

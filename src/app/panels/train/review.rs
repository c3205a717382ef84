//! The recipe as it would be run: the form, the chosen model and the open data together, checked.

use crate::app::shared::Shared;
use crate::data::loader::Loader;
use crate::data::prepare::Dataset;
use crate::recipe::options::options;
use crate::recipe::plan::{DataFacts, Facts, ModelFacts};
use crate::recipe::recipe::{Objective, Overlong};
use crate::recipe::recommend::recommend;
use crate::recipe::variants::compared;
use crate::recipe::{MethodOption, Plan, Problem, Recipe, Recommendation, Severity};
use std::sync::{Arc, Weak};

/// What is known of the recipe before the run.
#[derive(Debug, Clone, Default)]
pub struct Review {
    pub recipe: Recipe,
    /// Worst first.
    pub problems: Vec<Problem>,
    /// When nothing forbids the run, and model and data are known.
    pub plan: Option<Plan>,
    /// Of the recipe's device, if it was measured.
    pub flops_per_second: Option<f64>,
    /// Every objective, and why it cannot be chosen.
    pub objectives: Vec<(Objective, Option<String>)>,
    /// What every method would cost.
    pub options: Vec<MethodOption>,
    /// What can be compared.
    pub variants: Vec<MethodOption>,
    /// When model and data are known.
    pub recommendation: Option<Recommendation>,
    /// Of the model.
    pub num_params: u64,
    /// Samples of the first micro-batch: (tokens, trained tokens) each.
    pub first_batch: Vec<(usize, usize)>,
}

impl Review {
    /// `origin` is what the draft was made from.
    pub fn new(draft: &Recipe, origin: &Recipe, shared: &Shared, data: &mut DataSight) -> Self {
        let recipe = compose(draft, shared);
        let dataset = shared.dataset.as_ref();
        data.look(dataset, &recipe);
        let facts = Facts {
            model: shared.model.as_deref().map(ModelFacts::from),
            data: data.facts.clone().filter(|_| dataset.is_some() && !recipe.has_tasks()),
            free_memory_bytes: shared.machine.memory.available_bytes,
            resident_bytes: shared.machine.resident_bytes,
            ..shared.facts.clone()
        }
        .of_objective(&recipe);
        let problems = recipe.check(&facts);
        let is_known = facts.model.is_some() && facts.data.is_some();
        let plan =
            if is_known { Plan::new(recipe.clone(), &facts, data.num_micro_batches).ok() } else { None };
        let flops_per_second = facts.flops_per_second(&recipe);
        Self {
            options: options(&recipe, origin, &facts, data.num_micro_batches),
            variants: compared(&recipe, &facts, data.num_micro_batches),
            objectives: objectives(shared),
            recommendation: recommend(&recipe, &facts, data.num_micro_batches),
            num_params: facts.model.as_ref().map_or(0, |model| model.num_params),
            first_batch: data.first_batch.clone(),
            recipe,
            problems,
            plan,
            flops_per_second,
        }
    }

    /// Whether the recipe has what is recommended.
    pub fn is_recommended(&self, recipe: &Recipe) -> bool {
        self.recommendation.as_ref().is_some_and(|recommended| recommended.is_followed_by(recipe))
    }

    /// What stands in the way of a run.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|p| p.severity == Severity::Error)
    }

    /// The learning rate at about a hundred updates of the run.
    pub fn schedule(&self) -> Vec<(f64, f64)> {
        let Some(plan) = &self.plan else { return Vec::new() };
        let schedule = plan.schedule();
        let n = plan.num_updates();
        let every = (n / 120).max(1);
        let rate = |done: u64| ((done + 1) as f64, schedule.at(crate::base::Update(done)));
        let mut points: Vec<(f64, f64)> = (0..n).step_by(every as usize).map(rate).collect();
        // The corner at the end of the warm-up is where the eye looks.
        points.extend([schedule.warmup_updates.min(n.saturating_sub(1)), n.saturating_sub(1)].map(rate));
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points.dedup_by(|a, b| a.0 == b.0);
        points
    }
}

/// Numbers of the data that cost a look at every row: taken only when something changed.
#[derive(Debug, Default)]
pub struct DataSight {
    facts: Option<DataFacts>,
    num_micro_batches: u64,
    first_batch: Vec<(usize, usize)>,
    /// The dataset that was looked at; held weakly, so that its place in memory is no other's meanwhile.
    dataset: Weak<Dataset>,
    /// What else the batches depend on: the micro-batch, packing, the seed.
    seen: Option<(usize, bool, u64)>,
}

impl DataSight {
    fn look(&mut self, dataset: Option<&Arc<Dataset>>, recipe: &Recipe) {
        let Some(dataset) = dataset else {
            *self = Self::default();
            return;
        };
        let batch = &recipe.batch;
        let now = Arc::downgrade(dataset);
        let is_same = self.dataset.ptr_eq(&now);
        let seen = Some((batch.micro_batch_tokens, batch.packing, recipe.run.seed));
        if is_same && self.seen == seen {
            return;
        }
        if !is_same {
            self.facts = Some(DataFacts::of(dataset));
        }
        (self.dataset, self.seen) = (now, seen);
        let samples: Vec<_> = dataset.split.train.iter().filter_map(|i| dataset.samples.get(*i)).collect();
        let lengths = samples.iter().map(|s| s.len()).collect();
        let loader = Loader::new(lengths, batch.micro_batch_tokens, batch.packing, recipe.run.seed);
        let epoch = loader.epoch(0);
        self.num_micro_batches = epoch.len() as u64;
        let first = epoch.first().map(Vec::as_slice).unwrap_or_default();
        self.first_batch = first.iter().map(|i| (samples[*i].len(), samples[*i].num_trained())).collect();
    }
}

/// Every objective, and what of the columns or of the model forbids it.
fn objectives(shared: &Shared) -> Vec<(Objective, Option<String>)> {
    let schema = shared.prepare_options.as_ref().filter(|_| shared.imported.is_some()).map(|o| &o.schema);
    let model = shared.model.as_deref().filter(|model| model.config.num_layers > 0);
    let is_causal = shared.model.as_deref().map(|model| model.config.is_causal());
    let of_stacks = |objective: &Objective| {
        model.and_then(|model| objective.refuses_stacks(&model.config)).map(|why| format!("{why}."))
    };
    let of_model = |objective: &Objective| match (objective.wants_causal(), is_causal) {
        (Some(true), Some(false)) => Some("The chosen model reads whole texts and cannot write.".to_string()),
        (Some(false), Some(true)) => {
            Some("The chosen model reads from left to right: this is for encoders, such as BERT.".to_string())
        }
        _ => schema.and_then(|schema| objective.refuses(schema)).map(|why| format!("In Data, {why}.")),
    };
    let why_not = |objective: &Objective| of_stacks(objective).or_else(|| of_model(objective));
    Objective::all()
        .into_iter()
        .map(|one| {
            let why = why_not(&one);
            (one, why)
        })
        .collect()
}

/// The draft with what Model and Data say.
pub fn compose(draft: &Recipe, shared: &Shared) -> Recipe {
    let mut recipe = draft.clone();
    if !shared.model_source.is_empty() {
        recipe.model.source.clone_from(&shared.model_source);
    }
    // Each of several tasks names its own data.
    if recipe.has_tasks() {
        return recipe;
    }
    recipe.data.path = shared.imported.as_ref().map(|i| i.path.clone());
    let read = &shared.import_options;
    recipe.data.format = read.format;
    recipe.data.encoding.clone_from(&read.encoding);
    recipe.data.separator = read.separator;
    recipe.data.has_header = read.has_header;
    if let Some(options) = &shared.prepare_options {
        recipe.data.schema = Some(options.schema.clone());
        recipe.data.overlong = if options.drop_overlong { Overlong::Drop } else { Overlong::Truncate };
        recipe.data.keep_duplicates = options.keep_duplicates;
        recipe.data.chat = options.chat;
        recipe.data.split.clone_from(&options.split);
        recipe.batch.max_tokens = options.max_tokens;
        if recipe.objective.reading(options.split.seed) != options.reading {
            recipe.objective = Objective::of_reading(&options.reading);
        }
    }
    recipe
}

//! The methods side by side: what each costs, which suits the data, and what choosing one does to the learning rate.

use crate::recipe::{data, facts, method};
use tunesmith::model::config::Family;
use tunesmith::peft::ia3;
use tunesmith::recipe::options::{options, with_method};
use tunesmith::recipe::plan::{Facts, Speed};
use tunesmith::recipe::recipe::{Bottleneck, DeviceChoice, Ia3, Lora, Method, OptimizerKind, Precision};
use tunesmith::recipe::recommend::recommend;
use tunesmith::recipe::{MemoryLimit, Plan, Recipe, Recommendation, load};

fn with_rows(num_train: usize, trained_tokens: u64) -> Facts {
    let mut facts = facts();
    let data = data(&mut facts);
    (data.num_train, data.trained_tokens, data.train_tokens) =
        (num_train, trained_tokens, 4 * trained_tokens);
    facts
}

fn of(recipe: &Recipe, facts: &Facts) -> Recommendation {
    recommend(recipe, facts, 100).expect("model and data are known")
}

fn rank(recommended: &Recommendation) -> usize {
    recommended.method.lora().expect("LoRA").rank
}

#[test]
fn every_method_has_words_of_its_own() {
    let all = Method::all();
    for (i, method) in all.iter().enumerate() {
        let text = method.explain();
        assert_eq!(text.matches(['.', '?']).count(), 2, "two sentences: {text}");
        assert!(!text.contains("  ") && text.len() < 240, "{text}");
        for other in &all[..i] {
            assert!(method.title() != other.title() && method.describe() != other.describe());
            assert!(text != other.explain());
        }
    }
}

#[test]
fn the_recommendation_follows_the_data() {
    let recipe = Recipe::default();
    let few = of(&recipe, &with_rows(12, 300));
    assert_eq!(few.method, Method::Ia3(Ia3::default()));
    assert!(few.reason.contains("12 training rows are very few: 57,600 factors"), "{}", few.reason);
    // Few rows that are books are not few.
    assert_eq!(rank(&of(&recipe, &with_rows(12, 90_000))), 8);
    let some = of(&recipe, &with_rows(400, 10_000));
    assert_eq!((rank(&some), some.precision), (8, None));
    assert_eq!(some.describe(), "LoRA, rank 8");
    assert_eq!(rank(&of(&recipe, &with_rows(9_000, 300_000))), 32);
    // Much data: every weight, where memory and time allow it.
    let mut much = with_rows(60_000, 9_000_000);
    let slow = of(&recipe, &much);
    assert_eq!(rank(&slow), 64);
    assert!(slow.reason.contains("would take about"), "{}", slow.reason);
    much.speed = Some(Speed { device: DeviceChoice::Cpu, flops_per_second: 1e14 });
    let full = of(&recipe, &much);
    assert_eq!(full.method, Method::Full {});
    assert!(full.reason.contains("60,000 training rows with 9,000,000 tokens"), "{}", full.reason);
    much.free_memory_bytes = 2 << 30;
    let short = of(&recipe, &much);
    assert_eq!(rank(&short), 64);
    assert!(short.reason.contains("are the limit"), "{}", short.reason);
}

#[test]
fn the_recommendation_follows_the_memory() {
    let mut recipe = Recipe::default();
    let mut facts = with_rows(400, 10_000);
    recipe.run.memory_limit = MemoryLimit::Size(600 << 20);
    let in_eight = of(&recipe, &facts);
    assert_eq!((rank(&in_eight), in_eight.precision), (8, Some(Precision::Q8_0)));
    assert_eq!(in_eight.describe(), "LoRA, rank 8, the model in 8 bits");
    // It does fit then, which is the oracle of the recommendation.
    let mut followed = recipe.clone();
    in_eight.apply(&mut followed, &recipe);
    assert!(in_eight.is_followed_by(&followed) && !in_eight.is_followed_by(&recipe));
    method(&mut followed).rank = 16;
    assert!(in_eight.is_followed_by(&followed), "twice the rank is near enough");
    method(&mut followed).rank = 17;
    assert!(!in_eight.is_followed_by(&followed));
    let plan = Plan::new(followed, &facts, 100).expect("nothing forbids it");
    assert!(plan.estimate().memory_bytes <= 600 << 20);
    facts.free_memory_bytes = 100 << 20;
    let hopeless = of(&recipe, &facts);
    assert!(hopeless.reason.contains("Choose a smaller model"), "{}", hopeless.reason);
    // Nothing is known, nothing is said.
    assert_eq!(recommend(&recipe, &Facts { data: None, ..facts.clone() }, 1), None);
    assert_eq!(recommend(&recipe, &Facts { model: None, ..facts }, 1), None);
    assert_eq!(recommend(&recipe, &with_rows(0, 0), 1), None);
}

#[test]
fn what_a_method_costs_is_what_its_plan_says() {
    let recipe = Recipe::default();
    let facts = with_rows(400, 10_000);
    let all = options(&recipe, &recipe, &facts, 100);
    assert_eq!(all.len(), Method::all().len());
    for option in &all {
        let chosen = with_method(&recipe, option.method.clone(), &recipe);
        assert_eq!(chosen.method, option.method);
        let plan = Plan::new(chosen, &facts, 100).expect("nothing forbids it");
        assert_eq!(option.estimate, Some(plan.estimate()), "{}", option.method.describe());
        assert!(!option.is_too_large);
    }
    let little = Facts { free_memory_bytes: 1 << 30, ..facts.clone() };
    let too_large = |method: &Method| {
        let all = options(&recipe, &recipe, &little, 100);
        all.iter().find(|o| o.method.kind() == method.kind()).map(|o| o.is_too_large)
    };
    assert_eq!(too_large(&Method::Full {}), Some(true));
    assert_eq!(too_large(&Method::default()), Some(false));
    let unknown = options(&recipe, &recipe, &Facts { model: None, ..facts }, 100);
    assert!(unknown.iter().all(|option| option.estimate.is_none()));
}

#[test]
fn the_learning_rate_follows_the_method_unless_it_was_chosen() {
    let origin = Recipe::default();
    let mut recipe = origin.clone();
    let take = |recipe: &mut Recipe, method| *recipe = with_method(recipe, method, &origin);
    for (method, rate) in [
        (Method::Full {}, 5e-5),
        (Method::Ia3(Ia3::default()), 5e-3),
        (Method::Bottleneck(Bottleneck::default()), 5e-4),
    ] {
        take(&mut recipe, method);
        assert_eq!(recipe.optimizer.learning_rate, rate, "{}", recipe.method.describe());
    }
    recipe.optimizer.learning_rate = 3e-4;
    take(&mut recipe, Method::Full {});
    assert_eq!(recipe.optimizer.learning_rate, 3e-4, "a rate that was chosen stays");
    let mut lion = Recipe::default();
    load::set(&mut lion, "optimizer.kind=lion").unwrap();
    load::set(&mut lion, "optimizer.learning_rate=1e-4").unwrap();
    assert_eq!(with_method(&lion, Method::Full {}, &origin).optimizer.learning_rate, 1e-5);
    // A preset's own rate and rank come back with its method.
    let lora = Lora { rank: 24, alpha: 48.0, ..Lora::default() };
    let mut preset = Recipe { method: Method::Lora(lora), ..Recipe::default() };
    preset.optimizer.learning_rate = 1e-3;
    let there = with_method(&preset, Method::Full {}, &preset);
    assert_eq!(there.optimizer.learning_rate, Method::Full {}.usual_learning_rate(OptimizerKind::AdamW));
    assert_eq!(with_method(&there, Method::default(), &preset), preset);
}

/// What the form shows for no targets at all is what they mean.
#[test]
fn the_usual_parts_of_ia3_have_the_names_that_it_takes() {
    for family in Family::ALL {
        let (targets, by_input) = ia3::usual_names(family);
        let owned = |names: Vec<&str>| names.into_iter().map(String::from).collect::<Vec<_>>();
        let named = ia3::Ia3::new(family, &owned(targets), &owned(by_input)).unwrap();
        assert_eq!(named, ia3::Ia3::new(family, &[], &[]).unwrap(), "{}", family.name());
    }
}

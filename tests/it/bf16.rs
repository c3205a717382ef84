//! Models that compute in bf16, as on a GPU: the portable form, here on the CPU.
//!
//! A number of eight significant bits is off by at most 2⁻⁸ of itself, so that a tensor which is rounded once is off by at most 2⁻⁸
//! in norm. An operation is held to that times the number of roundings on the way from its inputs (which bf16 holds exactly) to
//! its result: of products, of sums of two tensors, of the result.

use crate::ops::{HEADS, Operation, random, relative_error};
use crate::ops_of_methods::two_parts;
use crate::parity::{
    FAMILIES, Reference, fixture, loss_and_gradient, loss_and_gradient_of, model_of, tensors,
};
use crate::train::{bytes, dataset, recipe, whole_and_resumed};
use candle_core::{DType, Device, Tensor};
use std::rc::Rc;
use tunesmith::base::{Control, Precision, Silent};
use tunesmith::data::{Batch, Sample};
use tunesmith::model::cache::Cache;
use tunesmith::model::decoder::Decoder;
use tunesmith::model::device::compute_dtype;
use tunesmith::model::files::ModelFiles;
use tunesmith::model::hooks::Hooks;
use tunesmith::model::params::DecoderParams;
use tunesmith::nn::kernels::Packed;
use tunesmith::nn::ops::{self, Activation, Dropout, HeadNorms, RopeTable, Seen, Shares};
use tunesmith::nn::optim::{AdamWSettings, Optimizer, OptimizerSettings};
use tunesmith::nn::{FlatGradient, FlatParams, Node, Tape, Weight, WeightNode};
use tunesmith::peft::{Adapter, Full, Settings, files};

const CPU: Device = Device::Cpu;
const ROUNDING: f64 = 1.0 / 256.0;

/// The nearest numbers that bf16 holds, as f32.
fn rounded(x: Tensor) -> Tensor {
    narrow(&x).to_dtype(DType::F32).unwrap()
}

fn narrow(x: &Tensor) -> Tensor {
    x.to_dtype(DType::BF16).unwrap()
}

/// A tiny model of the parity fixtures that computes in bf16.
fn decoder(name: &str, precision: Precision) -> Decoder {
    let files = ModelFiles::open(name, &fixture(&format!("parity/{name}/model"))).unwrap();
    let (weights, control) = (&files.weights, Control::new());
    let params =
        DecoderParams::load(weights, &files.config, precision, &CPU, DType::BF16, &control, &mut Silent);
    Decoder::new(files.config.clone(), params.unwrap(), CPU).unwrap()
}

/// Each operation by how many roundings lie before its result, and before the gradient of its input.
#[test]
fn operations_round_as_often_as_they_must() {
    let seen = Rc::new(Seen::new(vec![0, 3, 5], 0.4, Some(2), Some(1.5)));
    let table = RopeTable::new(&[1.0, 0.3, 0.01], 16, &CPU).unwrap();
    let rows = table.at(&Tensor::new(&[0u32, 1, 2, 0, 1], &CPU).unwrap()).unwrap();
    let frozen = |shape: &[usize]| Node::frozen(rounded(random(shape, 5)));
    let norms = HeadNorms { query: frozen(&[6]), key: frozen(&[6]), epsilon: 1e-5 };
    let (norm, bias) = (frozen(&[32]), rounded(random(&[32], 4)));
    let weight: WeightNode = narrow(&random(&[5, 32], 6)).into();
    let head: WeightNode = narrow(&(random(&[5, 32], 6) * 0.2).unwrap()).into();
    let small = |shape: &[usize]| Node::frozen(rounded((random(shape, 5) * 0.2).unwrap()));
    let mut low = two_parts(&small(&[6, 32]), &small(&[2, 2]), &small(&[2, 4]), None);
    low.parts.iter_mut().for_each(|part| part.scale = 2.0);
    let dropping = Dropout { share: 0.5, stream: tunesmith::base::rng::Rng::new(3, &[]) };
    let (attended, wide) = (vec![5, 48], vec![7, 32]);
    let cases: Vec<(f64, f64, Operation)> = vec![
        // Product; its sum with the bias. Back: product.
        (
            2.0,
            1.0,
            (
                "linear",
                wide.clone(),
                Box::new(|t, x| ops::linear(t, x, &weight, Some(&Node::frozen(rounded(random(&[5], 2)))))),
            ),
        ),
        // Products with W, A and B, the sum of two. Back the same.
        (
            4.0,
            4.0,
            (
                "low_rank",
                wide.clone(),
                Box::new(|t, x| ops::low_rank_linear(t, x, weight.weight(), None, &low)),
            ),
        ),
        (1.0, 1.0, ("rms_norm", wide.clone(), Box::new(|t, x| ops::rms_norm(t, x, &norm, 1e-5)))),
        (
            1.0,
            1.0,
            (
                "layer_norm",
                wide.clone(),
                Box::new(|t, x| ops::layer_norm(t, x, &norm, &Node::frozen(bias.clone()), 1e-5)),
            ),
        ),
        (1.0, 1.0, ("swiglu", wide.clone(), Box::new(|t, x| ops::gated(t, x, Activation::Silu)))),
        (1.0, 1.0, ("geglu", wide.clone(), Box::new(|t, x| ops::gated(t, x, Activation::GeluTanh)))),
        (1.0, 1.0, ("gelu", wide.clone(), Box::new(|t, x| ops::activate(t, x, Activation::Gelu)))),
        (
            1.0,
            1.0,
            (
                "add",
                wide.clone(),
                Box::new(|t, x| {
                    ops::add(t, x, &Node::frozen(rounded(random(&[7, 32], 8)).to_dtype(x.value().dtype())?))
                }),
            ),
        ),
        // Halves are dropped, the rest is doubled: nothing to round.
        (0.0, 0.0, ("dropout", wide.clone(), Box::new(|t, x| ops::dropout(t, x, dropping)))),
        (
            1.0,
            1.0,
            ("rotate", attended.clone(), Box::new(|t, x| ops::rotate(t, x, HEADS, &rows, Some(&norms)))),
        ),
        // Scores, shares, product. Back: scores, dP, dS, product; D has the rounding of O.
        (
            3.0,
            5.0,
            ("attention", attended, Box::new(|t, x| ops::attention(t, x, HEADS, &seen, Shares::default()))),
        ),
        // The loss is a sum in f32 of what the rounded logits say. Back: logits, their gradient, product.
        (
            1.0,
            3.0,
            (
                "loss",
                wide.clone(),
                Box::new(|t, x| {
                    let weights = [1.0, 0.0, 0.5, 1.0, 1.0, 2.0, 1.0];
                    Ok(ops::linear_cross_entropy(
                        t,
                        x,
                        &head.clone().into(),
                        &[1, 0, 4, 2, 2, 3, 0],
                        &weights,
                    )?
                    .sum)
                }),
            ),
        ),
        // The same, of two sets of logits; the way back is through those of one.
        (
            2.0,
            4.0,
            (
                "loss near others",
                wide,
                Box::new(|t, x| {
                    let weights = [1.0, 0.0, 0.5, 0.0, 1.0, 2.0, 1.0];
                    let base = rounded(random(&[7, 32], 33)).to_dtype(x.value().dtype())?;
                    let head = ops::Head::from(head.clone());
                    let reference = ops::Reference { hidden: &base, head: &head, weights: &weights };
                    let targets = [1, 0, 4, 2, 2, 3, 0];
                    let near = Some(&reference);
                    Ok(ops::linear_cross_entropy_near(t, x, &head, &targets, &[0.0; 7], near)?.sum)
                }),
            ),
        ),
    ];
    for (there, back, (name, shape, run)) in cases {
        let is_loss = name.starts_with("loss");
        let input = rounded(random(&shape, 9));
        let in_type = |dtype: DType| {
            let tape = Tape::recording();
            let leaf = tape.leaf(input.to_dtype(dtype).unwrap());
            let y = run(&tape, &leaf).unwrap();
            let seed = rounded(random(y.value().dims(), 7)).to_dtype(y.value().dtype()).unwrap();
            let seed = if is_loss { y.value().ones_like().unwrap() } else { seed };
            let value = y.value().clone();
            (value, tape.backward(&y, seed).unwrap().take(&leaf).unwrap())
        };
        let ((value, gradient), (narrow, narrow_gradient)) = (in_type(DType::F32), in_type(DType::BF16));
        assert_eq!(narrow_gradient.dtype(), DType::BF16, "{name}");
        assert_eq!(narrow.dtype(), if is_loss { DType::F32 } else { DType::BF16 }, "{name}");
        let (error, of_gradient) =
            (relative_error(&narrow, &value), relative_error(&narrow_gradient, &gradient));
        assert!(error <= there * ROUNDING, "{name}: {error}");
        assert!(of_gradient <= back * ROUNDING, "{name}, gradient: {of_gradient}");
    }
}

/// Trained parameters are f32 in their buffer, whatever the activations are, and so are their gradients.
#[test]
fn gradients_of_parameters_are_f32_and_add_up_over_micro_steps() {
    let named = |name: &str, shape: &[usize], seed| (name.to_string(), random(shape, seed));
    let all = vec![named("table", &[9, 32], 1), named("norm", &[32], 2), named("bias", &[9], 3)];
    let params = FlatParams::new(all, &CPU).unwrap();
    let gradient_in = |dtype: DType, steps: usize| {
        let gradient = FlatGradient::new(&params).unwrap();
        for _ in 0..steps {
            let tape = Tape::recording();
            let on = params.on(&tape, &gradient);
            let [table, norm, bias] = [0, 1, 2].map(|index| on.get(index).unwrap());
            let table = WeightNode::trained(&table);
            let x = ops::embedding(&tape, &table, &[3, 0, 3, 8]).unwrap();
            let x = ops::cast(&tape, &x, dtype).unwrap();
            let x = ops::rms_norm(&tape, &x, &norm, 1e-5).unwrap();
            let y = ops::linear(&tape, &x, &table, Some(&bias)).unwrap();
            let hidden = ops::linear(&tape, &y, &random(&[32, 9], 5).into(), None).unwrap();
            let loss = ops::linear_cross_entropy(
                &tape,
                &hidden,
                &table.clone().into(),
                &[1, 2, 0, 4],
                &[1.0, 0.0, 2.0, 0.5],
            );
            tape.backward(&loss.unwrap().sum, Tensor::new(1f32, &CPU).unwrap()).unwrap();
        }
        gradient.whole(&params).unwrap().copy().unwrap()
    };
    let (exact, once) = (gradient_in(DType::F32, 1), gradient_in(DType::BF16, 1));
    assert_eq!(once.dtype(), DType::F32);
    // About ten roundings lie one behind the other.
    assert!(relative_error(&once, &exact) < 10.0 * ROUNDING, "{}", relative_error(&once, &exact));
    // Three equal steps are three times one, to the digits of f32: a sum in bf16 would have rounded.
    assert!(relative_error(&gradient_in(DType::BF16, 3), &(once * 3.0).unwrap()) < 1e-6);
}

/// A sum of squares in bf16 stops at 256 times its terms, and a mean of 1002 is 1000 or 1004 there.
#[test]
fn statistics_of_norms_are_f32() {
    let ones = Tensor::ones(4096, DType::F32, &CPU).unwrap();
    let large = Node::frozen(narrow(&(ones.reshape((1, 4096)).unwrap() * 200.0).unwrap()));
    let y = ops::rms_norm(&Tape::inference(), &large, &Node::frozen(ones.clone()), 1e-5).unwrap();
    assert_eq!(relative_error(y.value(), &ones.reshape((1, 4096)).unwrap()), 0.0);

    let pattern: Vec<f32> = (0..4096).map(|i| if i % 2 == 0 { 1000.0 } else { 1004.0 }).collect();
    let expected: Vec<f32> = pattern.iter().map(|x| (x - 1002.0) / 2.0).collect();
    let row = |numbers: Vec<f32>| Tensor::from_vec(numbers, (1, 4096), &CPU).unwrap();
    let zeros = ones.zeros_like().unwrap();
    let x = Node::frozen(narrow(&row(pattern)));
    let y = ops::layer_norm(
        &Tape::inference(),
        &x,
        &Node::frozen(ones.clone()),
        &Node::frozen(zeros.clone()),
        1e-5,
    )
    .unwrap();
    assert!(relative_error(y.value(), &row(expected)) <= ROUNDING);
}

/// All words of a large vocabulary alike: the logarithm of its size, which bf16 does not hold and whose sum of exponentials it
/// cannot make.
#[test]
fn the_loss_of_a_large_vocabulary_is_f32() {
    let (d, v) = (4, 32_000);
    let hidden = Node::frozen(Tensor::zeros((3, d), DType::BF16, &CPU).unwrap());
    let head = narrow(&random(&[v, d], 1)).into();
    let loss = ops::linear_cross_entropy(&Tape::inference(), &hidden, &head, &[1, 2, 3], &[1.0; 3]).unwrap();
    assert!((loss.value / 3.0 - (v as f64).ln()).abs() < 1e-5, "{}", loss.value / 3.0);
}

/// 300 keys alike: shares of 1/300, whose sum a bf16 softmax would not bring to one.
#[test]
fn shares_of_attention_are_f32_and_cached_attention_equals_packed_attention() {
    let n = 300;
    let alike = Tensor::ones((n, 48), DType::BF16, &CPU).unwrap();
    let seen = Rc::new(Seen::new(vec![0, n], 0.4, None, None));
    let y =
        ops::attention(&Tape::inference(), &Node::frozen(alike), HEADS, &seen, Shares::default()).unwrap();
    let off = relative_error(y.value(), &y.value().ones_like().unwrap());
    assert!(off <= 2.0 * ROUNDING, "{off}");

    for window in [None, Some(3)] {
        let qkv = narrow(&random(&[9, 48], 1));
        let seen = Rc::new(Seen::new(vec![0, 9], 0.4, window, None));
        let all =
            ops::attention(&Tape::inference(), &Node::frozen(qkv.clone()), HEADS, &seen, Shares::default())
                .unwrap();
        let part = |first, heads| {
            let part = qkv.narrow(1, first, heads * 6).unwrap().contiguous().unwrap();
            part.reshape((9, heads, 6)).unwrap()
        };
        let (q, k, v) = (part(0, 4), part(24, 2), part(36, 2));
        for (first, len) in [(0, 9), (6, 3), (8, 1)] {
            let rows = |x: &Tensor, first, len| x.narrow(0, first, len).unwrap();
            let (q, k, v) = (rows(&q, first, len), rows(&k, 0, first + len), rows(&v, 0, first + len));
            let got = ops::attend_cached(&q, &k, &v, 0.4, window, None, None).unwrap();
            let error = relative_error(&got.reshape((len, 24)).unwrap(), &rows(all.value(), first, len));
            assert!(error <= ROUNDING, "{window:?} {first}: {error}");
        }
    }
}

/// The CPU computes in f32; what is dense is kept in the type of the activations, and what is in blocks stays in them.
#[test]
fn a_model_knows_what_it_computes_in() {
    assert_eq!(compute_dtype(&CPU), DType::F32);
    assert_eq!(crate::parity::decoder("parity/tiny-llama/model").compute(), DType::F32);
    assert_eq!(decoder("tiny-llama", Precision::F32).compute(), DType::BF16);
    let dense = random(&[3, 32], 1);
    let blocks = Packed::quantise(&dense, candle_core::quantized::GgmlDType::Q8_0).unwrap();
    let mixed = Weight::stacked(vec![narrow(&dense).into(), Weight::Packed(blocks)]).unwrap();
    assert_eq!(mixed.widened(DType::BF16).unwrap().dims(), [6, 32]);
    assert!(matches!(mixed, Weight::Dense(dense) if dense.dtype() == DType::BF16));
}

fn dot(a: &Tensor, b: &Tensor) -> f64 {
    (a * b).unwrap().to_dtype(DType::F64).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap()
}

/// A prefix and a soft prompt that PEFT made for the tiny Llama.
fn virtual_tokens(exact: &Decoder) -> Vec<Adapter> {
    let load = |kind| {
        let folder = fixture(&format!("parity/virtual/tiny-llama/{kind}"));
        files::load(&folder, exact.config(), &CPU).unwrap()
    };
    ["prefix", "prompt"].map(load).into()
}

fn require_gradients_like_those_of_f32(name: &str, reference: &Reference, adapter: &Adapter) {
    let exact = reference.decoder();
    let (loss, gradient) = loss_and_gradient(reference, &exact, adapter);
    for precision in [Precision::F32, Precision::Bf16] {
        let ours = decoder(name, precision);
        let (narrow_loss, narrow) = loss_and_gradient(reference, &ours, adapter);
        assert!((narrow_loss - loss).abs() < 1e-3 * loss, "{name}: {narrow_loss} {loss}");
        assert_eq!(narrow.dtype(), DType::F32);
        let (norm, narrow_norm) = (dot(&gradient, &gradient).sqrt(), dot(&narrow, &narrow).sqrt());
        let cosine = dot(&gradient, &narrow) / (norm * narrow_norm);
        assert!(cosine > 0.999, "{name}: {cosine}");
        assert!((narrow_norm / norm - 1.0).abs() < 0.02, "{name}: {narrow_norm} {norm}");
        // Blocks that are run again give the same bits.
        let again = loss_and_gradient_of(&reference.batch(), &ours, adapter, true).1;
        assert_eq!(again.to_vec1::<f32>().unwrap(), narrow.to_vec1::<f32>().unwrap(), "{name}");
    }
}

#[test]
fn lora_gradients_lie_by_those_of_f32() {
    for name in FAMILIES {
        let reference = Reference::open(name);
        let adapter = reference.adapter(&reference.decoder(), "adapter_init");
        require_gradients_like_those_of_f32(name, &reference, &adapter);
    }
}

#[test]
fn gradients_of_virtual_tokens_lie_by_those_of_f32() {
    let reference = Reference::open("tiny-llama");
    for adapter in virtual_tokens(&reference.decoder()) {
        require_gradients_like_those_of_f32("tiny-llama", &reference, &adapter);
    }
}

/// `tests/fixtures/parity/make_bf16.py`: ours may be no further from f32 than PyTorch's bf16 is, up to half as much again, since
/// other roundings fall otherwise.
#[test]
fn bf16_lies_as_near_to_f32_as_pytorchs() {
    const ROOM: f64 = 1.5;
    let reference = Reference::open("tiny-llama");
    let ours = decoder("tiny-llama", Precision::F32);
    let adapter = reference.adapter(&ours, "adapter_init");
    let exact = tensors("parity/tiny-llama/logits.safetensors");
    let theirs = tensors("parity/tiny-llama/bf16.safetensors");
    let columns = exact["columns"].to_dtype(DType::U32).unwrap();
    let hooks = adapter.hooks().unwrap();
    let hidden = ours.forward(&Tape::inference(), &reference.batch(), hooks.as_ref()).unwrap();
    let logits = ours.logits(hidden.value(), hooks.as_ref()).unwrap();
    assert_eq!((hidden.value().dtype(), logits.dtype()), (DType::BF16, DType::F32));
    let packed = |padded: &Tensor| {
        let rows = reference.samples.iter().enumerate();
        let rows = rows.map(|(row, sample)| padded.get(row).unwrap().narrow(0, 0, sample.len()).unwrap());
        Tensor::cat(&rows.collect::<Vec<_>>(), 0).unwrap()
    };
    let truth = packed(&exact["logits"]);
    let ours_off = relative_error(&logits.index_select(&columns, 1).unwrap(), &truth);
    let theirs_off = relative_error(&packed(&theirs["logits"]), &truth);
    assert!(ours_off < ROOM * theirs_off, "logits: {ours_off}, PyTorch {theirs_off}");

    let (loss, gradient) = loss_and_gradient(&reference, &ours, &adapter);
    let truth = reference.number("loss");
    let theirs_off = (f64::from(theirs["loss"].to_vec1::<f32>().unwrap()[0]) - truth).abs();
    assert!(
        (loss - truth).abs() < ROOM * theirs_off,
        "loss: {loss}, {truth}, PyTorch is off by {theirs_off}"
    );

    let flat = |of: &dyn Fn(&str) -> Tensor| {
        let parts: Vec<Tensor> = adapter.params.names().map(|name| of(name).flatten_all().unwrap()).collect();
        Tensor::cat(&parts, 0).unwrap()
    };
    let exact = tensors("parity/tiny-llama/grads.safetensors");
    let truth = flat(&|name| exact[name].clone());
    let (ours_off, theirs_off) =
        (relative_error(&gradient, &truth), relative_error(&flat(&|name| theirs[name].clone()), &truth));
    assert!(ours_off < ROOM * theirs_off, "gradient: {ours_off}, PyTorch {theirs_off}");
}

fn adam(adapter: &Adapter) -> Optimizer {
    let settings = AdamWSettings { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
    Optimizer::new(OptimizerSettings::AdamW(settings), &adapter.params).unwrap()
}

#[test]
fn a_tiny_model_learns_a_batch_by_heart_in_bf16() {
    let reference = Reference::open("tiny-llama");
    let model = model_of(decoder("tiny-llama", Precision::F32));
    let ours = model.decoder.as_ref();
    let mut adapter = Adapter::new(Settings::Full(Full {}), &model, 0).unwrap();
    let mut adam = adam(&adapter);
    let batch = Batch::pack([&reference.samples[0]]);
    let (first, _) = loss_and_gradient_of(&batch, ours, &adapter, false);
    for _ in 0..30 {
        let (_, gradient) = loss_and_gradient_of(&batch, ours, &adapter, false);
        adam.step(&mut adapter.params, &gradient, 1.0, 0.01).unwrap();
    }
    let (last, _) = loss_and_gradient_of(&batch, ours, &adapter, false);
    assert!(last < 0.05 * first, "{first} -> {last}");
}

/// The weights of full tuning are f32 and cast where they are used, so that a small step is not lost: its losses follow those of
/// PyTorch in f32 (`make_full.py`).
#[test]
fn full_tuning_in_bf16_follows_f32() {
    let reference = Reference::open("tiny-llama");
    let model = model_of(decoder("tiny-llama", Precision::F32));
    let ours = model.decoder.as_ref();
    let mut adapter = Adapter::new(Settings::Full(Full {}), &model, 0).unwrap();
    assert_eq!(adapter.params.values().dtype(), DType::F32);
    let text = std::fs::read_to_string(fixture("parity/tiny-llama/full.json")).unwrap();
    let full: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut adam = adam(&adapter);
    for (update, expected) in full["losses"].as_array().unwrap().iter().enumerate() {
        let (loss, gradient) = loss_and_gradient(&reference, ours, &adapter);
        let expected = expected.as_f64().unwrap();
        assert!((loss - expected).abs() < 5e-3 * expected, "update {update}: {loss} {expected}");
        adam.step(&mut adapter.params, &gradient, 1.0, full["learning_rate"].as_f64().unwrap()).unwrap();
    }
    // Steps far below the spacing of bf16 add up.
    let before = adapter.params.values().copy().unwrap();
    let (_, gradient) = loss_and_gradient(&reference, ours, &adapter);
    (0..4).for_each(|_| adam.step(&mut adapter.params, &gradient, 1.0, 1e-7).unwrap());
    let moved = (adapter.params.values() - before).unwrap().abs().unwrap();
    assert!(moved.mean_all().unwrap().to_scalar::<f32>().unwrap() > 1e-7);
}

fn require_cached_like_uncached(name: &str, sample: &Sample, adapter: &Adapter) {
    let ours = decoder(name, Precision::F32);
    let hooks = adapter.hooks().unwrap();
    let hooks: &dyn Hooks = hooks.as_ref();
    let hidden = ours.forward(&Tape::inference(), &Batch::pack([sample]), hooks).unwrap();
    let all = ours.logits(hidden.value(), hooks).unwrap();
    let mut cache = Cache::new(ours.config().num_layers);
    let mut fed = 0;
    for piece in [20, 1, 1, 5, 1] {
        let logits = ours.extend(&sample.ids[fed..fed + piece], &mut cache, hooks).unwrap();
        fed += piece;
        let got = Tensor::new(logits, &CPU).unwrap().unsqueeze(0).unwrap();
        let error = relative_error(&got, &all.narrow(0, fed - 1, 1).unwrap());
        assert!(error < 2.0 * ROUNDING, "{name} after {fed}: {error}");
    }
}

#[test]
fn cached_logits_equal_uncached_ones_in_bf16() {
    for name in FAMILIES {
        let reference = Reference::open(name);
        let adapter = reference.adapter(&reference.decoder(), "adapter_init");
        require_cached_like_uncached(name, &reference.samples[0], &adapter);
    }
    let reference = Reference::open("tiny-llama");
    for adapter in virtual_tokens(&reference.decoder()) {
        require_cached_like_uncached("tiny-llama", &reference.samples[0], &adapter);
    }
}

/// With dropout, whose mask is made on the host there.
#[test]
fn a_run_in_bf16_resumes_bit_for_bit() {
    let temp = tempfile::tempdir().unwrap();
    let model = model_of(decoder("tiny-llama", Precision::F32));
    let data = dataset(&model, 20);
    for (name, settings) in [
        ("lora", &[][..]),
        ("full", &["method.kind=full"][..]),
        ("prefix", &["method.kind=prefix"][..]),
        ("p_tuning", &["method.kind=p_tuning"][..]),
    ] {
        let recipe = recipe(settings);
        let (whole, resumed) = whole_and_resumed(&model, &data, &recipe, 3, &temp.path().join(name));
        let file = "checkpoints/update-000006/optimizer.safetensors";
        assert_eq!(bytes(whole.folder.path(), file), bytes(resumed.folder.path(), file), "{name}");
    }
}

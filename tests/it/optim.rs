//! Each optimizer against its documented algorithm in f64 or PyTorch's numbers, its two forms against each other, and exact
//! resume; the schedule's shape, and clipping.

use crate::ops::{random, relative_error};
use crate::parity::fixture;
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use tunesmith::base::Update;
use tunesmith::model::weights::save_state;
use tunesmith::nn::FlatParams;
use tunesmith::nn::kernels::dynamic_code::{DynamicCode, NUM_DECADES, SIGNED, UNSIGNED};
use tunesmith::nn::kernels::portable::dynamic_code;
use tunesmith::nn::optim::{
    AdamWSettings, LionSettings, Optimizer, OptimizerSettings, Schedule, ScheduleShape, SgdSettings, State,
    clip_factor, norm,
};
use tunesmith::peft::format::load_stored_tensors;

const ADAMW: AdamWSettings = AdamWSettings { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weight_decay: 0.1 };
const LION: LionSettings = LionSettings { beta1: 0.9, beta2: 0.99, weight_decay: 0.1 };

/// Every optimizer, and the learning rate that it is tried with.
pub const ALL: [(OptimizerSettings, f64); 4] = [
    (OptimizerSettings::AdamW(ADAMW), 0.01),
    (OptimizerSettings::AdamW8Bit(ADAMW), 0.01),
    (OptimizerSettings::Lion(LION), 0.003),
    (OptimizerSettings::Sgd(SgdSettings { momentum: 0.9, weight_decay: 0.1 }), 0.05),
];

pub fn params(values: &Tensor) -> FlatParams {
    // A copy, since optimizers change what they are given.
    FlatParams::new(vec![("theta".into(), values.copy().unwrap())], &Device::Cpu).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// Fifty updates on a bowl whose middle wanders, in f32, which is the CPU's kernel, and in f64, which is the portable form,
/// against `plain`, which moves one parameter by its gradient: (number of the parameter, of the update, gradient, parameter).
fn check_updates(
    settings: OptimizerSettings,
    learning_rate: impl Fn(i32) -> f64,
    plain: impl Fn() -> Box<dyn FnMut(usize, i32, f64, &mut f64)>,
) {
    for (dtype, tolerance) in [(DType::F32, 1e-6), (DType::F64, 1e-12)] {
        let (mut theta, mut plain) = (vec![1.0f64, -2.0, 0.5], plain());
        let values = Tensor::new(theta.as_slice(), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let mut params = params(&values);
        let mut optimizer = Optimizer::new(settings, &params).unwrap();
        for t in 1..=50 {
            let gradient: Vec<f64> =
                theta.iter().enumerate().map(|(i, x)| x * 0.3 + (i as f64 - f64::from(t) * 0.01)).collect();
            for (i, (theta, gradient)) in theta.iter_mut().zip(&gradient).enumerate() {
                plain(i, t, *gradient, theta);
            }
            let half = (Tensor::new(gradient, &Device::Cpu).unwrap() * 0.5).unwrap().to_dtype(dtype).unwrap();
            optimizer.step(&mut params, &half, 2.0, learning_rate(t)).unwrap();
            for (got, want) in numbers(params.values()).iter().zip(&theta) {
                assert!((got - want).abs() < tolerance * f64::from(t), "{dtype:?} update {t}: {got} {want}");
            }
        }
        assert_eq!(optimizer.num_updates(), 50);
    }
}

#[test]
fn adamw_follows_the_paper() {
    let rate = |t| 0.01 / f64::from(t);
    check_updates(OptimizerSettings::AdamW(ADAMW), rate, || {
        let (mut m, mut v) = ([0.0; 3], [0.0; 3]);
        Box::new(move |i, t, g, theta| {
            m[i] = 0.9 * m[i] + 0.1 * g;
            v[i] = 0.99 * v[i] + 0.01 * g * g;
            let (mh, vh) = (m[i] / (1.0 - 0.9f64.powi(t)), v[i] / (1.0 - 0.99f64.powi(t)));
            *theta = *theta * (1.0 - rate(t) * 0.1) - rate(t) * mh / (vh.sqrt() + 1e-8);
        })
    });
}

/// Algorithm 2 of Chen et al. 2023.
#[test]
fn lion_follows_the_paper() {
    let rate = |t| 0.003 / f64::from(t);
    check_updates(OptimizerSettings::Lion(LION), rate, || {
        let mut m = [0.0f64; 3];
        Box::new(move |i, t, g, theta| {
            let c = 0.9 * m[i] + 0.1 * g;
            *theta -= rate(t) * (c.signum() + 0.1 * *theta);
            m[i] = 0.99 * m[i] + 0.01 * g;
        })
    });
}

#[test]
fn lion_leaves_alone_what_has_no_gradient() {
    let mut params = params(&Tensor::new(&[1f32, -1.0], &Device::Cpu).unwrap());
    let settings = OptimizerSettings::Lion(LionSettings { weight_decay: 0.0, ..LION });
    let gradient = Tensor::new(&[0f32, 1.0], &Device::Cpu).unwrap();
    Optimizer::new(settings, &params).unwrap().step(&mut params, &gradient, 1.0, 0.5).unwrap();
    assert_eq!(numbers(params.values()), [1.0, -1.5]);
}

/// `tests/fixtures/optim/make_sgd.py` made the numbers.
#[test]
fn sgd_with_momentum_matches_pytorch() {
    let text = std::fs::read_to_string(fixture("optim/sgd.json")).unwrap();
    let made: serde_json::Value = serde_json::from_str(&text).unwrap();
    let list = |of: &serde_json::Value| -> Vec<f64> {
        of.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let number = |key: &str| made[key].as_f64().unwrap();
    let settings = SgdSettings { momentum: number("momentum"), weight_decay: number("weight_decay") };
    for (dtype, tolerance) in [(DType::F32, 2e-6), (DType::F64, 1e-12)] {
        let start = Tensor::new(list(&made["start"]), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let mut params = params(&start);
        let mut sgd = Optimizer::new(OptimizerSettings::Sgd(settings), &params).unwrap();
        for (update, expected) in made["values"].as_array().unwrap().iter().enumerate() {
            let theta = numbers(params.values());
            let gradient: Vec<f64> =
                (0..3).map(|i| theta[i] * 0.3 + i as f64 - update as f64 * 0.01).collect();
            let gradient = Tensor::new(gradient, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            sgd.step(&mut params, &gradient, 1.0, number("learning_rate")).unwrap();
            for (got, want) in numbers(params.values()).iter().zip(list(expected)) {
                assert!((got - want).abs() < tolerance, "{dtype:?} update {update}: {got} {want}");
            }
        }
    }
}

/// Numbers of very different sizes, as gradients of a model are.
fn uneven(len: usize, seed: u64) -> Tensor {
    let spread = (random(&[len], seed + 1000) * 2.0).unwrap().exp().unwrap();
    (random(&[len], seed) * spread).unwrap()
}

/// The kernel in f32 against the portable form in f64, for lengths around blocks and tasks.
#[test]
fn both_forms_move_the_same_way() {
    for (settings, rate) in ALL {
        for len in [0, 1, 255, 257, 5000, 20_000] {
            let start = random(&[len], 1);
            let mut both = [DType::F32, DType::F64].map(|dtype| params(&start.to_dtype(dtype).unwrap()));
            let mut optimizers = both.each_ref().map(|params| Optimizer::new(settings, params).unwrap());
            for update in 0..5 {
                let gradient = uneven(len, update);
                for (params, optimizer) in both.iter_mut().zip(&mut optimizers) {
                    let gradient = gradient.to_dtype(params.values().dtype()).unwrap();
                    optimizer.step(params, &gradient, 0.7, rate).unwrap();
                }
            }
            let [kernel, portable] = both.each_ref().map(|params| numbers(params.values()));
            // A number at the border of two cells may round to another one.
            let is_8_bit = matches!(settings, OptimizerSettings::AdamW8Bit(_));
            let far = kernel
                .iter()
                .zip(&portable)
                .filter(|(a, b)| (**a - **b).abs() > 1e-5 * (1.0 + b.abs()))
                .count();
            assert!(far <= if is_8_bit { len / 200 } else { 0 }, "{settings:?}, {len} numbers: {far} differ");
            let names = |of: &Optimizer| -> Vec<(&str, usize)> {
                let len = |state: State| match state {
                    State::Numbers(numbers) => numbers.len(),
                    State::Codes(codes) => codes.len(),
                    State::Tensor(tensor) => tensor.dims1().unwrap(),
                };
                of.state().into_iter().map(|(name, state)| (name, len(state))).collect()
            };
            assert_eq!(names(&optimizers[0]), names(&optimizers[1]));
        }
    }
}

/// What is written into a checkpoint and read again goes on as if nothing had happened, bit for bit.
#[test]
fn state_that_was_saved_goes_on_exactly() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("state.safetensors");
    for (settings, rate) in ALL {
        for len in [0, 1, 255, 257, 5000] {
            let mut whole = params(&random(&[len], 1));
            let mut optimizer = Optimizer::new(settings, &whole).unwrap();
            let go = |optimizer: &mut Optimizer, params: &mut FlatParams, updates: std::ops::Range<u64>| {
                for update in updates {
                    optimizer.step(params, &uneven(len, update), 1.0, rate).unwrap();
                }
            };
            go(&mut optimizer, &mut whole, 0..4);
            let mut cut = params(whole.values());
            save_state(&optimizer.state(), &path).unwrap();
            let state = load_stored_tensors(&path).unwrap();
            let mut resumed = Optimizer::restore(settings, &cut, state, 4).unwrap();
            go(&mut optimizer, &mut whole, 4..8);
            go(&mut resumed, &mut cut, 4..8);
            assert_eq!(numbers(whole.values()), numbers(cut.values()), "{settings:?}, {len} numbers");
        }
        let five = params(&random(&[5], 1));
        let nothing = Optimizer::restore(settings, &five, HashMap::new(), 4).unwrap_err();
        assert!(nothing.to_string().contains("there is no"), "{nothing}");
        save_state(&Optimizer::new(settings, &params(&random(&[6], 1))).unwrap().state(), &path).unwrap();
        let other = load_stored_tensors(&path).unwrap();
        assert!(Optimizer::restore(settings, &five, other, 4).unwrap_err().to_string().contains("shape"));
    }
}

/// A gradient that comes in parts of any length and in any order moves the parameters, and what is remembered of them, as the whole
/// does, to the last bit.
#[test]
fn parts_of_a_gradient_move_the_parameters_as_the_whole_does() {
    let lens = [1, 300, 5, 256, 70_000, 3, 90, 1000, 17];
    let num: usize = lens.iter().sum();
    let mut parts = Vec::new();
    let mut start = 0;
    for len in lens {
        parts.push(start..start + len);
        start += len;
    }
    for (settings, rate) in ALL {
        let (mut whole, pieced) = (params(&random(&[num], 1)), params(&random(&[num], 1)));
        let mut optimizers = [&whole, &pieced].map(|params| Optimizer::new(settings, params).unwrap());
        for update in 0..3 {
            let gradient = uneven(num, update);
            optimizers[0].step(&mut whole, &gradient, 0.5, rate).unwrap();
            let gradient = gradient.to_vec1::<f32>().unwrap();
            let mut step = optimizers[1].in_parts(&pieced, 0.5, rate).unwrap();
            parts.rotate_left(4);
            for part in &parts {
                step.give(part.start, gradient[part.clone()].to_vec()).unwrap();
            }
            step.finish().unwrap();
            assert_eq!(numbers(whole.values()), numbers(pieced.values()), "{settings:?}, update {update}");
        }
        let state = |of: &Optimizer| -> Vec<Vec<u8>> {
            let bytes = |state: State| match state {
                State::Numbers(numbers) => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
                State::Codes(codes) => codes.to_vec(),
                State::Tensor(_) => panic!("on the CPU"),
            };
            of.state().into_iter().map(|(_, state)| bytes(state)).collect()
        };
        assert_eq!(state(&optimizers[0]), state(&optimizers[1]), "{settings:?}");
        let mut step = optimizers[1].in_parts(&pieced, 1.0, rate).unwrap();
        step.give(0, vec![1.0; num - 1]).unwrap();
        assert!(step.finish().unwrap_err().to_string().contains("got a gradient"));
        assert!(optimizers[1].in_parts(&pieced, 1.0, rate).unwrap().give(num, vec![1.0]).is_err());
        // What is not finite stops the update, which counts for nothing.
        let before = numbers(pieced.values());
        let mut step = optimizers[1].in_parts(&pieced, 1.0, rate).unwrap();
        step.give(0, [vec![f32::NAN], vec![1.0; 299]].concat()).unwrap();
        step.give(300, vec![1.0; num - 300]).unwrap();
        assert!(!step.finish().unwrap().is_finite());
        assert_eq!(numbers(pieced.values()), before);
        assert_eq!(optimizers[1].num_updates(), 3);
        let mut uneven_rates = Optimizer::new(settings, &pieced).unwrap();
        uneven_rates = uneven_rates.with_rates(&pieced, &[(0..1, 2.0)]).unwrap();
        assert!(uneven_rates.in_parts(&pieced, 1.0, rate).is_err());
    }
}

/// The bowl ½ Σ kᵢ (θᵢ - cᵢ)², whose steepnesses kᵢ differ a hundredfold: after fifty updates the parameters are within a
/// tenth of the way they went of where the moments of 32 bits bring them. When small second moments could become zero, it was a third.
#[test]
fn eight_bit_moments_follow_those_of_32_bits() {
    let len = 3000;
    let (start, middle) = (random(&[len], 1), random(&[len], 2));
    let steepness = (random(&[len], 3) * 1.15).unwrap().exp().unwrap();
    let end = |settings| {
        let mut params = params(&start);
        let mut optimizer = Optimizer::new(settings, &params).unwrap();
        for _ in 0..50 {
            let gradient = ((params.values() - &middle).unwrap() * &steepness).unwrap();
            optimizer.step(&mut params, &gradient, 1.0, 0.02).unwrap();
        }
        (params.values() - &start).unwrap()
    };
    let error =
        relative_error(&end(OptimizerSettings::AdamW8Bit(ADAMW)), &end(OptimizerSettings::AdamW(ADAMW)));
    assert!(error < 0.1, "{error}");
}

/// bitsandbytes' `create_dynamic_map`, from its description.
fn dynamic_map(is_signed: bool) -> Vec<f64> {
    let mut map = vec![0.0, 1.0];
    for i in 0..7 {
        let cells = 2usize.pow(i + u32::from(!is_signed));
        for cell in 0..cells {
            let middle = 0.1 + 0.9 * (cell as f64 + 0.5) / cells as f64;
            let value = 10f64.powi(i as i32 - 6) * middle;
            map.push(value);
            if is_signed {
                map.push(-value);
            }
        }
    }
    map.sort_by(f64::total_cmp);
    map
}

#[test]
fn dynamic_codes_are_those_of_bitsandbytes_and_find_their_number() {
    for (code, is_signed) in [(&SIGNED, true), (&UNSIGNED, false)] {
        let code: &DynamicCode = code;
        let mut table: Vec<f64> = code.table.iter().map(|x| f64::from(*x)).collect();
        table.sort_by(f64::total_cmp);
        let map = dynamic_map(is_signed);
        assert_eq!(table.len(), map.len());
        for (got, want) in table.iter().zip(map) {
            assert!((got - want).abs() < 1e-7 * want.abs().max(1e-6), "{got} {want}");
        }
        for (at, value) in code.table.iter().enumerate() {
            assert_eq!(usize::from(code.encode(*value)), at, "{value}");
        }
        // Between 1 and 10⁻⁶ a number is met to within half a cell of its decade.
        for i in 0..=100_000 {
            let x = 10f32.powf(-6.0 * i as f32 / 1e5);
            let back = code.table[usize::from(code.encode(x))];
            let decade = 10f32.powi(-x.log10().floor().abs() as i32 + 1).min(1.0);
            let cells = f32::from(code.top_cells) * 2f32.powi(decade.log10().round() as i32);
            assert!((x - back).abs() <= decade * (0.45 / cells + 0.01), "{x}: {back}");
        }
        // What divides never becomes zero.
        let smallest = u8::from(!is_signed);
        assert_eq!((code.encode(0.0), code.encode(1e-9), code.encode(-0.0)), (0, smallest, 0));
        // Both forms, on a block and a bit.
        let x = uneven(300, 1);
        let x = if is_signed { x } else { x.abs().unwrap() };
        let [codes, largest] = dynamic_code::encode(&x, code).unwrap();
        let wide = dynamic_code::widen(&codes, &largest, code).unwrap();
        assert!(relative_error(&wide, &x) < 0.01);
        let largest = largest.to_vec1::<f32>().unwrap();
        for (i, (x, at)) in x.to_vec1::<f32>().unwrap().iter().zip(codes.to_vec1::<u8>().unwrap()).enumerate()
        {
            assert!(code.encode(x / largest[i / 256]).abs_diff(at) == 0, "{x}");
        }
    }
}

/// Codes are read from a table on the CPU and computed elsewhere: where each code begins, and in between.
#[test]
fn both_forms_give_the_same_codes() {
    for (code, is_signed) in [(&SIGNED, true), (&UNSIGNED, false)] {
        let code: &DynamicCode = code;
        let mut numbers: Vec<f32> = (0..=1f32.to_bits()).step_by(2011).map(f32::from_bits).collect();
        let mut add_around = |x: f64| {
            let bits = (x as f32).to_bits();
            numbers.extend((bits - 40..bits + 40).map(f32::from_bits).filter(|x| *x <= 1.0));
        };
        for decade in 0..NUM_DECADES as i32 {
            let cells = code.top_cells >> decade;
            let border = |cell: u16| 0.1 + 0.9 * f64::from(cell) / f64::from(cells);
            (0..=cells).for_each(|cell| add_around(10f64.powi(-decade) * border(cell)));
        }
        add_around(code.one_above().into());
        add_around(f64::from(code.table[1]) / 2.0);
        if is_signed {
            numbers.extend(numbers.clone().iter().map(|x| -x));
        }
        // The largest magnitude of each block is 1.
        let blocks: Vec<f32> = numbers.chunks(255).flat_map(|chunk| [&[1.0], chunk].concat()).collect();
        let [codes, _] =
            dynamic_code::encode(&Tensor::new(blocks.as_slice(), &Device::Cpu).unwrap(), code).unwrap();
        for (x, of_tensor) in blocks.iter().zip(codes.to_vec1::<u8>().unwrap()) {
            assert_eq!(code.encode(*x), of_tensor, "{x:e}");
        }
    }
}

#[test]
fn schedule_rises_and_falls() {
    let at = |shape, done| Schedule { shape, peak: 1.0, warmup_updates: 4, num_updates: 12 }.at(Update(done));
    for shape in [ScheduleShape::Cosine, ScheduleShape::Linear, ScheduleShape::Constant] {
        assert_eq!([0, 1, 3].map(|d| at(shape, d)), [0.25, 0.5, 1.0]);
        assert_eq!(at(shape, 4), 1.0);
    }
    assert!((at(ScheduleShape::Cosine, 8) - 0.5).abs() < 1e-12);
    assert!((at(ScheduleShape::Linear, 10) - 0.25).abs() < 1e-12);
    assert_eq!(at(ScheduleShape::Constant, 11), 1.0);
    assert!(at(ScheduleShape::Cosine, 12) < 1e-12);
    let whole_warm_up =
        Schedule { shape: ScheduleShape::Cosine, peak: 1.0, warmup_updates: 5, num_updates: 5 };
    assert!(whole_warm_up.at(Update(4)).is_finite());
}

#[test]
fn clipping_limits_the_norm() {
    let g = Tensor::new(&[3.0f32, 4.0], &Device::Cpu).unwrap();
    let n = norm(&g).unwrap();
    assert!((n - 5.0).abs() < 1e-6);
    assert!((clip_factor(n, Some(1.0)) - 0.2).abs() < 1e-6);
    assert_eq!(clip_factor(n, Some(10.0)), 1.0);
    assert_eq!(clip_factor(n, None), 1.0);
    let bad = Tensor::new(&[f32::NAN, 1.0], &Device::Cpu).unwrap();
    assert!(!norm(&bad).unwrap().is_finite());
}

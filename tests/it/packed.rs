//! Weights kept in blocks compute what the same weights compute when they are widened, in every operation, both ways, and
//! in a whole model.

use crate::ops::{random, relative_error};
use crate::weights::{LLAMA, as_gguf, write_gguf};
use candle_core::quantized::GgmlDType;
use candle_core::{Device, Tensor};
use tunesmith::base::{Control, DeviceChoice, Precision, Silent};
use tunesmith::data::{Batch, LossWeights, Sample};
use tunesmith::model::decoder::Decoder;
use tunesmith::model::files::ModelFiles;
use tunesmith::model::hooks::NoHooks;
use tunesmith::model::load::{Placement, load_decoder};
use tunesmith::nn::kernels::Packed;
use tunesmith::nn::ops::{self, LowRank, LowRankPart};
use tunesmith::nn::{Node, Result, Tape, Weight};

pub const TYPES: [GgmlDType; 12] = [
    GgmlDType::F16,
    GgmlDType::BF16,
    GgmlDType::Q4_0,
    GgmlDType::Q4_1,
    GgmlDType::Q5_0,
    GgmlDType::Q5_1,
    GgmlDType::Q8_0,
    GgmlDType::Q2K,
    GgmlDType::Q3K,
    GgmlDType::Q4K,
    GgmlDType::Q5K,
    GgmlDType::Q6K,
];

/// Rows that fill no whole number of panels, in the widest blocks there are.
const SHAPE: [usize; 2] = [150, 256];

fn both(dtype: GgmlDType) -> (Weight, Weight) {
    let packed = Packed::quantise(&random(&SHAPE, 3), dtype).unwrap();
    let dense = packed.widened().unwrap();
    (Weight::Packed(packed), Weight::Dense(dense))
}

/// Output and input gradient of an operation on [9, 256].
fn through(run: impl Fn(&Tape, &Node) -> Result<Node>) -> [Tensor; 2] {
    let tape = Tape::recording();
    let x = tape.leaf(random(&[9, SHAPE[1]], 1));
    let y = run(&tape, &x).unwrap();
    let out = y.value().clone();
    let seed = random(out.dims(), 2);
    [out, tape.backward(&y, seed).unwrap().take(&x).unwrap()]
}

fn assert_same(what: &str, got: [Tensor; 2], expected: [Tensor; 2]) {
    for (side, (got, expected)) in ["forward", "backward"].iter().zip(got.iter().zip(&expected)) {
        let error = relative_error(got, expected);
        assert!(error < 2e-6, "{what}, {side}: {error}");
    }
}

#[test]
fn operations_on_blocks_equal_those_on_f32() {
    let a = random(&[4, SHAPE[1]], 5);
    let b = random(&[SHAPE[0], 4], 6);
    let low = |tape: &Tape| LowRank {
        a: tape.leaf(a.clone()),
        parts: vec![LowRankPart { b: tape.leaf(b.clone()), columns: 0..SHAPE[0], rows: 0..4, scale: 0.5 }],
        dropout: None,
    };
    let targets: Vec<u32> = (0..9).map(|i| i * 16).collect();
    let losses = [1.0, 0.0, 1.0, 0.5, 1.0, 1.0, 0.0, 1.0, 1.0];
    for dtype in TYPES {
        let (packed, dense) = both(dtype);
        assert_eq!((packed.rows(), packed.width()), (SHAPE[0], SHAPE[1]));
        let name = |operation: &str| format!("{operation} on {dtype:?}");
        let linear = |weight: &Weight| through(|t, x| ops::linear(t, x, &weight.clone().into(), None));
        assert_same(&name("linear"), linear(&packed), linear(&dense));
        let tuned = |weight: &Weight| through(|t, x| ops::low_rank_linear(t, x, weight, None, &low(t)));
        assert_same(&name("low_rank_linear"), tuned(&packed), tuned(&dense));
        let loss = |weight: &Weight| {
            through(
                |t, x| Ok(ops::linear_cross_entropy(t, x, &weight.clone().into(), &targets, &losses)?.sum),
            )
        };
        assert_same(&name("linear_cross_entropy"), loss(&packed), loss(&dense));
        let rows = [149, 0, 64, 63, 0, 128];
        let tape = Tape::inference();
        let rows_of =
            |weight: &Weight| ops::embedding(&tape, &weight.clone().into(), &rows).unwrap().value().clone();
        assert_eq!(relative_error(&rows_of(&packed), &rows_of(&dense)), 0.0, "{dtype:?}");
    }
}

/// A few inputs, as while an answer is written, go another way.
#[test]
fn a_few_inputs_are_multiplied_without_widening() {
    for dtype in TYPES {
        let (packed, dense) = both(dtype);
        for n in 1..=5 {
            let x = random(&[n, SHAPE[1]], n as u64);
            let [got, expected] = [&packed, &dense].map(|weight| ops::product(&x, weight, None).unwrap());
            let error = relative_error(&got, &expected);
            assert!(error < 2e-6, "{n} rows on {dtype:?}: {error}");
        }
    }
}

/// Our own loops give what candle's dequantisation gives, to the bit.
#[test]
fn blocks_are_widened_as_candle_widens_them() {
    for dtype in TYPES {
        let packed = Packed::quantise(&random(&SHAPE, 3), dtype).unwrap();
        let mut ours = Vec::new();
        packed.each(|_, rows| ours.extend_from_slice(rows)).unwrap();
        let theirs = packed.widened().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(ours, theirs, "{dtype:?}");
    }
}

/// q | k | v of a GGUF file are often of different types.
#[test]
fn blocks_of_different_types_stack_and_more_than_one_group_is_one_matrix() {
    let types = [GgmlDType::Q4K, GgmlDType::Q6K, GgmlDType::Q8_0];
    let (packed, dense): (Vec<_>, Vec<_>) = types.iter().map(|dtype| both(*dtype)).unzip();
    let linear = |weight: &Weight| through(|t, x| ops::linear(t, x, &weight.clone().into(), None));
    let mixed = vec![packed[0].clone(), dense[1].clone(), packed[2].clone()];
    let expected = linear(&Weight::stacked(dense).unwrap());
    assert_same("stacked", linear(&Weight::stacked(packed).unwrap()), expected.clone());
    assert_same("mixed", linear(&Weight::stacked(mixed).unwrap()), expected);

    // 5000 rows of 256 are more than one group.
    let packed = Packed::quantise(&random(&[5000, SHAPE[1]], 8), GgmlDType::Q8_0).unwrap();
    let dense = packed.widened().unwrap().into();
    assert_same("groups", linear(&Weight::Packed(packed)), linear(&dense));
}

#[test]
fn bytes_that_are_no_such_matrix_are_refused() {
    for (len, shape) in [(34 * 3, [3, 33]), (34 * 2, [3, 32]), (34 * 4, [3, 32])] {
        assert!(Packed::new(&vec![0; len], GgmlDType::Q8_0, shape, &Device::Cpu).is_err(), "{shape:?}");
    }
    let (packed, _) = both(GgmlDType::Q8_0);
    assert!(ops::embedding(&Tape::inference(), &packed.clone().into(), &[150]).is_err());
}

fn logits(files: &ModelFiles, precision: Precision) -> Tensor {
    let placement = Placement { device: DeviceChoice::Cpu, precision };
    let decoder: Decoder = load_decoder(files, placement, &Control::new(), &mut Silent).unwrap();
    let sample = Sample {
        ids: (0..24).map(|i| i * 17 + 3).collect(),
        weights: LossWeights::all(1.0, 24),
        ..Sample::default()
    };
    let hidden = decoder.forward(&Tape::inference(), &Batch::pack([&sample]), &NoHooks).unwrap();
    decoder.logits(hidden.value(), &NoHooks).unwrap()
}

#[test]
fn a_gguf_file_kept_as_it_is_gives_the_logits_of_its_widened_weights() {
    let dir = tempfile::tempdir().unwrap();
    for dtype in [GgmlDType::Q4_0, GgmlDType::Q4_1, GgmlDType::Q8_0, GgmlDType::F16, GgmlDType::F32] {
        let path = dir.path().join(format!("{dtype:?}.gguf"));
        let (meta, tensors) = as_gguf(LLAMA, "llama", dtype);
        write_gguf(&path, &meta, &tensors);
        let files = ModelFiles::open("tiny", &path).unwrap();
        let error = relative_error(&logits(&files, Precision::Stored), &logits(&files, Precision::F32));
        assert!(error < 2e-6, "{dtype:?}: {error}");
    }
}

#[test]
fn a_folder_is_quantised_while_it_is_read() {
    let files = ModelFiles::open("tiny", &crate::parity::fixture(LLAMA)).unwrap();
    let exact = logits(&files, Precision::F32);
    let bounds = [
        (Precision::Stored, 0.0..1e-9),
        (Precision::Bf16, 1e-4..1e-2),
        (Precision::Q8_0, 1e-4..2e-2),
        (Precision::Q5_0, 1e-2..0.2),
        (Precision::Q4_0, 1e-2..0.4),
    ];
    for (precision, bound) in bounds {
        let error = relative_error(&logits(&files, precision), &exact);
        assert!(bound.contains(&error), "{precision:?}: {error}");
    }
}

//! What rows become for each objective, and what operations of objectives compute.

use crate::ops::check;
use candle_core::{Device, Tensor};
use tunesmith::nn::ops::{self, Judgement, Pooling};
use tunesmith::nn::{Node, Tape};

#[test]
fn pooling_matches_autograd() {
    let segments = [0, 3, 4, 9];
    for pooling in [Pooling::First, Pooling::Mean, Pooling::Last] {
        check(
            &[&[9, 4]],
            |tape, x| ops::pool(tape, &x[0], &segments, pooling),
            |x| {
                let row = |ends: &[usize]| {
                    let rows = x[0].narrow(0, ends[0], ends[1] - ends[0])?;
                    match pooling {
                        Pooling::First => rows.narrow(0, 0, 1),
                        Pooling::Last => rows.narrow(0, ends[1] - ends[0] - 1, 1),
                        Pooling::Mean => rows.mean_keepdim(0),
                    }
                };
                Tensor::cat(&segments.windows(2).map(row).collect::<candle_core::Result<Vec<_>>>()?, 0)
            },
        );
    }
}

/// The gradient that a function of the host gives reaches what it was worked out from, times that of the sum.
#[test]
fn a_loss_of_the_host_has_its_gradient() {
    let tape = Tape::recording();
    let x = tape.leaf(Tensor::new(&[[1f32, -2.0], [0.5, 3.0]], &Device::Cpu).unwrap());
    let squares = |x: &[f32], width: usize| {
        assert_eq!(width, 2);
        let sum = x.iter().map(|x| f64::from(x * x)).sum();
        Ok(Judgement { sum, gradient: x.iter().map(|x| 2.0 * x).collect() })
    };
    let (loss, value) = ops::judged(&tape, &x, squares).unwrap();
    assert_eq!(value, 14.25);
    let halved: Node = ops::affine(&tape, &loss, 0.5, 0.0).unwrap();
    let mut found = tape.backward(&halved, Tensor::new(1f32, &Device::Cpu).unwrap()).unwrap();
    let gradient = found.take(&x).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(gradient, [[1.0, -2.0], [0.5, 3.0]]);
}

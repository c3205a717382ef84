//! What rows become for each objective, and what operations of objectives compute.

use candle_core::{Device, Tensor};
use tunesmith::nn::ops::{self, Judgement};
use tunesmith::nn::{Node, Tape};

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

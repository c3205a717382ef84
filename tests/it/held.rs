//! What another library made of the same texts, and how near ours has to come to it.

use crate::ops::relative_error;
use candle_core::Tensor;
use std::collections::HashMap;

/// Largest relative error of a tensor.
const BOUND: f64 = 1e-4;

/// A fixture with its tensors by name.
pub trait Held {
    fn name(&self) -> &str;
    fn expected(&self) -> &HashMap<String, Tensor>;

    fn holds(&self, key: &str, got: &Tensor) {
        let error = relative_error(got, &self.expected()[key]);
        assert!(error < BOUND, "{} {key}: {error}", self.name());
    }

    fn holds_loss(&self, key: &str, loss: f64) {
        let expected = f64::from(self.expected()[key].to_vec1::<f32>().unwrap()[0]);
        assert!((loss - expected).abs() / expected < 1e-5, "{} {key}: {loss} {expected}", self.name());
    }
}

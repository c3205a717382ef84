//! The same arithmetic in plain tensor operations: on every device, in every type. No tensor here has a gradient of candle's.

pub mod activation;
pub mod adamw;
pub mod attention;
pub mod cross_entropy;
pub mod dynamic_code;
pub mod layer_norm;
pub mod lion;
pub mod low_rank;
pub mod rms_norm;
pub mod rotate;
pub mod sgd;

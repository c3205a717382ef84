//! How the frozen weights of a model are kept in memory.

use serde::{Deserialize, Serialize};

/// The number type of the frozen weights. Whatever it is, on the CPU they are widened to f32 where they are used, a few rows at a
/// time. A GPU computes in bf16, and keeps so what is not in blocks that it widens by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 4 bytes a weight: the fastest. On a GPU bf16.
    #[default]
    F32,
    /// As they are in the file: a GGUF file's own blocks, or bf16.
    Stored,
    /// 2 bytes a weight.
    Bf16,
    /// 8 bits a weight, and a scale for each 32.
    #[serde(rename = "q8_0")]
    Q8_0,
    /// 5 bits a weight, and a scale for each 32.
    #[serde(rename = "q5_0")]
    Q5_0,
    /// 4 bits a weight, and a scale for each 32.
    #[serde(rename = "q4_0")]
    Q4_0,
}

impl Precision {
    pub const ALL: [Self; 6] = [Self::F32, Self::Stored, Self::Bf16, Self::Q8_0, Self::Q5_0, Self::Q4_0];

    /// Bytes that `num_params` weights take; `stored_bytes` are those of the files.
    pub fn num_bytes(self, num_params: u64, stored_bytes: u64) -> u64 {
        // blocks of 32: the bits of the weights, and a scale of 2 bytes
        let blocks = |bytes: u64| num_params.div_ceil(32).saturating_mul(bytes);
        match self {
            Self::F32 => num_params.saturating_mul(4),
            Self::Stored => stored_bytes,
            Self::Bf16 => num_params.saturating_mul(2),
            Self::Q8_0 => blocks(34),
            Self::Q5_0 => blocks(22),
            Self::Q4_0 => blocks(18),
        }
    }
}

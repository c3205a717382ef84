//! Which curve bends the numbers of a feed-forward block.

/// A switch, smooth or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x σ(x) (Elfwing et al. 2017, arXiv:1702.03118); PyTorch's `silu`.
    Silu,
    /// x Φ(x), Φ the normal distribution (Hendrycks & Gimpel 2016, arXiv:1606.08415); PyTorch's `gelu`.
    Gelu,
    /// x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))), near `Gelu`; transformers' `gelu_pytorch_tanh` and `gelu_new`.
    GeluTanh,
    /// max(x, 0).
    Relu,
}

impl Activation {
    /// As profiles call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silu => "silu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_tanh",
            Self::Relu => "relu",
        }
    }

    /// As profiles call it where it is a gate (Shazeer 2020, arXiv:2002.05202).
    pub fn gated_name(self) -> &'static str {
        match self {
            Self::Silu => "swiglu",
            Self::Gelu => "geglu",
            Self::GeluTanh => "geglu_tanh",
            Self::Relu => "reglu",
        }
    }
}

/// 2 √(2/π): with it, `GeluTanh` is x σ(this · (x + 0.044715 x³)), since (1 + tanh u) / 2 = σ(2 u).
pub const GELU_TANH_STEEPNESS: f64 = 1.595_769_121_605_730_8;
pub const GELU_TANH_CUBIC: f64 = 0.044715;

//! What is the same for all parameters in one update, for each way of updating.

/// θ = keep θ - rate · m / (sqrt(unbias v) + ε), with the moments m and v as [`adamw`](super::cpu::adamw) moves them.
#[derive(Debug, Clone, Copy)]
pub struct AdamW {
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    /// 1 - η λ
    pub keep: f64,
    /// η / (1 - β₁ᵗ)
    pub rate: f64,
    /// 1 / (1 - β₂ᵗ)
    pub unbias: f64,
    /// Of the gradient, before anything else.
    pub scale: f64,
}

/// θ = keep θ - rate · sign(β₁ m + (1 - β₁) g);  then m = β₂ m + (1 - β₂) g.
#[derive(Debug, Clone, Copy)]
pub struct Lion {
    pub beta1: f64,
    pub beta2: f64,
    /// 1 - η λ
    pub keep: f64,
    /// η
    pub rate: f64,
    /// Of the gradient, before anything else.
    pub scale: f64,
}

/// b = momentum · b + g + decay · θ;  then θ = θ - rate · b.
#[derive(Debug, Clone, Copy)]
pub struct Sgd {
    pub momentum: f64,
    /// λ
    pub decay: f64,
    /// η
    pub rate: f64,
    /// Of the gradient, before anything else.
    pub scale: f64,
}

//! Pieces of loops that become vector instructions. All of them are inlined into the caller's loop.

/// Partial sums that a reduction keeps side by side. The order of additions is fixed, so that the same numbers give the
/// same sum on every processor.
const LANES: usize = 16;

/// `Σ f(aᵢ, bᵢ)`.
#[inline(always)]
pub fn sum_of(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let mut lanes = [0f32; LANES];
    let (pieces_a, pieces_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (rest_a, rest_b) = (pieces_a.remainder(), pieces_b.remainder());
    for (a, b) in pieces_a.zip(pieces_b) {
        for i in 0..LANES {
            lanes[i] += f(a[i], b[i]);
        }
    }
    let mut sum = 0.0;
    for lane in lanes {
        sum += lane;
    }
    for (a, b) in rest_a.iter().zip(rest_b) {
        sum += f(*a, *b);
    }
    sum
}

#[inline(always)]
pub fn sum(x: &[f32]) -> f32 {
    sum_of(x, x, |x, _| x)
}

#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum_of(a, b, |a, b| a * b)
}

/// The largest; -inf when there is none. A NaN is passed over.
#[inline(always)]
pub fn max(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let pieces = x.chunks_exact(LANES);
    let rest = pieces.remainder();
    for piece in pieces {
        for i in 0..LANES {
            lanes[i] = if piece[i] > lanes[i] { piece[i] } else { lanes[i] };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |m, x| if *x > m { *x } else { m })
}

/// Replaces each by `exp(xᵢ - shift)` and returns their sum.
#[inline(always)]
pub fn exp_sum(x: &mut [f32], shift: f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let mut pieces = x.chunks_exact_mut(LANES);
    for piece in &mut pieces {
        for i in 0..LANES {
            piece[i] = exp(piece[i] - shift);
            lanes[i] += piece[i];
        }
    }
    let mut sum = 0.0;
    for lane in lanes {
        sum += lane;
    }
    for x in pieces.into_remainder() {
        *x = exp(*x - shift);
        sum += *x;
    }
    sum
}

/// Replaces each difference dᵢ by pᵢ = exp(dᵢ + zᵢ); gives Σ pᵢ, added up as [`exp_sum`] does, and Σ pᵢ dᵢ.
#[inline(always)]
pub fn exp_sums(d: &mut [f32], z: &[f32]) -> (f32, f32) {
    let (mut lanes, mut dots) = ([0f32; LANES], [0f32; LANES]);
    let (mut pieces, others) = (d.chunks_exact_mut(LANES), z.chunks_exact(LANES));
    let rest = others.remainder();
    for (d, z) in (&mut pieces).zip(others) {
        for i in 0..LANES {
            let p = exp(d[i] + z[i]);
            lanes[i] += p;
            dots[i] += p * d[i];
            d[i] = p;
        }
    }
    let (mut sum, mut dot) = (0.0, 0.0);
    for i in 0..LANES {
        sum += lanes[i];
        dot += dots[i];
    }
    for (d, z) in pieces.into_remainder().iter_mut().zip(rest) {
        let p = exp(*d + z);
        sum += p;
        dot += p * *d;
        *d = p;
    }
    (sum, dot)
}

/// e to the x, within 2 units in the last place; 0 below -87.3, and at most e^88. NaN stays NaN.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2, e^r by its Taylor polynomial of degree 7 (error 2e-8), 2^n through the exponent bits.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// 1.5 · 2²³: adding it rounds to a whole number, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x > 88.0 { 88.0 } else { x };
    let is_zero = clamped < -87.3;
    let clamped = if is_zero { -87.3 } else { clamped };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * LN_2_HIGH - n * LN_2_LOW;
    let mut p = 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    let two_to_n = f32::from_bits(((shifted.to_bits() << 23).wrapping_add(127 << 23)) & 0x7f80_0000);
    if is_zero { 0.0 } else { p * two_to_n }
}

#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// erfc(z) / 2 for z >= 0, within 2e-6 of itself up to z = 3, and 1e-5 from there to where it vanishes.
///
/// t e^(-z² + p(t)) with t = 1 / (1 + z/2), the Chebyshev fit of Press et al., Numerical Recipes in C, 2nd edition, section 6.2 (`erfcc`),
/// whose own error is 1.2e-7 of the value.
#[inline(always)]
pub fn half_erfc(z: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.5 * z);
    let mut p = 0.170_872_77;
    p = p * t - 0.822_152_23;
    p = p * t + 1.488_515_9;
    p = p * t - 1.135_204;
    p = p * t + 0.278_868_07;
    p = p * t - 0.186_288_06;
    p = p * t + 0.096_784_18;
    p = p * t + 0.374_091_96;
    p = p * t + 1.000_023_7;
    p = p * t - 1.265_512_2;
    0.5 * t * exp(p - z * z)
}

/// The hyperbolic tangent, within 4 units in the last place.
///
/// Up to 0.625 an odd polynomial of degree 11 (Moshier, Cephes, `tanhf`), so that small numbers keep their digits; above, 1 - 2 / (e^2x + 1).
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let magnitude = x.abs();
    let square = x * x;
    let mut p = -5.704_988_7e-3;
    p = p * square + 2.063_909e-2;
    p = p * square - 5.373_971_6e-2;
    p = p * square + 1.333_144_2e-1;
    p = p * square - 3.333_328e-1;
    let small = x + x * square * p;
    let large = 1.0 - 2.0 / (exp(2.0 * magnitude) + 1.0);
    let large = if x < 0.0 { -large } else { large };
    if magnitude < 0.625 { small } else { large }
}

//! A counter-based random generator: the n-th number of a stream is a pure function of (seed, stream, n).
//!
//! Nothing has to be saved to resume a run exactly, and dropout needs no stored mask. The mixing is
//! SplitMix64's finaliser (Steele, Lea & Flood 2014), applied to key and counter in turn.

/// A stream of random numbers, addressed by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rng {
    key: u64,
    counter: u64,
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

#[inline(always)]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Rng {
    /// The stream that `seed` and the words of `path` name, e.g. `Rng::new(seed, &[EPOCH, 3])`.
    pub fn new(seed: u64, path: &[u64]) -> Self {
        let key = path.iter().fold(mix(seed.wrapping_add(GOLDEN)), |key, word| {
            mix(key.rotate_left(23) ^ mix(word.wrapping_add(GOLDEN)))
        });
        Self { key, counter: 0 }
    }

    /// The number at position `n`, whatever was drawn before.
    #[inline(always)]
    pub fn at(&self, n: u64) -> u64 {
        mix(self.key ^ mix(n.wrapping_mul(GOLDEN).wrapping_add(GOLDEN)))
    }

    pub fn next_u64(&mut self) -> u64 {
        let out = self.at(self.counter);
        self.counter += 1;
        out
    }

    /// Uniform in [0, 1) with 24 bits.
    pub fn uniform_at(&self, n: u64) -> f32 {
        (self.at(n) >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Uniform in [0, 1) with 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in 0..n. The bias of at most n / 2^64 does not matter here.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// A standard normal number (Box & Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Shuffles in place (Fisher & Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_replay_and_differ() {
        let mut a = Rng::new(1, &[2, 3]);
        let first: Vec<u64> = (0..4).map(|_| a.next_u64()).collect();
        let again = Rng::new(1, &[2, 3]);
        assert_eq!(first, (0..4).map(|n| again.at(n)).collect::<Vec<_>>());
        assert_ne!(first[0], Rng::new(1, &[3, 2]).at(0));
        assert_ne!(first[0], Rng::new(2, &[2, 3]).at(0));
    }

    #[test]
    fn moments_are_right() {
        let mut r = Rng::new(7, &[]);
        let n = 100_000;
        let (mut mean, mut square) = (0.0, 0.0);
        for _ in 0..n {
            let x = r.normal();
            mean += x / f64::from(n);
            square += x * x / f64::from(n);
        }
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((square - 1.0).abs() < 0.02, "{square}");
        let u = (0..100_000u64).map(|i| f64::from(r.uniform_at(i))).sum::<f64>() / 1e5;
        assert!((u - 0.5).abs() < 0.01, "{u}");
    }
}

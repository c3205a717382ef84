//! Which numbers are dropped: a function of a counter, so that nothing is stored and the way back drops the same.

use crate::base::rng::Rng;
use rayon::prelude::*;

/// Which numbers are dropped: share and random stream.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// Share that becomes zero, 0..1.
    pub share: f32,
    pub stream: Rng,
}

impl Dropout {
    /// What is left is multiplied by this.
    pub fn gain(self) -> f32 {
        1.0 / (1.0 - self.share)
    }

    /// What the number at each place is multiplied by: 0, or the gain.
    pub fn factors(self) -> Factors {
        // A number of 24 bits lies below the share where it lies below this.
        let drops_below = (f64::from(self.share) * f64::from(1u32 << 24)).ceil() as u64;
        Factors { stream: self.stream, drops_below, gain: self.gain() }
    }

    /// Ones where the first `num` numbers stay.
    pub fn stays(self, num: usize) -> Vec<u8> {
        let factors = self.factors();
        (0..num as u64).into_par_iter().map(|place| u8::from(factors.at(place) > 0.0)).collect()
    }
}

/// [`Dropout`], ready for loops.
#[derive(Debug, Clone, Copy)]
pub struct Factors {
    stream: Rng,
    drops_below: u64,
    gain: f32,
}

impl Factors {
    #[inline(always)]
    pub fn at(self, place: u64) -> f32 {
        if self.stream.at(place) >> 40 < self.drops_below { 0.0 } else { self.gain }
    }
}

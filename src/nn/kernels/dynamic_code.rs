//! Eight bits for a number from -1 to 1, fine near one and reaching down to 10⁻⁷: dynamic tree quantisation
//! (Dettmers 2015, arXiv:1511.04561) in blocks with a largest magnitude each (Dettmers et al. 2022, arXiv:2110.02861).
//!
//! Each decade (10⁻ᵏ⁻¹, 10⁻ᵏ] is cut into cells of equal width, half as many as the decade above it has, and a code stands for the
//! middle of its cell; zero and one have codes of their own. These are the numbers of bitsandbytes' `create_dynamic_map`, in an
//! order by which a larger magnitude has a larger code, and a number's code is arithmetic instead of a search.
//!
//! The arithmetic takes one step a decade. It is done once for each step of the codes; after that a code is read by a magnitude's exponent and
//! the first bits of its fraction, which part the magnitudes so finely that one step at most lies within each part.

use std::sync::LazyLock;

/// Numbers that share a largest magnitude.
pub const BLOCK: usize = 256;
/// Decades above zero.
pub const NUM_DECADES: usize = 7;

/// Bits of a magnitude below those that a code is read by.
const LOW_BITS: u32 = 16;
const LOW_MASK: u32 = (1 << LOW_BITS) - 1;
/// 2⁻²⁴ and 1: what lies below the one has the code of it, what lies above the other, too.
const LEAST_BITS: u32 = 103 << 23;
const ONE_BITS: u32 = 127 << 23;
const NUM_PARTS: usize = ((ONE_BITS - LEAST_BITS) >> LOW_BITS) as usize + 1;

/// One of the two layouts.
#[derive(Debug)]
pub struct DynamicCode {
    /// Cells of the decade below one.
    pub top_cells: u16,
    /// The code of the first cell of a decade is the number of its cells, less this.
    pub less: u16,
    /// Code of 1.
    pub one: u8,
    /// What is added to the code of a negative number; 0 where there are none.
    pub negative: u8,
    /// Magnitudes up to this are zero.
    pub zero_up_to: f32,
    /// What each code stands for.
    pub table: [f32; 256],
    /// Of each part of the magnitudes the code at its beginning, shifted by [`LOW_BITS`], and so much more that the low bits of a magnitude
    /// beyond a step carry over into it.
    parts: [u32; NUM_PARTS],
}

/// -1 to 1, for a first moment. There is no -1 itself; its code is that of the cell beside it.
pub static SIGNED: LazyLock<DynamicCode> = LazyLock::new(|| DynamicCode::new(64, 0, 128, 128));
/// 0 to 1, for a second moment. What is above zero never becomes zero, however small: the root of it divides an update, which would
/// be thrown far.
pub static UNSIGNED: LazyLock<DynamicCode> = LazyLock::new(|| DynamicCode::new(128, 1, 255, 0));

impl DynamicCode {
    fn new(top_cells: u16, less: u16, one: u8, negative: u8) -> Self {
        let mut table = [0.0; 256];
        let (mut cells, mut reach) = (top_cells, 1.0);
        let mut decade = 0;
        while decade < NUM_DECADES {
            let mut cell = 0;
            while cell < cells {
                let middle = reach * (0.1 + 0.9 * (cell as f64 + 0.5) / cells as f64);
                let code = (cells - less + cell) as usize;
                table[code] = middle as f32;
                if negative > 0 {
                    table[code + negative as usize] = -middle as f32;
                }
                cell += 1;
            }
            cells /= 2;
            reach /= 10.0;
            decade += 1;
        }
        table[one as usize] = 1.0;
        let zero_up_to = if negative > 0 { 0.5 * table[1] } else { 0.0 };
        let mut code = Self { top_cells, less, one, negative, zero_up_to, table, parts: [0; NUM_PARTS] };
        code.parts = std::array::from_fn(|part| code.part(LEAST_BITS + ((part as u32) << LOW_BITS)));
        code
    }

    /// The entry of `parts` for the magnitudes that begin at these bits.
    fn part(&self, begin: u32) -> u32 {
        let code = |low: u32| u32::from(self.computed(f32::from_bits(begin + low)));
        let first = code(0);
        let (mut below, mut beyond) = (0, LOW_MASK);
        if begin == ONE_BITS || code(beyond) == first {
            return first << LOW_BITS;
        }
        while beyond - below > 1 {
            let middle = (below + beyond) / 2;
            *(if code(middle) == first { &mut below } else { &mut beyond }) = middle;
        }
        (first << LOW_BITS) + LOW_MASK + 1 - beyond
    }

    /// Larger magnitudes are nearer to one than to the last cell.
    #[inline(always)]
    pub const fn one_above(&self) -> f32 {
        1.0 - 0.225 / self.top_cells as f32
    }

    /// The code of a number from -1 to 1.
    #[inline(always)]
    pub fn encode(&self, x: f32) -> u8 {
        let magnitude = x.abs().to_bits();
        let bits = magnitude.clamp(LEAST_BITS, ONE_BITS);
        let part = self.parts[((bits - LEAST_BITS) >> LOW_BITS) as usize];
        let code = (part + (bits & LOW_MASK)) >> LOW_BITS;
        // There is no -1, and zero has no sign.
        let of_negative = code.min(u32::from(self.one) - 1) + u32::from(self.negative);
        let is_zero = magnitude == 0 || code == 0;
        let code = if x < 0.0 { of_negative } else { code };
        if is_zero { 0 } else { code as u8 }
    }

    /// [`Self::encode`] of a magnitude, by arithmetic.
    fn computed(&self, magnitude: f32) -> u8 {
        let (mut lifted, mut cells) = (magnitude, f32::from(self.top_cells));
        for _ in 1..NUM_DECADES {
            if lifted < 0.1 {
                (lifted, cells) = (lifted * 10.0, cells * 0.5);
            }
        }
        let cell = ((lifted - 0.1) * (cells / 0.9)).clamp(0.0, cells - 1.0);
        let code = (cells + cell) as u16 - self.less;
        match magnitude {
            _ if magnitude <= self.zero_up_to => 0,
            _ if magnitude > self.one_above() => self.one,
            _ => code as u8,
        }
    }
}

//! Eight bits for a number from -1 to 1, fine near one and reaching down to 10⁻⁷: dynamic tree quantisation
//! (Dettmers 2015, arXiv:1511.04561) in blocks with a largest magnitude each (Dettmers et al. 2022, arXiv:2110.02861).
//!
//! Each decade (10⁻ᵏ⁻¹, 10⁻ᵏ] is cut into cells of equal width, half as many as the decade above it has, and a code stands for the
//! middle of its cell; zero and one have codes of their own. These are the numbers of bitsandbytes' `create_dynamic_map`, in an
//! order by which a number's code is arithmetic instead of a search.

/// Numbers that share a largest magnitude.
pub const BLOCK: usize = 256;
/// Decades above zero.
pub const NUM_DECADES: usize = 7;

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
}

/// -1 to 1, for a first moment. There is no -1 itself; its code is that of the cell beside it.
pub static SIGNED: DynamicCode = DynamicCode::new(64, 0, 128, 128);
/// 0 to 1, for a second moment. What is above zero never becomes zero, however small: the root of it divides an update, which would
/// be thrown far.
pub static UNSIGNED: DynamicCode = DynamicCode::new(128, 1, 255, 0);

impl DynamicCode {
    const fn new(top_cells: u16, less: u16, one: u8, negative: u8) -> Self {
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
        Self { top_cells, less, one, negative, zero_up_to, table }
    }

    /// Larger magnitudes are nearer to one than to the last cell.
    #[inline(always)]
    pub const fn one_above(&self) -> f32 {
        1.0 - 0.225 / self.top_cells as f32
    }

    /// The code of a number from -1 to 1, in straight-line code.
    #[inline(always)]
    pub fn encode(&self, x: f32) -> u8 {
        let magnitude = x.abs();
        let (mut lifted, mut cells) = (magnitude, f32::from(self.top_cells));
        for _ in 1..NUM_DECADES {
            let is_low = lifted < 0.1;
            lifted = if is_low { lifted * 10.0 } else { lifted };
            cells = if is_low { cells * 0.5 } else { cells };
        }
        let cell = (lifted - 0.1) * (cells / 0.9);
        let cell = if cell > cells - 1.0 { cells - 1.0 } else { cell };
        let cell = if cell < 0.0 { 0.0 } else { cell };
        let code = (cells + cell) as i32 - i32::from(self.less);
        let code = if x < 0.0 { code + i32::from(self.negative) } else { code };
        let is_one = x > self.one_above();
        let code = if is_one { i32::from(self.one) } else { code };
        if magnitude <= self.zero_up_to { 0 } else { code as u8 }
    }
}

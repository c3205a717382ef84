//! AdamW whose moments take a byte each (Dettmers et al. 2022, arXiv:2110.02861): 2 bytes a parameter, and 8 for each 256
//! of them, instead of 8 bytes a parameter.

use super::adamw::AdamWSettings;
use super::moments::{in_place, not_in_parts};
use super::optimizer::{Origin, Rule, State, Step};
use crate::nn::kernels::cpu::adamw_8bit::Coded;
use crate::nn::kernels::cpu::{self, Numbers};
use crate::nn::kernels::dynamic_code::{BLOCK, SIGNED, UNSIGNED};
use crate::nn::kernels::portable::{self, dynamic_code};
use crate::nn::{FlatParams, Result};
use candle_core::{DType, Tensor};

const FIRST: [&str; 2] = ["first_moment.codes", "first_moment.largest"];
const SECOND: [&str; 2] = ["second_moment.codes", "second_moment.largest"];

/// With first and second moments in blocks of 256.
#[derive(Debug)]
pub(super) struct AdamW8Bit {
    settings: AdamWSettings,
    moments: Moments,
}

/// A code for each parameter, [P] u8, and the largest magnitude of each block, [B].
#[derive(Debug)]
enum Moments {
    /// In the memory of the CPU, changed in place.
    Numbers([(Vec<u8>, Vec<f32>); 2]),
    Tensors([[Tensor; 2]; 2]),
}

impl AdamW8Bit {
    pub(super) fn new(settings: AdamWSettings, origin: &mut Origin) -> Result<Self> {
        let (len, dtype) = (origin.num_values(), origin.dtype());
        let mut moment = |[codes, largest]: [&str; 2]| -> Result<[Tensor; 2]> {
            Ok([origin.tensor(codes, len, DType::U8)?, origin.tensor(largest, len.div_ceil(BLOCK), dtype)?])
        };
        let both = [moment(FIRST)?, moment(SECOND)?];
        let numbers = |[codes, largest]: &[Tensor; 2]| -> Result<Option<(Vec<u8>, Vec<f32>)>> {
            let Some(largest) = Numbers::of(largest) else { return Ok(None) };
            Ok(Some((codes.to_vec1()?, largest.to_vec())))
        };
        let moments = match (numbers(&both[0])?, numbers(&both[1])?) {
            (Some(first), Some(second)) => Moments::Numbers([first, second]),
            _ => Moments::Tensors(both),
        };
        Ok(Self { settings, moments })
    }
}

impl Rule for AdamW8Bit {
    fn step(&mut self, params: &mut FlatParams, gradient: &Tensor, step: Step) -> Result<()> {
        let update = self.settings.update(step);
        match &mut self.moments {
            Moments::Numbers(_) => self.step_part(params.values(), 0, gradient, step),
            Moments::Tensors([first, second]) => {
                let m = dynamic_code::widen(&first[0], &first[1], &SIGNED)?;
                let v = dynamic_code::widen(&second[0], &second[1], &UNSIGNED)?;
                let [values, m, v] = portable::adamw::step(params.values(), [&m, &v], gradient, update)?;
                *first = dynamic_code::encode(&m, &SIGNED)?;
                *second = dynamic_code::encode(&v, &UNSIGNED)?;
                params.set_values(values)
            }
        }
    }

    fn step_part(&mut self, values: &Tensor, start: usize, gradient: &Tensor, step: Step) -> Result<()> {
        let update = self.settings.update(step);
        let Moments::Numbers(moments) = &mut self.moments else { return not_in_parts() };
        let end = start + gradient.elem_count();
        let (part, blocks) = (start..end, start / BLOCK..end.div_ceil(BLOCK));
        let [mut first, mut second] = moments.each_mut().map(|(codes, largest)| Coded {
            codes: &mut codes[part.clone()],
            largest: &mut largest[blocks.clone()],
        });
        in_place(values, gradient, |values, gradient| {
            let [first, second] =
                [&mut first, &mut second].map(|of| Coded { codes: of.codes, largest: of.largest });
            cpu::adamw_8bit::step(values, first, second, gradient, update);
        })
    }

    fn state(&self) -> Vec<(&'static str, State<'_>)> {
        let names = FIRST.into_iter().chain(SECOND);
        match &self.moments {
            Moments::Numbers([first, second]) => {
                let states = [
                    State::Codes(&first.0),
                    State::Numbers(&first.1),
                    State::Codes(&second.0),
                    State::Numbers(&second.1),
                ];
                names.zip(states).collect()
            }
            Moments::Tensors(both) => names.zip(both.iter().flatten().map(State::Tensor)).collect(),
        }
    }
}

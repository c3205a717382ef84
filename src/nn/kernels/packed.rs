//! Matrices in the blocks of a GGML type (or f16, bf16): a few rows at a time become f32 where they are used, as in QLoRA
//! (Dettmers et al. 2023, arXiv:2305.14314). What the blocks mean is candle's business.

use super::cpu::Numbers;
use super::cpu::blocks::{self, Inputs};
use crate::nn::Result;
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Tensor, bail};
use rayon::prelude::*;
use std::borrow::Cow;
use std::sync::Arc;

/// Rows that are widened as one task.
const PANEL_ROWS: usize = 64;
/// Numbers that are widened together and then multiplied as one matrix: they stay within the caches' reach.
const GROUP_NUMBERS: usize = 1 << 20;
/// Up to so many inputs are multiplied with the blocks as they are.
const FEW_INPUTS: usize = 4;

/// A frozen matrix [rows, width]. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Packed {
    panels: Arc<[Arc<QTensor>]>,
    rows: usize,
    width: usize,
    device: Device,
}

impl Packed {
    /// From the bytes of all blocks, row after row; no block may span two rows.
    pub fn new(bytes: &[u8], dtype: GgmlDType, shape: [usize; 2], device: &Device) -> Result<Self> {
        let [rows, width] = shape;
        let row_bytes = width / dtype.block_size() * dtype.type_size();
        if !width.is_multiple_of(dtype.block_size()) || bytes.len() != rows * row_bytes {
            bail!("{} bytes of {dtype:?} are no [{rows}, {width}]", bytes.len());
        }
        let panel = |bytes: &[u8]| {
            let storage = QStorage::from_data(Cow::Borrowed(bytes), device, dtype)?;
            Ok(Arc::new(QTensor::new(storage, (bytes.len() / row_bytes.max(1), width))?))
        };
        // Panels are tasks for threads; a device is asked once for all.
        let panel_rows = if device.is_cpu() { PANEL_ROWS } else { rows };
        let panels = bytes.chunks((panel_rows * row_bytes).max(1)).map(panel).collect::<Result<_>>()?;
        Ok(Self { panels, rows, width, device: device.clone() })
    }

    /// The nearest blocks to the f32 of a [rows, width], on its device.
    pub fn quantise(dense: &Tensor, dtype: GgmlDType) -> Result<Self> {
        let (rows, width) = dense.dims2()?;
        let panel = |first: usize| {
            // candle quantises the whole storage, whatever part of it a tensor shows.
            let rows = dense.narrow(0, first, PANEL_ROWS.min(rows - first))?.force_contiguous()?;
            Ok(Arc::new(QTensor::quantize(&rows, dtype)?))
        };
        let panels = (0..rows).step_by(PANEL_ROWS).map(panel).collect::<Result<_>>()?;
        Ok(Self { panels, rows, width, device: dense.device().clone() })
    }

    /// Whether a device widens blocks of a type by itself. Where it does not, candle does it on the host, at each use.
    pub fn are_widened_on(device: &Device, dtype: GgmlDType) -> bool {
        match device {
            Device::Cpu => true,
            Device::Cuda(_) => {
                !matches!(dtype, GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16 | GgmlDType::Q8_1)
            }
            Device::Metal(_) => false,
        }
    }

    /// Of all blocks; that of f32 where there are none.
    pub fn dtype(&self) -> GgmlDType {
        self.panels.first().map_or(GgmlDType::F32, |panel| panel.dtype())
    }

    /// The same blocks on another device.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        if self.device.same_device(device) {
            return Ok(self.clone());
        }
        let bytes: Vec<_> = self.panels.iter().map(|panel| panel.data()).collect::<Result<_>>()?;
        Self::new(&bytes.concat(), self.dtype(), [self.rows, self.width], device)
    }

    /// One below the other: all of one width.
    pub fn stacked(parts: Vec<Self>) -> Result<Self> {
        let Some(first) = parts.first() else { bail!("nothing to stack") };
        let (width, device) = (first.width, first.device.clone());
        if parts.iter().any(|part| part.width != width) {
            bail!("matrices of different widths cannot be stacked");
        }
        let rows = parts.iter().map(|part| part.rows).sum();
        Ok(Self {
            panels: parts.into_iter().flat_map(|part| part.panels.to_vec()).collect(),
            rows,
            width,
            device,
        })
    }

    /// Whether [`Self::multiply`] has a loop for a type (f32 needs none).
    pub fn multiplies(dtype: GgmlDType) -> bool {
        dtype == GgmlDType::F32 || blocks::has_loop(dtype)
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Bytes of all blocks.
    pub fn num_bytes(&self) -> usize {
        self.panels.iter().map(|panel| panel.storage_size_in_bytes()).sum()
    }

    /// All of it as f32, [rows, width], on its device.
    pub fn widened(&self) -> Result<Tensor> {
        let panels: Vec<Tensor> =
            self.panels.iter().map(|panel| panel.dequantize(&self.device)).collect::<Result<_>>()?;
        Tensor::cat(&panels, 0)
    }

    /// Gives rows after rows as f32 to `work`, with the number of the first: on the CPU.
    pub fn each(&self, mut work: impl FnMut(usize, &[f32])) -> Result<()> {
        let rows = (GROUP_NUMBERS / self.width.max(1)).max(PANEL_ROWS);
        let mut group = Vec::new();
        let (mut wide, mut first, mut num_rows) = (Vec::new(), 0, 0);
        for (i, panel) in self.panels.iter().enumerate() {
            group.push(panel);
            num_rows += panel.shape().dims()[0];
            let next = self.panels.get(i + 1).map_or(usize::MAX, |next| next.shape().dims()[0]);
            if num_rows.saturating_add(next) > rows {
                wide.resize(num_rows * self.width, 0.0);
                widen(&group, &mut wide)?;
                work(first, &wide);
                first += num_rows;
                num_rows = 0;
                group.clear();
            }
        }
        Ok(())
    }

    /// `x Wᵀ` for a few inputs, x [n, width] -> [n, rows], on the CPU, without widening; `None` for many inputs, which are quicker
    /// the other way, and for blocks without such a loop.
    pub fn multiply(&self, x: &[f32], n: usize) -> Result<Option<Vec<f32>>> {
        if n > FEW_INPUTS {
            return Ok(None);
        }
        let inputs = Inputs::new(x, self.width);
        let mut by_row = vec![0.0; self.rows * n]; // [rows, n]
        let mut rest = &mut by_row[..];
        let mut tasks = Vec::with_capacity(self.panels.len());
        for panel in self.panels.iter() {
            let (part, after) = rest.split_at_mut(panel.shape().dims()[0] * n);
            tasks.push((panel, part));
            rest = after;
        }
        let multiply = |(panel, out): (&Arc<QTensor>, &mut [f32])| {
            Ok(blocks::multiply(panel.dtype(), &panel.data()?, &inputs, out))
        };
        let are_done = tasks.into_par_iter().map(multiply).collect::<Result<Vec<bool>>>()?;
        if !are_done.into_iter().all(|is_done| is_done) {
            return Ok(None);
        }
        if n == 1 {
            return Ok(Some(by_row));
        }
        let place = |i: usize| by_row[i % self.rows * n + i / self.rows];
        Ok(Some((0..n * self.rows).map(place).collect()))
    }

    /// Some rows as f32, [n, width], on the CPU.
    pub fn select(&self, rows: &[u32]) -> Result<Vec<f32>> {
        let mut firsts = Vec::with_capacity(self.panels.len());
        let mut first = 0;
        for panel in self.panels.iter() {
            firsts.push(first);
            first += panel.shape().dims()[0];
        }
        let mut wanted: Vec<(usize, usize)> = rows.iter().map(|row| *row as usize).zip(0..).collect();
        wanted.sort_unstable();
        let panel_of = |row: usize| firsts.partition_point(|first| *first <= row) - 1;
        let mut out = vec![0.0; rows.len() * self.width];
        for of_panel in wanted.chunk_by(|a, b| panel_of(a.0) == panel_of(b.0)) {
            let index = panel_of(of_panel[0].0);
            let mut numbers = vec![0.0; self.panels[index].shape().elem_count()];
            widen_one(&self.panels[index], &mut numbers)?;
            for (row, place) in of_panel {
                let from = (row - firsts[index]) * self.width;
                let Some(found) = numbers.get(from..from + self.width) else {
                    bail!("row {row} of {}", self.rows)
                };
                out[place * self.width..(place + 1) * self.width].copy_from_slice(found);
            }
        }
        Ok(out)
    }
}

/// Widens panels, one below the other, on all threads.
fn widen(panels: &[&Arc<QTensor>], out: &mut [f32]) -> Result<()> {
    let mut rest = out;
    let mut tasks = Vec::with_capacity(panels.len());
    for panel in panels {
        let (part, after) = rest.split_at_mut(panel.shape().elem_count());
        tasks.push((panel, part));
        rest = after;
    }
    tasks.into_par_iter().try_for_each(|(panel, out)| widen_one(panel, out))
}

fn widen_one(panel: &QTensor, out: &mut [f32]) -> Result<()> {
    if blocks::widen(panel.dtype(), &panel.data()?, out) {
        return Ok(());
    }
    let wide = panel.dequantize(&Device::Cpu)?;
    match Numbers::of(&wide) {
        Some(numbers) => out.copy_from_slice(&numbers),
        None => bail!("a panel that is not f32"),
    }
    Ok(())
}

//! A few rows at a time through the vocabulary projection and the losses, and what is added up over them.

use super::gradient::made_in_place;
use super::linear::times;
use super::linear_cross_entropy::Head;
use crate::nn::kernels::cpu::cross_entropy::{Others, in_place, in_place_near};
use crate::nn::kernels::cpu::elementwise::{add_bias, add_column_sums};
use crate::nn::kernels::cpu::{self, Numbers, Rows, tensor};
use crate::nn::kernels::portable::cross_entropy::{divergence_and_gradient, losses_and_gradient};
use crate::nn::kernels::portable::wide;
use crate::nn::{Node, Result, Weight};
use candle_core::{DType, Device, Tensor};

/// The same numbers as f64 on the CPU.
pub(super) fn on_host(x: &Tensor) -> Result<Tensor> {
    x.to_device(&Device::Cpu)?.to_dtype(DType::F64)
}

/// A sum whose terms are numbers, or still lie on a device, [c, 1] each: those are read once, when all chunks have been asked for.
#[derive(Default)]
struct Total {
    sum: f64,
    terms: Vec<Tensor>,
}

impl Total {
    fn get(&self) -> Result<f64> {
        if self.terms.is_empty() {
            return Ok(self.sum);
        }
        Ok(self.sum + on_host(&Tensor::cat(&self.terms, 0)?)?.sum_all()?.to_scalar::<f64>()?)
    }
}

/// What is added up over the chunks.
#[derive(Default)]
pub(super) struct Sums<'a> {
    loss: Total,
    divergence: Total,
    of_weight: OfParameter<'a>,
    of_bias: OfParameter<'a>,
    /// Buffers that serve chunk after chunk.
    logits: Vec<f32>,
    others: Vec<f32>,
}

impl<'a> Sums<'a> {
    /// The projection's weight and bias where they are trained.
    pub fn of(weight: Option<&'a Node>, bias: Option<&'a Node>) -> Self {
        let of = |leaf| OfParameter { leaf, sum: None };
        Self { of_weight: of(weight), of_bias: of(bias), ..Self::default() }
    }

    /// Of the trained ones, [v, d] and [v]; `None` for one that lies in its slot.
    pub fn gradients(self) -> Vec<Option<Tensor>> {
        let all = [self.of_weight, self.of_bias];
        all.into_iter().filter(OfParameter::is_wanted).map(|of| of.sum).collect()
    }

    /// Of the losses and of the divergences.
    pub fn totals(&self) -> Result<(f64, f64)> {
        Ok((self.loss.get()?, self.divergence.get()?))
    }
}

/// The gradient of the projection's weight [v, d] or bias [v], added up over the chunks.
#[derive(Default)]
struct OfParameter<'a> {
    leaf: Option<&'a Node>,
    /// Where the leaf has no slot.
    sum: Option<Tensor>,
}

impl OfParameter<'_> {
    fn is_wanted(&self) -> bool {
        self.leaf.is_some()
    }

    /// Adds `d_logitsᵀ hidden`: d_logits [c, v], hidden [c, d].
    fn add_numbers(&mut self, d_logits: &[f32], hidden: &[f32], c: usize) -> Result<()> {
        let Some(leaf) = self.leaf else { return Ok(()) };
        let made = made_in_place(leaf, |out, is_first| {
            cpu::linear::of_weight(out, is_first, d_logits, hidden, c);
        })?;
        self.keep(made)
    }

    /// Adds the sums of the columns of d_logits [c, v].
    fn add_columns(&mut self, d_logits: &[f32]) -> Result<()> {
        let Some(leaf) = self.leaf else { return Ok(()) };
        let made = made_in_place(leaf, |out, is_first| {
            if is_first {
                out.fill(0.0);
            }
            add_column_sums(out, d_logits);
        })?;
        self.keep(made)
    }

    /// Adds a part that a device made.
    fn add(&mut self, part: Tensor) -> Result<()> {
        match self.leaf.and_then(Node::slot) {
            Some(slot) => slot.add(&part),
            None => self.keep(Some(wide(&part)?)),
        }
    }

    fn keep(&mut self, part: Option<Tensor>) -> Result<()> {
        self.sum = match (self.sum.take(), part) {
            (Some(sum), Some(part)) => Some((sum + part)?),
            (sum, part) => sum.or(part),
        };
        Ok(())
    }
}

/// Some rows: hidden [c, d], targets [c], weights [c].
pub(super) struct Chunk<'a> {
    pub hidden: Tensor,
    pub targets: &'a [u32],
    pub weights: &'a [f32],
    pub near: Option<Near<'a>>,
}

/// What the same rows are held against: hidden [c, d], weights [c].
pub(super) struct Near<'a> {
    pub hidden: Tensor,
    pub head: &'a Head,
    pub weights: Vec<f32>,
}

impl Near<'_> {
    fn on_cpu(&self) -> Option<(Numbers<'_>, Rows<'_>, &Self)> {
        Some((Numbers::of(&self.hidden)?, self.head.weight.weight().on_cpu()?, self))
    }
}

impl Chunk<'_> {
    /// -> d hidden = d logits · W [c, d] when it is wanted, where d logits = weight (p - onehot) + weight of the divergence (p - q);
    /// Σ weight · -log p(target), Σ weight · KL(q || p) and dW = d logitsᵀ · hidden are added to `sums`.
    pub fn run(&self, weight: &Weight, head: &Head, wants: bool, sums: &mut Sums) -> Result<Option<Tensor>> {
        let near = match &self.near {
            Some(near) => near.on_cpu().map(Some),
            None => Some(None),
        };
        match (Numbers::of(&self.hidden), weight.on_cpu(), near) {
            (Some(x), Some(w), Some(near)) => self.run_on_cpu(&x, &w, near, head, wants, sums),
            _ => self.run_anywhere(weight, head, wants, sums),
        }
    }

    fn run_on_cpu(
        &self,
        x: &[f32],
        w: &Rows,
        near: Option<(Numbers, Rows, &Near)>,
        head: &Head,
        wants: bool,
        sums: &mut Sums,
    ) -> Result<Option<Tensor>> {
        let c = self.targets.len();
        let Sums { loss, divergence, of_weight, of_bias, logits, others } = sums;
        logits.resize(c * w.num_rows(), 0.0);
        made_logits(logits, x, w, head, c)?;
        let wants_any = wants || of_weight.is_wanted() || of_bias.is_wanted();
        let cap = head.cap;
        let narrow = |cap: Option<f64>| cap.map(|cap| cap as f32);
        match near {
            Some((x, w, near)) => {
                others.resize(c * w.num_rows(), 0.0);
                made_logits(others, &x, &w, near.head, c)?;
                let mut others =
                    Others { logits: others, weights: &near.weights, cap: narrow(near.head.cap) };
                let (of_targets, of_others) =
                    in_place_near(logits, &mut others, self.targets, self.weights, narrow(cap), wants_any);
                loss.sum += of_targets;
                divergence.sum += of_others;
            }
            None => loss.sum += in_place(logits, self.targets, self.weights, narrow(cap), wants_any),
        }
        of_weight.add_numbers(logits, x, c)?;
        of_bias.add_columns(logits)?;
        let gradient = wants.then(|| tensor(cpu::linear::backward(logits, w, c)?, self.hidden.shape()));
        gradient.transpose()
    }

    fn run_anywhere(
        &self,
        weight: &Weight,
        head: &Head,
        wants: bool,
        sums: &mut Sums,
    ) -> Result<Option<Tensor>> {
        let cap = head.cap;
        let logits = head.product(&self.hidden, weight)?; // [c, v]
        let column = |numbers: &[f32]| {
            Tensor::from_slice(numbers, (numbers.len(), 1), logits.device())?.to_dtype(logits.dtype())
        };
        let targets = Tensor::from_slice(self.targets, (self.targets.len(), 1), logits.device())?;
        let (losses, mut d_logits) = losses_and_gradient(&logits, &targets, &column(self.weights)?, cap)?;
        sums.loss.terms.push(losses);
        if let Some(near) = &self.near {
            let others = near.head.logits(&near.hidden)?;
            let (divergences, gradient) =
                divergence_and_gradient(&logits, &others, &column(&near.weights)?, cap)?;
            sums.divergence.terms.push(divergences);
            d_logits = (d_logits + gradient)?;
        }
        if sums.of_bias.is_wanted() {
            sums.of_bias.add(d_logits.sum(0)?)?; // [v]
        }
        let d_logits = d_logits.to_dtype(self.hidden.dtype())?;
        if sums.of_weight.is_wanted() {
            sums.of_weight.add(d_logits.t()?.matmul(&self.hidden)?)?; // [v, d]
        }
        wants.then(|| times(&d_logits, weight)).transpose()
    }
}

/// `x Wᵀ + bias` in place of what stands in the logits [c, v]: x [c, d].
fn made_logits(logits: &mut [f32], x: &[f32], w: &Rows, head: &Head, c: usize) -> Result<()> {
    cpu::linear::forward_into(logits, x, w, c)?;
    if let Some(bias) = &head.bias {
        let own = bias.value().to_dtype(DType::F32)?;
        match Numbers::of(&own) {
            Some(bias) => add_bias(logits, &bias),
            None => candle_core::bail!("the bias of the logits lies on another device"),
        }
    }
    Ok(())
}

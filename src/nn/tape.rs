//! Reverse-mode differentiation over coarse operations.
//!
//! An operation hands the tape its result and a closure that turns the result's gradient into its inputs'.
//! The closure owns exactly what the backward pass needs, and is dropped as soon as it has run. A [`Node`]
//! without an id needs no gradient: operations on such nodes record nothing, so the frozen part of a model
//! below its lowest trainable layer costs no memory and is never visited. In inference mode the same model
//! code records nothing at all.

use super::kernels::cpu::{Numbers, elementwise, tensor};
use super::{Result, Slot, profile};
use candle_core::Tensor;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// A value on the tape. Plain tensors cannot be mixed in by accident.
#[derive(Debug, Clone)]
pub struct Node {
    value: Tensor,
    id: Option<usize>,
    remake: Option<Remake>,
    slot: Option<Slot>,
}

/// Makes a value again from what is kept anyway.
#[derive(Clone)]
struct Remake(Rc<dyn Fn() -> Result<Tensor>>);

impl fmt::Debug for Remake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remake")
    }
}

/// A value that a backward pass will want: the tensor, or how to make it again.
pub enum Kept {
    Value(Tensor),
    Remade(Rc<dyn Fn() -> Result<Tensor>>),
}

impl Kept {
    pub fn get(&self) -> Result<Tensor> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Remade(remake) => remake(),
        }
    }
}

impl Node {
    /// A value that needs no gradient: inputs, frozen weights.
    pub fn frozen(value: Tensor) -> Self {
        Self { value, id: None, remake: None, slot: None }
    }

    /// The same node, whose value is cheaper to make again than to keep. `remake` must give the same numbers.
    pub fn remade_by(self, remake: impl Fn() -> Result<Tensor> + 'static) -> Self {
        Self { remake: Some(Remake(Rc::new(remake))), ..self }
    }

    /// What an operation saves when its backward pass will want this value.
    pub fn keep(&self) -> Kept {
        match &self.remake {
            Some(Remake(remake)) => Kept::Remade(remake.clone()),
            None => Kept::Value(self.value.clone()),
        }
    }

    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// Where the gradient of a parameter belongs: an operation may put it there itself and return none.
    pub fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref()
    }

    /// Whether a gradient will reach this node.
    pub fn needs_gradient(&self) -> bool {
        self.id.is_some()
    }
}

/// The gradients of an operation's inputs, in order; `None` where the input needs none.
pub type InputGradients = Vec<Option<Tensor>>;

type Backward<'a> = Box<dyn FnOnce(&Tensor) -> Result<InputGradients> + 'a>;
type Run<'a> = Box<dyn Fn(&Tape<'a>) -> Result<Node> + 'a>;

enum Entry<'a> {
    /// A trainable parameter: its gradient goes to its slot, or is an outcome of the backward pass.
    Leaf(Option<Slot>),
    Operation {
        name: &'static str,
        inputs: Vec<Option<usize>>,
        backward: Backward<'a>,
    },
    /// Operations that are recorded when the walk back reaches them, and all uses that they make of parameters.
    Checkpoint(Run<'a>, Vec<usize>),
}

/// Records operations on the way forward; walks them once on the way back.
pub struct Tape<'a> {
    entries: Option<RefCell<Vec<Entry<'a>>>>,
    has_checkpoints: bool,
}

impl<'a> Tape<'a> {
    /// A tape that records, for training.
    pub fn recording() -> Self {
        Self { entries: Some(RefCell::new(Vec::new())), has_checkpoints: false }
    }

    /// A tape that records, but of what runs under [`Self::checkpoint`] keeps only what it starts from: less memory, more
    /// time, the same numbers (Chen et al. 2016, arXiv:1604.06174).
    pub fn checkpointing() -> Self {
        Self { has_checkpoints: true, ..Self::recording() }
    }

    /// A tape that records nothing: everything is frozen.
    pub fn inference() -> Self {
        Self { entries: None, has_checkpoints: false }
    }

    /// A trainable parameter. Its gradient is found in [`Gradients`] under the node it returns.
    pub fn leaf(&self, value: Tensor) -> Node {
        Node { id: self.push(|| Entry::Leaf(None)), ..Node::frozen(value) }
    }

    /// A trainable parameter whose gradient is added to `slot` as soon as it is known.
    pub fn parameter(&self, value: Tensor, slot: Slot) -> Node {
        let id = self.push(|| Entry::Leaf(Some(slot.clone())));
        Node { id, slot: Some(slot), ..Node::frozen(value) }
    }

    /// Records an operation under a name, which is the profile's. `backward` gets the gradient of `value` and returns one per input; it is only
    /// built into the tape when some input needs a gradient.
    pub fn record(
        &self,
        name: &'static str,
        inputs: &[&Node],
        value: Tensor,
        backward: impl FnOnce(&Tensor) -> Result<InputGradients> + 'a,
    ) -> Node {
        if inputs.iter().all(|node| node.id.is_none()) {
            return Node::frozen(value);
        }
        let ids = inputs.iter().map(|node| node.id).collect();
        let entry = || Entry::Operation { name, inputs: ids, backward: Box::new(backward) };
        Node { id: self.push(entry), ..Node::frozen(value) }
    }

    /// Runs a part of the model. On a [`Self::checkpointing`] tape its operations are forgotten, and `run` is asked again, for
    /// the same numbers, when the walk back reaches it.
    pub fn checkpoint(&self, run: impl Fn(&Self) -> Result<Node> + 'a) -> Result<Node> {
        let Some(entries) = self.entries.as_ref().filter(|_| self.has_checkpoints) else { return run(self) };
        let start = entries.borrow().len();
        let made = run(self)?;
        if made.id.is_none_or(|id| id < start) {
            return Ok(made);
        }
        let uses = uses_of_parameters(&entries.borrow(), start);
        entries.borrow_mut().truncate(start);
        Ok(Node { id: self.push(|| Entry::Checkpoint(Box::new(run), uses)), ..Node::frozen(made.value) })
    }

    fn push(&self, entry: impl FnOnce() -> Entry<'a>) -> Option<usize> {
        let mut entries = self.entries.as_ref()?.borrow_mut();
        entries.push(entry());
        Some(entries.len() - 1)
    }

    /// Walks back from `root`, whose gradient is `seed` (same shape), freeing each operation as it goes.
    pub fn backward(self, root: &Node, seed: Tensor) -> Result<Gradients> {
        self.backward_each(root, seed, &mut |_| Ok(()))
    }

    /// The same, and tells `done` of each parameter's slot as soon as nothing more will be added to it. From then on no operation reads
    /// the parameter either, as long as each names what it reads among its inputs.
    pub fn backward_each(
        self,
        root: &Node,
        seed: Tensor,
        done: &mut dyn FnMut(&Slot) -> Result<()>,
    ) -> Result<Gradients> {
        let Some(entries) = self.entries else { return Ok(Gradients(Vec::new())) };
        let mut entries = entries.into_inner();
        let mut waiting = Waiting { num_uses: vec![0; entries.len()] };
        waiting.more(&uses_of_parameters(&entries, 0));
        let mut gradients: Vec<Option<Tensor>> = (0..entries.len()).map(|_| None).collect();
        if let Some(id) = root.id {
            gradients[id] = Some(seed);
        }
        while let Some(entry) = entries.pop() {
            if matches!(entry, Entry::Leaf(_)) {
                continue;
            }
            let Some(gradient) = gradients[entries.len()].take() else {
                waiting.fewer(&uses(&entry, &entries), &entries, done)?;
                continue;
            };
            let (name, inputs, backward) = match entry {
                Entry::Leaf(_) => continue,
                Entry::Operation { name, inputs, backward } => (name, inputs, backward),
                Entry::Checkpoint(run, uses) => {
                    // What it stands for takes its place on the tape and is walked next.
                    let start = entries.len();
                    let tape = Self { entries: Some(RefCell::new(entries)), has_checkpoints: false };
                    let root = run(&tape)?;
                    entries = tape.entries.map(RefCell::into_inner).unwrap_or_default();
                    gradients.resize_with(gradients.len().max(entries.len()), || None);
                    waiting.more(&uses_of_parameters(&entries, start));
                    waiting.fewer(&uses, &entries, done)?;
                    if let Some(id) = root.id {
                        gradients[id] = Some(gradient);
                    }
                    continue;
                }
            };
            let span = profile::backward(name);
            let of_inputs = backward(&gradient)?;
            drop(span);
            for (input, gradient) in inputs.iter().zip(of_inputs) {
                let (Some(id), Some(gradient)) = (*input, gradient) else { continue };
                if let Some(Entry::Leaf(Some(slot))) = entries.get(id) {
                    slot.add(&gradient)?;
                    continue;
                }
                // The first gradient of a node is moved, later ones are added.
                let total = match gradients[id].take() {
                    Some(before) => sum(&before, &gradient)?,
                    None => gradient,
                };
                gradients[id] = Some(total);
            }
            waiting.fewer(&parameters(&inputs, &entries), &entries, done)?;
        }
        Ok(Gradients(gradients))
    }
}

/// How often each parameter will still get a gradient.
struct Waiting {
    num_uses: Vec<usize>,
}

impl Waiting {
    fn more(&mut self, parameters: &[usize]) {
        parameters.iter().for_each(|id| self.num_uses[*id] += 1);
    }

    fn fewer(
        &mut self,
        parameters: &[usize],
        entries: &[Entry],
        done: &mut dyn FnMut(&Slot) -> Result<()>,
    ) -> Result<()> {
        for id in parameters {
            self.num_uses[*id] -= 1;
            if let (0, Some(Entry::Leaf(Some(slot)))) = (self.num_uses[*id], entries.get(*id)) {
                done(slot)?;
            }
        }
        Ok(())
    }
}

/// The parameters with a slot among these inputs, as often as they are there.
fn parameters(inputs: &[Option<usize>], entries: &[Entry]) -> Vec<usize> {
    let has_slot = |id: &usize| matches!(entries.get(*id), Some(Entry::Leaf(Some(_))));
    inputs.iter().flatten().copied().filter(has_slot).collect()
}

/// The uses that one entry makes of parameters, which were recorded before it.
fn uses(entry: &Entry, entries: &[Entry]) -> Vec<usize> {
    match entry {
        Entry::Leaf(_) => Vec::new(),
        Entry::Operation { inputs, .. } => parameters(inputs, entries),
        Entry::Checkpoint(_, uses) => uses.clone(),
    }
}

/// Those of the entries from `start` on.
fn uses_of_parameters(entries: &[Entry], start: usize) -> Vec<usize> {
    entries[start..].iter().flat_map(|entry| uses(entry, entries)).collect()
}

/// `a + b`, same shape.
pub(super) fn sum(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    match (Numbers::of(a), Numbers::of(b)) {
        (Some(x), Some(y)) if x.len() == y.len() => tensor(elementwise::add(&x, &y), a.shape()),
        _ => a + b,
    }
}

/// What the backward pass found for the leaves.
pub struct Gradients(Vec<Option<Tensor>>);

impl Gradients {
    /// The gradient of a leaf; `None` when nothing depends on it.
    pub fn take(&mut self, leaf: &Node) -> Option<Tensor> {
        self.0.get_mut(leaf.id?)?.take()
    }
}

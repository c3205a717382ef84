//! Every tensor of a model: its name and shape in files, and what the forward pass makes of it.

use super::DecoderConfig;
use crate::model::families::{Module, QkNorm, Stored};
use crate::model::hooks::{Linear, NormAt, Part, Projection};
use crate::nn::Result;
use crate::nn::ops::HeadLayout;
use candle_core::Tensor;

/// A tensor that a model needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// In Hugging Face's files.
    pub name: String,
    /// As the forward pass reads it: matrices as [out, in].
    pub shape: Vec<usize>,
    pub form: Form,
}

impl Needed {
    /// Its shape in a file.
    pub fn stored_shape(&self) -> Vec<usize> {
        match self.form.is_transposed {
            true => self.shape.iter().rev().copied().collect(),
            false => self.shape.clone(),
        }
    }
}

/// How a file's tensor differs from what the forward pass reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Form {
    pub is_transposed: bool,
    /// The number of heads whose query, key and value rows lie together, one head after the other.
    pub by_head: Option<usize>,
}

impl Form {
    /// A file's values as the forward pass reads them.
    pub fn from_file(self, stored: &Tensor) -> Result<Tensor> {
        if self.is_transposed { stored.t()?.contiguous() } else { self.rows(stored, |heads| [heads, 3]) }
    }

    /// The values of the forward pass as a file has them.
    pub fn to_file(self, values: &Tensor) -> Result<Tensor> {
        if self.is_transposed { values.t()?.contiguous() } else { self.rows(values, |heads| [3, heads]) }
    }

    /// Changes the order of rows that are `of(heads)` blocks of blocks: the inner blocks come to stand outside.
    fn rows(self, x: &Tensor, of: impl Fn(usize) -> [usize; 2]) -> Result<Tensor> {
        let Some(heads) = self.by_head else { return Ok(x.clone()) };
        let [outer, inner] = of(heads);
        x.reshape((outer, inner, x.elem_count() / (3 * heads)))?
            .transpose(0, 1)?
            .contiguous()?
            .reshape(x.shape())
    }

    /// Of the B of a low-rank change, which is never transposed.
    pub fn of_rows(self) -> Self {
        Self { is_transposed: false, ..self }
    }
}

/// What the forward pass reads as one, and the tensors of a checkpoint that it is made of, one above the other.
#[derive(Debug)]
pub struct Group {
    pub part: Part,
    pub tensors: Vec<Needed>,
}

impl Group {
    fn one(part: Part, name: String, shape: Vec<usize>) -> Self {
        Self { part, tensors: vec![Needed { name, shape, form: Form::default() }] }
    }
}

impl DecoderConfig {
    /// Every tensor of the model.
    pub fn tensors(&self) -> Vec<Needed> {
        self.groups().into_iter().flat_map(|group| group.tensors).collect()
    }

    /// The same, by what the forward pass reads as one.
    pub fn groups(&self) -> Vec<Group> {
        let (d, names) = (self.width, &self.family.table().names);
        let table =
            |part, name, rows| Group::one(part, format!("{}.weight", self.name_of(name)), vec![rows, d]);
        let mut all = vec![table(Part::Embedding, names.embedding, self.vocabulary)];
        let num_positions = self.context_tokens.saturating_add(self.position_offset);
        all.extend(names.positions.map(|name| table(Part::Positions, name, num_positions)));
        all.extend(names.types.map(|name| table(Part::Types, name, self.num_types)));
        let norm = |weight, bias, name| {
            let of_name = move |name| self.norm_groups(weight, bias, self.name_of(name));
            Option::into_iter(name).flat_map(of_name)
        };
        all.extend(norm(Part::EmbeddingNorm, Part::EmbeddingNormBias, names.embedding_norm));
        (0..self.num_layers).for_each(|layer| all.extend(self.layer_groups(layer)));
        let encoder = self.family.table().encoder.map(|encoder| encoder.final_norm);
        all.extend(encoder.map(|name| Group::one(Part::EncoderNorm, format!("{name}.weight"), vec![d])));
        all.extend(norm(Part::FinalNorm, Part::FinalNormBias, names.final_norm));
        if self.predicts_tokens {
            all.extend(self.transform_groups());
            if !self.has_tied_embeddings {
                all.push(table(Part::Head, names.head, self.vocabulary));
            }
        }
        all.extend(self.head_groups());
        all
    }

    /// Of what stands between an encoder's states and the vocabulary projection, and of that one's bias.
    fn transform_groups(&self) -> Vec<Group> {
        let Some(transform) = self.family.table().names.transform else { return Vec::new() };
        let (d, dense) = (self.width, transform.dense);
        let mut all = vec![Group::one(Part::Transform, format!("{dense}.weight"), vec![d, d])];
        if self.has_transform_bias {
            all.push(Group::one(Part::TransformBias, format!("{dense}.bias"), vec![d]));
        }
        all.extend(self.norm_groups(Part::TransformNorm, Part::TransformNormBias, transform.norm));
        if self.has_head_bias {
            // Of a tied head, transformers saves the bias under another name.
            let name = match self.has_tied_embeddings {
                true => transform.bias.to_string(),
                false => format!("{}.bias", self.family.table().names.head),
            };
            all.push(Group::one(Part::HeadBias, name, vec![self.vocabulary]));
        }
        all
    }

    fn layer_groups(&self, layer: usize) -> Vec<Group> {
        let table = self.family.table();
        let mut all = Vec::new();
        let is_there = |at| !(layer == 0 && table.lacks_first_norm && at == NormAt::BeforeAttention);
        let encoder = table.encoder.filter(|_| self.is_of_encoder(layer));
        let norms = encoder.map_or(table.norms, |encoder| encoder.norms);
        for (at, name) in norms.iter().filter(|(at, _)| is_there(*at)) {
            let name = format!("{}.{name}", self.layer_name(layer));
            all.extend(self.norm_groups(Part::Norm(layer, *at), Part::NormBias(layer, *at), &name));
        }
        if let Some(kind) = table.qk_norm {
            let layout = self.head_layout();
            let [q, k] = match kind {
                QkNorm::EachHead => [self.head_width; 2],
                QkNorm::Whole => [layout.query_width(), layout.key_width()],
            };
            for (part, name, width) in
                [(Part::QueryNorm(layer), "q_norm", q), (Part::KeyNorm(layer), "k_norm", k)]
            {
                let name = format!("{}.self_attn.{name}.weight", self.layer_name(layer));
                all.push(Group::one(part, name, vec![width]));
            }
        }
        if let Some((table, numbers)) = table.encoder.zip(self.encoder)
            && (layer == 0 || layer == numbers.num_layers)
        {
            let name = format!("{}.{}.weight", self.layer_name(layer), table.position_bias);
            all.push(Group::one(Part::PositionBias(layer), name, vec![numbers.num_buckets, self.num_heads]));
        }
        Projection::ALL.into_iter().for_each(|p| all.extend(self.projection_groups(layer, p)));
        all
    }

    /// A weight, and a bias where norms have one.
    fn norm_groups(&self, weight: Part, bias: Part, name: &str) -> impl Iterator<Item = Group> + use<> {
        let vector = |part, kind| Group::one(part, format!("{name}.{kind}"), vec![self.width]);
        let bias = self.has_norm_bias.then(|| vector(bias, "bias"));
        std::iter::once(vector(weight, "weight")).chain(bias)
    }

    /// The weights of a projection, and its biases if it has any.
    fn projection_groups(&self, layer: usize, projection: Projection) -> impl Iterator<Item = Group> {
        let modules = self.modules(layer, projection);
        let tensors = |kind: &str, of: &dyn Fn(&Module) -> (Vec<usize>, Form)| {
            let needed = |module: &Module| {
                let (shape, form) = of(module);
                let name = format!("{}.{}.{kind}", self.layer_name(layer), module.path);
                Needed { name, shape, form }
            };
            modules.iter().map(needed).collect()
        };
        let weights = tensors("weight", &|module| {
            let (outputs, inputs) = self.linear_shape(module.linear);
            (vec![outputs, inputs], self.form(module))
        });
        let biases = self.has_bias(projection).then(|| {
            tensors("bias", &|module| (vec![self.linear_shape(module.linear).0], self.form(module).of_rows()))
        });
        let biases = biases.map(|tensors| Group { part: Part::Bias(layer, projection), tensors });
        let weights = Group { part: Part::Weight(layer, projection), tensors: weights };
        (!modules.is_empty()).then_some(weights).into_iter().chain(biases)
    }

    /// How files hold the weights of a linear layer.
    pub fn form(&self, module: &Module) -> Form {
        match module.stored {
            Stored::Plainly => Form::default(),
            Stored::Transposed => Form { is_transposed: true, by_head: None },
            Stored::HeadByHead => Form { is_transposed: false, by_head: Some(self.num_heads) },
        }
    }

    /// The linear layers of a projection of a block, in the order of their outputs; none where it has no such projection.
    pub fn modules(&self, layer: usize, projection: Projection) -> &'static [Module] {
        let table = self.family.table();
        match table.encoder.filter(|_| self.is_of_encoder(layer)) {
            Some(encoder) => encoder.modules.get(projection as usize).copied().unwrap_or_default(),
            None => table.modules(projection),
        }
    }

    fn has_bias(&self, projection: Projection) -> bool {
        match projection {
            Projection::Qkv => self.has_qkv_bias,
            Projection::O => self.has_o_bias,
            Projection::GateUp | Projection::Down => self.has_mlp_bias,
            Projection::CrossQ | Projection::CrossKv | Projection::CrossO => false,
        }
    }

    /// How a row of q | k | v is divided.
    pub fn head_layout(&self) -> HeadLayout {
        HeadLayout { num_heads: self.num_heads, num_kv_heads: self.num_kv_heads, head_width: self.head_width }
    }

    /// (outputs, inputs) of a linear layer.
    pub fn linear_shape(&self, linear: Linear) -> (usize, usize) {
        let layout = self.head_layout();
        let (q, kv) = (layout.query_width(), layout.key_width());
        match linear {
            Linear::Q | Linear::CrossQ => (q, self.width),
            Linear::K | Linear::V | Linear::CrossK | Linear::CrossV => (kv, self.width),
            Linear::Qkv => (q + 2 * kv, self.width),
            Linear::O | Linear::CrossO => (self.width, q),
            Linear::Gate | Linear::Up => (self.ffn_width, self.width),
            Linear::GateUp => (2 * self.ffn_width, self.width),
            Linear::Down => (self.width, self.ffn_width),
        }
    }
}

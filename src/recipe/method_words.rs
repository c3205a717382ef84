//! What people who have never tuned a model read of each method, and the learning rate that it usually wants.

use super::Recipe;
use super::method::Method;
use super::recipe::OptimizerKind;

impl Method {
    /// Its name in plain words; the term of the field in brackets.
    pub fn title(&self) -> &'static str {
        match self {
            Self::Lora(_) => "Small addition (LoRA)",
            Self::Full {} => "All weights (full)",
            Self::Ia3(_) => "Learnt factors (IA3)",
            Self::Bottleneck(_) => "Blocks (bottlenecks)",
            Self::Freeze(_) => "Some weights (freezing)",
            Self::Prefix(_) => "Memory (prefix)",
            Self::Prompt(_) => "Soft prompt (prompt tuning)",
            Self::PTuning(_) => "Encoded prompt (P-tuning)",
        }
    }

    /// What it does and what it is good for, in two sentences.
    pub fn explain(&self) -> &'static str {
        match self {
            Self::Lora(_) => {
                "Trains a small addition beside the model's layers, which themselves stay as they are. Suits most \
                 tasks: quick, little memory, a small file."
            }
            Self::Full {} => {
                "Changes every number of the model itself. It can learn the most and forget the most, and needs \
                 about four times the model's size in memory."
            }
            Self::Ia3(_) => {
                "Learns how loudly some of the model's inner signals speak, one factor for each. A tiny file, \
                 enough for a tone or a format, too little for much new knowledge."
            }
            Self::Bottleneck(_) => {
                "Puts a small block of its own after the parts of each layer. It learns about as much as LoRA, and \
                 answers take a little longer, as the blocks stay apart from the model."
            }
            Self::Freeze(_) => {
                "Changes the topmost blocks of the model itself and leaves the rest as it is, bit for bit. Quicker and \
                 leaner than all weights; the result is a whole model."
            }
            Self::Prefix(_) => {
                "Puts trained memories before every text, in each layer, and leaves the model as it is. A small file, \
                 enough for a task's form; it takes a little of the context."
            }
            Self::Prompt(_) => {
                "Puts trained numbers where a few words of instruction would stand. The smallest file of all, and it \
                 learns the least and the slowest."
            }
            Self::PTuning(_) => {
                "A soft prompt that a small network writes while it is trained, which makes it steadier. What is kept \
                 is as small as a soft prompt."
            }
        }
    }

    /// What sets a variant apart from its kind; `None` for the usual one.
    pub fn explain_variant(&self) -> Option<&'static str> {
        Some(match self.variant() {
            "dora" => {
                "Learns how long each changed row is apart from where it points. Often a little better at low ranks, and slower."
            }
            "rslora" => {
                "Divides by the root of the rank rather than by the rank, so that high ranks learn as fast as low ones."
            }
            "lora_plus" => {
                "Lets one half of the addition learn faster than the other, which often saves updates."
            }
            "pfeiffer" => {
                "A block behind each feed-forward part alone: half the numbers, nearly the same result."
            }
            "prefix_mlp" => {
                "A small network writes the memories while they are trained, which makes that steadier. What is kept is the same."
            }
            _ => return None,
        })
    }

    /// The learning rate to begin with, as its papers and users have it for this optimizer. Where all weights move at once each
    /// moves by less; a few factors or virtual tokens have to come far.
    pub fn usual_learning_rate(&self, optimizer: OptimizerKind) -> f64 {
        let of_additions = optimizer.usual_learning_rate();
        let rate = match self {
            // LoRA+ moves A by less and B by more: as far as usual in their mean.
            Self::Lora(lora) => of_additions / lora.b_rate_factor.max(1.0).sqrt(),
            Self::Bottleneck(_) => of_additions,
            Self::Full {} => of_additions / 10.0,
            // Fewer of them may move by more.
            Self::Freeze(_) => of_additions / 2.5,
            Self::Ia3(_) => of_additions * 10.0,
            Self::Prefix(_) | Self::Prompt(_) => of_additions * 60.0,
            Self::PTuning(_) => of_additions * 4.0,
        };
        // Without the digits that the product makes up.
        (rate * 1e9).round() / 1e9
    }
}

impl Recipe {
    /// The learning rate to begin with for its method and optimizer.
    pub fn usual_learning_rate(&self) -> f64 {
        self.method.usual_learning_rate(self.optimizer.kind)
    }

    /// Takes another method up. The learning rate follows it unless somebody chose one: it is the method's usual one, or that of
    /// `origin`, the recipe that this one was made from.
    pub fn take_method(&mut self, method: Method, origin: &Recipe) {
        let is_of_origin = |recipe: &Recipe| {
            recipe.method.kind() == origin.method.kind() && recipe.optimizer.kind == origin.optimizer.kind
        };
        let rate = self.optimizer.learning_rate;
        let is_chosen = rate != self.usual_learning_rate()
            && !(is_of_origin(self) && rate == origin.optimizer.learning_rate);
        let is_other = self.method.kind() != method.kind();
        self.method = method;
        if is_other && !is_chosen {
            self.optimizer.learning_rate = match is_of_origin(self) {
                true => origin.optimizer.learning_rate,
                false => self.usual_learning_rate(),
            };
        }
    }
}

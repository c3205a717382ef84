//! A bound on what a template builds: fuel bounds its steps, but thirty steps can double a string to a gigabyte.
//!
//! The engine has no hook for that, so compiled instructions are led past checks: what an operation is about to
//! make, or what a call has made, is charged to a budget of the rendering. No value on the way may be larger
//! than the budget when written out, so nothing that copies or writes one can be either.

use minijinja::machinery::{CompiledTemplate, Instruction, Instructions, Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use std::cell::Cell;

/// Bytes that a rendering may build, besides some for each byte that it is given.
const BUDGET_BYTES: usize = 96 << 20;
const BUDGET_PER_INPUT_BYTE: usize = 16;
/// Bytes of constants that are multiplied while a template is compiled.
const MAX_CONSTANT_BYTES: usize = 1 << 20;
/// Filters and methods that make much of little.
const MULTIPLYING: [&str; 6] = ["join", "replace", "indent", "format", "batch", "slice"];
const MAX_LOOKS: usize = 4_000_000;
/// Deepest value: beyond, writing or dropping it could end on the stack.
const MAX_DEPTH: usize = 64;
/// Memory of a value inside a list.
const VALUE_BYTES: usize = 24;
/// No local slot: the filter is looked up by its name.
const UNCACHED: u8 = !0;

thread_local! {
    /// What the rendering on this thread may still build.
    static LEFT: Cell<usize> = const { Cell::new(0) };
    /// How many values the checks may still look at: looking costs the template no fuel.
    static LOOKS: Cell<usize> = const { Cell::new(0) };
}

/// Begins a rendering that is given so many bytes.
pub(super) fn begin(num_bytes: usize) {
    LEFT.set(BUDGET_BYTES + BUDGET_PER_INPUT_BYTE * num_bytes);
    LOOKS.set(MAX_LOOKS);
}

pub(super) fn left() -> usize {
    LEFT.get()
}

pub(super) fn too_much() -> Error {
    Error::new(ErrorKind::InvalidOperation, "the chat template builds far more than it is given")
}

pub(super) fn spend(num_bytes: usize) -> Result<(), Error> {
    LEFT.set(left().checked_sub(num_bytes).ok_or_else(too_much)?);
    Ok(())
}

/// How long a value is when written out, roughly.
pub(super) fn written_bytes(value: &Value) -> Result<usize, Error> {
    let mut sum = 0;
    add_bytes(value, 0, &mut sum)?;
    Ok(sum)
}

fn add_bytes(value: &Value, depth: usize, sum: &mut usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(Error::new(ErrorKind::InvalidOperation, "the chat template nests its values too deeply"));
    }
    LOOKS.set(LOOKS.get().checked_sub(1).ok_or(ErrorKind::OutOfFuel)?);
    *sum = sum.saturating_add(value.as_str().map_or(VALUE_BYTES, str::len));
    if *sum > left() {
        return Err(too_much());
    }
    let is_held = match value.kind() {
        ValueKind::Map => true,
        // Iterables of unknown length may be streams, which can be read only once.
        ValueKind::Seq | ValueKind::Iterable => value.len().is_some(),
        _ => false,
    };
    if !is_held {
        return Ok(());
    }
    for item in value.try_iter()? {
        if value.kind() == ValueKind::Map
            && let Ok(held) = value.get_item(&item)
        {
            add_bytes(&held, depth + 1, sum)?;
        }
        add_bytes(&item, depth + 1, sum)?;
    }
    Ok(())
}

/// Sets up the checks that [`watch`] leads to, and others where one call makes much of little.
pub(super) fn install(env: &mut Environment<'static>) {
    env.add_filter("guard-made", |value: Value| -> Result<Value, Error> {
        // Other iterables hold nothing.
        spend(match value.as_str() {
            Some(text) => text.len(),
            None if value.kind() == ValueKind::Iterable => 0,
            None => items(&value).saturating_mul(VALUE_BYTES),
        })?;
        written_bytes(&value)?;
        Ok(value)
    });
    env.add_filter("guard-add", |a: Value, b: Value| -> Result<Value, Error> {
        match (a.as_str(), b.as_str()) {
            (Some(x), Some(y)) => spend(x.len() + y.len())?,
            // Lists are joined lazily, and copied once in some thirty times.
            _ => spend((items(&a) + items(&b)).saturating_mul(VALUE_BYTES) / 16)?,
        }
        if written_bytes(&a)?.saturating_add(written_bytes(&b)?) > left() {
            return Err(too_much());
        }
        Ok(Value::from(vec![b, a]))
    });
    env.add_filter("guard-concat", |a: Value, b: Value| -> Result<Value, Error> {
        spend(written_bytes(&a)?.saturating_add(written_bytes(&b)?))?;
        Ok(Value::from(vec![b, a]))
    });
    env.add_filter("guard-mul", |a: Value, b: Value| -> Result<Value, Error> {
        for (many, times) in [(&a, &b), (&b, &a)] {
            let is_many = matches!(many.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Iterable);
            if let (true, Some(times)) = (is_many, times.as_usize()) {
                spend(written_bytes(many)?.saturating_mul(times))?;
            }
        }
        Ok(Value::from(vec![b, a]))
    });
    env.set_formatter(|out, state, value| {
        spend(written_bytes(value)?)?;
        minijinja::escape_formatter(out, state, value)
    });
    multiplying(env);
    // These write out the engine's own state.
    env.remove_filter("pprint");
    env.remove_global("debug");
}

/// Calls that make much of little weigh it before they begin.
fn multiplying(env: &mut Environment<'static>) {
    use minijinja::filters;
    env.add_filter("plain-join", filters::join);
    env.add_filter("plain-replace", filters::replace);
    env.add_filter("plain-indent", filters::indent);
    env.add_filter("plain-format", filters::format);
    env.add_filter("plain-batch", filters::batch);
    env.add_filter("plain-slice", filters::slice);
    for name in MULTIPLYING {
        env.add_filter(name, move |state: &mut State, args: Rest<Value>| -> Result<Value, Error> {
            weigh(name, &args)?;
            state.apply_filter(&format!("plain-{name}"), &args)
        });
    }
    env.set_unknown_method_callback(|state, value, method, args| {
        let mut all = vec![value.clone()];
        all.extend_from_slice(args);
        if method == "join" {
            // `", ".join(items)` is the filter with its first two arguments exchanged.
            all.truncate(2);
            all.reverse();
        }
        weigh(method, &all)?;
        minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
    });
}

/// Refuses a call whose result would be too large.
fn weigh(name: &str, args: &[Value]) -> Result<(), Error> {
    let Some((value, rest)) = args.split_first().filter(|_| MULTIPLYING.contains(&name)) else {
        return Ok(());
    };
    let text = value.as_str().unwrap_or_default();
    let own = written_bytes(value)?;
    let rest_bytes = rest.iter().map(written_bytes).sum::<Result<usize, Error>>()?;
    let largest = rest.iter().map(largest_number).max().unwrap_or(0);
    let more = match name {
        "join" => items(value).max(own / VALUE_BYTES).saturating_mul(rest_bytes),
        "replace" => {
            let from = rest.first().and_then(Value::as_str).unwrap_or_default();
            text.matches(from).count().saturating_mul(rest_bytes)
        }
        "indent" => (text.matches('\n').count() + 1).saturating_mul(largest.max(4)),
        "format" => {
            let num_places = text.matches(['%', '{']).count();
            let widths: usize = text
                .split(|c: char| !c.is_ascii_digit())
                .filter(|digits| !digits.is_empty())
                .map(|digits| digits.parse().unwrap_or(usize::MAX))
                .fold(0, usize::saturating_add);
            num_places.saturating_mul(rest_bytes.saturating_add(largest)).saturating_add(widths)
        }
        _ => largest.saturating_mul(VALUE_BYTES),
    };
    if own.saturating_add(more) > left() { Err(too_much()) } else { Ok(()) }
}

fn items(value: &Value) -> usize {
    value.len().unwrap_or(0)
}

/// The largest number among an argument and, where it holds arguments by name, those.
fn largest_number(arg: &Value) -> usize {
    if !arg.is_kwargs() {
        return arg.as_usize().unwrap_or(0);
    }
    let names = arg.try_iter().into_iter().flatten();
    names.filter_map(|name| arg.get_item(&name).ok()?.as_usize()).max().unwrap_or(0)
}

/// Leads everything that makes a value past its check.
pub(super) fn watch(template: &mut CompiledTemplate<'static>) {
    watch_instructions(&mut template.instructions);
    template.blocks.values_mut().for_each(watch_instructions);
}

/// Each such instruction becomes a jump to a piece at the end that checks it, carries it out and jumps back: the
/// places of all others stay, and with them the targets of the template's own jumps.
fn watch_instructions(code: &mut Instructions<'static>) {
    let call = |name: &'static str, num: u16| Instruction::ApplyFilter(name, Some(num), UNCACHED);
    let len = (0..).find(|at| code.get(*at).is_none()).unwrap_or(0);
    // What ended the template by ending its code must not run into the pieces.
    let end = code.add(Instruction::Jump(0));
    for at in 0..len {
        let line = code.get_line(at).and_then(|line| u16::try_from(line).ok()).unwrap_or(0);
        let Some(instruction) = code.get(at).cloned() else { continue };
        let before = |name| vec![call(name, 2), Instruction::UnpackList(2)];
        let (before, own, after) = match instruction {
            Instruction::Add => (before("guard-add"), instruction, vec![]),
            Instruction::Mul => (before("guard-mul"), instruction, vec![]),
            Instruction::StringConcat => (before("guard-concat"), instruction, vec![]),
            // Through the formatter, which sees what is caught in a variable as well as what is put out.
            Instruction::EmitRaw(text) => {
                (vec![], Instruction::LoadConst(Value::from(text)), vec![Instruction::Emit])
            }
            Instruction::ApplyFilter(..)
            | Instruction::CallMethod(..)
            | Instruction::CallFunction(..)
            | Instruction::CallObject(..)
            | Instruction::BuildList(_)
            | Instruction::BuildTuple(_)
            | Instruction::BuildMap(_)
            | Instruction::Slice => (vec![], instruction, vec![call("guard-made", 1)]),
            _ => continue,
        };
        let mut start = None;
        for piece in before.into_iter().chain([own]).chain(after).chain([Instruction::Jump(at + 1)]) {
            let placed = code.add_with_line(piece, line);
            start.get_or_insert(placed);
        }
        if let (Some(start), Some(instruction)) = (start, code.get_mut(at)) {
            *instruction = Instruction::Jump(start);
        }
    }
    let after_all = code.add(Instruction::Jump(0)) + 1;
    for at in [end, after_all - 1] {
        if let Some(instruction) = code.get_mut(at) {
            *instruction = Instruction::Jump(after_all);
        }
    }
}

/// Refuses constants that the compiler would multiply to something large before anything is run.
pub(super) fn check_constants(source: &str, syntax: &SyntaxConfig) -> Result<(), Error> {
    let mut total = 0_usize;
    let mut tag = Tag::default();
    for token in tokenize(source, false, syntax.clone()) {
        match token?.0 {
            Token::VariableStart | Token::BlockStart => tag = Tag::default(),
            Token::VariableEnd | Token::BlockEnd => total = total.saturating_add(tag.num_bytes()),
            Token::Str(text) => tag.text += text.len(),
            Token::String(text) => tag.text += text.len(),
            Token::Comma => tag.text += VALUE_BYTES,
            Token::Mul => tag.has_product = true,
            Token::Pow => tag.has_power = true,
            Token::Int(number) => tag.times(usize::try_from(number).unwrap_or(usize::MAX)),
            Token::Int128(_) => tag.times(usize::MAX),
            Token::Float(number) => tag.times(number as usize),
            _ => {}
        }
        if total > MAX_CONSTANT_BYTES {
            return Err(too_much());
        }
    }
    Ok(())
}

/// The constants of one tag.
struct Tag {
    text: usize,
    factor: usize,
    has_product: bool,
    has_power: bool,
}

impl Default for Tag {
    fn default() -> Self {
        Self { text: 0, factor: 1, has_product: false, has_power: false }
    }
}

impl Tag {
    /// Sums of numbers count as products, which are never smaller from two on.
    fn times(&mut self, number: usize) {
        self.factor = self.factor.saturating_mul(number.max(2));
    }

    /// At most so large is what they make together.
    fn num_bytes(&self) -> usize {
        match (self.has_product, self.has_power) {
            (true, true) if self.text > 0 => usize::MAX,
            (true, _) => self.text.saturating_mul(self.factor),
            _ => 0,
        }
    }
}

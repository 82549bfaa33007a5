//! The machine: opcodes of pickle protocols 2 to 5, as far as weights need them.

use std::collections::HashMap;
use std::io::Read;

use super::budget::{ALLOCATION, Budget, ITEM, SLOT};
use super::globals::Global;
use super::rebuild::{Called, call, persistent};
use super::source::Source;
use super::{Arena, Node, Ref};
use crate::error::Fault;

/// Reads one pickle. The arena holds its values; the reference is its result.
///
/// # Errors
/// [`Fault::Forbidden`] for a name outside the allow-list, otherwise what is wrong.
pub(crate) fn load<R: Read>(source: &mut Source<R>) -> Result<(Arena, Ref), Fault> {
    let mut machine = Machine::default();
    loop {
        if let Some(result) = machine.step(source)? {
            return Ok((machine.arena, result));
        }
    }
}

#[derive(Default)]
struct Machine {
    arena: Arena,
    stack: Vec<Ref>,
    /// Heights of the stack at each mark.
    marks: Vec<usize>,
    memo: HashMap<u64, Ref>,
    budget: Budget,
}

impl Machine {
    /// Runs one opcode; the pickle's result after the last.
    fn step<R: Read>(&mut self, source: &mut Source<R>) -> Result<Option<Ref>, Fault> {
        let opcode = source.byte()?;
        match opcode {
            0x80 => {
                let protocol = source.byte()?;
                if protocol > 5 {
                    return Err(Fault::corrupt(format!("pickle protocol {protocol}")));
                }
            }
            0x95 => drop(source.array::<8>()?), // FRAME: a hint for buffering
            b'.' => return Ok(Some(self.pop()?)),
            b'(' => self.mark()?,
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            // constants
            b'N' => self.push(Node::None)?,
            0x88 => self.push(Node::Bool(true))?,
            0x89 => self.push(Node::Bool(false))?,
            b'J' => {
                let value = i32::from_le_bytes(source.array()?);
                self.push(Node::Int(value.into()))?;
            }
            b'K' => {
                let value = source.byte()?;
                self.push(Node::Int(value.into()))?;
            }
            b'M' => {
                let value = u16::from_le_bytes(source.array()?);
                self.push(Node::Int(value.into()))?;
            }
            0x8a => {
                let count = source.byte()?;
                let value = source.long(count.into())?;
                self.push(Node::Int(value))?;
            }
            0x8b => {
                let count = source.number()?;
                let value = source.long(count)?;
                self.push(Node::Int(value))?;
            }
            b'G' => {
                let value = f64::from_be_bytes(source.array()?);
                self.push(Node::Float(value))?;
            }
            b'X' | 0x8c | 0x8d => {
                let count = self.length(opcode, source)?;
                let text = source.text(count)?;
                self.push(Node::Text(text))?;
            }
            b'T' | b'U' | b'B' | b'C' | 0x8e | 0x96 => {
                let count = self.length(opcode, source)?;
                let bytes = source.bytes(count)?;
                self.push(Node::Bytes(bytes))?;
            }
            // containers
            b')' => self.push(Node::Tuple(Vec::new()))?,
            b']' => self.push(Node::List(Vec::new()))?,
            b'}' => self.push(Node::Dict(Vec::new()))?,
            b't' => {
                let items = self.pop_mark()?;
                self.push(Node::Tuple(items))?;
            }
            b'l' => {
                let items = self.pop_mark()?;
                self.push(Node::List(items))?;
            }
            b'd' => {
                let items = pairs(self.pop_mark()?)?;
                self.push(Node::Dict(items))?;
            }
            0x85..=0x87 => {
                let items = self.pop_several(usize::from(opcode - 0x84))?;
                self.push(Node::Tuple(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.append(items)?;
            }
            b's' => {
                let items = self.pop_several(2)?;
                self.set_items(items)?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set_items(items)?;
            }
            // memo
            b'q' => {
                let slot = source.byte()?;
                self.keep(slot.into())?;
            }
            b'r' => {
                let slot = source.number()?;
                self.keep(slot)?;
            }
            0x94 => {
                let slot = self.memo.len() as u64;
                self.keep(slot)?;
            }
            b'h' => {
                let slot = source.byte()?;
                self.recall(slot.into())?;
            }
            b'j' => {
                let slot = source.number()?;
                self.recall(slot)?;
            }
            // names and what is made of them
            b'c' => {
                let (module, name) = (source.line()?, source.line()?);
                self.push(Node::Global(Global::find(&module, &name)?))?;
            }
            0x93 => {
                let names = self.pop_several(2)?;
                let (module, name) = (self.arena.text(names[0]), self.arena.text(names[1]));
                let (Some(module), Some(name)) = (module, name) else {
                    return Err(Fault::corrupt("a class is named by something else than text"));
                };
                let global = Global::find(module, name)?;
                self.push(Node::Global(global))?;
            }
            b'R' | 0x81 => self.reduce()?,
            b'b' => self.build()?,
            b'Q' => {
                let id = self.pop()?;
                let storage = persistent(&self.arena, id)?;
                self.push(Node::Storage(Box::new(storage)))?;
            }
            // In these the class is an operand of the opcode itself.
            b'i' => {
                let (module, name) = (source.line()?, source.line()?);
                return Err(Fault::Forbidden(format!("{module}.{name}")));
            }
            other => {
                return Err(Fault::Unsupported(format!(
                    "its pickle uses the opcode 0x{other:02x}, which no state dictionary needs; \
                     save it again with torch.save and pickle protocol 2"
                )));
            }
        }
        Ok(None)
    }

    /// The operand that gives a text's or bytes' length.
    fn length<R: Read>(&self, opcode: u8, source: &mut Source<R>) -> Result<u64, Fault> {
        match opcode {
            0x8c | b'U' | b'C' => source.byte().map(u64::from),
            0x8d | 0x8e | 0x96 => source.array().map(u64::from_le_bytes),
            _ => source.number(),
        }
    }

    /// Puts a new value on the stack.
    fn push(&mut self, node: Node) -> Result<(), Fault> {
        self.budget.spend(node.bytes())?;
        let at = self.arena.push(node);
        self.refer(at)
    }

    /// Puts a value on the stack that exists already.
    fn refer(&mut self, at: Ref) -> Result<(), Fault> {
        self.budget.spend(ITEM)?;
        self.stack.push(at);
        Ok(())
    }

    fn mark(&mut self) -> Result<(), Fault> {
        self.budget.spend(2 * size_of::<usize>())?;
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn keep(&mut self, slot: u64) -> Result<(), Fault> {
        self.budget.spend(SLOT)?;
        self.memo.insert(slot, self.top()?);
        Ok(())
    }

    /// Height below which the stack belongs to an enclosing mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Ref, Fault> {
        if self.stack.len() <= self.floor() {
            return Err(underflow());
        }
        self.stack.pop().ok_or_else(underflow)
    }

    fn top(&self) -> Result<Ref, Fault> {
        self.stack.last().copied().ok_or_else(underflow)
    }

    fn pop_several(&mut self, count: usize) -> Result<Vec<Ref>, Fault> {
        match self.stack.len().checked_sub(count) {
            Some(from) if from >= self.floor() => Ok(self.stack.split_off(from)),
            _ => Err(underflow()),
        }
    }

    fn pop_mark(&mut self) -> Result<Vec<Ref>, Fault> {
        let from = self.marks.pop().ok_or_else(underflow)?;
        Ok(self.stack.split_off(from))
    }

    fn recall(&mut self, slot: u64) -> Result<(), Fault> {
        let at = self.memo.get(&slot).copied();
        self.refer(at.ok_or_else(|| Fault::corrupt("its pickle recalls what it never kept"))?)
    }

    fn append(&mut self, items: Vec<Ref>) -> Result<(), Fault> {
        self.budget.spend(items.len() * ITEM + ALLOCATION)?;
        match self.arena.get_mut(self.top()?) {
            Some(Node::List(list)) => list.extend(items),
            _ => return Err(Fault::corrupt("its pickle appends to something else than a list")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: Vec<Ref>) -> Result<(), Fault> {
        self.budget.spend(items.len() * ITEM + ALLOCATION)?;
        match self.arena.get_mut(self.top()?) {
            Some(Node::Dict(dict)) => dict.extend(pairs(items)?),
            _ => return Err(Fault::corrupt("its pickle sets items of something else than a dict")),
        }
        Ok(())
    }

    fn reduce(&mut self) -> Result<(), Fault> {
        let operands = self.pop_several(2)?;
        let (Node::Global(function), Node::Tuple(arguments)) =
            (self.arena.get(operands[0]), self.arena.get(operands[1]))
        else {
            return Err(Fault::corrupt("its pickle calls something that is no class"));
        };
        match call(&self.arena, *function, arguments)? {
            Called::New(node) => self.push(node),
            Called::Same(at) => self.refer(at),
        }
    }

    /// Attributes set on an object. A state dictionary carries `_metadata` (versions
    /// of its modules) so; it says nothing about the weights and is dropped.
    fn build(&mut self) -> Result<(), Fault> {
        self.pop()?;
        match self.arena.get(self.top()?) {
            Node::Dict(_) | Node::Tensor(_) => Ok(()),
            _ => Err(Fault::corrupt("its pickle sets attributes of something else than a dict")),
        }
    }
}

fn underflow() -> Fault {
    Fault::corrupt("its pickle takes more than it put")
}

fn pairs(items: Vec<Ref>) -> Result<Vec<(Ref, Ref)>, Fault> {
    if !items.len().is_multiple_of(2) {
        return Err(Fault::corrupt("a dict in its pickle has a key without a value"));
    }
    Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

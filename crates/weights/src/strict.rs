//! Loading into a model, strictly, and choosing a part of a file.

use tch::{Kind, Tensor};

use crate::Tensors;
use crate::error::{Error, printable};

/// Names listed of each kind of difference; the rest is counted.
const MOST_LISTED: usize = 5;

/// Copies `source` into the tensors of `destination`, in place and outside of any
/// graph, if every name, shape and class of type fits; otherwise changes nothing.
/// Float types are converted into each other, as whole-number types are. The source's
/// `num_batches_tracked`, which PyTorch's batch norms keep and ours do not, are
/// ignored where the destination lacks them. `what` begins the error, such as
/// `identity encoder (arcface.pth)`.
///
/// # Errors
/// [`Error::Mismatch`] lists what is missing, unexpected or of another shape or type.
pub fn load_strict(destination: &Tensors, source: &Tensors, what: &str) -> Result<(), Error> {
    let mut missing = Vec::new();
    let mut shapes = Vec::new();
    let mut types = Vec::new();
    for (name, to) in destination {
        let Some(from) = source.get(name) else {
            missing.push(printable(name));
            continue;
        };
        if from.size() != to.size() {
            shapes.push(format!(
                "{} is {:?} in the file and {:?} in the model",
                printable(name),
                from.size(),
                to.size()
            ));
        } else if Class::of(from) != Class::of(to) {
            types.push(format!(
                "{} is {:?} in the file and {:?} in the model",
                printable(name),
                from.kind(),
                to.kind()
            ));
        }
    }
    let unexpected: Vec<String> = source
        .keys()
        .filter(|name| !destination.contains_key(*name) && !is_batch_count(name))
        .map(|name| printable(name))
        .collect();
    let kinds =
        [("missing", missing), ("unexpected", unexpected), ("shape", shapes), ("type", types)];
    let differences: Vec<String> = kinds
        .iter()
        .filter(|(_, found)| !found.is_empty())
        .map(|(kind, found)| format!("{kind} ({}): {}", found.len(), list(found)))
        .collect();
    if !differences.is_empty() {
        let differences = differences.join("; ");
        return Err(Error::Mismatch { what: what.to_string(), differences });
    }

    // A guard, not the closure: it is dropped on every way out.
    let _guard = tch::no_grad_guard();
    for (name, to) in destination {
        if let Some(from) = source.get(name) {
            to.shallow_clone()
                .f_copy_(from)
                .map_err(|e| Error::libtorch(format!("{what}: {}", printable(name)), e))?;
        }
    }
    Ok(())
}

/// The entries below `prefix.`, with the prefix removed (shallow clones). An empty
/// prefix selects everything.
pub fn select(source: &Tensors, prefix: &str) -> Tensors {
    source
        .iter()
        .filter_map(|(name, tensor)| {
            let rest = match prefix {
                "" => name.as_str(),
                _ => name.strip_prefix(prefix)?.strip_prefix('.')?,
            };
            Some((rest.to_string(), tensor.shallow_clone()))
        })
        .collect()
}

fn is_batch_count(name: &str) -> bool {
    name == "num_batches_tracked" || name.ends_with(".num_batches_tracked")
}

fn list(found: &[String]) -> String {
    let shown = found.iter().take(MOST_LISTED).cloned().collect::<Vec<_>>().join(", ");
    match found.len().saturating_sub(MOST_LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Types that may be converted into each other without loss of meaning.
#[derive(PartialEq)]
enum Class {
    Float,
    Whole,
    Bool,
    Complex,
    Quantised,
}

impl Class {
    fn of(tensor: &Tensor) -> Class {
        match tensor.kind() {
            Kind::Bool => Class::Bool,
            Kind::Uint8 | Kind::Int8 | Kind::Int16 | Kind::Int | Kind::Int64 => Class::Whole,
            Kind::ComplexHalf | Kind::ComplexFloat | Kind::ComplexDouble => Class::Complex,
            Kind::QInt8 | Kind::QUInt8 | Kind::QInt32 => Class::Quantised,
            _ => Class::Float,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tch::Device;

    fn tensors(items: &[(&str, Tensor)]) -> Tensors {
        items.iter().map(|(name, t)| (name.to_string(), t.shallow_clone())).collect()
    }

    #[test]
    fn fitting_weights_are_copied_in_place_and_converted() {
        let parameter = Tensor::zeros([2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let model = tensors(&[("w", parameter.shallow_clone())]);
        let file = tensors(&[
            ("w", Tensor::from_slice(&[1.5f64, -2.0])),
            ("bn.num_batches_tracked", Tensor::from(7i64)),
        ]);
        load_strict(&model, &file, "model").unwrap();
        assert_eq!(Vec::<f32>::try_from(&parameter.detach()).unwrap(), [1.5, -2.0]);
        assert_eq!(parameter.kind(), Kind::Float);
        assert!(parameter.requires_grad());
    }

    #[test]
    fn every_difference_is_named_and_nothing_is_changed() {
        let options = (Kind::Float, Device::Cpu);
        let model = tensors(&[
            ("a", Tensor::zeros([2], options)),
            ("b", Tensor::zeros([2, 3], options)),
            ("c", Tensor::zeros([1], options)),
            ("d", Tensor::zeros([1], options)),
        ]);
        let file = tensors(&[
            ("a", Tensor::ones([2], options)),
            ("b", Tensor::ones([3, 2], options)),
            ("c", Tensor::ones([1], (Kind::Int64, Device::Cpu))),
            ("e", Tensor::ones([1], options)),
        ]);
        let error = load_strict(&model, &file, "the model").unwrap_err().to_string();
        assert_eq!(
            error,
            "the model: the weights do not fit: missing (1): d; unexpected (1): e; shape (1): \
             b is [3, 2] in the file and [2, 3] in the model; type (1): c is Int64 in the file \
             and Float in the model"
        );
        assert_eq!(model["a"].sum(Kind::Float).double_value(&[]), 0.0);
    }

    #[test]
    fn broadcasting_is_no_fit() {
        let model = tensors(&[("a", Tensor::zeros([2, 2], (Kind::Float, Device::Cpu)))]);
        let file = tensors(&[("a", Tensor::zeros([1], (Kind::Float, Device::Cpu)))]);
        load_strict(&model, &file, "model").unwrap_err();
    }

    #[test]
    fn select_takes_whole_names_only() {
        let one = || Tensor::from(1f32);
        let all = tensors(&[("G.a.w", one()), ("Gx.w", one()), ("G", one())]);
        assert_eq!(select(&all, "G").keys().collect::<Vec<_>>(), ["a.w"]);
        assert_eq!(select(&all, "").len(), 3);
    }
}

//! Checkpointed segments against plain ones.
#![allow(clippy::unwrap_used, missing_docs)]

use std::cell::Cell;
use std::rc::Rc;

use c10d::Error;
use c10d::torch::{checkpoint, randn_seeded, recomputing, zero_grads};
use tch::{Device, Kind, Tensor};

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().contiguous().view([-1])).unwrap()
}

fn normal(seed: u64) -> Tensor {
    randn_seeded(&[3, 3], seed, Kind::Double, Device::Cpu).unwrap()
}

#[test]
fn gradients_are_those_of_a_plain_segment() {
    let leaf = |seed| normal(seed).set_requires_grad(true);
    let (x, w, frozen) = (leaf(1), leaf(2), normal(3));
    let runs = Rc::new(Cell::new(0));
    let segment = |runs: &Rc<Cell<i32>>| {
        let (w, runs) = (w.shallow_clone(), Rc::clone(runs));
        move |inputs: &[Tensor]| {
            runs.set(runs.get() + 1);
            Ok((inputs[0].matmul(&w) * &inputs[1]).tanh())
        }
    };
    let gradients = |y: Tensor| {
        c10d::backward(&(y.square().sum(None) + x.sum(None))).unwrap();
        let found = [numbers(&x.grad()), numbers(&w.grad())];
        zero_grads(&[x.shallow_clone(), w.shallow_clone()], true).unwrap();
        found
    };
    let inputs = || [&x * 2.0, frozen.shallow_clone()];

    let expected = gradients(segment(&runs)(&inputs()).unwrap());
    assert_eq!(runs.take(), 1);
    let y = checkpoint(&inputs(), &[w.shallow_clone()], segment(&runs)).unwrap();
    assert_eq!(runs.get(), 1);
    assert_eq!(gradients(y), expected);
    assert_eq!(runs.get(), 2, "once more for the backward pass");
    assert_eq!(Rc::strong_count(&runs), 1, "the closure goes with the graph");

    let plain = tch::no_grad(|| checkpoint(&inputs(), &[], segment(&runs)).unwrap());
    assert!(!plain.requires_grad());
}

#[test]
fn a_failing_segment_is_an_error() {
    let x = normal(1).set_requires_grad(true);
    let panics = checkpoint(&[x.shallow_clone()], &[], |inputs| {
        Ok(inputs[0].matmul(&Tensor::zeros([2], (Kind::Double, Device::Cpu))))
    });
    assert!(panics.unwrap_err().to_string().contains("panicked"));
    // One that fails the second time only.
    let lost = || Error::PeerLost("rank 3 is gone".into());
    let y = checkpoint(&[x.shallow_clone()], &[], move |inputs| match recomputing() {
        true => Err(lost()),
        false => Ok(&inputs[0] * 2.0),
    });
    let error = c10d::backward(&y.unwrap().sum(None)).unwrap_err();
    assert!(matches!(error, Error::PeerLost(_)), "{error}");
    assert!(!recomputing());
}

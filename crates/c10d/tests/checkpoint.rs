//! Checkpointed segments against plain ones.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

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
    let runs = Arc::new(AtomicI32::new(0));
    let segment = |runs: &Arc<AtomicI32>| {
        let (w, runs) = (w.shallow_clone(), Arc::clone(runs));
        move |inputs: &[Tensor]| {
            runs.fetch_add(1, Ordering::Relaxed);
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
    assert_eq!(runs.swap(0, Ordering::Relaxed), 1);
    let y = checkpoint(&inputs(), &[w.shallow_clone()], segment(&runs)).unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert_eq!(gradients(y), expected);
    assert_eq!(runs.load(Ordering::Relaxed), 2, "once more for the backward pass");
    assert_eq!(Arc::strong_count(&runs), 1, "the closure goes with the graph");

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

/// Clones of a tensor may go to other threads, and the graph with them: one runs the segment
/// again, another drops it last, while this one goes on using what the segment shares.
#[test]
fn another_thread_may_run_the_backward_pass_and_drop_the_segment() {
    let x = normal(1).set_requires_grad(true);
    let shared = Arc::new(());
    let expected = numbers(&(&x * 2.0));
    let mut threads = Vec::new();
    for _ in 0..8 {
        let held = Arc::clone(&shared);
        let segment = move |inputs: &[Tensor]| {
            let _used = Arc::clone(&held);
            Ok(inputs[0].square())
        };
        let leaf = x.detach().copy().set_requires_grad(true);
        let y = checkpoint(&[leaf.shallow_clone()], &[], segment).unwrap().sum(None);
        threads.push(std::thread::spawn(move || {
            c10d::backward(&y).unwrap();
            drop(y);
            numbers(&leaf.grad())
        }));
        let _used = Arc::clone(&shared);
    }
    for thread in threads {
        assert_eq!(thread.join().unwrap(), expected);
    }
    assert_eq!(Arc::strong_count(&shared), 1, "the closures go with the graphs");
}

#[test]
fn a_panic_while_a_segment_is_dropped_stays_on_this_side() {
    struct Explosive;
    impl Drop for Explosive {
        fn drop(&mut self) {
            panic!("expected by the test");
        }
    }
    let x = normal(1).set_requires_grad(true);
    let explosive = Explosive;
    let y = checkpoint(&[x.shallow_clone()], &[], move |inputs| {
        let _held = &explosive;
        Ok(&inputs[0] * 2.0)
    });
    c10d::backward(&y.unwrap().sum(None)).unwrap();
    assert_eq!(numbers(&x.grad()), [2.0; 9]);
}

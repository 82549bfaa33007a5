//! Gradients averaged over ranks equal those of one process on all the ranks' data.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use c10d::{Error, Reducer, ReducerOptions, World, backward, torch};
use tch::{Device, Kind, Tensor};

const PER_RANK: i64 = 4;

#[test]
fn rank() {
    let Some(role) = support::role() else { return };
    let world = support::world();
    match role.as_str() {
        "average" => average(&world),
        "unused" => unused(&world),
        "two" => two_reducers(&world),
        "shapes" => shapes_differ(&world),
        other => panic!("{other}"),
    }
    world.barrier().unwrap();
}

#[test]
fn gradients_equal_those_of_the_joined_batch() {
    support::run("average", 2);
    support::run("average", 3);
}

#[test]
fn parameters_without_a_gradient_are_agreed_on() {
    support::run("unused", 2);
}

#[test]
fn two_groups_take_turns_over_one_graph() {
    support::run("two", 2);
}

#[test]
fn shapes_that_differ_between_ranks_are_an_error() {
    support::run("shapes", 2);
}

#[test]
fn alone_a_reducer_leaves_gradients_as_they_are() {
    let params = layers(1);
    let reducer = Reducer::new(&World::solo(), &params, &ReducerOptions::default()).unwrap();
    let loss = params[0].sum(Kind::Double);
    reducer.prepare_for_backward(&loss).unwrap();
    backward(&loss).unwrap();
    assert_eq!(params[0].grad().double_value(&[0, 0]), 1.0);
    // What would be a panic in tch is an error here.
    assert!(matches!(backward(&params[0]), Err(Error::Libtorch(_))));
    let empty = Reducer::new(&World::solo(), &[], &ReducerOptions::default());
    assert!(matches!(empty, Err(Error::InvalidArgument(_))));
}

fn layers(seed: u64) -> Vec<Tensor> {
    [[6, 8], [8, 8], [8, 1]]
        .iter()
        .enumerate()
        .map(|(i, shape)| {
            torch::randn_seeded(shape, seed * 10 + i as u64, Kind::Double, Device::Cpu)
                .unwrap()
                .set_requires_grad(true)
        })
        .collect()
}

fn loss(params: &[Tensor], x: &Tensor) -> Tensor {
    x.matmul(&params[0]).tanh().matmul(&params[1]).tanh().matmul(&params[2]).square().mean(None)
}

fn descend(params: &[Tensor]) {
    tch::no_grad(|| {
        for param in params {
            let _ = param.shallow_clone().g_sub_(&(param.grad() * 0.1));
        }
    });
    torch::zero_grads(params, true).unwrap();
}

fn average(world: &World) {
    let rows = PER_RANK * world.size() as i64;
    for gradient_as_bucket_view in [false, true] {
        for find_unused in [false, true] {
            // Buckets of one layer each, so that several are under way at a time.
            let options = ReducerOptions {
                first_bucket_bytes: 64,
                bucket_bytes: 64,
                find_unused,
                gradient_as_bucket_view,
            };
            let (shared, alone) = (layers(1), layers(1));
            // Frozen when the reducer is made, thawed for the steps.
            for param in &shared {
                let _ = param.shallow_clone().set_requires_grad(false);
            }
            let reducer = Reducer::new(world, &shared, &options).unwrap();
            assert!(shared.iter().all(|param| !param.requires_grad()));
            for param in &shared {
                let _ = param.shallow_clone().set_requires_grad(true);
            }
            for step in 0..4 {
                let x =
                    torch::randn_seeded(&[rows, 6], 100 + step, Kind::Double, Device::Cpu).unwrap();
                let part = x.narrow(0, PER_RANK * world.rank() as i64, PER_RANK);
                let own = loss(&shared, &part);
                reducer.prepare_for_backward(&own).unwrap();
                backward(&own).unwrap();
                backward(&loss(&alone, &x)).unwrap();
                for (a, b) in shared.iter().zip(&alone) {
                    let worst = (a.grad() - b.grad()).abs().max().double_value(&[]);
                    assert!(worst < 1e-12, "step {step}: {worst}");
                }
                descend(&shared);
                descend(&alone);
            }
        }
    }
}

fn unused(world: &World) {
    let params = layers(2);
    let reducer = Reducer::new(world, &params, &ReducerOptions::default()).unwrap();
    for _ in 0..2 {
        // params[1] takes part on rank 0 only, params[2] on none.
        let mut own = params[0].sum(Kind::Double);
        if world.is_main() {
            own += params[1].sum(Kind::Double) * 3.0;
        }
        reducer.prepare_for_backward(&own).unwrap();
        backward(&own).unwrap();
        assert_eq!(params[0].grad().double_value(&[0, 0]), 1.0);
        assert_eq!(params[1].grad().double_value(&[0, 0]), 3.0 / world.size() as f64);
        assert!(!params[2].grad().defined());
        torch::zero_grads(&params, true).unwrap();
    }
    // Told that all take part, it notices at the next step that one did not.
    let params = layers(2);
    let options = ReducerOptions { find_unused: false, ..ReducerOptions::default() };
    let reducer = Reducer::new(world, &params, &options).unwrap();
    let own = params[0].sum(Kind::Double);
    reducer.prepare_for_backward(&own).unwrap();
    backward(&own).unwrap();
    let error = reducer.prepare_for_backward(&params[0].sum(Kind::Double)).unwrap_err();
    assert!(error.to_string().contains("did not receive grad"), "{error}");
    assert!(!error.to_string().contains('\n'));
}

/// As a GAN does: each group is trained through the other, which is frozen meanwhile.
fn two_reducers(world: &World) {
    let (first, second) = (layers(3), layers(4));
    let options = ReducerOptions::default();
    let reducers = [&first, &second].map(|params| Reducer::new(world, params, &options).unwrap());
    let freeze = |params: &[Tensor], trainable: bool| {
        for param in params {
            let _ = param.shallow_clone().set_requires_grad(trainable);
        }
    };
    for step in 0..3 {
        for (turn, reducer) in reducers.iter().enumerate() {
            freeze(&first, turn == 0);
            freeze(&second, turn == 1);
            let seed = step * 10 + world.rank() as u64;
            let x = torch::randn_seeded(&[4, 6], seed, Kind::Double, Device::Cpu).unwrap();
            let total = loss(&first, &x) * loss(&second, &x);
            reducer.prepare_for_backward(&total).unwrap();
            backward(&total).unwrap();
            let (trained, other) = if turn == 0 { (&first, &second) } else { (&second, &first) };
            assert!(other.iter().all(|param| !param.grad().defined()));
            let norm = torch::grad_norm(trained).unwrap().double_value(&[]);
            assert!(norm > 0.0);
            assert_eq!(world.mean_scalar(norm).unwrap(), norm, "ranks agree to the bit");
            descend(trained);
        }
    }
}

fn shapes_differ(world: &World) {
    let mut params = layers(5);
    if world.rank() == 1 {
        params[1] = Tensor::zeros([8, 9], (Kind::Double, Device::Cpu)).set_requires_grad(true);
    }
    let result = Reducer::new(world, &params, &ReducerOptions::default());
    if world.rank() == 1 {
        let text = result.unwrap_err().to_string();
        assert!(text.contains("[8, 9]") && !text.contains('\n'), "{text}");
    }
}

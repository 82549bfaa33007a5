//! Every collective on 2 and 3 ranks, against numbers worked out by hand.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use c10d::{Error, ReduceOp, World};
use tch::{Device, Kind, Tensor};

#[test]
fn rank() {
    if support::role().is_some() {
        let world = support::world();
        reductions(&world);
        asynchronous(&world);
        copies(&world);
        helpers(&world);
        world.barrier().unwrap();
    }
}

#[test]
fn collectives_on_two_ranks() {
    support::run("all", 2);
}

#[test]
fn collectives_on_three_ranks() {
    support::run("all", 3);
}

#[test]
fn a_world_of_one_with_a_master_is_a_group_too() {
    support::run("all", 1);
}

#[test]
fn alone_collectives_change_nothing() {
    let world = World::solo();
    assert_eq!((world.rank(), world.size(), world.is_main()), (0, 1, true));
    let x = Tensor::from_slice(&[1.0, 2.0]);
    world.all_reduce(&x, ReduceOp::Max).unwrap();
    world.broadcast(&x, 0).unwrap();
    world.broadcast_all(&[x.shallow_clone()], 0).unwrap();
    world.all_reduce_mean(&[x.shallow_clone()]).unwrap();
    world.all_reduce_async(&x, ReduceOp::Sum).unwrap().wait().unwrap();
    world.barrier().unwrap();
    assert_eq!(Vec::<f64>::try_from(&x).unwrap(), [1.0, 2.0]);
    assert_eq!(Vec::<f64>::try_from(&world.all_gather(&x).unwrap()[0]).unwrap(), [1.0, 2.0]);
    assert_eq!(world.mean_scalar(3.5).unwrap(), 3.5);
    assert!(matches!(world.broadcast(&x, 1), Err(Error::InvalidArgument(_))));
}

/// `[1, 2, …, 6]·(rank + 1)` as a 2×3 matrix.
fn mine(world: &World, kind: Kind) -> Tensor {
    let factor = world.rank() as i64 + 1;
    (Tensor::arange_start(1, 7, (Kind::Int64, Device::Cpu)) * factor).view([2, 3]).to_kind(kind)
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).reshape([-1])).unwrap()
}

fn times(factor: f64) -> Vec<f64> {
    (1..=6).map(|i| f64::from(i) * factor).collect()
}

fn reductions(world: &World) {
    let n = world.size() as f64;
    let sum = n * (n + 1.0) / 2.0;
    for kind in [Kind::Float, Kind::Double, Kind::Int64, Kind::Int, Kind::Half, Kind::BFloat16] {
        for (op, factor) in [(ReduceOp::Sum, sum), (ReduceOp::Min, 1.0), (ReduceOp::Max, n)] {
            let x = mine(world, kind);
            world.all_reduce(&x, op).unwrap();
            assert_eq!(numbers(&x), times(factor), "{kind:?} {op:?}");
        }
    }
    // In place on a view whose memory has gaps, and on a parameter.
    let whole = Tensor::zeros([2, 6], (Kind::Float, Device::Cpu));
    let mut view = whole.slice(1, 0, 6, 2);
    view.copy_(&mine(world, Kind::Float));
    world.all_reduce(&view, ReduceOp::Sum).unwrap();
    assert_eq!(numbers(&whole.slice(1, 0, 6, 2)), times(sum));
    assert_eq!(numbers(&whole.slice(1, 1, 6, 2)), [0.0; 6]);
    let parameter = mine(world, Kind::Float).set_requires_grad(true);
    world.all_reduce(&parameter, ReduceOp::Sum).unwrap();
    assert_eq!(numbers(&parameter), times(sum));
    // A failure that libtorch reports is an error in one line, on all ranks alike.
    if world.size() > 1 {
        let strings = Tensor::zeros([3], (Kind::ComplexFloat, Device::Cpu));
        let text = world.all_reduce(&strings, ReduceOp::Max).unwrap_err().to_string();
        assert!(text.starts_with("all-reduce failed: ") && !text.contains('\n'), "{text}");
    }
}

fn asynchronous(world: &World) {
    let n = world.size() as f64;
    let (x, y) = (mine(world, Kind::Float), mine(world, Kind::Double).transpose(0, 1));
    let first = world.all_reduce_async(&x, ReduceOp::Sum).unwrap();
    let second = world.all_reduce_async(&y, ReduceOp::Max).unwrap();
    second.wait().unwrap();
    while !first.is_completed().unwrap() {
        std::thread::yield_now();
    }
    first.wait().unwrap();
    assert_eq!(numbers(&x), times(n * (n + 1.0) / 2.0));
    assert_eq!(numbers(&y.transpose(0, 1)), times(n));
    // Dropping waits as well.
    let z = mine(world, Kind::Float);
    drop(world.all_reduce_async(&z, ReduceOp::Max).unwrap());
    assert_eq!(numbers(&z), times(n));
}

fn copies(world: &World) {
    let last = world.size() - 1;
    let x = mine(world, Kind::Float);
    world.broadcast(&x, last).unwrap();
    assert_eq!(numbers(&x), times(world.size() as f64));
    assert!(matches!(world.broadcast(&x, world.size()), Err(Error::InvalidArgument(_))));

    let gathered = world.all_gather(&mine(world, Kind::Double).transpose(0, 1)).unwrap();
    assert_eq!(gathered.len(), world.size());
    for (r, tensor) in gathered.iter().enumerate() {
        assert_eq!(tensor.size(), [3, 2]);
        assert_eq!(numbers(&tensor.transpose(0, 1)), times(r as f64 + 1.0));
    }
    world.barrier().unwrap();
}

fn helpers(world: &World) {
    let n = world.size() as f64;
    let rank = world.rank() as f64;
    assert_eq!(world.sum_scalar(rank + 1.0).unwrap(), n * (n + 1.0) / 2.0);
    assert_eq!(world.mean_scalar(rank).unwrap(), (n - 1.0) / 2.0);
    assert_eq!(world.reduce_scalar(rank, ReduceOp::Max).unwrap(), n - 1.0);

    let odd_layout = mine(world, Kind::Float).transpose(0, 1);
    let many = [
        mine(world, Kind::Float),
        mine(world, Kind::Double),
        odd_layout,
        Tensor::zeros([0], (Kind::Float, Device::Cpu)),
        // More than one piece of 25 MiB.
        Tensor::full([4_000_000], rank, (Kind::Double, Device::Cpu)),
        mine(world, Kind::Float),
    ];
    world.all_reduce_mean(&many).unwrap();
    for i in [0, 1, 5] {
        assert_eq!(numbers(&many[i]), times((n + 1.0) / 2.0));
    }
    assert_eq!(numbers(&many[2].transpose(0, 1)), times((n + 1.0) / 2.0));
    assert_eq!(many[4].double_value(&[3_999_999]), (n - 1.0) / 2.0);

    let mixed = [
        mine(world, Kind::Float).set_requires_grad(true),
        mine(world, Kind::Int64).transpose(0, 1),
    ];
    world.broadcast_all(&mixed, 0).unwrap();
    assert_eq!(numbers(&mixed[0]), times(1.0));
    assert_eq!(numbers(&mixed[1].transpose(0, 1)), times(1.0));
}

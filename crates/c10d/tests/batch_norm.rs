//! sync_batch_norm over ranks equals batch norm of the joined batch in one process.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use c10d::{Error, ReduceOp, World, backward, sync_batch_norm, torch};
use tch::{Device, Kind, Tensor};

const MOMENTUM: f64 = 0.1;
const EPS: f64 = 1e-5;

#[test]
fn rank() {
    if support::role().is_some() {
        let world = support::world();
        // Batches of different sizes, in two and in four dimensions.
        joined_batch(&world, &[3], Kind::Double, 1e-12);
        joined_batch(&world, &[3, 5, 4], Kind::Double, 1e-12);
        joined_batch(&world, &[3, 5, 4], Kind::Float, 1e-4);
        world.barrier().unwrap();
    }
}

#[test]
fn equals_batch_norm_of_the_joined_batch_on_two_ranks() {
    support::run("all", 2);
}

#[test]
fn equals_batch_norm_of_the_joined_batch_on_three_ranks() {
    support::run("all", 3);
}

#[test]
fn alone_it_is_plain_batch_norm() {
    joined_batch(&World::solo(), &[3, 5, 4], Kind::Double, 1e-12);
    let wrong = Tensor::zeros([4], (Kind::Double, Device::Cpu));
    let x = Tensor::zeros([2, 3], (Kind::Double, Device::Cpu));
    let result = sync_batch_norm(&x, &wrong, &wrong, &wrong, &wrong, MOMENTUM, EPS, &World::solo());
    assert!(matches!(result, Err(Error::InvalidArgument(_))));
}

struct Layer {
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
}

fn layer(channels: i64, kind: Kind) -> Layer {
    let vector = |seed| torch::randn_seeded(&[channels], seed, kind, Device::Cpu).unwrap();
    Layer {
        weight: vector(1).set_requires_grad(true),
        bias: vector(2).set_requires_grad(true),
        mean: vector(3),
        var: vector(4).exp(),
    }
}

fn joined_batch(world: &World, tail: &[i64], kind: Kind, tolerance: f64) {
    // Rank r has r + 2 images.
    let sizes: Vec<i64> = (0..world.size() as i64).map(|r| r + 2).collect();
    let (own, before) = (sizes[world.rank()], sizes[..world.rank()].iter().sum::<i64>());
    let shape = [&[sizes.iter().sum::<i64>()], tail].concat();
    // Far from zero, where sums of squares would lose digits.
    let x = torch::randn_seeded(&shape, 5, kind, Device::Cpu).unwrap() + 30.0;
    let pull = torch::randn_seeded(&shape, 6, kind, Device::Cpu).unwrap();

    let ours = layer(tail[0], kind);
    let part = x.narrow(0, before, own).copy().set_requires_grad(true);
    let y = sync_batch_norm(
        &part,
        &ours.weight,
        &ours.bias,
        &ours.mean,
        &ours.var,
        MOMENTUM,
        EPS,
        world,
    )
    .unwrap();
    backward(&(y.sin() * pull.narrow(0, before, own)).sum(kind)).unwrap();

    let theirs = layer(tail[0], kind);
    let whole = x.copy().set_requires_grad(true);
    let expected = whole.batch_norm(
        Some(&theirs.weight),
        Some(&theirs.bias),
        Some(&theirs.mean),
        Some(&theirs.var),
        true,
        MOMENTUM,
        EPS,
        false,
    );
    backward(&(expected.sin() * &pull).sum(kind)).unwrap();

    let close = |a: &Tensor, b: &Tensor, what: &str| {
        let worst = (a - b).abs().max().double_value(&[]);
        assert!(worst < tolerance, "{what}: {worst}");
    };
    close(&y, &expected.narrow(0, before, own), "output");
    close(&part.grad(), &whole.grad().narrow(0, before, own), "gradient of the input");
    close(&ours.mean, &theirs.mean, "running mean");
    close(&ours.var, &theirs.var, "running variance");
    for (a, b, what) in
        [(&ours.weight, &theirs.weight, "weight"), (&ours.bias, &theirs.bias, "bias")]
    {
        let sum = a.grad().copy();
        world.all_reduce(&sum, ReduceOp::Sum).unwrap();
        close(&sum, &b.grad(), what);
    }
}

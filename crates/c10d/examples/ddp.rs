//! Fits a line on several ranks, each with a part of the data.
//!
//! ```sh
//! cargo run --release --example ddp                               # one process alone
//! torchrun --no-python --nproc_per_node=2 target/release/examples/ddp
//! for r in 0 1; do                                                # the same without PyTorch
//!   RANK=$r LOCAL_RANK=$r WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=29500 \
//!     target/release/examples/ddp &
//! done; wait
//! ```
//! Every line but the first is the same for any number of ranks: the data is shared out, and
//! gradients are averaged.

use std::time::Duration;

use c10d::torch::{Adam, fused_adam_, randn_seeded, zero_grads};
use c10d::{Backend, Reducer, ReducerOptions, World, backward};
use tch::{Device, Kind, Tensor};

fn main() -> Result<(), c10d::Error> {
    let world = World::from_env(Backend::Gloo, Duration::from_secs(60))?;
    println!("rank {} of {}", world.rank(), world.size());

    // y = 3x − 1, in 720 points; each rank takes its equal share.
    let rows = 720 / world.size() as i64;
    let x = randn_seeded(&[720, 1], 1, Kind::Float, Device::Cpu)?;
    let x = x.f_narrow(0, rows * world.rank() as i64, rows)?;
    let y = &x * 3.0 - 1.0;

    let zero = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
    let params = [zero(&[1, 1]), zero(&[1])].map(|p| p.set_requires_grad(true));
    world.broadcast_all(&params, 0)?;
    let reducer = Reducer::new(&world, &params, &ReducerOptions::default())?;

    let adam = Adam { lr: 0.1, ..Adam::default() };
    let (means, squares) = ([zero(&[1, 1]), zero(&[1])], [zero(&[1, 1]), zero(&[1])]);
    let steps = [zero(&[]), zero(&[])];
    for step in 0..=150 {
        let loss = (x.f_matmul(&params[0])? + &params[1] - &y).square().mean(None);
        reducer.prepare_for_backward(&loss)?;
        backward(&loss)?;
        fused_adam_(&params, &means, &squares, &steps, &adam, None)?;
        zero_grads(&params, true)?;
        let loss = world.mean_scalar(loss.double_value(&[]))?;
        if step % 50 == 0 && world.is_main() {
            let (a, b) = (params[0].double_value(&[0, 0]), params[1].double_value(&[0]));
            println!("step {step}: loss {loss:.5}, y = {a:.3}x + {b:.3}");
        }
    }
    world.barrier()
}

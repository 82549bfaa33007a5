//! What the CPU tests show, shown on a GPU: NCCL in a world of one, and the functions of the
//! module `torch` against the same on the CPU. Where there is no GPU, nothing is tested.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use c10d::torch::{
    Adam, Autocast, Sgd, checkpoint, clip_grads, cuda_memory, empty_cuda_cache, from_bytes,
    fused_adam_, fused_sgd_, grad_norm, randn_seeded, read_later, reset_cuda_peak, restore_if,
    rng_state, set_rng_state, upload, zero_grads,
};
use c10d::{ReduceOp, Reducer, ReducerOptions, World, backward};
use tch::{Device, Kind, Tensor};

const CPU: Device = Device::Cpu;
const GPU: Device = Device::Cuda(0);

/// Whether there is a GPU to test on.
fn gpu() -> bool {
    let found = tch::Cuda::is_available();
    if !found {
        eprintln!("no GPU: nothing tested");
    }
    found
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    let on_cpu = tensor.detach().to_device(CPU).to_kind(Kind::Double);
    Vec::try_from(on_cpu.contiguous().view([-1])).unwrap()
}

fn normal(shape: &[i64], seed: u64) -> Tensor {
    randn_seeded(shape, seed, Kind::Float, CPU).unwrap()
}

/// The largest difference between two tensors, relative to the second's largest number.
fn apart(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (numbers(a), numbers(b));
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(f64::MIN_POSITIVE, |m, x| m.max(x.abs()));
    a.iter().zip(&b).fold(0.0_f64, |m, (a, b)| m.max((a - b).abs())) / largest
}

#[test]
fn rank() {
    if support::role().is_some() {
        let world = support::world();
        collectives(&world);
        reducer(&world);
        world.barrier().unwrap();
    }
}

#[test]
fn nccl_in_a_world_of_one() {
    if gpu() && cfg!(feature = "cuda") {
        let rank = support::start("nccl", 0, 1, support::free_port(), &[("C10D_TEST_NCCL", "1")]);
        let ended = support::end(rank);
        assert!(ended.success, "{}", ended.text);
    }
}

fn collectives(world: &World) {
    for kind in [Kind::Float, Kind::Double, Kind::Int64, Kind::Int, Kind::Half, Kind::BFloat16] {
        for device in [GPU, CPU] {
            let mine = Tensor::arange_start(1, 7, (kind, device)).view([2, 3]);
            let expected = numbers(&mine);
            for op in [ReduceOp::Sum, ReduceOp::Min, ReduceOp::Max] {
                world.all_reduce(&mine, op).unwrap();
            }
            world.broadcast(&mine, 0).unwrap();
            world.all_reduce(&mine.transpose(0, 1), ReduceOp::Sum).unwrap();
            world.all_reduce_async(&mine, ReduceOp::Sum).unwrap().wait().unwrap();
            assert_eq!(numbers(&world.all_gather(&mine).unwrap()[0]), expected, "{kind:?}");
        }
    }
    let mixed = [normal(&[3], 1).to_device(GPU), Tensor::ones([2, 2], (Kind::Int64, GPU))];
    let before = mixed.each_ref().map(numbers);
    world.broadcast_all(&mixed, 0).unwrap();
    world.all_reduce_mean(&mixed[..1]).unwrap();
    assert_eq!(mixed.each_ref().map(numbers), before);
    assert_eq!(world.sum_scalar(2.5).unwrap(), 2.5);
}

/// With the reducer or without, the gradients are the same.
fn reducer(world: &World) {
    let layers = || {
        [[64, 256], [256, 256], [256, 1]].map(|shape: [i64; 2]| {
            let weights = normal(&shape, shape[0] as u64) * 0.1;
            weights.to_device(GPU).set_requires_grad(true)
        })
    };
    let loss = |params: &[Tensor; 3], x: &Tensor| {
        let hidden = x.matmul(&params[0]).tanh().matmul(&params[1]).tanh();
        hidden.matmul(&params[2]).square().mean(None)
    };
    let (shared, alone) = (layers(), layers());
    for gradient_as_bucket_view in [false, true] {
        let options =
            ReducerOptions { bucket_bytes: 1 << 16, gradient_as_bucket_view, ..Default::default() };
        let reducer = Reducer::new(world, &shared, &options).unwrap();
        for step in 0..3 {
            let x = normal(&[32, 64], 10 + step).to_device(GPU);
            zero_grads(&shared, true).unwrap();
            zero_grads(&alone, true).unwrap();
            let value = loss(&shared, &x);
            reducer.prepare_for_backward(&value).unwrap();
            backward(&value).unwrap();
            backward(&loss(&alone, &x)).unwrap();
            for (a, b) in shared.iter().zip(&alone) {
                assert!(apart(&a.grad(), &b.grad()) < 1e-5);
            }
        }
    }
}

/// Three steps, the second left out, of both rules, with a clipped gradient.
fn descended(device: Device) -> Vec<Tensor> {
    let params = [normal(&[40, 30], 1), normal(&[7], 2)]
        .map(|p| p.to_device(device).set_requires_grad(true));
    let zeros = || params.each_ref().map(|p| p.detach().zeros_like());
    let (means, squares, momenta) = (zeros(), zeros(), zeros());
    let steps = [0, 1].map(|_| Tensor::zeros([], (Kind::Float, device)));
    let mut seen = Vec::new();
    for step in 0..3 {
        let skip = Tensor::from(f32::from(u8::from(step == 1))).to_device(device);
        let pull = normal(&[40, 30], 5 + step).to_device(device);
        let loss = (&params[0] * pull).sum(Kind::Float) + params[1].square().sum(Kind::Float);
        zero_grads(&params, true).unwrap();
        backward(&loss).unwrap();
        let norm = grad_norm(&params).unwrap();
        clip_grads(&params, &norm, 1.0).unwrap();
        fused_adam_(&params, &means, &squares, &steps, &Adam::default(), Some(&skip)).unwrap();
        let sgd = Sgd { lr: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.01 };
        fused_sgd_(&params, &momenta, &sgd, Some(&skip)).unwrap();
        seen.push(norm);
    }
    let saved = params.each_ref().map(|p| p.detach().ones_like());
    for (flag, which) in [(0_f32, 0), (1.0, 1)] {
        let flag = Tensor::from(flag).to_device(device);
        restore_if(&flag, &params[which..=which], &saved[which..=which]).unwrap();
    }
    seen.extend(params.into_iter().chain(means).chain(squares).chain(momenta).chain(steps));
    seen
}

#[test]
fn optimizers_compute_what_they_compute_on_the_cpu() {
    if gpu() {
        for (a, b) in descended(GPU).iter().zip(descended(CPU)) {
            assert_eq!(a.device(), GPU);
            // On GPUs the fused kernel rounds β₂ to float32, and 1 − β₂ is off by 10⁻⁵ of itself.
            assert!(apart(a, &b) < 1e-4, "{}", apart(a, &b));
        }
    }
}

#[test]
fn generators_repeat() {
    if gpu() {
        let before = rng_state(GPU).unwrap();
        assert_eq!(before.device(), CPU);
        let draw = || numbers(&randn_seeded(&[1000], 3, Kind::Float, GPU).unwrap());
        assert_eq!(draw(), draw());
        assert_eq!(numbers(&rng_state(GPU).unwrap()), numbers(&before), "it draws for itself");
        let draw = || numbers(&Tensor::randn([10], (Kind::Float, GPU)));
        let first = draw();
        assert_ne!(draw(), first);
        set_rng_state(GPU, &before).unwrap();
        assert_eq!(draw(), first);
    }
}

#[test]
fn copies_both_ways_without_waiting_hold_what_was_asked_for() {
    if gpu() {
        let rows: Vec<Vec<u8>> = (0..64).map(|row| vec![row; 1 << 16]).collect();
        let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
        for round in 0..20_i64 {
            // The host's memory is let go of while the copy may be under way.
            let there = upload(&from_bytes(&rows, &[64, 1 << 16]).unwrap(), GPU).unwrap();
            let mut there = there.to_kind(Kind::Int64).sum_dim_intlist(1, false, Kind::Int64);
            let reading = read_later(&there).unwrap();
            let _ = there.fill_(round);
            let expected: Vec<f64> = (0..64).map(|row| f64::from(row << 16)).collect();
            assert_eq!(numbers(&reading.wait().unwrap()), expected, "round {round}");
        }
    }
}

#[test]
fn autocast_reaches_the_gpu_and_recomputed_segments() {
    if gpu() {
        let x = normal(&[4, 8], 1).to_device(GPU);
        let w = normal(&[8, 8], 2).to_device(GPU).set_requires_grad(true);
        let loss = {
            let _on = Autocast::new(GPU, true);
            assert!(Autocast::is_on(GPU) && !Autocast::is_on(CPU));
            assert_eq!(x.matmul(&w).kind(), Kind::BFloat16);
            let weight = w.shallow_clone();
            let segment = move |inputs: &[Tensor]| {
                let y = inputs[0].matmul(&weight);
                assert_eq!(y.kind(), Kind::BFloat16);
                Ok(y)
            };
            checkpoint(&[x], &[w.shallow_clone()], segment).unwrap().sum(Kind::Float)
        };
        assert!(!Autocast::is_on(GPU));
        backward(&loss).unwrap();
        assert_eq!((w.grad().kind(), w.grad().device()), (Kind::Float, GPU));
    }
}

#[test]
fn memory_is_counted() {
    if gpu() {
        let bytes = 1 << 26;
        let tensor = Tensor::zeros([1 << 26], (Kind::Uint8, GPU));
        let full = cuda_memory(GPU).unwrap();
        assert!(full.allocated >= bytes && full.max_allocated >= full.allocated);
        assert!(full.reserved >= full.allocated && full.max_reserved >= full.reserved);
        drop(tensor);
        // Other tests run beside this one, with little tensors.
        reset_cuda_peak(GPU).unwrap();
        assert!(cuda_memory(GPU).unwrap().max_allocated < full.max_allocated);
        empty_cuda_cache().unwrap();
    }
}

//! The functions of the module `torch` against plain arithmetic.
#![allow(clippy::unwrap_used, missing_docs)]

use c10d::Error;
use c10d::torch::{
    Adam, Autocast, Sgd, checkpoint, clip_grads, cuda_memory, empty_cuda_cache, from_bytes,
    fused_adam_, fused_sgd_, grad_norm, map_bytes, randn_seeded, read_later, reset_cuda_peak,
    restore_if, rng_state, set_deterministic, set_rng_state, set_tf32, upload, versions, widened,
    zero_grads,
};
use tch::{Device, Kind, Tensor};

const CPU: Device = Device::Cpu;

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).contiguous().view([-1])).unwrap()
}

fn normal(shape: &[i64], seed: u64, kind: Kind) -> Tensor {
    randn_seeded(shape, seed, kind, CPU).unwrap()
}

/// Kingma & Ba (2015), algorithm 1, on one number at a time; the penalty is PyTorch's.
fn adam_by_hand(p: &mut f64, m: &mut f64, v: &mut f64, t: i32, g: f64, a: &Adam) {
    let g = g + a.weight_decay * *p;
    *m = a.beta1 * *m + (1.0 - a.beta1) * g;
    *v = a.beta2 * *v + (1.0 - a.beta2) * g * g;
    let (mean, square) = (*m / (1.0 - a.beta1.powi(t)), *v / (1.0 - a.beta2.powi(t)));
    *p -= a.lr * mean / (square.sqrt() + a.eps);
}

fn adam_follows_the_formula(kind: Kind, adam: &Adam, tolerance: f64) {
    // The second is stored transposed, the third takes no part in odd steps.
    let params = [
        normal(&[3, 5], 1, kind).set_requires_grad(true),
        normal(&[4, 7], 2, kind).transpose(0, 1).set_requires_grad(true),
        normal(&[40], 3, kind).set_requires_grad(true),
    ];
    let zeros = || params.iter().map(|p| p.detach().zeros_like()).collect::<Vec<_>>();
    let (m, v) = (zeros(), zeros());
    let steps: Vec<Tensor> = params.iter().map(|_| Tensor::zeros([], (Kind::Float, CPU))).collect();
    let mut expected: Vec<Vec<(f64, f64, f64)>> =
        params.iter().map(|p| numbers(p).into_iter().map(|x| (x, 0.0, 0.0)).collect()).collect();
    let mut counts = [0; 3];
    for step in 0..7_u64 {
        zero_grads(&params, true).unwrap();
        for (i, param) in params.iter().enumerate() {
            if i == 2 && step % 2 == 1 {
                continue;
            }
            let pull = normal(&param.size(), 10 * step + i as u64, kind);
            c10d::backward(&(param * &pull).sum(kind)).unwrap();
            counts[i] += 1;
            for ((p, m, v), g) in expected[i].iter_mut().zip(numbers(&pull)) {
                adam_by_hand(p, m, v, counts[i], g, adam);
            }
        }
        fused_adam_(&params, &m, &v, &steps, adam, None).unwrap();
    }
    for i in 0..3 {
        assert_eq!(numbers(&steps[i]), [f64::from(counts[i])]);
        for (found, (p, _, _)) in numbers(&params[i]).into_iter().zip(&expected[i]) {
            assert!((found - p).abs() < tolerance, "{kind:?}, parameter {i}: {found} for {p}");
        }
        for (found, (_, m, _)) in numbers(&m[i]).into_iter().zip(&expected[i]) {
            assert!((found - m).abs() < tolerance);
        }
    }
}

#[test]
fn adam_equals_the_published_formula() {
    let gan = Adam { lr: 0.05, beta1: 0.5, beta2: 0.99, eps: 1e-8, weight_decay: 0.1 };
    adam_follows_the_formula(Kind::Double, &gan, 1e-12);
    adam_follows_the_formula(Kind::Double, &Adam::default(), 1e-12);
    adam_follows_the_formula(Kind::Float, &gan, 2e-6);
}

/// With the flag up, neither parameters nor state nor the count of steps change; with the flag
/// down, all is as without one.
#[test]
fn adam_leaves_out_a_step_by_a_flag_it_does_not_read() {
    let run = |flags: &[Option<f32>]| {
        let param = [normal(&[3, 5], 1, Kind::Float).set_requires_grad(true)];
        let zeros = || [param[0].detach().zeros_like()];
        let (m, v, steps) = (zeros(), zeros(), [Tensor::zeros([], (Kind::Float, CPU))]);
        for (step, flag) in flags.iter().enumerate() {
            let mut pull = normal(&[3, 5], step as u64, Kind::Float);
            if *flag == Some(1.0) {
                pull *= f64::NAN;
            }
            c10d::backward(&(&param[0] * pull).sum(None)).unwrap();
            let flag = flag.map(Tensor::from);
            fused_adam_(&param, &m, &v, &steps, &Adam::default(), flag.as_ref()).unwrap();
            zero_grads(&param, true).unwrap();
        }
        [&param[0], &m[0], &v[0], &steps[0]].map(numbers)
    };
    assert_eq!(run(&[None]), run(&[Some(0.0), Some(1.0)]));
    assert_ne!(run(&[None, None]), run(&[Some(0.0), Some(1.0)]));
    assert_eq!(run(&[None, None]), run(&[Some(0.0), Some(0.0)]));
}

/// Momentum with and without looking ahead, and none; a step left out by its flag changes nothing.
#[test]
fn sgd_equals_its_formula() {
    for (momentum, nesterov) in [(0.9, false), (0.9, true), (0.0, false)] {
        let sgd = Sgd { lr: 0.05, momentum, nesterov, weight_decay: 0.1 };
        // The second is stored transposed.
        let params = [
            normal(&[3, 5], 1, Kind::Double).set_requires_grad(true),
            normal(&[4, 7], 2, Kind::Double).transpose(0, 1).set_requires_grad(true),
        ];
        let momenta: Vec<Tensor> = params.iter().map(|p| p.detach().zeros_like()).collect();
        let mut expected: Vec<Vec<(f64, f64)>> =
            params.iter().map(|p| numbers(p).into_iter().map(|x| (x, 0.0)).collect()).collect();
        for step in 0..5_u64 {
            zero_grads(&params, true).unwrap();
            let left_out = step == 2;
            for (i, param) in params.iter().enumerate() {
                let pull = normal(&param.size(), 10 * step + i as u64, Kind::Double);
                c10d::backward(&(param * &pull).sum(Kind::Double)).unwrap();
                for ((p, b), g) in expected[i].iter_mut().zip(numbers(&pull)) {
                    if !left_out {
                        let g = g + sgd.weight_decay * *p;
                        *b = momentum * *b + g;
                        let along = if nesterov { g + momentum * *b } else { *b };
                        *p -= sgd.lr * along;
                    }
                }
            }
            let flag = Tensor::from(f32::from(left_out));
            fused_sgd_(&params, &momenta, &sgd, Some(&flag)).unwrap();
        }
        for (param, expected) in params.iter().zip(&expected) {
            for (found, (p, _)) in numbers(param).into_iter().zip(expected) {
                assert!((found - p).abs() < 1e-12, "{sgd:?}: {found} for {p}");
            }
        }
    }
    let param = [normal(&[3], 1, Kind::Float)];
    let sgd = Sgd { lr: 0.1, momentum: 0.9, nesterov: false, weight_decay: 0.0 };
    assert!(fused_sgd_(&param, &[], &sgd, None).is_err());
}

#[test]
fn restoring_and_reading_follow_the_values_of_their_moment() {
    let (x, saved) = (Tensor::from_slice(&[f64::NAN, 1.0]), Tensor::from_slice(&[5.0, 6.0]));
    restore_if(&Tensor::from(0f32), &[x.shallow_clone()], &[saved.shallow_clone()]).unwrap();
    assert_eq!(numbers(&x)[1], 1.0);
    restore_if(&Tensor::from(1f32), &[x.shallow_clone()], &[saved.shallow_clone()]).unwrap();
    assert_eq!(numbers(&x), [5.0, 6.0]);
    assert!(matches!(restore_if(&Tensor::from(1f32), &[x], &[]), Err(Error::InvalidArgument(_))));
    let reading = read_later(&saved).unwrap();
    let _ = saved.shallow_clone().fill_(0.0);
    assert_eq!(numbers(&reading.wait().unwrap()), [5.0, 6.0]);
    drop(read_later(&saved).unwrap());
}

#[test]
fn adam_refuses_state_unlike_the_parameters() {
    let param = [normal(&[3, 4], 1, Kind::Float).set_requires_grad(true)];
    c10d::backward(&param[0].sum(Kind::Float)).unwrap();
    let before = numbers(&param[0]);
    let good = [Tensor::zeros([3, 4], (Kind::Float, CPU))];
    let step = [Tensor::zeros([], (Kind::Float, CPU))];
    let adam = Adam::default();
    for bad in [
        Tensor::zeros([4, 3], (Kind::Float, CPU)),
        Tensor::zeros([4, 3], (Kind::Float, CPU)).transpose(0, 1),
        Tensor::zeros([3, 4], (Kind::Double, CPU)),
    ] {
        let result = fused_adam_(&param, &[bad], &good, &step, &adam, None);
        assert!(matches!(result, Err(Error::InvalidArgument(_))), "{result:?}");
    }
    let wrong_step = [Tensor::zeros([], (Kind::Int64, CPU))];
    assert!(fused_adam_(&param, &good, &good, &wrong_step, &adam, None).is_err());
    assert!(fused_adam_(&param, &good, &[], &step, &adam, None).is_err());
    assert_eq!(numbers(&param[0]), before);
    assert_eq!(numbers(&step[0]), [0.0]);
}

#[test]
fn clipping_follows_pytorchs_formula() {
    let params = [
        Tensor::zeros([2], (Kind::Double, CPU)).set_requires_grad(true),
        Tensor::zeros([1], (Kind::Double, CPU)).set_requires_grad(true),
        Tensor::zeros([9], (Kind::Double, CPU)).set_requires_grad(true), // without a gradient
    ];
    assert_eq!(numbers(&grad_norm(&params).unwrap()), [0.0]);
    let pull = [Tensor::from_slice(&[3.0, 4.0]), Tensor::from_slice(&[12.0])];
    c10d::backward(&((&params[0] * &pull[0]).sum(None) + (&params[1] * &pull[1]).sum(None)))
        .unwrap();
    let norm = grad_norm(&params).unwrap();
    assert_eq!((norm.dim(), numbers(&norm)), (0, vec![13.0]));

    clip_grads(&params, &norm, 100.0).unwrap();
    assert_eq!(numbers(&params[0].grad()), [3.0, 4.0], "a short gradient is left alone");
    clip_grads(&params, &norm, 2.0).unwrap();
    let factor = 2.0 / (13.0 + 1e-6);
    for (found, g) in numbers(&params[0].grad()).into_iter().zip([3.0, 4.0]) {
        assert!((found - g * factor).abs() < 1e-14);
    }
    zero_grads(&params, false).unwrap();
    assert_eq!(numbers(&params[1].grad()), [0.0]);
    zero_grads(&params, true).unwrap();
    assert!(!params[1].grad().defined());
}

/// The only test that touches the default generator: tests share one process.
#[test]
fn random_numbers_and_generator_states() {
    let start = rng_state(CPU).unwrap();
    for shape in [&[5][..], &[4, 100], &[]] {
        let (a, b) = (normal(shape, 7, Kind::Float), normal(shape, 7, Kind::Float));
        assert_eq!(numbers(&a), numbers(&b));
        assert_ne!(numbers(&a), numbers(&normal(shape, 8, Kind::Float)));
        assert_ne!(numbers(&a), numbers(&normal(shape, 7 + (1 << 40), Kind::Float)));
        assert_eq!(a.size(), shape);
    }
    assert_eq!(numbers(&rng_state(CPU).unwrap()), numbers(&start), "the default was not moved");

    let first = Tensor::randn([20], (Kind::Float, CPU));
    assert_ne!(numbers(&rng_state(CPU).unwrap()), numbers(&start));
    set_rng_state(CPU, &start).unwrap();
    assert_eq!(numbers(&Tensor::randn([20], (Kind::Float, CPU))), numbers(&first));
    assert!(set_rng_state(CPU, &Tensor::zeros([3], (Kind::Uint8, CPU))).is_err());

    // Mean and variance of 10⁵ numbers within five standard errors: a false alarm in 10⁶ runs,
    // and none here, since the seed is fixed.
    let many = normal(&[100_000], 1, Kind::Double);
    assert!(many.mean(None).double_value(&[]).abs() < 5.0 / 316.0);
    assert!((many.var(true).double_value(&[]) - 1.0).abs() < 5.0 * (2.0_f64 / 1e5).sqrt());
    assert!(matches!(randn_seeded(&[2], 1, Kind::Int64, CPU), Err(Error::Unsupported(_))));
    assert!(randn_seeded(&[-2], 1, Kind::Float, CPU).is_err());
}

#[test]
fn switches_and_versions() {
    set_deterministic(true).unwrap();
    set_deterministic(false).unwrap();
    set_tf32(true).unwrap();
    set_tf32(false).unwrap();
    let versions = versions();
    assert!(versions.libtorch.starts_with("2.13.") && versions.gloo, "{versions:?}");
    assert_eq!(versions.nccl.is_some(), cfg!(feature = "cuda"));
    assert!(cuda_memory(CPU).is_err());
    empty_cuda_cache().unwrap();
    if !tch::Cuda::is_available() {
        assert!(matches!(cuda_memory(Device::Cuda(0)), Err(Error::Unsupported(_))));
        assert!(matches!(reset_cuda_peak(Device::Cuda(0)), Err(Error::Unsupported(_))));
        assert!(matches!(rng_state(Device::Cuda(0)), Err(Error::Unsupported(_))));
    }
}

#[test]
fn autocast_lowers_products_nests_and_reaches_recomputed_segments() {
    let (x, w) = (normal(&[4, 8], 1, Kind::Float), normal(&[8, 8], 2, Kind::Float));
    let product = |x: &Tensor, w: &Tensor| x.matmul(w).kind();
    {
        let _on = Autocast::new(CPU, true);
        assert_eq!(product(&x, &w), Kind::BFloat16);
        {
            let _off = Autocast::new(CPU, false);
            assert_eq!(product(&x, &w), Kind::Float);
        }
        assert!(Autocast::is_on(CPU) && !Autocast::is_on(Device::Cuda(0)));
        assert_eq!(widened(&x.matmul(&w)).kind(), Kind::Float);
    }
    assert!(!Autocast::is_on(CPU));

    // What a segment computed in the forward pass it computes again, though autocast is off.
    let kinds = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let w = w.set_requires_grad(true);
    let loss = {
        let _on = Autocast::new(CPU, true);
        let (seen, weight) = (kinds.clone(), w.shallow_clone());
        let segment = move |inputs: &[Tensor]| {
            let y = inputs[0].matmul(&weight);
            seen.lock().unwrap().push(y.kind());
            Ok(y)
        };
        checkpoint(&[x], &[w.shallow_clone()], segment).unwrap().sum(Kind::Float)
    };
    c10d::backward(&loss).unwrap();
    assert_eq!(*kinds.lock().unwrap(), [Kind::BFloat16; 2]);
    assert_eq!(w.grad().kind(), Kind::Float);
}

#[test]
fn bytes_lie_in_the_tensor_row_by_row() {
    let tensor = from_bytes(&[&[1, 2, 3], &[], &[250, 0, 255]], &[2, 3]).unwrap();
    assert_eq!((tensor.kind(), tensor.size()), (Kind::Uint8, vec![2, 3]));
    assert_eq!(numbers(&tensor), [1.0, 2.0, 3.0, 250.0, 0.0, 255.0]);
    assert_eq!(from_bytes(&[], &[0, 3]).unwrap().size(), [0, 3]);
    for rows in [&[&[1_u8, 2][..]][..], &[&[1, 2, 3], &[4, 5, 6, 7]], &[]] {
        assert!(matches!(from_bytes(rows, &[2, 3]), Err(Error::InvalidArgument(_))));
    }
}

#[test]
fn bytes_become_numbers_one_by_one() {
    let bytes = Tensor::arange(256, (Kind::Int64, CPU)).to_kind(Kind::Uint8).view([2, 128]);
    let halves = map_bytes(&bytes, |byte| f32::from(byte) / 2.0).unwrap();
    assert_eq!((halves.kind(), halves.size()), (Kind::Float, vec![2, 128]));
    assert_eq!(numbers(&halves), (0..256).map(|n| f64::from(n) / 2.0).collect::<Vec<_>>());
    let last = map_bytes(&bytes.narrow(0, 1, 1), f32::from).unwrap();
    assert_eq!(last.double_value(&[0, 0]), 128.0);
    assert_eq!(map_bytes(&bytes.narrow(0, 0, 0), f32::from).unwrap().size(), [0, 128]);
    for wrong in [bytes.transpose(0, 1), bytes.to_kind(Kind::Int8)] {
        assert!(matches!(map_bytes(&wrong, f32::from), Err(Error::InvalidArgument(_))));
    }
}

#[test]
fn upload_reaches_the_device_or_says_that_it_is_not_there() {
    let tensor = from_bytes(&[&[7, 8]], &[2]).unwrap();
    let same = upload(&tensor, CPU).unwrap();
    assert_eq!(same.data_ptr(), tensor.data_ptr(), "the CPU needs no copy");
    match upload(&tensor, Device::Cuda(0)) {
        Ok(copy) => {
            assert_eq!(copy.device(), Device::Cuda(0));
            assert_eq!(numbers(&copy.to_device(CPU)), [7.0, 8.0]);
        }
        Err(Error::Libtorch(text)) => {
            assert!(!tch::Cuda::is_available() && !text.contains('\n'), "{text}");
        }
        Err(other) => panic!("{other}"),
    }
}

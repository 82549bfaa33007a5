//! The losses of stage II by their formulas (method.md §6).
use tch::Tensor;

fn mean_cos(a: &Tensor, b: &Tensor) -> Tensor {
    cos(a, b).mean(None)
}

pub(super) fn cos(a: &Tensor, b: &Tensor) -> Tensor {
    let length = |t: &Tensor| t.square().sum_dim_intlist(&[1i64][..], false, None).sqrt();
    (a * b).sum_dim_intlist(&[1i64][..], false, None) / (length(a) * length(b)).clamp_min(1e-8)
}

fn mse(a: &Tensor, b: &Tensor) -> Tensor {
    (a - b).square().mean(None)
}

fn average(values: Vec<Tensor>) -> Tensor {
    Tensor::stack(&values, 0).mean(None)
}

/// Mean over scales of ½ (MSE(D(Xt), 1) + MSE(D(Y), 0)).
pub(crate) fn discriminator(real: &[Tensor], fake: &[Tensor]) -> Tensor {
    let scale =
        |(r, f): (&Tensor, &Tensor)| (mse(r, &r.ones_like()) + mse(f, &f.zeros_like())) * 0.5;
    average(real.iter().zip(fake).map(scale).collect())
}

/// Mean over scales of MSE(D(Y), 1).
pub(crate) fn adversarial(fake: &[Tensor]) -> Tensor {
    average(fake.iter().map(|f| mse(f, &f.ones_like())).collect())
}

/// −2 (cos(id_s, D(Xs)) + cos(id_t, D(Xt))) + |cos(id_Y, D(Y))| − 1.1 cos(D(Xt), D(Y)).
pub(crate) fn implicit_identity(ids: [&Tensor; 3], [d_s, d_t, d_y]: &[Tensor; 3]) -> Tensor {
    let own = (mean_cos(ids[0], d_s) + mean_cos(ids[1], d_t)) * -2.0;
    own + cos(ids[2], d_y).abs().mean(None) - mean_cos(d_t, d_y) * 1.1
}

/// Mean |cos(D(Xt), D(Y))|.
pub(crate) fn implicit_adversarial(d_t: &Tensor, d_y: &Tensor) -> Tensor {
    cos(d_t, d_y).abs().mean(None)
}

/// Mean over i of MSE(P_i(Y), P_i(Xt)).
pub(crate) fn perceptual(y: &[Tensor], target: &[Tensor]) -> Tensor {
    average(y.iter().zip(target).map(|(y, target)| mse(y, target)).collect())
}

/// −mean cos(E(Y), E(Xs)).
pub(crate) fn positive(e_y: &Tensor, e_s: &Tensor) -> Tensor {
    -mean_cos(e_y, e_s)
}

/// Over pairs with cos(E(Xs), E(Xt)) < 0.3: mean (cos(E(Y), z_id(Xt)) − cos(E(Xs), E(Xt)))².
pub(crate) fn negative(e_y: &Tensor, z_t: &Tensor, e_s: &Tensor, e_t: &Tensor) -> Tensor {
    let between = cos(e_s, e_t);
    let different = between.lt(0.3);
    let off = (cos(e_y, z_t) - &between).square().masked_select(&different);
    if off.numel() == 0 { off.sum(None) } else { off.mean(None) }
}

/// 1 − SSIM by its definition: means, variances and the covariance of each window of 8 × 8 pixels,
/// every fourth.
pub(crate) fn dissimilarity(y: &Tensor, x: &Tensor) -> Tensor {
    let windows = |t: &Tensor| t.unfold(2, 8, 4).unfold(3, 8, 4).flatten(4, -1);
    let mean = |t: &Tensor| t.mean_dim(&[-1i64][..], true, None);
    let (y, x) = (windows(y), windows(x));
    let (my, mx) = (mean(&y), mean(&x));
    let (dy, dx) = (&y - &my, &x - &mx);
    let colours = (&my * &mx * 2.0 + 4e-4) / (my.square() + mx.square() + 4e-4);
    let edges =
        (mean(&(&dy * &dx)) * 2.0 + 3.6e-3) / (mean(&dy.square()) + mean(&dx.square()) + 3.6e-3);
    1.0 - (colours * edges).mean(None)
}

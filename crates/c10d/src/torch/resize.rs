//! Bilinear resizing whose gradient does not depend on the order that threads come in.

use tch::Tensor;

use crate::{Result, ffi};

/// Largest side of maps that a GPU enlarges by products.
const SMALL: i64 = 64;

/// Bilinear, corners aligned. On CUDA, where libtorch's own kernel adds gradients up in any
/// order, the gradient is two matrix products: the same bits each time. So is the result for
/// maps of up to 64 pixels a side, to whose many channels libtorch's kernel takes long.
///
/// # Shapes
/// `x` [B, C, H, W] → [B, C, `size[0]`, `size[1]`].
///
/// # Panics
/// As tch's own operations: for another shape, an empty size, or when memory is full.
pub fn resize(x: &Tensor, size: [i64; 2]) -> Tensor {
    let products = x.device().is_cuda();
    resize_by(x, size, products, SMALL).unwrap_or_else(|error| panic!("{error}"))
}

fn resize_by(x: &Tensor, size: [i64; 2], products: bool, small: i64) -> Result<Tensor> {
    ffi::receive_tensor("resizing", |out| {
        // SAFETY: a live tensor.
        unsafe { ffi::c10d_resize(x.as_ptr(), size[0], size[1], products, small, out) }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::torch::{Autocast, randn_seeded};
    use tch::{Device, Kind};

    /// Larger, smaller, unequal, a single row; in bfloat16 to its rounding, autocast or not.
    #[test]
    fn products_give_what_libtorchs_kernels_give() {
        let normal = |shape: &[i64; 4], seed, kind| {
            randn_seeded(shape, seed, Kind::Double, Device::Cpu).unwrap().to_kind(kind)
        };
        let sizes = [([5, 7], [10, 14]), ([9, 8], [4, 3]), ([1, 6], [3, 1]), ([4, 4], [4, 4])];
        for (kind, tolerance) in
            [(Kind::Double, 1e-12), (Kind::Float, 1e-5), (Kind::BFloat16, 2e-2)]
        {
            for ((from, to), small) in sizes.into_iter().flat_map(|s| [(s, 0), (s, 8), (s, 9)]) {
                let x = normal(&[2, 3, from[0], from[1]], 1, kind);
                let pull = normal(&[2, 3, to[0], to[1]], 2, kind);
                let [products, kernels] = [true, false].map(|products| {
                    let x = x.copy().set_requires_grad(true);
                    let _lower = Autocast::new(Device::Cpu, products);
                    let y = resize_by(&x, to, products, small).unwrap();
                    crate::backward(&(&y * &pull).sum(kind)).unwrap();
                    [y.detach(), x.grad()]
                });
                for (found, expected) in products.iter().zip(&kernels) {
                    assert_eq!(found.kind(), kind);
                    let off = (found - expected).abs().max() / expected.abs().max();
                    let off = off.double_value(&[]);
                    assert!(off < tolerance, "{kind:?} {from:?} {to:?} {small}: {off}");
                }
            }
        }
    }

    #[test]
    fn other_shapes_are_an_error() {
        let line = Tensor::zeros([3], (Kind::Float, Device::Cpu));
        assert!(matches!(resize_by(&line, [2, 2], true, 9), Err(crate::Error::InvalidArgument(_))));
        assert!(resize_by(&line.view([1, 1, 1, 3]), [0, 2], true, 9).is_err());
    }
}

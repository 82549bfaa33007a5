//! How attributes and identity restyle the generator's maps (method.md §6).

use tch::{Tensor, nn};

use crate::layers::{Geometry, conv};

/// Adaptive attentional denormalisation: the normalised map, restyled by the
/// attributes where the mask is 0 and by the identity where it is 1.
#[derive(Debug)]
pub(crate) struct Aad {
    attribute_scale: nn::Conv2D,
    attribute_shift: nn::Conv2D,
    mask: nn::Conv2D,
    identity_scale: nn::Linear,
    identity_shift: nn::Linear,
}

const POINT: Geometry = Geometry { kernel: 1, stride: 1, padding: 0, bias: true };

impl Aad {
    pub(crate) fn new(p: nn::Path, c: i64, c_attr: i64, c_lambda: i64, identity: i64) -> Self {
        let linear = |name: &str| {
            let config = nn::LinearConfig {
                ws_init: nn::Init::Randn { mean: 0.0, stdev: 0.001 },
                bs_init: Some(nn::Init::Const(0.0)),
                bias: true,
            };
            nn::linear(&p / name, identity, c, config)
        };
        Aad {
            attribute_scale: conv(&p / "conv1", c_attr, c, POINT),
            attribute_shift: conv(&p / "conv2", c_attr, c, POINT),
            mask: conv(&p / "conv_2h", c + c_lambda, 1, POINT),
            identity_scale: linear("fc1"),
            identity_shift: linear("fc2"),
        }
    }

    pub(crate) fn parameters(&self) -> Vec<Tensor> {
        let convs = [&self.attribute_scale, &self.attribute_shift, &self.mask];
        let convs = convs.into_iter().flat_map(|conv| [Some(&conv.ws), conv.bs.as_ref()]);
        let linears = [&self.identity_scale, &self.identity_shift];
        let linears = linears.into_iter().flat_map(|fc| [Some(&fc.ws), fc.bs.as_ref()]);
        convs.chain(linears).flatten().map(Tensor::shallow_clone).collect()
    }

    pub(crate) fn forward(
        &self,
        h: &Tensor,
        attribute: &Tensor,
        lambda: &Tensor,
        id: &Tensor,
    ) -> Tensor {
        let none: Option<&Tensor> = None;
        let h = h.instance_norm(none, none, none, none, true, 0.1, 1e-5, false);
        let mask = self.mask(&h, lambda);
        let [scale, shift] = self.of_attribute(attribute);
        let by_attribute = shift.addcmul(&h, &scale);
        let per_channel = |fc: &nn::Linear| id.apply(fc).unsqueeze(-1).unsqueeze(-1);
        let by_identity =
            per_channel(&self.identity_shift).addcmul(&h, &per_channel(&self.identity_scale));
        // Not `lerp`, which would keep both for the backward pass.
        by_attribute.addcmul(&mask, &(by_identity - &by_attribute))
    }

    /// Scale and shift by the attributes: one convolution, which reads them once.
    fn of_attribute(&self, attribute: &Tensor) -> [Tensor; 2] {
        let (scale, shift) = (&self.attribute_scale, &self.attribute_shift);
        let weight = Tensor::cat(&[&scale.ws, &shift.ws], 0);
        let biases: Vec<&Tensor> = [&scale.bs, &shift.bs].into_iter().flatten().collect();
        let both =
            attribute.conv2d(&weight, Some(Tensor::cat(&biases, 0)), [1, 1], [0, 0], [1, 1], 1);
        let width = scale.ws.size()[0];
        [both.narrow(1, 0, width), both.narrow(1, width, width)]
    }

    /// The convolution of [h ‖ λ] to one channel, as matrix products of its two halves.
    fn mask(&self, h: &Tensor, lambda: &Tensor) -> Tensor {
        let mut at = 0;
        let mut product = |x: &Tensor| {
            let channels = x.size()[1];
            let weight = self.mask.ws.narrow(1, at, channels).view([1, channels]);
            at += channels;
            weight.matmul(&x.flatten(2, -1))
        };
        let mut logits = product(h) + product(lambda);
        if let Some(bias) = &self.mask.bs {
            logits += bias;
        }
        let size = h.size();
        logits.sigmoid().view([size[0], 1, size[2], size[3]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// The formula of method.md §6.
    fn plain(aad: &Aad, [h, attribute, lambda, id]: &[Tensor; 4]) -> Tensor {
        let none: Option<&Tensor> = None;
        let h = h.instance_norm(none, none, none, none, true, 0.1, 1e-5, false);
        let mask = Tensor::cat(&[&h, lambda], 1).apply(&aad.mask).sigmoid();
        let a = attribute.apply(&aad.attribute_scale) * &h + attribute.apply(&aad.attribute_shift);
        let per_channel = |fc: &nn::Linear| id.apply(fc).unsqueeze(-1).unsqueeze(-1);
        let i = per_channel(&aad.identity_scale) * &h + per_channel(&aad.identity_shift);
        (1.0 - &mask) * a + mask * i
    }

    /// Odd sizes, one channel, maps that do not vary: values, gradients of all inputs and of
    /// all parameters, in float64.
    #[test]
    fn masks_by_products_and_the_mix_by_one_map_are_the_definition() {
        tch::manual_seed(10);
        let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Double, Device::Cpu));
        for (c, c_attr, c_lambda, height, width) in [(5, 3, 2, 7, 3), (1, 1, 1, 1, 9)] {
            let mut store = nn::VarStore::new(Device::Cpu);
            let aad = Aad::new(store.root() / "aad", c, c_attr, c_lambda, 6);
            store.double();
            for (_, mut parameter) in store.variables() {
                parameter.set_data(&random(&parameter.size()));
            }
            let map = |c| random(&[2, c, height, width]);
            let varied = map(c);
            for h in [varied.ones_like() * 0.3, varied] {
                let inputs = [h, map(c_attr), map(c_lambda), random(&[2, 6])]
                    .map(|input| input.set_requires_grad(true));
                let mut wanted: Vec<Tensor> = inputs.iter().map(Tensor::shallow_clone).collect();
                wanted.extend(aad.parameters());
                let direction = map(c);
                let of = |y: Tensor| {
                    let along = (&y * &direction).sum(None);
                    let mut all = Tensor::run_backward(&[along], &wanted, false, false);
                    all.push(y.detach());
                    all
                };
                let [h, attribute, lambda, id] = &inputs;
                let found = of(aad.forward(h, attribute, lambda, id));
                for (k, (found, expected)) in found.iter().zip(of(plain(&aad, &inputs))).enumerate()
                {
                    let gap = (found - &expected).abs().max().double_value(&[]);
                    let size = expected.abs().max().double_value(&[]);
                    assert!(gap < 1e-12 * (size + 1.0), "{c} channels, {k}: {gap:e} of {size:e}");
                }
            }
        }
    }
}

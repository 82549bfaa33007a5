//! The generator by its table (method.md §6): masks are convolutions of [h ‖ λ], the mix is
//! (1 − M)·A + M·I, nothing is in place and everything is kept for the backward pass.
use irc::double;
use tch::Tensor;
use weights::Tensors;

/// `G` on the tensors named `G.…`, for 256 and 512 pixels.
pub(crate) struct PlainGenerator<'a>(pub(crate) &'a Tensors);

impl PlainGenerator<'_> {
    fn get(&self, name: &str) -> &Tensor {
        &self.0[&format!("G.{name}")]
    }

    fn conv(&self, x: &Tensor, name: &str) -> Tensor {
        let weight = self.get(&format!("{name}.weight"));
        let padding = weight.size()[2] / 2;
        let bias = self.0.get(&format!("G.{name}.bias"));
        x.conv2d(weight, bias, [1, 1], [padding; 2], [1, 1], 1)
    }

    /// Adaptive attentional denormalisation.
    fn aad(
        &self,
        name: &str,
        h: &Tensor,
        attribute: &Tensor,
        lambda: &Tensor,
        id: &Tensor,
    ) -> Tensor {
        let place = |part: &str| format!("{name}.{part}");
        let per_channel = |fc: &str| {
            let part = |what: &str| self.get(&format!("{name}.{fc}.{what}"));
            id.linear(part("weight"), Some(part("bias"))).unsqueeze(-1).unsqueeze(-1)
        };
        let none: Option<&Tensor> = None;
        let h = h.instance_norm(none, none, none, none, true, 0.1, 1e-5, false);
        let m = self.conv(&Tensor::cat(&[&h, lambda], 1), &place("conv_2h")).sigmoid();
        let a = self.conv(attribute, &place("conv1")) * &h + self.conv(attribute, &place("conv2"));
        let i = per_channel("fc1") * &h + per_channel("fc2");
        (1.0 - &m) * a + m * i
    }

    fn block(
        &self,
        name: &str,
        h: &Tensor,
        attribute: &Tensor,
        lambda: &Tensor,
        id: &Tensor,
    ) -> Tensor {
        let part = |k: i64, h: &Tensor| {
            let restyled = self.aad(&format!("{name}.AAD{k}"), h, attribute, lambda, id);
            self.conv(&restyled.leaky_relu(), &format!("{name}.conv{k}"))
        };
        let x = part(2, &part(1, h));
        let narrows = self.0.contains_key(&format!("G.{name}.conv3.weight"));
        x + if narrows { part(3, h) } else { h.shallow_clone() }
    }

    /// Identity [B, 512] and the decoder's maps → Y [B, 3, S, S].
    pub(crate) fn paint(&self, id: &Tensor, attributes: &[Tensor], lambdas: &[Tensor]) -> Tensor {
        let up = |x: &Tensor, name: &str, stride: i64| {
            let part = |what: &str| self.get(&format!("{name}.{what}"));
            let bias = Some(part("bias"));
            x.conv_transpose2d(part("weight"), bias, [stride; 2], [0, 0], [0, 0], 1, [1, 1])
        };
        let enlarges = self.get("up2.weight").size()[2];
        let mut h = up(&up(&id.unsqueeze(-1).unsqueeze(-1), "up1", 1), "up2", enlarges);
        for k in 0..=attributes.len() {
            if k > 0 {
                h = double(&h);
            }
            let (attribute, lambda) = match (attributes.get(k), lambdas.get(k)) {
                (Some(attribute), Some(lambda)) => {
                    (attribute.shallow_clone(), lambda.shallow_clone())
                }
                _ => (double(&attributes[k - 1]), double(&lambdas[k - 1])),
            };
            h = self.block(&format!("AADBlk{}", k + 1), &h, &attribute, &lambda, id);
        }
        h.tanh().clamp(-1.0, 1.0)
    }
}

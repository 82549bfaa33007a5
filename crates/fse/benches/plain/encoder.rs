//! The identity encoder by its table (method.md §2): every norm is libtorch's batch norm.
use encoder::ModelConfig;
use tch::Tensor;
use weights::Tensors;

/// Places in `body` where a group of units begins, with stride 2.
const GROUP_STARTS: [usize; 4] = [0, 3, 7, 21];
const UNITS: usize = 24;

/// IR-SE-50 on the tensors named `encoder.…`.
pub(crate) struct PlainEncoder<'a> {
    pub(crate) tensors: &'a Tensors,
    pub(crate) model: &'a ModelConfig,
}

impl PlainEncoder<'_> {
    fn get(&self, name: &str) -> &Tensor {
        &self.tensors[&format!("encoder.{name}")]
    }

    fn norm(&self, x: &Tensor, name: &str) -> Tensor {
        let part = |what: &str| Some(self.get(&format!("{name}.{what}")));
        let (weight, bias) = (part("weight"), part("bias"));
        let (mean, var) = (part("running_mean"), part("running_var"));
        x.batch_norm(weight, bias, mean, var, false, 0.1, 1e-5, false)
    }

    fn conv(&self, x: &Tensor, name: &str, stride: i64) -> Tensor {
        let weight = self.get(&format!("{name}.weight"));
        let padding = weight.size()[2] / 2;
        x.conv2d(weight, None::<Tensor>, [stride; 2], [padding; 2], [1, 1], 1)
    }

    fn unit(&self, x: &Tensor, k: usize) -> Tensor {
        let stride = if GROUP_STARTS.contains(&k) { 2 } else { 1 };
        let (res, short) = (format!("body.{k}.res_layer"), format!("body.{k}.shortcut_layer"));
        let r = self.norm(x, &format!("{res}.0"));
        let r = self.conv(&r, &format!("{res}.1"), 1).prelu(self.get(&format!("{res}.2.weight")));
        let r = self.norm(&self.conv(&r, &format!("{res}.3"), stride), &format!("{res}.4"));
        let squeezed = r.adaptive_avg_pool2d([1, 1]);
        let squeezed = self.conv(&squeezed, &format!("{res}.5.fc1"), 1).relu();
        let gate = self.conv(&squeezed, &format!("{res}.5.fc2"), 1).sigmoid();
        let shortcut = if self.tensors.contains_key(&format!("encoder.{short}.0.weight")) {
            self.norm(&self.conv(x, &format!("{short}.0"), stride), &format!("{short}.1"))
        } else {
            x.max_pool2d([1, 1], [stride, stride], [0, 0], [1, 1], false)
        };
        r * gate + shortcut
    }

    /// f_0 … f_24 of images [B, 3, S, S].
    pub(crate) fn features(&self, images: &Tensor) -> Vec<Tensor> {
        let ((from, to), side) = (self.model.crop(), self.model.encoder_input());
        let crop = images.slice(2, from, to, 1).slice(3, from, to, 1);
        let seen = crop.upsample_bilinear2d([side, side], true, None::<f64>, None::<f64>);
        let first = self.norm(&self.conv(&seen, "input_layer.0", 1), "input_layer.1");
        let mut features = vec![first.prelu(self.get("input_layer.2.weight"))];
        for k in 0..UNITS {
            features.push(self.unit(&features[k], k));
        }
        features
    }

    /// E_index(z).
    pub(crate) fn restricted(&self, z: &Tensor, index: usize) -> Tensor {
        let mut x = z.shallow_clone();
        for k in index..UNITS {
            x = self.unit(&x, k);
        }
        self.head(&x)
    }

    /// The identity from f_24.
    pub(crate) fn head(&self, x: &Tensor) -> Tensor {
        let linear = |part: &str| self.get(&format!("output_layer128.3.{part}"));
        let x = self.norm(x, "output_layer128.0").flatten(1, -1);
        let x = self.norm(&x.linear(linear("weight"), Some(linear("bias"))), "output_layer128.4");
        &x / x.norm_scalaropt_dim(2.0, &[1i64][..], true).clamp_min(1e-12)
    }
}

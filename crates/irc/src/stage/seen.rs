//! What the frozen half, encoder and separation layers, makes of a batch.

use c10d::torch::range;
use encoder::Fidelity;
use faces::PairBatch;
use fse::{Noise, halves};
use tch::Tensor;

use super::IrcStage;
use crate::Error;

/// What the frozen half gives a step, without a graph.
pub(super) struct Seen {
    pub(super) source: Tensor,
    pub(super) target: Tensor,
    /// z_id of sources and targets.
    pub(super) z: (Tensor, Tensor),
    /// E of sources and targets.
    pub(super) e: (Tensor, Tensor),
    /// Perceptual parts and λ of the targets.
    pub(super) parts: Vec<Tensor>,
    pub(super) lambdas: Vec<Tensor>,
    /// What Y's perception is compared with: P_1…P_9 of the targets.
    pub(super) perceived: Vec<Tensor>,
}

impl IrcStage {
    /// Runs the frozen half on a batch.
    pub(super) fn see(&self, batch: &PairBatch) -> Result<Seen, Error> {
        let _guard = tch::no_grad_guard();
        let device = self.extractor.device();
        let (source, target) = {
            let _range = range(c"copy");
            let (source, target) = batch.to_device(device)?;
            let kind = self.extractor.kind();
            (source.to_kind(kind), target.to_kind(kind))
        };
        let noise = Noise::pairs(batch.items.iter().map(|item| item.seed));
        let separation = self.extractor.separation();

        let encode = range(c"encode");
        let features = self.extractor.features(&Tensor::cat(&[&source, &target], 0));
        drop(encode);
        let _range = range(c"separate");
        let all_lambdas = separation.lambdas(&features);
        let z = separation.identity_parts(&features, &all_lambdas, &noise)?;
        let z = two(&self.extractor.separated(&z));
        let e = two(&self.extractor.identity(&features));

        let (f_s, f_t) = halves(&features);
        let (_, lambdas) = halves(&all_lambdas);
        let (_, noise) = noise.halves();
        let kind = separation.perceptual_noise(&f_s);
        let parts = separation.perceptual_parts(&f_t, &lambdas, &noise, &kind)?;
        let mut perceived = match self.fidelity {
            Fidelity::Corrected => separation.perceived(&f_t, &lambdas),
            Fidelity::Published => parts.iter().map(Tensor::shallow_clone).collect(),
        };
        // Index 0 stands for the images themselves.
        perceived[0] = target.shallow_clone();
        Ok(Seen { source, target, z, e, parts, lambdas, perceived })
    }
}

/// First and second half of a batch.
fn two(t: &Tensor) -> (Tensor, Tensor) {
    let pairs = t.size()[0] / 2;
    (t.narrow(0, 0, pairs), t.narrow(0, pairs, pairs))
}

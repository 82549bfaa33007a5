use c10d::torch::range;
use encoder::{Fidelity, SEPARATION_LAYERS};
use tch::Tensor;
use train::Term;

use crate::extractor::halves;
use crate::{
    Error, Estimator, Extractor, FseWeights, Noise, alignment_loss, angle_loss, hsic_loss,
};

/// The layers of the encoder's first group, with the largest maps.
const SHALLOW: std::ops::RangeInclusive<usize> = 1..=3;

/// What the separation layers make of a batch: sources, then targets.
#[derive(Debug)]
pub struct Separated {
    /// z_id [2B, 512].
    pub identity: Tensor,
    /// λ_i.
    pub lambdas: Vec<Tensor>,
    /// Z_i.
    pub identity_parts: Vec<Tensor>,
    /// P_i.
    pub perceptual: Vec<Tensor>,
}

impl Separated {
    /// From the features of a batch, sources first, then targets.
    ///
    /// # Errors
    /// When the noise does not fit the batch.
    pub fn new(extractor: &Extractor, features: &[Tensor], noise: &Noise) -> Result<Self, Error> {
        let _range = range(c"separate");
        let separation = extractor.separation();
        let lambdas = separation.lambdas(features);
        let identity_parts = separation.identity_parts(features, &lambdas, noise)?;
        let (sources, _) = halves(features);
        let kind = separation.perceptual_noise(&sources);
        let perceptual = separation.perceptual_parts(features, &lambdas, noise, &kind)?;
        let identity = extractor.separated(&identity_parts);
        Ok(Separated { identity, lambdas, identity_parts, perceptual })
    }

    /// The same values without their graph.
    pub fn detach(&self) -> Self {
        let all = |tensors: &[Tensor]| tensors.iter().map(Tensor::detach).collect();
        Separated {
            identity: self.identity.detach(),
            lambdas: all(&self.lambdas),
            identity_parts: all(&self.identity_parts),
            perceptual: all(&self.perceptual),
        }
    }
}

/// The terms of the stage I loss on a batch (method.md §4, §9), and what the
/// separation layers made of it.
#[derive(Debug)]
pub struct Objective {
    /// Each with its name and weight, 0-dim; those of weight 0 have no graph.
    pub terms: Vec<Term>,
    /// What the terms were computed from.
    pub separated: Separated,
}

impl Objective {
    /// From the features of a batch, sources first, then targets.
    ///
    /// # Arguments
    /// * `probed` - layers in which `leakage` looks for identity, of 1…9.
    ///
    /// # Errors
    /// When the noise does not fit the batch.
    pub fn new(
        extractor: &Extractor,
        features: &[Tensor],
        noise: &Noise,
        weights: &FseWeights,
        probed: &[usize],
    ) -> Result<Self, Error> {
        let separated = Separated::new(extractor, features, noise)?;
        let Separated { identity, lambdas, identity_parts: z, perceptual: p } = &separated;
        let separation = extractor.separation();
        let fidelity = separation.fidelity();

        let _range = range(c"losses");
        let whole = tch::no_grad(|| extractor.identity(features));
        let cosine = |a: &Tensor| Tensor::cosine_similarity(&whole, a, 1, 1e-8);
        let layers = 1..SEPARATION_LAYERS;
        // Z and P as independence compares them.
        let parts = |i: usize| match fidelity {
            Fidelity::Corrected => [&z[i], &p[i]].map(|part| separation.standardise(part, i)),
            Fidelity::Published => [&z[i], &p[i]].map(Tensor::shallow_clone),
        };
        let over = |layers: &mut dyn Iterator<Item = usize>, f: &dyn Fn(usize) -> Tensor| {
            let values: Vec<Tensor> = layers.map(f).collect();
            Tensor::stack(&values, 0).mean_dim(&[0i64][..], false, None)
        };
        let independence =
            |f: &dyn Fn([Tensor; 2]) -> Tensor| over(&mut layers.clone(), &|i| f(parts(i)));

        let mut terms = Terms::default();
        terms.halves(["angle_source", "angle_target"], weights.angle, &|| {
            independence(&|[z, p]| angle_loss(&z, &p, fidelity))
        });
        terms.halves(["alignment_source", "alignment_target"], weights.alignment, &|| {
            independence(&|[z, p]| alignment_loss(&z, &p))
        });
        let estimator = Estimator::from(fidelity);
        terms.halves(["hsic_source", "hsic_target"], weights.hsic, &|| {
            independence(&|[z, p]| hsic_loss(&z, &p, estimator))
        });
        terms.always("retention", weights.retention, &|| {
            let (source, target) = halves(&[cosine(identity)]);
            2.0 - source[0].mean(None) - target[0].mean(None)
        });
        let information =
            |i: usize| separation.information(&features[i], &lambdas[i], i).mean(None);
        terms.always("information", weights.information, &|| {
            over(&mut layers.clone(), &information)
        });
        if weights.shallow_information != 0.0 {
            terms.always("shallow_information", weights.shallow_information, &|| {
                over(&mut SHALLOW.clone(), &information)
            });
        }
        if weights.leakage != 0.0 && !probed.is_empty() {
            terms.always("leakage", weights.leakage, &|| {
                let encoder = extractor.encoder();
                let left = |i: usize| cosine(&encoder.from_feature(&p[i], i)).relu().square();
                over(&mut probed.iter().copied(), &left).mean(None)
            });
        }
        Ok(Objective { terms: terms.0, separated })
    }

    /// The weighted sum.
    pub fn total(&self) -> Tensor {
        sum(self.terms.iter().filter(|term| term.weight != 0.0))
    }

    /// The weighted sum of the terms that measure independence, without a graph.
    pub fn independence(&self) -> Tensor {
        let names = ["angle_", "alignment_", "hsic_"];
        let mine = |term: &&Term| names.iter().any(|name| term.name.starts_with(name));
        tch::no_grad(|| sum(self.terms.iter().filter(mine)))
    }

    /// A term by its name; none where it was not computed.
    pub fn term(&self, name: &str) -> Option<&Tensor> {
        self.terms.iter().find(|term| term.name == name).map(|term| &term.value)
    }
}

/// The weighted sum of terms; 0 of none.
fn sum<'a>(terms: impl Iterator<Item = &'a Term>) -> Tensor {
    let weighted = terms.map(|term| &term.value * term.weight);
    weighted.reduce(|sum, term| sum + term).unwrap_or_else(|| Tensor::from(0f32))
}

/// Collects terms.
#[derive(Default)]
struct Terms(Vec<Term>);

impl Terms {
    /// Adds a term; one of weight 0 is computed for the log alone, without a graph.
    fn always(&mut self, name: &'static str, weight: f64, value: &dyn Fn() -> Tensor) {
        let value = if weight == 0.0 { tch::no_grad(value) } else { value() };
        self.0.push(Term { name, weight, value });
    }

    /// Adds the two terms that the halves of values per image are, sources and targets, unless
    /// they count for nothing.
    fn halves(&mut self, names: [&'static str; 2], weight: f64, values: &dyn Fn() -> Tensor) {
        if weight == 0.0 {
            return;
        }
        let (source, target) = halves(&[values()]);
        for (name, half) in names.into_iter().zip([source, target]) {
            self.0.push(Term { name, weight, value: half[0].mean(None) });
        }
    }
}

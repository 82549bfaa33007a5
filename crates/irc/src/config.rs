use encoder::{BatchStatistics, Fidelity};
use serde::{Deserialize, Serialize};

use crate::Error;

/// What stage II can be told, beside the engine's and the model's options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IrcConfig {
    /// Share of the pairs of different people whose face gets a perturbed identity instead of
    /// the source's; published fidelity never does that.
    pub perturbed_share: f64,
    /// How an identity is perturbed.
    pub perturbation: Perturbation,
    /// ε of the angular perturbation (a noise scale, no privacy guarantee).
    pub epsilon: f64,
    /// Share of the run in which every face keeps its own identity and is only to be painted
    /// again. Without it an adversarial patch appears on the faces.
    pub warmup: f64,
    /// Share of the run, after the warm-up, over which what concerns other identities (`pos`,
    /// `push`) rises from nothing to its weight.
    pub ramp: f64,
    /// Whether recognisers see the painted face shifted, noised, blurred and recoloured, so that
    /// it deceives more than the ones it was trained with; and the image discriminator both faces
    /// ([Zhao et al. 2020](https://arxiv.org/abs/2006.10738)), so that no grain gives them away.
    pub views: bool,
    /// Learning rate of the discriminators, as a multiple of the generator's: one that is right
    /// at once has nothing to teach.
    pub discriminator_rate: f64,
    /// What the batch norms of decoder and discriminators see.
    pub batch_norm: BatchStatistics,
    /// Blocks of the generator whose maps are this many pixels wide or more compute their
    /// intermediate results again in the backward pass instead of keeping them: less memory
    /// for more time. 0: none does. Unless it is 0, the Xception's blocks do the same.
    pub recompute_from: i64,
    /// Xception weights from ImageNet for the implicit identity discriminator;
    /// empty: none.
    pub iid_weights: String,
    /// Weights of the generator's terms.
    pub loss: IrcWeights,
}

/// How stage II perturbs an identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Perturbation {
    /// A uniform direction, which does not look at the identity.
    #[default]
    Independent,
    /// The published mechanism.
    Angular,
}

impl IrcConfig {
    /// What a fidelity starts from.
    pub fn of(fidelity: Fidelity) -> Self {
        let corrected = fidelity == Fidelity::Corrected;
        let share = |share: f64| if corrected { share } else { 0.0 };
        IrcConfig {
            perturbed_share: share(0.05),
            perturbation: Perturbation::default(),
            epsilon: 1.0,
            warmup: share(0.12),
            ramp: share(0.08),
            views: corrected,
            discriminator_rate: if corrected { 0.5 } else { 1.0 },
            batch_norm: BatchStatistics::default(),
            recompute_from: 128,
            iid_weights: String::new(),
            loss: IrcWeights::of(fidelity),
        }
    }
}

impl Default for IrcConfig {
    fn default() -> Self {
        IrcConfig::of(Fidelity::default())
    }
}

/// The weight of each term of the generator's loss, by the term's name. One of weight 0 is not
/// computed; without `iid` there is no implicit identity discriminator.
///
/// *Own* pairs keep their identity: the target's person is the source's, or the run warms up.
/// The others get the identity of the source, another person, or a perturbed one. Every term is a
/// mean over the batch, pairs that it does not concern counting 0, so that ranks add up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IrcWeights {
    /// Deceive the image discriminator (a quarter of it in the warm-up).
    pub adv: f64,
    /// Deceive the implicit identity discriminator.
    pub iid: f64,
    /// Keep the target's perceptual features and pixels.
    pub per: f64,
    /// Published: come no nearer to the target's z_id than source and target are to each other.
    pub neg: f64,
    /// Come near the identity that the face was given: −cos. Recognisers beside the encoder count
    /// half of it together, and only where the identity is somebody's.
    pub pos: f64,
    /// Keep away from the target's own identity: by how much E(Y) is nearer to it than the source,
    /// another person, is; of own pairs nothing. Recognisers beside the encoder count as much as
    /// it does, together. Linear: a square lets go before it is safe.
    pub push: f64,
    /// As `push`, in the eyes of the adversary, where there is one: a recogniser that learns all the
    /// while to see through what is painted.
    pub adversary: f64,
    /// Keep every pixel: |Y − X|, of own pairs only.
    pub rec: f64,
    /// Keep edges where they are and flat places flat: 1 − SSIM(Y, X). A patch is cheap to it, so
    /// `near` has to keep patches away.
    pub ssim: f64,
    /// Stay near every pixel: |Y − X|⁴. Many small changes cost little, a patch costs much.
    pub near: f64,
    /// Keep the colours of an 8 × 8 grid: mean square.
    pub low: f64,
    /// Keep the brightness of an 8 × 8 grid: mean square.
    pub light: f64,
}

impl IrcWeights {
    /// Those of a fidelity.
    pub fn of(fidelity: Fidelity) -> Self {
        let none = IrcWeights {
            adv: 0.0,
            iid: 0.0,
            per: 0.0,
            neg: 0.0,
            pos: 0.0,
            push: 0.0,
            adversary: 0.0,
            rec: 0.0,
            ssim: 0.0,
            near: 0.0,
            low: 0.0,
            light: 0.0,
        };
        match fidelity {
            Fidelity::Corrected => IrcWeights {
                adv: 4.0,
                pos: 3.0,
                push: 9.0,
                adversary: 9.0,
                rec: 30.0,
                ssim: 8.0,
                near: 40.0,
                low: 10.0,
                light: 160.0,
                ..none
            },
            Fidelity::Published => {
                IrcWeights { adv: 3.3, iid: 1.6, per: 1.0, neg: 0.5, pos: 2.0, ..none }
            }
        }
    }

    fn all(&self) -> [f64; 12] {
        let w = self;
        [
            w.adv,
            w.iid,
            w.per,
            w.neg,
            w.pos,
            w.push,
            w.adversary,
            w.rec,
            w.ssim,
            w.near,
            w.low,
            w.light,
        ]
    }
}

impl Default for IrcWeights {
    fn default() -> Self {
        IrcWeights::of(Fidelity::default())
    }
}

impl IrcConfig {
    /// # Errors
    /// When a value makes no sense.
    pub fn validate(&self) -> Result<(), Error> {
        let shares = [
            ("perturbed_share", self.perturbed_share),
            ("warmup", self.warmup),
            ("ramp", self.ramp),
        ];
        for (key, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                let text = format!("{key} = {share}: a share lies between 0 and 1");
                return Err(Error::Config(text));
            }
        }
        if !(self.discriminator_rate.is_finite() && self.discriminator_rate > 0.0) {
            return Err(Error::Config(format!(
                "discriminator_rate = {}: must be a positive number",
                self.discriminator_rate
            )));
        }
        dpp::Angular::new(self.epsilon)?;
        let weights = self.loss.all();
        if !weights.iter().all(|w| w.is_finite()) || weights.iter().all(|w| *w == 0.0) {
            return Err(Error::Config(
                "the weights under loss must be finite numbers, and not all 0".into(),
            ));
        }
        Ok(())
    }
}

use std::fmt::Write;

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{Error, Guarantee, Mechanism, Origin, Randomness};

/// One drawn identity and what was promised about it. Give away this, never the identity.
///
/// For an album, store it (it is serialisable, and public once a photo is), and use it for every
/// photo of the person: one ε for all of them, at the price that the photos can be linked. To
/// draw from each photo's own embedding with the same seed is *not* the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    id: String,
    mechanism: String,
    guarantee: Guarantee,
    exact: bool,
    randomness: Origin,
    vector: Vec<f32>,
}

impl Release {
    /// Draws around `v`, a direction of the mechanism's dimensions.
    ///
    /// # Errors
    /// When `v` is none, or the operating system gives no random numbers.
    pub fn draw(
        mechanism: &(impl Mechanism + ?Sized),
        v: &[f32],
        randomness: &mut Randomness,
    ) -> Result<Self, Error> {
        let mut rng = randomness.generator()?;
        let mut id = String::new();
        for _ in 0..2 {
            // Writing to a string cannot fail.
            let _ = write!(id, "{:016x}", rng.next_u64());
        }
        Ok(Release {
            id,
            mechanism: mechanism.name(),
            guarantee: mechanism.guarantee(),
            exact: mechanism.exact(),
            randomness: randomness.origin(),
            vector: mechanism.perturb(v, &mut rng)?,
        })
    }

    /// 128 random bits in hexadecimal: tells one draw, used for several photos, from several.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The drawn identity, of unit length.
    pub fn vector(&self) -> &[f32] {
        &self.vector
    }

    /// The mechanism's name.
    pub fn mechanism(&self) -> &str {
        &self.mechanism
    }

    /// What the mechanism proves of a draw from secret random numbers; see
    /// [`Release::randomness`].
    pub fn guarantee(&self) -> Guarantee {
        self.guarantee
    }

    /// Where its random numbers came from.
    pub fn randomness(&self) -> Origin {
        self.randomness
    }

    /// What to print beside its ε.
    pub fn claim(&self) -> String {
        match self.randomness {
            Origin::Seed => Origin::SEED_CLAIM.to_owned(),
            Origin::System => self.guarantee.claim(self.exact),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Angular, Cap, PureEpsilon};

    #[test]
    fn a_seeded_release_promises_nothing_and_repeats() {
        let cap = Cap::new(5, PureEpsilon::new(1.0).unwrap()).unwrap();
        let v = [1.0, 2.0, 0.0, 0.0, 1.0];
        let mut seeded = Randomness::seeded(1);
        let first = Release::draw(&cap, &v, &mut seeded).unwrap();
        let second = Release::draw(&cap, &v, &mut seeded).unwrap();
        assert_eq!(first, Release::draw(&cap, &v, &mut Randomness::seeded(1)).unwrap());
        assert_ne!(first.vector(), second.vector());
        assert_eq!(first.claim(), Origin::SEED_CLAIM);
    }

    /// False alarm 2^-128.
    #[test]
    fn a_secret_release_never_repeats_and_survives_its_file() {
        let angular = Angular::new(3.0).unwrap();
        let draw = || Release::draw(&angular, &[1.0, 0.0, 0.0], &mut Randomness::system()).unwrap();
        let release = draw();
        assert_ne!(release.id(), draw().id());
        assert_eq!(release.claim(), format!("ε = 3: {}", Angular::CLAIM));
        let file = serde_json::to_string(&release).unwrap();
        assert_eq!(serde_json::from_str::<Release>(&file).unwrap(), release);
    }
}

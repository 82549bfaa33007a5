use tch::{Kind, Tensor};
use train::mix;

/// Where the noise of the separation layers comes from.
///
/// Every image has a seed of its own, so its noise does not depend on which
/// rank or batch it falls into, and a resumed run draws the same.
#[derive(Clone, Debug)]
pub enum Noise {
    /// No noise: n = 0 everywhere.
    Zero,
    /// One seed an image of the batch.
    Seeded(Vec<u64>),
}

impl Noise {
    /// Standard normal noise in the shape of `like` [B, …].
    ///
    /// `stream` tells apart the draws of one image (which layer, which use).
    ///
    /// # Errors
    /// When the number of seeds is not the batch size.
    pub fn normal(&self, stream: u64, like: &Tensor) -> Result<Tensor, crate::Error> {
        let _guard = tch::no_grad_guard();
        let Noise::Seeded(seeds) = self else { return Ok(like.zeros_like()) };
        let size = like.size();
        if size[0] != seeds.len() as i64 {
            return Err(crate::Error::Batch(format!(
                "{} noise seeds for a batch of {} images",
                seeds.len(),
                size[0]
            )));
        }
        let draws = seeds
            .iter()
            .map(|&seed| {
                let seed = mix(seed, stream);
                c10d::torch::randn_seeded(&size[1..], seed, Kind::Float, like.device())
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Tensor::stack(&draws, 0).to_kind(like.kind()))
    }
}

impl Noise {
    /// The noise of a batch of pairs: sources first, then targets.
    pub fn pairs(seeds: impl Iterator<Item = u64> + Clone) -> Noise {
        Noise::Seeded(seeds.clone().chain(seeds.map(|seed| mix(seed, TARGET))).collect())
    }

    /// That of the first and of the second half of the batch.
    pub fn halves(&self) -> (Noise, Noise) {
        match self {
            Noise::Zero => (Noise::Zero, Noise::Zero),
            Noise::Seeded(seeds) => {
                let (first, second) = seeds.split_at(seeds.len() / 2);
                (Noise::Seeded(first.to_vec()), Noise::Seeded(second.to_vec()))
            }
        }
    }
}

/// Stream that sets a pair's target apart from its source.
const TARGET: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn noise_follows_the_image_not_its_place() {
        let like = Tensor::zeros([2, 3, 4, 4], (Kind::Float, Device::Cpu));
        let a = Noise::Seeded(vec![5, 9]).normal(1, &like).unwrap();
        let b = Noise::Seeded(vec![9, 5]).normal(1, &like).unwrap();
        assert!(a.get(0).equal(&b.get(1)) && a.get(1).equal(&b.get(0)));
        let other = Noise::Seeded(vec![5, 9]).normal(2, &like).unwrap();
        assert!(!a.equal(&other));
        assert!(Noise::Seeded(vec![1]).normal(0, &like).is_err());
    }
}

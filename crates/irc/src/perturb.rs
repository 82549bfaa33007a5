//! Identities perturbed where they are: the device is not asked for them.

use rand::SeedableRng;
use rand::rngs::StdRng;
use tch::{Kind, Tensor};

use crate::Error;

/// [`dpp::Angular::perturb`] of each row: angle and direction are drawn on the host, one seed
/// a row, the rotation happens on the identities' device.
///
/// # Shapes
/// `identities` [B, D] of unit length → [B, D].
///
/// # Errors
/// When libtorch refuses.
pub(crate) fn angular(
    identities: &Tensor,
    mechanism: &dpp::Angular,
    seeds: impl Iterator<Item = u64>,
) -> Result<Tensor, Error> {
    let (rows, dims) = identities.size2().map_err(c10d::Error::from)?;
    let (mut angles, mut gaussians) = (Vec::new(), Vec::new());
    for seed in seeds {
        let mut rng = StdRng::seed_from_u64(seed);
        let (theta, gaussian) = mechanism.draw(usize::try_from(dims).unwrap_or(0), &mut rng);
        angles.push(theta);
        gaussians.extend(gaussian);
    }
    let on_device = |values: &[f64], width: i64| -> Result<Tensor, c10d::Error> {
        let tensor = Tensor::f_from_slice(values)?.f_view([rows, width])?;
        c10d::torch::upload(&tensor.f_to_kind(Kind::Float)?, identities.device())
    };
    let (theta, gaussian) = (on_device(&angles, 1)?, on_device(&gaussians, dims)?);
    let along = (identities * &gaussian).sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
    let tangent = encoder::normalize(&(gaussian - along * identities));
    Ok(identities * theta.cos() + tangent * theta.sin())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn rows_are_what_the_mechanism_draws() -> Result<(), Box<dyn std::error::Error>> {
        let random = c10d::torch::randn_seeded(&[3, 512], 1, Kind::Float, Device::Cpu)?;
        let identities = encoder::normalize(&random);
        let mechanism = dpp::Angular::new(2.0)?;
        let found = angular(&identities, &mechanism, [7, 8, 7].into_iter())?;
        for (row, seed) in [7, 8, 7].into_iter().enumerate() {
            let identity: Vec<f32> = Vec::try_from(identities.get(row as i64))?;
            let expected = mechanism.perturb(&identity, &mut StdRng::seed_from_u64(seed))?;
            let off = (found.get(row as i64) - Tensor::from_slice(&expected)).abs().max();
            assert!(off.double_value(&[]) < 1e-6, "row {row}: {off}");
        }
        Ok(())
    }
}

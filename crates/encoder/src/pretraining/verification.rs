//! How well an encoder verifies people it has never seen: are two images of one person?

use c10d::World;
use metrics::Roc;
use tch::{Device, Kind, Tensor};
use train::BoxError;

use crate::{Encoder, HeldOut};

/// Parts of the pairs for the accuracy, as in LFW's protocol.
const FOLDS: usize = 10;
/// The false accept rate of `TAR_at_FAR_1e-3`.
const FAR: f64 = 1e-3;

/// Images of people held out, every pair of which is judged.
#[derive(Debug)]
pub struct Verification(HeldOut);

impl Verification {
    /// Judges the pairs of these images.
    pub fn new(images: HeldOut) -> Verification {
        Verification(images)
    }

    /// Images, and people among them.
    pub fn size(&self) -> (usize, usize) {
        self.0.size()
    }

    /// All ranks together: the identities of the images that can be read, and whose they are.
    ///
    /// # Shapes
    /// [N, D], unit length, float32, on the CPU; N people.
    ///
    /// # Errors
    /// Too many bad images, a lost rank.
    pub fn embed(
        &self,
        encoder: &Encoder,
        world: &World,
        device: Device,
    ) -> Result<(Tensor, Vec<usize>), BoxError> {
        let (identities, images) =
            self.0.rows(world, device, encoder.embedding(), |faces, _| {
                Ok(encoder.embed(faces).to_kind(Kind::Float))
            })?;
        Ok((identities, images.iter().map(|&image| self.0.person(image)).collect()))
    }

    /// `accuracy` (of a threshold chosen on other pairs), `AUC`, `EER`, `TAR_at_FAR_1e-3`, and
    /// the mean cosines of `genuine` and `impostor` pairs.
    ///
    /// # Errors
    /// As [`Verification::embed`]; so many bad images that no pair is left.
    pub fn measure(
        &self,
        encoder: &Encoder,
        world: &World,
        device: Device,
    ) -> Result<Vec<(&'static str, f64)>, BoxError> {
        let (identities, people) = self.embed(encoder, world, device)?;
        let (genuine, impostor) = pair_scores(&identities, &people)?;
        let roc = Roc::new(&genuine, &impostor)?;
        let mean = |x: &[f32]| x.iter().map(|&x| f64::from(x)).sum::<f64>() / x.len() as f64;
        let mut found = vec![
            ("AUC", roc.auc()),
            ("EER", roc.eer()),
            ("TAR_at_FAR_1e-3", roc.tar_at_far(FAR)),
            ("genuine", mean(&genuine)),
            ("impostor", mean(&impostor)),
        ];
        // Too few pairs for folds: no accuracy.
        if let Ok(accuracy) = metrics::accuracy(&genuine, &impostor, FOLDS) {
            found.push(("accuracy", accuracy));
        }
        Ok(found)
    }
}

/// Cosines of all pairs of images: of one person, and of two people; each list in the order of
/// the images.
///
/// # Shapes
/// `identities` [N, D], unit length, on the CPU; N people.
///
/// # Errors
/// Those of libtorch.
pub fn pair_scores(
    identities: &Tensor,
    people: &[usize],
) -> Result<(Vec<f32>, Vec<f32>), tch::TchError> {
    let cosines = identities.f_matmul(&identities.f_transpose(0, 1)?)?;
    let cosines: Vec<f32> = Vec::try_from(cosines.f_contiguous()?.f_reshape([-1])?)?;
    let (mut genuine, mut impostor) = (Vec::new(), Vec::new());
    for (a, row) in cosines.chunks_exact(people.len().max(1)).enumerate() {
        for (b, &cosine) in row.iter().enumerate().skip(a + 1) {
            if people[a] == people[b] { genuine.push(cosine) } else { impostor.push(cosine) }
        }
    }
    Ok((genuine, impostor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_scored_once() {
        let identities = Tensor::from_slice(&[1.0f32, 0.0, 0.6, 0.8, 0.0, 1.0]).view([3, 2]);
        let (genuine, impostor) = pair_scores(&identities, &[4, 4, 9]).unwrap();
        assert_eq!(genuine, [0.6]);
        assert_eq!(impostor, [0.0, 0.8]);
    }
}

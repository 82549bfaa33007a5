//! How well an encoder verifies people it has never seen: are two images of one person?

use std::sync::Arc;

use c10d::World;
use faces::Faces;
use metrics::Roc;
use tch::{Device, Kind, Tensor};
use train::BoxError;

use crate::Encoder;

/// Images that pass through the encoder together.
const BATCH: usize = 64;
/// Parts of the pairs for the accuracy, as in LFW's protocol.
const FOLDS: usize = 10;
/// The false accept rate of `TAR_at_FAR_1e-3`.
const FAR: f64 = 1e-3;

/// Images of people held out, every pair of which is judged.
pub struct Verification {
    faces: Arc<Faces>,
    /// Image and person, sorted by person.
    images: Vec<(usize, usize)>,
    bgr: bool,
}

impl Verification {
    /// The images of `people` (places in [`faces::Index::people`]), at most `limit` of them:
    /// equally many of each person, as far as there are.
    ///
    /// # Errors
    /// Text that says what is missing when no two images of one person, or no two people, are
    /// among them.
    pub fn new(
        faces: Arc<Faces>,
        people: &[usize],
        limit: usize,
        bgr: bool,
    ) -> Result<Verification, String> {
        let all = faces.index().people();
        // Two of each at least: where these are too many, there are fewer people.
        let people = &people[..people.len().min(limit / 2)];
        let mut images: Vec<(usize, usize)> = Vec::new();
        let most = people.iter().map(|&person| all[person].images.len()).max().unwrap_or(0);
        'rounds: for round in 0..most {
            for &person in people {
                if images.len() >= limit {
                    break 'rounds;
                }
                images.extend(all[person].images.clone().nth(round).map(|image| (image, person)));
            }
        }
        images.sort_unstable_by_key(|&(image, person)| (person, image));
        let several = images.windows(2).any(|pair| pair[0].1 == pair[1].1);
        if people.len() < 2 || !several {
            return Err(format!(
                "validation needs two people or more, and two images of one of them; {} has {} \
                 people with {} images to validate on",
                faces.index().root().display(),
                people.len(),
                images.len()
            ));
        }
        Ok(Verification { faces, images, bgr })
    }

    /// Images, and people among them.
    pub fn size(&self) -> (usize, usize) {
        let mut people: Vec<usize> = self.images.iter().map(|&(_, person)| person).collect();
        people.dedup();
        (self.images.len(), people.len())
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
        let _guard = tch::no_grad_guard();
        let mine: Vec<usize> = (world.rank()..self.images.len()).step_by(world.size()).collect();
        // A row per image, of the same number on every rank; its last number tells whether it
        // was read.
        let rows = self.images.len().div_ceil(world.size()) as i64;
        let width = encoder.embedding();
        let table = Tensor::zeros([rows, width + 1], (Kind::Float, device));
        for (number, chunk) in mine.chunks(BATCH).enumerate() {
            let (mut places, mut pixels) = (Vec::new(), Vec::new());
            for (k, &image) in chunk.iter().enumerate() {
                match self.faces.read(self.images[image].0) {
                    Ok(planes) => {
                        places.push((number * BATCH + k) as i64);
                        pixels.push(planes);
                    }
                    Err(faces::Error::Image { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if places.is_empty() {
                continue;
            }
            let images = faces::to_tensor(&pixels, self.bgr)?.to_device(device);
            let found = encoder.embed(&images).to_kind(Kind::Float);
            let found = Tensor::cat(&[&found, &found.ones_like().narrow(1, 0, 1)], 1);
            let places = Tensor::from_slice(&places).to_device(device);
            let _ = table.shallow_clone().index_copy_(0, &places, &found);
        }
        let tables = world.all_gather(&table)?;
        // Image k is row k / ranks of rank k mod ranks.
        let all = Tensor::stack(&tables, 1).view([-1, width + 1]).to_device(Device::Cpu);
        let all = all.narrow(0, 0, self.images.len() as i64);
        let read: Vec<f32> = Vec::try_from(all.select(1, width).contiguous())?;
        let kept: Vec<i64> = (0..read.len()).filter(|&k| read[k] > 0.5).map(|k| k as i64).collect();
        let people = kept.iter().map(|&k| self.images[k as usize].1).collect();
        Ok((all.narrow(1, 0, width).index_select(0, &Tensor::from_slice(&kept)), people))
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

impl std::fmt::Debug for Verification {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verification").field("size", &self.size()).finish_non_exhaustive()
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

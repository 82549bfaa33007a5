//! How stage II does on people held out: are they still known, and what is left of the picture?

use std::collections::BTreeMap;

use c10d::World;
use encoder::{Encoder, FrozenEncoder, HeldOut};
use metrics::{Picture, Roc, psnr, ssim};
use tch::{Kind, Tensor};
use train::{BoxError, mix};

use crate::condition::independent;
use crate::losses::cosines;
use crate::protector::Sight;

/// Streams of an image's random numbers: its noise, and the identity it is given.
const SEEN: u64 = 0;
const GIVEN: u64 = 1;

/// What is measured of an image as it was painted; a column each.
const MEASURED: [&str; 8] = [
    "own_cos",
    "own_psnr",
    "own_ssim",
    "swapped_cos",
    "swapped_ssim",
    "drawn_cos",
    "drawn_psnr",
    "drawn_ssim",
];

/// Images of people held out, painted with their own, other people's and drawn identities, and
/// who tries to recognise them.
#[derive(Debug)]
pub struct Validation {
    images: HeldOut,
    /// Recognisers that training has not seen; none: the encoder.
    attackers: Vec<FrozenEncoder>,
}

impl Validation {
    /// On these images, by these recognisers; by the encoder itself if there are none.
    pub fn new(images: HeldOut, attackers: Vec<FrozenEncoder>) -> Validation {
        Validation { images, attackers }
    }

    /// Images, and people among them.
    pub fn size(&self) -> (usize, usize) {
        self.images.size()
    }

    /// Means over the images:
    ///
    /// - `own_cos`, `own_psnr`, `own_ssim`: with their own identity, against the images.
    /// - `swapped_cos`, `drawn_cos`: the given identity in faces that were given another person's,
    ///   and a drawn one (`swapped_ssim`, `drawn_psnr`, `drawn_ssim`: against the images).
    /// - `AUC_swapped`, `AUC_drawn`: how well such a face is still told to be its image's, and not
    ///   another person's, by the attacker who does best. 0.5 is chance. The people whose identity
    ///   a face was given are not asked about (so of two people there is no `AUC_swapped`).
    ///
    /// The same numbers for the same weights: all randomness is the images'.
    pub(crate) fn measure(
        &self,
        sight: &Sight<'_>,
        world: &World,
    ) -> Result<Vec<(&'static str, f64)>, BoxError> {
        let encoder = sight.extractor.encoder();
        let mut attackers: Vec<&Encoder> = self.attackers.iter().map(|a| &**a).collect();
        if attackers.is_empty() {
            attackers.push(encoder);
        }
        let widths: Vec<i64> = attackers.iter().map(|attacker| attacker.embedding()).collect();
        // Measures, whose identity a swapped face has, embeddings of X and of both faces.
        let fixed = MEASURED.len() as i64 + 1;
        let width = fixed + 3 * widths.iter().sum::<i64>();
        let (rows, places) =
            self.images.rows(world, sight.extractor.device(), width, |x, at| {
                let seeds = |stream| at.iter().map(move |&place| mix(place as u64, stream));
                let view = sight.see(x, seeds(SEEN).collect())?;
                let own = sight.paint(&view, &view.identity)?;
                // Halfway across the images at hand is somebody else, if they are of many people.
                let shift = at.len() as i64 / 2;
                let given = view.identity.roll([shift], [0]);
                let wanted = view.embedding.roll([shift], [0]);
                let swapped = sight.paint(&view, &given)?;
                let random =
                    independent(&view.identity, seeds(GIVEN))?.to_kind(view.identity.kind());
                let drawn = sight.paint(&view, &random)?;

                let cos = |face: &Tensor, wanted: &Tensor| cosines(&encoder.embed(face), wanted);
                let (own_psnr, own_ssim) = likeness(&own, x)?;
                let (_, swapped_ssim) = likeness(&swapped, x)?;
                let (drawn_psnr, drawn_ssim) = likeness(&drawn, x)?;
                let on = |values: &Tensor| values.to_kind(Kind::Float).to_device(x.device());
                let donors: Vec<f32> = (0..at.len())
                    .map(|k| at[(k + at.len() - shift as usize) % at.len()] as f32)
                    .collect();
                let columns = [
                    cos(&own, &view.embedding),
                    own_psnr,
                    own_ssim,
                    cos(&swapped, &wanted),
                    swapped_ssim,
                    cos(&drawn, &random),
                    drawn_psnr,
                    drawn_ssim,
                    Tensor::from_slice(&donors),
                ];
                let mut all = vec![Tensor::stack(&columns.map(|column| on(&column)), 1)];
                for attacker in &attackers {
                    all.extend([x, &swapped, &drawn].map(|faces| on(&attacker.embed(faces))));
                }
                Ok(Tensor::cat(&all, 1))
            })?;

        let mut found = BTreeMap::new();
        for (column, name) in MEASURED.iter().enumerate() {
            found.insert(*name, rows.select(1, column as i64).mean(Kind::Double).double_value(&[]));
        }
        let donors: Vec<f32> = Vec::try_from(rows.select(1, fixed - 1).contiguous())?;
        let person = |place: usize| self.images.person(place);
        let people: Vec<usize> = places.iter().map(|&place| person(place)).collect();
        let donors: Vec<usize> = donors.iter().map(|&place| person(place as usize)).collect();
        let mut at = fixed;
        for width in widths {
            let part = |k: i64| rows.narrow(1, at + k * width, width);
            for (k, name, swapped) in [(1, "AUC_swapped", true), (2, "AUC_drawn", false)] {
                let scores = part(k).matmul(&part(0).tr()).contiguous();
                let scores: Vec<f32> = Vec::try_from(scores.reshape([-1]))?;
                if let Some(auc) = auc(&scores, &people, swapped.then_some(&donors))? {
                    let worst = found.entry(name).or_insert(auc);
                    *worst = worst.max(auc);
                }
            }
            at += 3 * width;
        }
        Ok(found.into_iter().collect())
    }
}

/// PSNR in dB and SSIM of pictures [B, 3, S, S] in [−1, 1] → `[B]` each, on the CPU.
fn likeness(faces: &Tensor, images: &Tensor) -> Result<(Tensor, Tensor), BoxError> {
    let pictures = |t: &Tensor| -> Result<Vec<Picture>, BoxError> {
        let (_, channels, height, width) = t.size4()?;
        let shape = [channels, height, width].map(|side| side as usize);
        let numbers = ((t + 1.0) * 0.5).to_kind(Kind::Float).to_device(tch::Device::Cpu);
        let numbers: Vec<f32> = Vec::try_from(numbers.contiguous().reshape([-1]))?;
        let planes = numbers.chunks_exact(shape.iter().product());
        Ok(planes.map(|data| Picture::planes(data, shape)).collect::<Result<_, _>>()?)
    };
    let (mut noise, mut alike) = (Vec::new(), Vec::new());
    for (face, image) in pictures(faces)?.iter().zip(&pictures(images)?) {
        // Equal pictures: as good as a rounding to bytes gets.
        noise.push(psnr(face, image)?.unwrap_or(60.0).min(60.0) as f32);
        alike.push(ssim(face, image)? as f32);
    }
    Ok((Tensor::from_slice(&noise), Tensor::from_slice(&alike)))
}

/// AUC of a face against its own image (genuine) and images of other people (impostors), those of
/// the identity's donor left out; none where nobody else is left, as of two people.
fn auc(
    scores: &[f32],
    people: &[usize],
    donors: Option<&Vec<usize>>,
) -> Result<Option<f64>, BoxError> {
    let (mut genuine, mut impostor) = (Vec::new(), Vec::new());
    for (k, row) in scores.chunks_exact(people.len()).enumerate() {
        for (j, &score) in row.iter().enumerate() {
            if k == j {
                genuine.push(score);
            } else if people[j] != people[k] && donors.is_none_or(|d| d[k] != people[j]) {
                impostor.push(score);
            }
        }
    }
    if impostor.is_empty() {
        return Ok(None);
    }
    Ok(Some(Roc::new(&genuine, &impostor)?.auc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_is_told_from_others_but_not_from_its_donor() {
        // Three people; face 0 looks like its image, face 1 like person 2, its donor.
        let scores = [0.9, 0.1, 0.2, 0.3, 0.4, 0.8, 0.2, 0.1, 0.5];
        let people = [5, 6, 7];
        assert_eq!(auc(&scores, &people, Some(&vec![6, 7, 5])).unwrap(), Some(1.0));
        let plain = auc(&scores, &people, None).unwrap().unwrap();
        assert!((plain - 16.0 / 18.0).abs() < 1e-9, "{plain}");
        // Of two people the donor is the only other one.
        assert_eq!(auc(&[0.9, 0.1, 0.2, 0.3], &[5, 6], Some(&vec![6, 5])).unwrap(), None);
    }

    #[test]
    fn likeness_is_that_of_pictures_from_black_to_white() {
        let x = Tensor::zeros([2, 3, 16, 16], (Kind::Float, tch::Device::Cpu));
        let y = Tensor::stack(&[x.get(0), x.get(1) + 0.2], 0);
        let (noise, alike) = likeness(&y, &x).unwrap();
        assert_eq!((noise.double_value(&[0]), alike.double_value(&[0])), (60.0, 1.0));
        // 0.2 of 2 is 0.1 of 1: 20 dB.
        assert!((noise.double_value(&[1]) - 20.0).abs() < 1e-4);
    }
}

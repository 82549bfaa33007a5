//! Images of people who are not learnt from, and what all ranks together find in them.

use std::sync::Arc;

use c10d::World;
use faces::Faces;
use tch::{Device, Kind, Tensor};
use train::BoxError;

/// Images that are looked at together.
const BATCH: usize = 64;

/// Images of people held out.
pub struct HeldOut {
    faces: Arc<Faces>,
    /// Image and person, sorted by person.
    images: Vec<(usize, usize)>,
    bgr: bool,
}

impl HeldOut {
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
    ) -> Result<HeldOut, String> {
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
        Ok(HeldOut { faces, images, bgr })
    }

    /// Images, and people among them.
    pub fn size(&self) -> (usize, usize) {
        let mut people: Vec<usize> = self.images.iter().map(|&(_, person)| person).collect();
        people.dedup();
        (self.images.len(), people.len())
    }

    /// Whose image it is, by its place.
    pub fn person(&self, image: usize) -> usize {
        self.images[image].1
    }

    /// All ranks together: a row of `width` numbers for each image that can be read, and these
    /// images' places. `look` makes the rows of a few images; it is given them and their places.
    ///
    /// # Shapes
    /// Images [B, 3, S, S] in [−1, 1] on `device`, their B places → [B, width]; in all
    /// [N, width], float32, on the CPU, and N places.
    ///
    /// # Errors
    /// Those of `look`; too many bad images, a lost rank.
    pub fn rows(
        &self,
        world: &World,
        device: Device,
        width: i64,
        look: impl Fn(&Tensor, &[usize]) -> Result<Tensor, BoxError>,
    ) -> Result<(Tensor, Vec<usize>), BoxError> {
        let _guard = tch::no_grad_guard();
        let mine: Vec<usize> = (world.rank()..self.images.len()).step_by(world.size()).collect();
        // A row per image, of the same number on every rank; its last number tells whether it
        // was read.
        let rows = self.images.len().div_ceil(world.size()) as i64;
        let table = Tensor::zeros([rows, width + 1], (Kind::Float, device));
        for (number, chunk) in mine.chunks(BATCH).enumerate() {
            let (mut rows, mut places, mut pixels) = (Vec::new(), Vec::new(), Vec::new());
            for (k, &image) in chunk.iter().enumerate() {
                match self.faces.read(self.images[image].0) {
                    Ok(planes) => {
                        rows.push((number * BATCH + k) as i64);
                        places.push(image);
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
            let found = look(&images, &places)?.to_kind(Kind::Float);
            let found = Tensor::cat(&[&found, &found.ones_like().narrow(1, 0, 1)], 1);
            let rows = Tensor::from_slice(&rows).to_device(device);
            let _ = table.shallow_clone().index_copy_(0, &rows, &found);
        }
        let tables = world.all_gather(&table)?;
        // Image k is row k / ranks of rank k mod ranks.
        let all = Tensor::stack(&tables, 1).view([-1, width + 1]).to_device(Device::Cpu);
        let all = all.narrow(0, 0, self.images.len() as i64);
        let read: Vec<f32> = Vec::try_from(all.select(1, width).contiguous())?;
        let kept: Vec<usize> = (0..read.len()).filter(|&k| read[k] > 0.5).collect();
        let places: Vec<i64> = kept.iter().map(|&k| k as i64).collect();
        Ok((all.narrow(1, 0, width).index_select(0, &Tensor::from_slice(&places)), kept))
    }
}

impl std::fmt::Debug for HeldOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeldOut").field("size", &self.size()).finish_non_exhaustive()
    }
}

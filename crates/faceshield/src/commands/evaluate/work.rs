//! The one pass over all photos: each is read once, protected in every way, and looked at by
//! everybody.

use std::collections::BTreeSet;

use faces::RgbImage;
use rayon::prelude::*;

use super::attacker::Attacker;
use super::attributes;
use super::control::CONTROLS;
use super::finding::{Finder, Looked, Points};
use super::privacy::Seen;
use super::protection::{Batch, Card, Kind, Protection};
use super::reader::Reader;
use super::sample::{Photo, Sample};
use super::utility::{Compared, compare};
use crate::commands::data::bar;
use crate::commands::protect::model::cosine;

/// Which photos a protection is tried on, and how much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// All photos, everything.
    Full,
    /// The photos of the sweep: who recognises them, and what is left of them.
    Sweep,
}

/// Everybody who takes part.
pub(super) struct Work<'a> {
    pub(super) sample: &'a Sample,
    pub(super) side: u32,
    pub(super) batch: usize,
    pub(super) seed: u64,
    pub(super) attackers: &'a [Box<dyn Attacker + 'a>],
    pub(super) protections: Vec<(Scope, Box<dyn Protection + 'a>)>,
    pub(super) reader: Option<Reader>,
    /// People that the reader was not fitted on.
    pub(super) read_from: usize,
    pub(super) finder: Option<Finder>,
    /// Photos of the sweep, that faces are looked for in, that are shown.
    pub(super) swept: Vec<usize>,
    pub(super) searched: BTreeSet<usize>,
    pub(super) shown: BTreeSet<usize>,
}

/// What a protection came to, photo by photo.
pub(super) struct Outcome {
    pub(super) card: Card,
    pub(super) scope: Scope,
    /// Of each attacker.
    pub(super) seen: Vec<Seen>,
    pub(super) compared: Vec<Compared>,
    /// The person of each photo compared.
    pub(super) people: Vec<usize>,
    pub(super) looked: Vec<Looked>,
    /// What the reader says, what is true, and whose it is.
    pub(super) read: [Vec<f64>; 2],
    pub(super) read_people: Vec<usize>,
    /// Cosines of what the first attacker sees with the identity that was to be painted.
    pub(super) conditioned: Vec<f64>,
    pub(super) pictures: Vec<(String, RgbImage)>,
    /// What is seen of the originals without looking at faces.
    pub(super) controls: [Seen; CONTROLS.len()],
}

impl Work<'_> {
    /// Goes over all photos. The first outcome is that of the originals.
    ///
    /// # Errors
    ///
    /// A photo that cannot be read; libtorch refuses.
    pub(super) fn run(&self) -> anyhow::Result<Vec<Outcome>> {
        let new = |(scope, protection): &(Scope, Box<dyn Protection + '_>)| Outcome {
            card: protection.card().clone(),
            scope: *scope,
            seen: vec![Seen::default(); self.attackers.len()],
            compared: Vec::new(),
            people: Vec::new(),
            looked: Vec::new(),
            read: Default::default(),
            read_people: Vec::new(),
            conditioned: Vec::new(),
            pictures: Vec::new(),
            controls: Default::default(),
        };
        let mut outcomes: Vec<Outcome> = self.protections.iter().map(new).collect();
        let bar = bar("photos");
        bar.set_length(self.sample.photos.len() as u64);
        let swept: BTreeSet<usize> = self.swept.iter().copied().collect();
        let others: Vec<usize> =
            (0..self.sample.photos.len()).filter(|k| !swept.contains(k)).collect();
        for (numbers, in_sweep) in [(&self.swept, true), (&others, false)] {
            for numbers in numbers.chunks(self.batch) {
                self.batch(numbers, in_sweep, &mut outcomes)?;
                bar.inc(numbers.len() as u64);
            }
        }
        bar.finish_and_clear();
        tracing::info!("{} photos protected in {} ways", self.sample.photos.len(), outcomes.len());
        Ok(outcomes)
    }

    fn batch(
        &self,
        numbers: &[usize],
        in_sweep: bool,
        outcomes: &mut [Outcome],
    ) -> anyhow::Result<()> {
        let photos: Vec<&Photo> = numbers.iter().map(|&k| &self.sample.photos[k]).collect();
        let side = self.side;
        let images = photos
            .par_iter()
            .map(|photo| photo.original(side))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let seeds = numbers.iter().map(|&k| train::mix(self.seed, k as u64)).collect();
        let batch = Batch::new(photos, images, seeds);
        let before = self.find(numbers, &batch.images)?;
        for ((scope, protection), outcome) in self.protections.iter().zip(outcomes) {
            if *scope == Scope::Sweep && !in_sweep {
                continue;
            }
            let painted = protection.protect(&batch)?;
            let pictures: Vec<&RgbImage> = painted.images.iter().collect();
            for (place, (attacker, seen)) in
                self.attackers.iter().zip(&mut outcome.seen).enumerate()
            {
                for ((row, &photo), k) in attacker.embed(&pictures)?.iter().zip(numbers).zip(0..) {
                    seen.add(row, photo, batch.photos[k].person);
                    if let (0, Some(identities)) = (place, &painted.identities) {
                        outcome.conditioned.push(cosine(row, &identities[k]));
                    }
                }
            }
            outcome.compared.extend(compare(&batch.images, &painted.images)?);
            outcome.people.extend(batch.photos.iter().map(|photo| photo.person));
            if *scope == Scope::Full {
                self.look(numbers, &batch, &before, &painted.images, outcome)?;
            }
        }
        Ok(())
    }

    /// What only the whole measurement needs.
    fn look(
        &self,
        numbers: &[usize],
        batch: &Batch<'_>,
        before: &[Option<Points>],
        painted: &[RgbImage],
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let after = match outcome.card.kind {
            Kind::Original => before.to_vec(),
            _ => self.find(numbers, painted)?,
        };
        if outcome.card.kind == Kind::Original {
            let pictures: Vec<&RgbImage> = painted.iter().collect();
            for (control, seen) in CONTROLS.iter().zip(&mut outcome.controls) {
                for ((row, &number), k) in control.embed(&pictures)?.iter().zip(numbers).zip(0..) {
                    seen.add(row, number, batch.photos[k].person);
                }
            }
        }
        for (k, number) in numbers.iter().enumerate() {
            let photo = batch.photos[k];
            if self.finder.is_some() && self.searched.contains(number) {
                let truth = photo.label.as_deref().map(|label| {
                    // Pixel centres are whole numbers.
                    let scale = self.side as f32 / label.size as f32;
                    label.landmarks.map(|point| point.map(|x| (x + 0.5) * scale - 0.5))
                });
                let (before, after) = (before[k], after[k]);
                outcome.looked.push(Looked { person: photo.person, before, after, truth });
            }
            if self.shown.contains(number) {
                outcome.pictures.push((photo.name.clone(), painted[k].clone()));
            }
        }
        if let Some(reader) = &self.reader {
            let mine = || (0..numbers.len()).filter(|&k| batch.photos[k].person >= self.read_from);
            let pictures: Vec<&RgbImage> = mine().map(|k| &painted[k]).collect();
            outcome.read[0].extend(reader.read(&pictures)?);
            for photo in mine().map(|k| batch.photos[k]) {
                let label = photo.label.as_deref();
                outcome.read[1]
                    .extend(label.map(|label| attributes::of(&label.scene)).unwrap_or_default());
                outcome.read_people.push(photo.person);
            }
        }
        Ok(())
    }

    /// Landmarks in those of the pictures that are searched.
    fn find(
        &self,
        numbers: &[usize],
        pictures: &[RgbImage],
    ) -> anyhow::Result<Vec<Option<Points>>> {
        let one = |(number, picture): (&usize, &RgbImage)| match &self.finder {
            Some(finder) if self.searched.contains(number) => finder.find(picture),
            _ => Ok(None),
        };
        numbers.iter().zip(pictures).map(one).collect()
    }
}

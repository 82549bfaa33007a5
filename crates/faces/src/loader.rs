//! Batches of pairs, decoded ahead of time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::{Deserialize, Serialize};

use crate::pairs::{Loaded, Pairs};
use crate::tensor::stack;
use crate::{Error, Faces, PairBatch, PairItem, Sampler};

/// What the loader needs to know; every field is a configuration key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PairConfig {
    /// Pairs per batch on this rank.
    pub batch_size: usize,
    /// Seed of the run: order, pairs and per-item seeds follow from it.
    pub seed: u64,
    /// Share of the items, 0 to 1, whose target is the source itself: 0.2 (corrected) or
    /// 0 (published; method.md §8).
    pub same_share: f64,
    /// Share of the items whose target is another image of the source's person. Its sum with
    /// `same_share` is 1 at most.
    pub own_share: f64,
    /// Channels in the order B, G, R, which the published weights expect.
    pub bgr: bool,
    /// Mirror each image left to right with probability ½.
    pub flip: bool,
    /// Leave out an epoch's last, incomplete batch, unless it is the only one.
    pub drop_last: bool,
    /// Threads that decode; 0 takes half of the cores it may use, from 1 to 8.
    pub workers: usize,
    /// Batches decoded ahead, at least 1. Memory held: `prefetch × batch_size` pairs of
    /// `2 · 3 · S²` bytes (1.5 MiB at 512 pixels).
    pub prefetch: usize,
}

impl Default for PairConfig {
    fn default() -> Self {
        PairConfig {
            batch_size: 2,
            seed: 0,
            same_share: 0.2,
            own_share: 0.0,
            bgr: false,
            flip: false,
            drop_last: false,
            workers: 0,
            prefetch: 4,
        }
    }
}

impl PairConfig {
    fn validate(&self) -> Result<(), Error> {
        let wrong = |key, value: String, expected: &str| {
            Err(Error::Option { key, value, expected: expected.into() })
        };
        for (key, share) in [("same_share", self.same_share), ("own_share", self.own_share)] {
            if !(0.0..=1.0).contains(&share) {
                return wrong(key, share.to_string(), "a share from 0 to 1");
            }
        }
        if self.same_share + self.own_share > 1.0 {
            let sum = format!("{} + {}", self.same_share, self.own_share);
            return wrong("same_share + own_share", sum, "at most 1");
        }
        if self.prefetch == 0 {
            return wrong("prefetch", "0".into(), "at least 1 batch");
        }
        Ok(())
    }

    /// Threads that decode: `workers`, or the number that 0 stands for.
    pub fn threads(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, |n| (n.get() / 2).clamp(1, 8)),
            workers => workers,
        }
    }
}

/// Hands out the batches of one rank, decoded ahead by its own threads.
///
/// What comes out is a pure function of (data, configuration, rank, world size, epoch,
/// batch number): neither the number of threads nor earlier calls matter.
pub struct PairLoader {
    pairs: Arc<Pairs>,
    sampler: Sampler,
    pool: Arc<ThreadPool>,
    prefetch: usize,
}

impl PairLoader {
    /// A loader for one of `world_size` ranks over `faces`.
    ///
    /// # Errors
    /// A value of `config` out of range, fewer images than ranks, threads that cannot be
    /// started.
    pub fn new(
        faces: Arc<Faces>,
        config: PairConfig,
        rank: usize,
        world_size: usize,
    ) -> Result<PairLoader, Error> {
        config.validate()?;
        let index = faces.index();
        let images = index.images().len();
        let sampler = Sampler::new(
            images,
            config.batch_size,
            config.seed,
            rank,
            world_size,
            config.drop_last,
        )?;
        let pool = ThreadPoolBuilder::new()
            .num_threads(config.threads())
            .thread_name(|number| format!("faces-{number}"))
            .build()
            .map_err(|error| Error::Workers(error.to_string()))?;
        if index.not_square() > 0 && rank == 0 {
            tracing::warn!(
                "{} of {images} images are not square and will be distorted: cut faces out with \
                 `faceshield align`",
                index.not_square()
            );
        }
        let prefetch = config.prefetch;
        let pairs = Arc::new(Pairs::new(faces, config));
        Ok(PairLoader { pairs, sampler, pool: Arc::new(pool), prefetch })
    }

    /// Batches of an epoch, the same on all ranks; at least 1.
    pub fn batches_per_epoch(&self) -> u64 {
        self.sampler.batches_per_epoch()
    }

    /// Batches that are left of an epoch when its first `dealt` positions have been dealt out.
    pub fn batches_after(&self, dealt: u64) -> u64 {
        self.sampler.after(dealt).batches_per_epoch()
    }

    /// The batches of `epoch` from number `first_batch` on (none if that is beyond the
    /// last). Decoding begins at once.
    pub fn epoch(&self, epoch: u64, first_batch: u64) -> Epoch {
        self.rest_of_epoch(epoch, 0, first_batch)
    }

    /// The same where batch 0 begins after the first `dealt` positions of the epoch's order,
    /// as [`Sampler::after`] says.
    pub fn rest_of_epoch(&self, epoch: u64, dealt: u64, first_batch: u64) -> Epoch {
        let mut batches = Epoch {
            pairs: Arc::clone(&self.pairs),
            sampler: self.sampler.after(dealt),
            pool: Arc::clone(&self.pool),
            order: self.sampler.order(epoch),
            epoch,
            next: first_batch,
            prefetch: self.prefetch,
            waiting: VecDeque::new(),
            cancelled: Arc::new(AtomicBool::new(false)),
        };
        batches.fill();
        batches
    }

    /// The images of all batches.
    pub fn faces(&self) -> &Faces {
        self.pairs.faces()
    }
}

/// A batch on its way: its results arrive in any order.
struct Pending {
    size: usize,
    results: Receiver<(usize, Result<Loaded, Error>)>,
}

/// The batches of one epoch, in order; ends after the last or after an error. Dropping it
/// early cancels what is not yet decoded and does not wait.
pub struct Epoch {
    pairs: Arc<Pairs>,
    sampler: Sampler,
    pool: Arc<ThreadPool>,
    order: Vec<u32>,
    epoch: u64,
    next: u64,
    prefetch: usize,
    waiting: VecDeque<Pending>,
    cancelled: Arc<AtomicBool>,
}

impl Epoch {
    /// Puts batches to work until `prefetch` of them are under way.
    fn fill(&mut self) {
        while self.waiting.len() < self.prefetch && self.next < self.sampler.batches_per_epoch() {
            let pending = self.submit(self.next);
            self.waiting.push_back(pending);
            self.next += 1;
        }
    }

    /// One job per pair, first in first out: the batch that is needed next is decoded
    /// first, by all threads.
    fn submit(&self, batch: u64) -> Pending {
        let (sender, results) = channel();
        let mut size = 0;
        for (slot, position) in self.sampler.positions(batch).enumerate() {
            let source = self.order[position as usize] as usize;
            let item = self.pairs.draw(self.epoch, position, source);
            let (pairs, sender) = (Arc::clone(&self.pairs), sender.clone());
            let cancelled = Arc::clone(&self.cancelled);
            self.pool.spawn_fifo(move || {
                if !cancelled.load(Ordering::Relaxed) {
                    // Nobody listens any more when the epoch was dropped meanwhile.
                    let _ = sender.send((slot, pairs.load(item)));
                }
            });
            size += 1;
        }
        Pending { size, results }
    }

    fn assemble(&self, pending: Pending) -> Result<PairBatch, Error> {
        let mut loaded: Vec<(usize, Loaded)> = Vec::with_capacity(pending.size);
        for (slot, result) in pending.results.iter().take(pending.size) {
            loaded.push((slot, result?));
        }
        if loaded.len() < pending.size {
            return Err(Error::Workers("a thread ended without handing over its images".into()));
        }
        loaded.sort_by_key(|&(slot, _)| slot);
        let items: Vec<PairItem> = loaded.iter().map(|(_, pair)| pair.item).collect();
        let images = self.pairs.index().images();
        let name = |item: &PairItem| {
            format!("{} and {}", images[item.source].path, images[item.target].path)
        };
        let names = items.iter().map(name).collect();
        let (source, target): (Vec<_>, Vec<_>) =
            loaded.into_iter().map(|(_, pair)| (pair.source, pair.target)).unzip();
        Ok(PairBatch { source: stack(&source)?, target: stack(&target)?, items, names })
    }
}

impl Iterator for Epoch {
    type Item = Result<PairBatch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let pending = self.waiting.pop_front()?;
        let batch = self.assemble(pending);
        match &batch {
            Ok(_) => self.fill(),
            Err(_) => {
                self.waiting.clear();
                self.next = u64::MAX;
                self.cancelled.store(true, Ordering::Relaxed);
            }
        }
        Some(batch)
    }
}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

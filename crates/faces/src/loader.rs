//! Batches of whatever a data set is dealt out as, decoded ahead of time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Error, Faces, Sampler};

/// What a loader deals out: how an item is drawn and read, and how items become a batch.
/// Everything drawn is a pure function of (seed, epoch, position).
pub(crate) trait Items: Send + Sync + 'static {
    /// One item as drawn, before anything is read.
    type Item: Send + 'static;
    /// An item with its pixels.
    type Loaded: Send + 'static;
    /// Items together.
    type Batch;

    /// The images that are read.
    fn faces(&self) -> &Faces;

    /// Items in an epoch.
    fn count(&self) -> usize;

    /// Item `number` (below [`Items::count`]), which stands at `position` of the epoch's order.
    fn draw(&self, epoch: u64, position: u64, number: usize) -> Self::Item;

    /// Reads an item.
    fn load(&self, item: Self::Item) -> Result<Self::Loaded, Error>;

    /// Puts a batch together, in this order.
    fn batch(&self, loaded: Vec<Self::Loaded>) -> Result<Self::Batch, Error>;
}

/// How items are dealt out to ranks and threads.
pub(crate) struct Dealing {
    pub(crate) batch_size: usize,
    pub(crate) seed: u64,
    pub(crate) rank: usize,
    pub(crate) world_size: usize,
    pub(crate) drop_last: bool,
    pub(crate) workers: usize,
    pub(crate) prefetch: usize,
}

/// Threads that decode: `workers`, or the number that 0 stands for.
pub(crate) fn threads(workers: usize) -> usize {
    match workers {
        0 => std::thread::available_parallelism().map_or(1, |n| (n.get() / 2).clamp(1, 8)),
        workers => workers,
    }
}

/// Hands out the batches of one rank, decoded ahead by its own threads.
///
/// What comes out is a pure function of (data, configuration, rank, world size, epoch,
/// batch number): neither the number of threads nor earlier calls matter.
pub(crate) struct Loader<I> {
    items: Arc<I>,
    sampler: Sampler,
    pool: Arc<ThreadPool>,
    prefetch: usize,
}

impl<I: Items> Loader<I> {
    /// # Errors
    /// A value out of range, fewer items than ranks, threads that cannot be started.
    pub(crate) fn new(items: I, dealing: &Dealing) -> Result<Loader<I>, Error> {
        let &Dealing { batch_size, seed, rank, world_size, drop_last, workers, prefetch } = dealing;
        if prefetch == 0 {
            return Err(Error::Option {
                key: "prefetch",
                value: "0".into(),
                expected: "at least 1 batch".into(),
            });
        }
        let sampler = Sampler::new(items.count(), batch_size, seed, rank, world_size, drop_last)?;
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads(workers))
            .thread_name(|number| format!("faces-{number}"))
            .build()
            .map_err(|error| Error::Workers(error.to_string()))?;
        let index = items.faces().index();
        if index.not_square() > 0 && rank == 0 {
            tracing::warn!(
                "{} of {} images are not square and will be distorted: cut faces out with \
                 `faceshield align`",
                index.not_square(),
                index.images().len()
            );
        }
        Ok(Loader { items: Arc::new(items), sampler, pool: Arc::new(pool), prefetch })
    }

    /// Batches of an epoch, the same on all ranks; at least 1.
    pub(crate) fn batches_per_epoch(&self) -> u64 {
        self.sampler.batches_per_epoch()
    }

    /// Batches that are left of an epoch when its first `dealt` positions have been dealt out.
    pub(crate) fn batches_after(&self, dealt: u64) -> u64 {
        self.sampler.after(dealt).batches_per_epoch()
    }

    /// The batches of `epoch` from number `first_batch` on (none if that is beyond the
    /// last), where batch 0 begins after the first `dealt` positions of the epoch's order, as
    /// [`Sampler::after`] says. Decoding begins at once.
    pub(crate) fn rest_of_epoch(&self, epoch: u64, dealt: u64, first_batch: u64) -> Epoch<I> {
        let mut batches = Epoch {
            items: Arc::clone(&self.items),
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

    /// Items in an epoch.
    pub(crate) fn count(&self) -> usize {
        self.items.count()
    }

    /// The images of all batches.
    pub(crate) fn faces(&self) -> &Faces {
        self.items.faces()
    }
}

/// A batch on its way: its results arrive in any order.
struct Pending<L> {
    size: usize,
    results: Receiver<(usize, Result<L, Error>)>,
}

/// The batches of one epoch, in order; ends after the last or after an error. Dropping it
/// early cancels what is not yet decoded and does not wait.
pub(crate) struct Epoch<I: Items> {
    items: Arc<I>,
    sampler: Sampler,
    pool: Arc<ThreadPool>,
    order: Vec<u32>,
    epoch: u64,
    next: u64,
    prefetch: usize,
    waiting: VecDeque<Pending<I::Loaded>>,
    cancelled: Arc<AtomicBool>,
}

impl<I: Items> Epoch<I> {
    /// Puts batches to work until `prefetch` of them are under way.
    fn fill(&mut self) {
        while self.waiting.len() < self.prefetch && self.next < self.sampler.batches_per_epoch() {
            let pending = self.submit(self.next);
            self.waiting.push_back(pending);
            self.next += 1;
        }
    }

    /// One job per item, first in first out: the batch that is needed next is decoded
    /// first, by all threads.
    fn submit(&self, batch: u64) -> Pending<I::Loaded> {
        let (sender, results) = channel();
        let mut size = 0;
        for (slot, position) in self.sampler.positions(batch).enumerate() {
            let number = self.order[position as usize] as usize;
            let item = self.items.draw(self.epoch, position, number);
            let (items, sender) = (Arc::clone(&self.items), sender.clone());
            let cancelled = Arc::clone(&self.cancelled);
            self.pool.spawn_fifo(move || {
                if !cancelled.load(Ordering::Relaxed) {
                    // Nobody listens any more when the epoch was dropped meanwhile.
                    let _ = sender.send((slot, items.load(item)));
                }
            });
            size += 1;
        }
        Pending { size, results }
    }

    fn assemble(&self, pending: Pending<I::Loaded>) -> Result<I::Batch, Error> {
        let mut loaded: Vec<(usize, I::Loaded)> = Vec::with_capacity(pending.size);
        for (slot, result) in pending.results.iter().take(pending.size) {
            loaded.push((slot, result?));
        }
        if loaded.len() < pending.size {
            return Err(Error::Workers("a thread ended without handing over its images".into()));
        }
        loaded.sort_by_key(|&(slot, _)| slot);
        self.items.batch(loaded.into_iter().map(|(_, item)| item).collect())
    }
}

impl<I: Items> Iterator for Epoch<I> {
    type Item = Result<I::Batch, Error>;

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

impl<I: Items> Drop for Epoch<I> {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

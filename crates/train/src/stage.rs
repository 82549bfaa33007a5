//! What the engine asks of a stage and of its data.

use crate::Optimizers;
use c10d::World;
use tch::Tensor;

/// Any error of a stage or of its data; its text is shown to the user as one line.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Parameters that are trained together: one optimizer, one gradient norm, one reducer.
#[derive(Debug)]
pub struct Group {
    /// Name used by [`Optimizers::minimize`], in checkpoints and in `grad_norm`.
    pub name: &'static str,
    /// Leaf tensors (shallow clones of the stage's own) with their published names.
    pub parameters: Vec<(String, Tensor)>,
    /// Adam's β₁ and β₂; of no effect with another optimizer.
    pub betas: (f64, f64),
    /// The group's learning rate, as a multiple of the run's.
    pub rate: f64,
}

/// One named part of a loss.
#[derive(Debug)]
pub struct Term {
    /// Name in `metrics.jsonl` and, after `Term/`, in TensorBoard.
    pub name: &'static str,
    /// The factor with which the term enters its total.
    pub weight: f64,
    /// The term itself: 0-dimensional, detached, before the weight.
    pub value: Tensor,
}

/// What one step returns for the log. Nothing here is read on the host before
/// the log is due, so a step does not wait for the device because of it.
///
/// At one step every rank must return the same names in the same order.
#[derive(Debug, Default)]
pub struct Losses {
    /// The parts.
    pub terms: Vec<Term>,
    /// Sums and whatever else is worth a number: name and detached 0-dimensional value.
    pub totals: Vec<(&'static str, Tensor)>,
}

/// Where in the run a step stands. The same on every rank.
#[derive(Clone, Copy, Debug)]
pub struct StepInfo {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Batch within the epoch, from 0.
    pub batch: u64,
    /// Steps of the whole run before this one; from 0.
    pub step: u64,
    /// Steps of the whole run: what schedules stretch over. Not cut by `--max-steps`.
    pub total: u64,
    /// [`mix`] of the run's seed and the step: derive every random number of the
    /// step that does not belong to one image from it.
    pub seed: u64,
    /// Whether this step's losses go to TensorBoard: costly extra losses are worth
    /// computing now. Depends on the step and `log_every` only.
    pub log_due: bool,
    /// Whether [`Stage::preview`] will be called after this step.
    pub preview_due: bool,
}

/// Something that can be trained: it owns its modules and losses, and nothing else.
pub trait Stage {
    /// What [`Source`] hands out and [`Stage::step`] learns from.
    type Batch;

    /// Short lower-case name: `fse` gives `checkpoints_FSE`, the table `[fse]` and so on.
    fn name(&self) -> &'static str;

    /// The trainable groups, always in the same order.
    fn groups(&self) -> Vec<Group>;

    /// Everything that belongs into `model.safetensors`, by published name:
    /// shallow clones, into which a resumed run copies in place.
    fn state(&self) -> weights::Tensors;

    /// Floating-point buffers that are averaged over ranks after each step
    /// (running statistics of batch norms). Restored if the step is skipped.
    fn buffers(&self) -> Vec<Tensor> {
        Vec::new()
    }

    /// Learns from one batch: forward passes in [`Optimizers::record`], one
    /// [`Optimizers::minimize`] per group, in the method's order.
    ///
    /// # Errors
    /// Whatever went wrong; it ends the run.
    fn step(
        &mut self,
        batch: &Self::Batch,
        optim: &mut Optimizers<'_>,
        info: &StepInfo,
    ) -> Result<Losses, BoxError>;

    /// A picture of the state of training: `[3, H, W]` in [-1, 1], or none.
    ///
    /// Called without gradients and **on rank 0 only**: it must not call a
    /// collective, nor change parameters or buffers.
    ///
    /// # Errors
    /// Whatever went wrong; it ends the run.
    fn preview(&mut self, batch: &Self::Batch) -> Result<Option<Tensor>, BoxError>;

    /// How good the state of training is on data of its own: named numbers, for the log as
    /// `Validation/NAME`. Nothing, for a stage without validation.
    ///
    /// Called without gradients by all ranks together, which may share the work; rank 0's
    /// numbers are logged. It must not change parameters or buffers, nor draw from libtorch's
    /// default generator.
    ///
    /// # Errors
    /// Whatever went wrong; it ends the run.
    fn validate(&mut self, _world: &World) -> Result<Vec<(&'static str, f64)>, BoxError> {
        Ok(Vec::new())
    }

    /// TensorBoard's published tags, each with the name of the loss it shows:
    /// `("Loss/D_loss", "D_loss")`. A tag whose loss a step did not return is left out.
    fn scalars(&self) -> &'static [(&'static str, &'static str)];

    /// Number of images (pairs) this rank learns from with this batch.
    fn images_per_batch(batch: &Self::Batch) -> usize;

    /// Names of the batch's items, to tell which ones made a step non-finite.
    fn items(batch: &Self::Batch) -> Vec<String>;
}

/// One rank's batches of an epoch.
pub trait Source {
    /// What [`Stage::step`] learns from.
    type Batch;

    /// Batches that are left of an epoch when the first `dealt` items of its order have been
    /// dealt out to the ranks: the same number on every rank, for 0 not 0.
    fn batches_after(&self, dealt: u64) -> u64;

    /// The batches of `epoch` from `first_batch` on, where batch 0 begins after the first
    /// `dealt` items. Which items these are must depend on the epoch, `dealt`, the batch, the
    /// rank and the world size only, and `n` batches of all ranks together must be the next
    /// `n · world size · batch_size` items, whatever the world size.
    ///
    /// # Errors
    /// If the data cannot be read at all.
    fn epoch<'a>(
        &'a mut self,
        epoch: u64,
        dealt: u64,
        first_batch: u64,
    ) -> Result<Batches<'a, Self::Batch>, BoxError>;
}

/// The batches of one epoch, in order.
pub type Batches<'a, B> = Box<dyn Iterator<Item = Result<B, BoxError>> + 'a>;

/// A well-mixed 64-bit number from a seed and a counter (SplitMix64's finaliser
/// over both). Pure; different `stream`s of one seed are independent for practical
/// purposes.
pub fn mix(seed: u64, stream: u64) -> u64 {
    let scramble = |mut z: u64| {
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    scramble(scramble(seed) ^ stream)
}

/// [`mix`] as a number in [0, 1) with 53 bits.
pub fn unit(seed: u64, stream: u64) -> f64 {
    (mix(seed, stream) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::mix;

    #[test]
    fn mix_separates_seeds_and_streams() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..32 {
            for stream in 0..32 {
                assert!(seen.insert(mix(seed, stream)));
            }
        }
        assert_eq!(mix(3, 4), mix(3, 4));
    }
}

//! Configuration: the engine's own keys, and how layers of files and flags become one.

mod layers;
mod optimizer;
mod precision;
mod schedule;
mod source;

pub use layers::Layers;
pub use optimizer::Optimizer;
pub use precision::Precision;
pub use schedule::Schedule;

use crate::Error;
use serde::{Deserialize, Serialize};
use tch::{Cuda, Device};

/// The engine's keys. Every stage has them beside its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// From it everything random follows.
    pub seed: u64,
    /// Only operations that give the same bits each time.
    pub deterministic: bool,
    /// What convolutions and matrix products compute in: `float32` or `bfloat16`.
    pub precision: Precision,
    /// Let float32 convolutions and matrix products on CUDA round their inputs to TF32.
    pub tf32: bool,
    /// Passes over the data.
    pub epochs: u64,
    /// Steps of the run, where it is to have fewer than its epochs; 0: it has them all. Unlike
    /// `--max-steps`, which interrupts a run, this is its length: schedules stretch over it.
    pub steps: u64,
    /// Pairs per step and rank.
    pub batch_size: usize,
    /// The rule of updates: `adam` (with the betas of each group) or `sgd`.
    pub optimizer: Optimizer,
    /// Decay of SGD's running sum of gradients, 0 to 1; 0 keeps none.
    pub momentum: f64,
    /// Whether SGD looks ahead along that sum.
    pub nesterov: bool,
    /// L2 penalty, added to the gradients of what has two dimensions or more (convolutions,
    /// matrices), not to norms, slopes and biases.
    pub weight_decay: f64,
    /// The learning rate (at the schedule's top).
    pub lr: f64,
    /// How the rate changes after the warm-up: `constant`, `linear`, `cosine` or `polynomial`
    /// (to 0).
    pub lr_schedule: Schedule,
    /// The exponent of the `polynomial` schedule.
    pub lr_power: f64,
    /// Steps over which the rate first rises linearly from 0.
    pub warmup_steps: u64,
    /// Gradients of a group are scaled down to this L2 norm; 0 leaves them as they are.
    pub clip_grad_norm: f64,
    /// Steps between checkpoints, one more at the end of the run; 0: one an epoch.
    pub checkpoint_every: u64,
    /// Newest checkpoints that are kept; 0 keeps all.
    pub keep_checkpoints: usize,
    /// Checkpoints of steps that are multiples of this are kept besides; 0: none.
    pub keep_every: u64,
    /// Write checkpoints while the run goes on, from a copy in memory.
    pub background_saves: bool,
    /// Steps between lines of the log and TensorBoard's scalars.
    pub log_every: u64,
    /// Steps between preview pictures; 0 makes none.
    pub preview_every: u64,
    /// Leave faces, and the names of people and image files, out of logs, previews and event
    /// files.
    pub private: bool,
    /// Steps between validations, of stages that have one; one more at the end of the run. 0
    /// makes none.
    pub validate_every: u64,
    /// Non-finite steps in a row after which the run stops.
    pub max_bad_steps: u64,
    /// A loss that exceeds its mean over the last hundred or so steps by this many standard
    /// deviations is told of in the log; 0 looks for none.
    pub spike_deviations: f64,
    /// Seconds after which a rank that does not answer is given up.
    pub timeout_seconds: u64,
    /// `auto`, `cpu`, `cuda` (the rank's own) or `cuda:N`.
    pub device: String,
    /// CPU threads per rank; 0 leaves libtorch's choice.
    pub threads: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            deterministic: true,
            precision: Precision::Float32,
            tf32: false,
            epochs: 10,
            steps: 0,
            batch_size: 2,
            optimizer: Optimizer::Adam,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.0,
            lr: 1e-4,
            lr_schedule: Schedule::Constant,
            lr_power: 2.0,
            warmup_steps: 0,
            clip_grad_norm: 1.0,
            checkpoint_every: 2000,
            keep_checkpoints: 0,
            keep_every: 0,
            background_saves: true,
            log_every: 100,
            preview_every: 100,
            private: false,
            validate_every: 1000,
            max_bad_steps: 10,
            spike_deviations: 6.0,
            timeout_seconds: 120,
            device: "auto".into(),
            threads: 0,
        }
    }
}

impl Config {
    /// Checks ranges.
    ///
    /// # Errors
    /// Names the first key that is out of range.
    pub fn validate(&self) -> Result<(), Error> {
        let rules = [
            (self.epochs > 0, "epochs must be at least 1"),
            (self.batch_size > 0, "batch_size must be at least 1"),
            (self.lr.is_finite() && self.lr > 0.0, "lr must be a positive number"),
            ((0.0..1.0).contains(&self.momentum), "momentum must be a number from 0 to below 1"),
            (
                !self.nesterov || self.momentum > 0.0,
                "nesterov needs a momentum above 0: set momentum, or nesterov = false",
            ),
            (
                self.weight_decay.is_finite() && self.weight_decay >= 0.0,
                "weight_decay must be a positive number, or 0 for none",
            ),
            (
                self.lr_power.is_finite() && self.lr_power > 0.0,
                "lr_power must be a positive number",
            ),
            (
                self.clip_grad_norm.is_finite() && self.clip_grad_norm >= 0.0,
                "clip_grad_norm must be a positive number, or 0 for no clipping",
            ),
            (self.log_every > 0, "log_every must be at least 1"),
            (self.max_bad_steps > 0, "max_bad_steps must be at least 1"),
            (
                self.spike_deviations.is_finite() && self.spike_deviations >= 0.0,
                "spike_deviations must be a positive number, or 0 to look for no spikes",
            ),
            (self.timeout_seconds > 0, "timeout_seconds must be at least 1"),
            (
                self.threads <= 4096,
                "threads must be at most 4096 (0 leaves the choice to libtorch)",
            ),
        ];
        for (holds, rule) in rules {
            if !holds {
                return Err(Error::option("configuration", rule));
            }
        }
        parse_device(&self.device).map(|_| ())
    }

    /// Steps between preview pictures, 0 for none: as in a private run.
    pub fn previews(&self) -> u64 {
        if self.private { 0 } else { self.preview_every }
    }

    /// Sets libtorch's process-wide switches: threads, determinism, TF32, and cuDNN's search
    /// for its fastest algorithm where determinism does not forbid it.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn apply(&self) -> Result<(), Error> {
        if self.threads > 0 {
            tch::set_num_threads(i32::try_from(self.threads).unwrap_or(i32::MAX));
        }
        c10d::torch::set_deterministic(self.deterministic)?;
        c10d::torch::set_cudnn_benchmark(!self.deterministic)?;
        Ok(c10d::torch::set_tf32(self.tf32)?)
    }

    /// The device this rank computes on.
    ///
    /// # Arguments
    /// * `local_rank` - the rank among those of this machine.
    ///
    /// # Errors
    /// If CUDA is asked for and there is none, or fewer devices than ranks.
    pub fn device(&self, local_rank: usize) -> Result<Device, Error> {
        let found = Cuda::device_count().max(0) as usize;
        let index = match parse_device(&self.device)? {
            Wanted::Cpu => return Ok(Device::Cpu),
            Wanted::Auto if found == 0 => return Ok(Device::Cpu),
            Wanted::Auto | Wanted::Cuda => local_rank,
            Wanted::CudaIndex(index) => index,
        };
        if index >= found {
            let problem = format!(
                "device = \"{}\" needs CUDA device {index}, but libtorch sees {found}; use \"cpu\" or start fewer ranks",
                self.device
            );
            return Err(Error::option("configuration", problem));
        }
        Ok(Device::Cuda(index))
    }
}

enum Wanted {
    Auto,
    Cpu,
    Cuda,
    CudaIndex(usize),
}

fn parse_device(text: &str) -> Result<Wanted, Error> {
    match text {
        "auto" => Ok(Wanted::Auto),
        "cpu" => Ok(Wanted::Cpu),
        "cuda" => Ok(Wanted::Cuda),
        _ => text
            .strip_prefix("cuda:")
            .and_then(|index| index.parse().ok())
            .map(Wanted::CudaIndex)
            .ok_or_else(|| {
                let problem = format!(
                    "device must be \"auto\", \"cpu\", \"cuda\" or \"cuda:N\", not {text:?}"
                );
                Error::option("configuration", problem)
            }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ranges_are_checked_and_named() {
        Config::default().validate().unwrap();
        let bad = [
            (Config { epochs: 0, ..Config::default() }, "epochs"),
            (Config { momentum: 1.0, ..Config::default() }, "momentum"),
            (Config { nesterov: true, momentum: 0.0, ..Config::default() }, "nesterov"),
            (Config { weight_decay: f64::NAN, ..Config::default() }, "weight_decay"),
            (Config { lr_power: 0.0, ..Config::default() }, "lr_power"),
            (Config { lr: f64::NAN, ..Config::default() }, "lr"),
            (Config { clip_grad_norm: -1.0, ..Config::default() }, "clip_grad_norm"),
            (Config { log_every: 0, ..Config::default() }, "log_every"),
            (Config { device: "gpu".into(), ..Config::default() }, "device"),
        ];
        for (config, key) in bad {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.contains(key), "{message}");
        }
    }
}

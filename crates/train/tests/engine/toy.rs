//! A stage like a small GAN, and data that is a pure function of (epoch, position).

use c10d::World;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tch::{Device, Kind, Reduction, Tensor};
use train::{
    Batches, BoxError, Config, Error, Group, Losses, Optimizers, Places, Requests, Source, Stage,
    StepInfo, Summary, Term, mix,
};

pub(crate) struct Toy {
    pub(crate) name: &'static str,
    /// Whether steps draw from libtorch's default generator.
    pub(crate) noise: bool,
    /// A file to write the epoch and the items of each step to.
    pub(crate) seen: Option<PathBuf>,
    pub(crate) requests: Requests,
    /// From when its turn comes: tests that draw from the default generator take turns.
    pub(crate) time: Option<Duration>,
    /// Called at the start of each step with its number.
    pub(crate) at_step: Option<Box<dyn Fn(u64)>>,
    pub(crate) generator: [Tensor; 2],
    pub(crate) discriminator: [Tensor; 2],
    pub(crate) running: Tensor,
}

pub(crate) struct Batch {
    x: Tensor,
    target: Tensor,
    names: Vec<String>,
}

fn parameter(shape: &[i64], seed: u64) -> Tensor {
    c10d::torch::randn_seeded(shape, seed, Kind::Float, Device::Cpu).unwrap() * 0.3
}

impl Toy {
    /// `width` is the number of inputs of the data (4) or something that does not fit.
    pub(crate) fn new(width: i64) -> Self {
        Self {
            name: "toy",
            noise: false,
            seen: None,
            requests: Requests::new(),
            time: None,
            at_step: None,
            generator: [parameter(&[width, 3], 1), parameter(&[3], 2)],
            discriminator: [parameter(&[3, 1], 3), parameter(&[1], 4)],
            running: Tensor::zeros([3], (Kind::Float, Device::Cpu)),
        }
    }

    /// Asks for something during step `at`.
    pub(crate) fn asking(self, at: u64, ask: fn(&Requests)) -> Self {
        let requests = self.requests.clone();
        let at_step = move |step| {
            if step == at {
                ask(&requests);
            }
        };
        Self { at_step: Some(Box::new(at_step)), ..self }
    }

    fn judge(&self, y: &Tensor) -> Tensor {
        y.tanh().matmul(&self.discriminator[0]) + &self.discriminator[1]
    }

    fn named(&self) -> Vec<(String, Tensor)> {
        let names = ["G.weight", "G.bias", "D.weight", "D.bias"];
        let tensors = self.generator.iter().chain(&self.discriminator);
        names.iter().map(|name| name.to_string()).zip(tensors.map(Tensor::shallow_clone)).collect()
    }
}

fn square(x: &Tensor, target: f64) -> Tensor {
    (x - target).square().mean(Kind::Float)
}

impl Stage for Toy {
    type Batch = Batch;

    fn name(&self) -> &'static str {
        self.name
    }

    fn groups(&self) -> Vec<Group> {
        let mut generator = self.named();
        let discriminator = generator.split_off(2);
        vec![
            Group { name: "g", parameters: generator, betas: (0.9, 0.999), rate: 1.0 },
            Group { name: "d", parameters: discriminator, betas: (0.5, 0.999), rate: 1.0 },
        ]
    }

    fn state(&self) -> weights::Tensors {
        let running = ("running".to_string(), self.running.shallow_clone());
        self.named().into_iter().chain([running]).collect()
    }

    fn buffers(&self) -> Vec<Tensor> {
        vec![self.running.shallow_clone()]
    }

    fn step(
        &mut self,
        batch: &Batch,
        optim: &mut Optimizers<'_>,
        info: &StepInfo,
    ) -> Result<Losses, BoxError> {
        if let Some(at_step) = &self.at_step {
            at_step(info.step);
        }
        if let Some(path) = &self.seen {
            let mut file = File::options().create(true).append(true).open(path)?;
            let line = |name| format!("epoch {} {name}\n", info.epoch);
            // At once, as other ranks write as well.
            file.write_all(batch.names.iter().map(line).collect::<String>().as_bytes())?;
        }
        let [weight, bias] = &self.generator;
        let mut y = optim.record("g", || batch.x.matmul(weight) + bias);
        assert!(y.requires_grad() && !weight.requires_grad());
        if self.noise {
            y += Tensor::randn_like(&y) * 0.1;
        }
        let mean = y.detach().mean_dim(0, false, Kind::Float);
        let _ = self.running.lerp_(&mean, 0.1);

        let mut d_loss = Tensor::new();
        optim.minimize("d", || {
            let loss =
                square(&self.judge(&batch.target), 1.0) + square(&self.judge(&y.detach()), 0.0);
            d_loss = loss.detach();
            Ok(loss)
        })?;
        let (mut adv, mut rec) = (Tensor::new(), Tensor::new());
        optim.minimize("g", || {
            let adversarial = square(&self.judge(&y), 1.0);
            let reconstruction = y.mse_loss(&batch.target, Reduction::Mean);
            (adv, rec) = (adversarial.detach(), reconstruction.detach());
            Ok(adversarial * 0.1 + reconstruction)
        })?;
        assert!(self.generator.iter().chain(&self.discriminator).all(|p| !p.grad().defined()));
        let g_loss = &adv * 0.1 + &rec;
        let terms = vec![
            Term { name: "adv", weight: 0.1, value: adv },
            Term { name: "rec", weight: 1.0, value: rec },
        ];
        Ok(Losses { terms, totals: vec![("G_loss", g_loss), ("D_loss", d_loss)] })
    }

    fn preview(&mut self, batch: &Batch) -> Result<Option<Tensor>, BoxError> {
        Ok(Some(batch.target.get(0).tanh().reshape([3, 1, 1]).expand([3, 4, 6], false)))
    }

    /// How large the generator's parameters are.
    fn validate(&mut self, world: &World) -> Result<Vec<(&'static str, f64)>, BoxError> {
        let [weight, bias] = &self.generator;
        assert!(!weight.requires_grad());
        let own = weight.square().sum(None) + bias.square().sum(None);
        Ok(vec![("size", world.mean_scalar(own.double_value(&[]))?)])
    }

    fn scalars(&self) -> &'static [(&'static str, &'static str)] {
        &[("Loss/G_loss", "G_loss"), ("Loss/D_loss", "D_loss"), ("Loss/never", "never")]
    }

    fn images_per_batch(batch: &Batch) -> usize {
        batch.names.len()
    }

    fn items(batch: &Batch) -> Vec<String> {
        batch.names.clone()
    }
}

/// Batch k of rank r: items (k·b + j)·w + r of the epoch, or of what is left of it.
pub(crate) struct Data {
    /// Of an epoch.
    pub(crate) items: u64,
    pub(crate) batch_size: u64,
    pub(crate) rank: u64,
    pub(crate) world_size: u64,
    /// Steps (counted over epochs) in which this rank's batch is not finite.
    pub(crate) poisoned: std::ops::Range<u64>,
}

impl Data {
    pub(crate) fn solo(per_epoch: u64, batch_size: u64) -> Self {
        let items = per_epoch * batch_size;
        Self { items, batch_size, rank: 0, world_size: 1, poisoned: 0..0 }
    }

    /// Items that each rank gets after `dealt` of them.
    fn share(&self, dealt: u64) -> u64 {
        self.items.saturating_sub(dealt) / self.world_size
    }

    fn batch(&self, epoch: u64, dealt: u64, k: u64) -> Batch {
        let mine = k * self.batch_size..self.share(dealt).min((k + 1) * self.batch_size);
        let items: Vec<u64> = mine.map(|n| dealt + n * self.world_size + self.rank).collect();
        let draw = |shape: i64, stream: u64| {
            let one = |item: &u64| parameter(&[shape], mix(mix(epoch, *item), stream));
            Tensor::stack(&items.iter().map(one).collect::<Vec<_>>(), 0)
        };
        let mut x = draw(4, 0);
        if self.poisoned.contains(&(epoch * self.batches_after(0) + k)) {
            x *= f64::NAN;
        }
        let names = items.iter().map(|item| format!("item {item}")).collect();
        Batch { x, target: draw(3, 1), names }
    }
}

impl Source for Data {
    type Batch = Batch;

    fn batches_after(&self, dealt: u64) -> u64 {
        self.share(dealt).div_ceil(self.batch_size)
    }

    fn epoch<'a>(
        &'a mut self,
        epoch: u64,
        dealt: u64,
        first: u64,
    ) -> Result<Batches<'a, Batch>, BoxError> {
        let batches = first..self.batches_after(dealt);
        Ok(Box::new(batches.map(move |k| Ok(self.batch(epoch, dealt, k)))))
    }
}

/// Three epochs of four batches, a checkpoint at the ends of epochs and of the run.
pub(crate) fn config() -> Config {
    Config {
        seed: 5,
        epochs: 3,
        batch_size: 2,
        lr: 0.05,
        checkpoint_every: 0,
        log_every: 1,
        preview_every: 2,
        validate_every: 0,
        ..Config::default()
    }
}

pub(crate) fn places(folder: &Path, max_steps: u64) -> Places {
    let configuration = toml::toml! {
        image_size = 4
        lr = 0.05
    };
    Places {
        run_dir: folder.join("run"),
        checkpoint_dir: folder.into(),
        max_steps: Some(max_steps),
        configuration,
        must_match: vec!["image_size".into()],
        fidelity: "corrected".into(),
        ..Places::default()
    }
}

/// Trains a new toy (with noise) alone up to `max_steps`.
pub(crate) fn train(folder: &Path, config: &Config, max_steps: u64) -> Result<Summary, Error> {
    let mut toy = Toy { noise: true, ..Toy::new(4) };
    train_toy(&mut toy, config, &places(folder, max_steps))
}

pub(crate) fn train_toy(toy: &mut Toy, config: &Config, places: &Places) -> Result<Summary, Error> {
    train_on(&mut Data::solo(4, config.batch_size as u64), toy, config, places)
}

pub(crate) fn train_on(
    data: &mut Data,
    toy: &mut Toy,
    config: &Config,
    places: &Places,
) -> Result<Summary, Error> {
    // The default generator is one for all threads of the process.
    static GENERATOR: Mutex<()> = Mutex::new(());
    let _alone = GENERATOR.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let requests = toy.requests.clone().until(toy.time.map(|time| Instant::now() + time));
    train::run(toy, data, config, &World::solo(), places, &requests)
}

pub(crate) fn checkpoint(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("checkpoints_TOY/step_{step:08}"))
}

/// Sizes and sums of all files that must not depend on an interruption.
pub(crate) fn state(folder: &Path, step: u64) -> BTreeMap<&'static str, (usize, u32)> {
    let folder = checkpoint(folder, step);
    let names = ["model.safetensors", "optimizer.safetensors", "rank_0000.safetensors"];
    let sum = |name| {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        (name, (bytes.len(), crc32c::crc32c(&bytes)))
    };
    names.into_iter().map(sum).collect()
}

/// The lines of `metrics.jsonl` without what depends on the clock and the machine.
pub(crate) fn metrics(folder: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("run/metrics.jsonl")).unwrap();
    let line = |line: &str| {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        let object = value.as_object_mut().unwrap();
        for key in ["step_seconds", "images_per_second", "peak_memory_mb"] {
            assert!(object.remove(key).unwrap().as_f64().unwrap() > 0.0, "{key}");
        }
        value
    };
    text.lines().map(line).collect()
}

//! Reads pose, light and expression from pictures: a small network, trained on other people's
//! originals.
//!
//! What a recogniser sees does not suffice: it is trained not to see expressions.

use std::path::Path;

use faces::{Planes, RgbImage};
use files::{Escape, Key};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use tch::nn::{self, ModuleT, OptimizerConfig};
use tch::{Device, Kind, Tensor};
use weights::Tensors;

use super::attributes::{self, COUNT};
use super::sample::Photo;

/// Raised when the same photos make another reader.
const VERSION: u32 = 1;
/// Side of what it sees of a crop.
const SIDE: i64 = 64;
/// Convolutions of 3 × 3: channels and stride; together they shrink its side by 16.
const LAYERS: [(i64, i64); 6] = [(24, 2), (36, 1), (48, 2), (72, 2), (96, 1), (96, 2)];
/// Numbers between convolutions and attributes.
const HIDDEN: i64 = 128;
/// Pictures of a step of training, and of a call otherwise.
const BATCH: usize = 64;
/// Of AdamW; the rate falls as a cosine.
const RATE: f64 = 2e-3;
const DECAY: f64 = 1e-2;
/// Standard deviation of the noise in training, so that what is painted need not be perfect.
const NOISE: f64 = 0.05;

/// What the code in a cache file's metadata is for, and its name there.
const PURPOSE: &str = "reader of attributes";
const CODE: &str = "code";

/// What the code in a cache file covers: which reader it is, and its numbers.
fn content(file: &Path, state: &Tensors) -> anyhow::Result<Vec<u8>> {
    let mut bytes = file.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
    for (name, tensor) in state {
        bytes.extend(format!("\0{name} {:?}\0", tensor.size()).into_bytes());
        let numbers = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_flatten(0, -1)?;
        bytes.extend(Vec::<f32>::try_from(numbers)?.into_iter().flat_map(f32::to_le_bytes));
    }
    Ok(bytes)
}

/// A trained reader.
pub(super) struct Reader {
    store: nn::VarStore,
    net: nn::SequentialT,
    /// Mean and spread of the attributes, [1, attributes].
    scale: [Tensor; 2],
}

impl Reader {
    /// The reader that was trained on the same photos before, or a new one, which is kept in the
    /// folder `cache`.
    ///
    /// # Errors
    ///
    /// As [`Reader::fit`].
    pub(super) fn load_or_fit(
        photos: &[Photo],
        side: u32,
        steps: usize,
        seed: u64,
        device: Device,
        cache: &Path,
    ) -> anyhow::Result<Reader> {
        let mut hash = Sha256::new();
        hash.update(format!("{VERSION} {side} {steps} {seed}"));
        for photo in photos {
            hash.update(serde_json::to_vec(&photo.label)?);
            let length = std::fs::metadata(&photo.path).map(|file| file.len()).unwrap_or(0);
            hash.update(length.to_le_bytes());
        }
        let name: String =
            hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let file = cache.join(format!("reader-{name}.safetensors"));
        if let Ok(reader) = Reader::load(&file, device) {
            tracing::info!("the reader of attributes from {}", file.escaped());
            return Ok(reader);
        }
        tracing::info!("a reader of attributes learns from {} photos", photos.len());
        let reader = Reader::fit(photos, side, steps, seed, device)?;
        if let Err(error) = reader.keep(&file) {
            // A read-only disk costs the next run some time.
            tracing::warn!("cannot keep the reader of attributes: {error}; going on without");
        }
        Ok(reader)
    }

    /// Writes it to the cache, with a code that shows who made it.
    fn keep(&self, file: &Path) -> anyhow::Result<()> {
        let state = self.state();
        let code = Key::of_user()?.sign(PURPOSE, &content(file, &state)?);
        files::Folder::create(file.parent().unwrap_or(Path::new("")))?;
        let metadata = [(CODE.to_owned(), code)].into();
        Ok(weights::write_safetensors_private(file, &state, &metadata)?)
    }

    /// Reads it from the cache, if this user made it: another one would read in the photos whatever
    /// its maker likes.
    fn load(file: &Path, device: Device) -> anyhow::Result<Reader> {
        let archive = weights::read(file)?;
        let code = archive.metadata.get(CODE).map_or("", String::as_str);
        let made = Key::of_user()?.verifies(PURPOSE, &content(file, &archive.tensors)?, code);
        anyhow::ensure!(made, "{} was made by somebody else", file.escaped());
        let (store, net) = untrained(device);
        let scale = [(); 2].map(|()| Tensor::zeros([1, COUNT as i64], (Kind::Float, device)));
        let reader = Reader { store, net, scale };
        weights::load_strict(&reader.state(), &archive.tensors, &file.escaped().to_string())?;
        Ok(reader)
    }

    fn state(&self) -> Tensors {
        let mut state: Tensors = self.store.variables().into_iter().collect();
        for (name, tensor) in ["mean", "spread"].into_iter().zip(&self.scale) {
            state.insert(name.to_owned(), tensor.shallow_clone());
        }
        state
    }

    /// Learns from labelled photos, read as `side` pixels.
    ///
    /// # Errors
    ///
    /// A photo that cannot be read or has no label; libtorch refuses.
    fn fit(
        photos: &[Photo],
        side: u32,
        steps: usize,
        seed: u64,
        device: Device,
    ) -> anyhow::Result<Reader> {
        let (mut pictures, mut values) = (Vec::new(), Vec::new());
        for photos in photos.chunks(BATCH) {
            let images: Vec<RgbImage> =
                photos.par_iter().map(|photo| photo.original(side)).collect::<Result<_, _>>()?;
            pictures.push(look(&images.iter().collect::<Vec<_>>())?);
            for photo in photos {
                let label = photo.label.as_deref();
                let label = label
                    .ok_or_else(|| anyhow::anyhow!("{} has no label", photo.path.display()))?;
                values.extend(attributes::of(&label.scene).map(|x| x as f32));
            }
        }
        let pictures = Tensor::f_cat(&pictures, 0)?.f_to_device(device)?;
        let values = Tensor::from_slice(&values).view([-1, COUNT as i64]).to_device(device);
        let (deviation, mean) = values.std_mean_dim(&[0i64][..], true, true);
        let mirrored = Tensor::from_slice(&attributes::MIRRORED).view([1, -1]).to_device(device);
        // With as many pictures in the mirror as others, what changes sign there has mean 0.
        let mean = mean * ((&mirrored + 1.0) / 2.0);
        let values = (values - &mean) / &deviation;
        tch::manual_seed(seed as i64);
        let (store, net) = untrained(device);
        let adam = nn::AdamW { wd: DECAY, ..Default::default() };
        let mut optimizer = adam.build(&store, RATE)?;
        let count = pictures.size()[0];
        for step in 0..steps {
            let along = step as f64 / steps as f64;
            optimizer.set_lr(RATE * 0.5 * (1.0 + (std::f64::consts::PI * along).cos()));
            let chosen = Tensor::randint(count, [BATCH as i64], (Kind::Int64, device));
            let x = pictures.index_select(0, &chosen).to_kind(Kind::Float) / 127.5 - 1.0;
            let x = &x + x.randn_like() * NOISE;
            let y = values.index_select(0, &chosen);
            // Half of them in the mirror.
            let half = BATCH as i64 / 2;
            let turned = |t: &Tensor, mirror: &dyn Fn(&Tensor) -> Tensor| {
                Tensor::cat(&[t.narrow(0, 0, half), mirror(&t.narrow(0, half, half))], 0)
            };
            let (x, y) = (turned(&x, &|x| x.flip([3])), turned(&y, &|y| y * &mirrored));
            let said = net.forward_t(&x, true);
            let loss = (said - y).square().mean(Kind::Float);
            optimizer.backward_step(&loss);
        }
        Ok(Reader { store, net, scale: [mean, deviation] })
    }

    /// The attributes of each picture.
    ///
    /// # Errors
    ///
    /// libtorch refuses.
    pub(super) fn read(&self, pictures: &[&RgbImage]) -> anyhow::Result<Vec<f64>> {
        let _guard = tch::no_grad_guard();
        let mut read = Vec::new();
        for pictures in pictures.chunks(BATCH) {
            let x = look(pictures)?.to_device(self.store.device()).to_kind(Kind::Float);
            let said = self.net.forward_t(&(x / 127.5 - 1.0), false);
            let said = said * &self.scale[1] + &self.scale[0];
            read.extend(Vec::<f64>::try_from(said.to_kind(Kind::Double).flatten(0, -1))?);
        }
        Ok(read)
    }
}

fn untrained(device: Device) -> (nn::VarStore, nn::SequentialT) {
    let store = nn::VarStore::new(device);
    let net = net(&store.root());
    (store, net)
}

fn net(p: &nn::Path) -> nn::SequentialT {
    let mut net = nn::seq_t();
    let mut from = 3;
    for (k, (to, stride)) in LAYERS.into_iter().enumerate() {
        let config = nn::ConvConfig { stride, padding: 1, bias: false, ..Default::default() };
        net = net
            .add(nn::conv2d(p / format!("conv{k}"), from, to, 3, config))
            .add(nn::batch_norm2d(p / format!("norm{k}"), to, Default::default()))
            .add_fn(Tensor::relu);
        from = to;
    }
    let side = SIDE / 16;
    net.add_fn(|x| x.flatten(1, -1))
        .add(nn::linear(p / "hidden", from * side * side, HIDDEN, Default::default()))
        .add(nn::batch_norm1d(p / "norm", HIDDEN, Default::default()))
        .add_fn(Tensor::relu)
        .add(nn::linear(p / "said", HIDDEN, COUNT as i64, Default::default()))
}

/// Pictures at the size that the reader sees, bytes, [B, 3, S, S].
fn look(pictures: &[&RgbImage]) -> anyhow::Result<Tensor> {
    let planes: Vec<Planes> = pictures.iter().map(|picture| Planes::from_image(picture)).collect();
    let x = faces::to_tensor(&planes, false)?;
    // The face alone, as recognisers see it.
    let size = x.size()[2];
    let (from, to) = (size * 37 / 512, size * 475 / 512);
    let x = x.slice(2, from, to, 1).slice(3, from, to, 1);
    // Averaged first where there is much to average, so that no pixel is passed over.
    let half = (to - from) / 2;
    let x = if half >= SIDE { x.adaptive_avg_pool2d([half, half]) } else { x };
    let x = x.upsample_bilinear2d([SIDE, SIDE], false, None::<f64>, None::<f64>);
    Ok(((x + 1.0) * 127.5).round().clamp(0.0, 255.0).to_kind(Kind::Uint8))
}

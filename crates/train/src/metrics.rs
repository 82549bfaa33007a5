//! `metrics.jsonl`: one line per step, written by rank 0.
//!
//! Losses stay on the device until the log is due. Then all ranks average what they
//! have gathered in one all-reduce and read it once.

use crate::append::Appender;
use crate::{Error, Losses, StepInfo};
use c10d::{ReduceOp, World};
use files::Folder;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::rc::Rc;
use tch::{Device, Kind, Tensor};

/// One line. A number that is not finite is written as `null`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Line {
    pub(crate) stage: &'static str,
    pub(crate) epoch: u64,
    pub(crate) batch: u64,
    pub(crate) step: u64,
    /// Terms before their weights, and totals; averaged over ranks.
    pub(crate) losses: BTreeMap<&'static str, f64>,
    pub(crate) lr: f64,
    /// Per group, before clipping.
    pub(crate) grad_norm: BTreeMap<&'static str, f64>,
    pub(crate) step_seconds: f64,
    /// Of all ranks together.
    pub(crate) images_per_second: f64,
    pub(crate) peak_memory_mb: f64,
    /// What a validation after the step found.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) validation: BTreeMap<&'static str, f64>,
    /// Batches of its epoch.
    #[serde(skip)]
    pub(crate) of_batches: u64,
    /// Names of what this rank learnt from in this step.
    #[serde(skip)]
    pub(crate) items: Rc<[String]>,
    /// Names of the terms among `losses`.
    #[serde(skip)]
    pub(crate) terms: Vec<&'static str>,
    /// Whether the step also goes to the dashboard.
    #[serde(skip)]
    pub(crate) log_due: bool,
    #[serde(skip)]
    pub(crate) wall_time: f64,
}

#[cfg(test)]
impl Line {
    /// A line with one total loss.
    pub(crate) fn for_test(step: u64, loss: &'static str, value: f64) -> Self {
        Self {
            stage: "toy",
            epoch: 0,
            batch: step,
            step,
            losses: [(loss, value)].into(),
            lr: 0.1,
            grad_norm: BTreeMap::new(),
            step_seconds: 1.0,
            images_per_second: 1.0,
            peak_memory_mb: 1.0,
            validation: BTreeMap::new(),
            of_batches: 1,
            items: Rc::new([]),
            terms: Vec::new(),
            log_due: true,
            wall_time: 0.0,
        }
    }
}

/// What is known on the host right after a step.
pub(crate) struct Timing {
    pub(crate) lr: f64,
    pub(crate) seconds: f64,
    pub(crate) images: usize,
    pub(crate) of_batches: u64,
}

/// Name of the file in a run's folder.
pub(crate) const FILE: &str = "metrics.jsonl";
/// Bytes of a line at most; no line of ours is longer.
const LONGEST: u64 = 1 << 20;

/// Steps gathered since the last flush, and the file.
pub(crate) struct Metrics {
    stage: &'static str,
    device: Device,
    pending: Vec<(Line, Vec<Tensor>)>,
    /// Rank 0 only.
    file: Option<Appender>,
}

impl Metrics {
    /// On rank 0 opens `metrics.jsonl` in the run's folder and drops this stage's lines from
    /// step `from` on, which the run is about to write again.
    pub(crate) fn open(
        run: &Folder,
        stage: &'static str,
        from: u64,
        world: &World,
        device: Device,
    ) -> Result<Self, Error> {
        let mut file = None;
        if world.is_main() {
            drop_lines(run, stage, from)?;
            file = Some(Appender::open(run, FILE, Vec::new())?);
        }
        Ok(Self { stage, device, pending: Vec::new(), file })
    }

    /// Takes in a step without reading any tensor.
    pub(crate) fn push(
        &mut self,
        info: &StepInfo,
        losses: Losses,
        norms: Vec<(&'static str, Tensor)>,
        timing: &Timing,
        items: Rc<[String]>,
    ) {
        let mut line = Line {
            stage: self.stage,
            epoch: info.epoch,
            batch: info.batch,
            step: info.step,
            losses: BTreeMap::new(),
            lr: timing.lr,
            grad_norm: BTreeMap::new(),
            step_seconds: timing.seconds,
            images_per_second: timing.images as f64 / timing.seconds.max(1e-9),
            peak_memory_mb: peak_memory_mb(self.device),
            validation: BTreeMap::new(),
            of_batches: timing.of_batches,
            items,
            terms: losses.terms.iter().map(|term| term.name).collect(),
            log_due: info.log_due,
            wall_time: now(),
        };
        let mut values = Vec::new();
        let terms = losses.terms.into_iter().map(|term| (term.name, term.value));
        for (name, value) in terms.chain(losses.totals) {
            // The number follows at the flush, in the same order.
            if line.losses.insert(name, f64::NAN).is_none() {
                values.push((false, name, value));
            }
        }
        for (name, value) in norms {
            line.grad_norm.insert(name, f64::NAN);
            values.push((true, name, value));
        }
        // The maps are sorted by name; bring the values into that order.
        values.sort_by_key(|(norm, name, _)| (*norm, *name));
        self.pending.push((line, values.into_iter().map(|(_, _, value)| value).collect()));
    }

    /// Adds what a validation found to the last step's line.
    pub(crate) fn validated(&mut self, found: &BTreeMap<&'static str, f64>) {
        if let Some((line, _)) = self.pending.last_mut() {
            line.validation.clone_from(found);
        }
    }

    /// Averages, reads and writes all that is pending; called by all ranks together.
    /// Returns the lines for the dashboard.
    pub(crate) fn flush(&mut self, world: &World) -> Result<Vec<Line>, Error> {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(Vec::new());
        }
        let flat = |value: &Tensor| -> Result<Tensor, Error> {
            Ok(value.detach().f_to_device(self.device)?.f_to_kind(Kind::Double)?.f_reshape([1])?)
        };
        let values: Vec<Tensor> =
            pending.iter().flat_map(|(_, values)| values).map(flat).collect::<Result<_, _>>()?;
        let mut numbers: Vec<f64> = Vec::new();
        if !values.is_empty() {
            let mut all = Tensor::f_cat(&values, 0)?;
            if world.size() > 1 {
                world.all_reduce(&all, ReduceOp::Sum)?;
                all = all.f_div_scalar(world.size() as f64)?;
            }
            numbers = Vec::try_from(&all.f_to_device(Device::Cpu)?)?;
        }

        let mut numbers = numbers.into_iter();
        let mut lines = Vec::with_capacity(pending.len());
        for (mut line, _) in pending {
            for (place, number) in
                line.losses.values_mut().chain(line.grad_norm.values_mut()).zip(&mut numbers)
            {
                *place = number;
            }
            lines.push(line);
        }
        if let Some(file) = &mut self.file {
            for line in &lines {
                let text = serde_json::to_string(line).map_err(std::io::Error::other);
                let text = text.map_err(Error::file("put together", "a line of metrics"))?;
                file.push(format!("{text}\n").into_bytes());
            }
            file.flush();
        }
        Ok(lines)
    }

    /// Makes what has been flushed survive a power cut.
    pub(crate) fn sync(&mut self) {
        if let Some(file) = &mut self.file {
            file.sync();
        }
    }

    /// Lines that did not reach the file, after a last try.
    pub(crate) fn finish(&mut self) -> u64 {
        self.file.as_mut().map_or(0, Appender::finish)
    }
}

/// Rewrites a metrics file without the lines of `stage` from step `from` on, and
/// without lines that a crash has cut short.
fn drop_lines(run: &Folder, stage: &str, from: u64) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Key {
        stage: String,
        step: u64,
    }
    let path = run.path().join(FILE);
    let mut old = match run.open(FILE) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::file("read", path)(error)),
    };
    let write = |error| Error::file("write", &path)(error);
    let mut replacement = run.replace(FILE).map_err(write)?;
    let mut new = BufWriter::new(replacement.file());
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = old.by_ref().take(LONGEST).read_until(b'\n', &mut line);
        let read = read.map_err(Error::file("read", &path))? as u64;
        if read == 0 {
            break;
        }
        if read == LONGEST {
            let why = "it has a line of more than 1 MiB, none of ours: move it away";
            return Err(Error::file("read", &path)(std::io::Error::other(why)));
        }
        let whole = line.strip_suffix(b"\n").unwrap_or(&line);
        let stays = serde_json::from_slice::<Key>(whole)
            .is_ok_and(|key| key.stage != stage || key.step < from);
        if stays {
            new.write_all(whole).and_then(|()| new.write_all(b"\n")).map_err(write)?;
        }
    }
    new.flush().map_err(write)?;
    drop(new);
    replacement.commit().map_err(write)
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0.0, |duration| duration.as_secs_f64())
}

/// Largest memory so far, in MB (10⁶ bytes): what libtorch allocated on a CUDA device,
/// the resident size of the process on the CPU; 0 where the system does not tell.
pub fn peak_memory_mb(device: Device) -> f64 {
    if let Device::Cuda(_) = device {
        return c10d::torch::cuda_memory(device)
            .map_or(0.0, |memory| memory.max_allocated as f64 / 1e6);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map_or(0.0, |kib| kib * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Term;
    use std::fs;

    fn step(step: u64) -> StepInfo {
        StepInfo {
            epoch: 0,
            batch: step,
            step,
            total: 9,
            seed: 0,
            log_due: true,
            preview_due: false,
        }
    }

    #[test]
    fn lines_carry_the_right_numbers_and_later_ones_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, "{\"stage\":\"fse\",\"step\":9}\n{\"stage\":\"irc\",\"step\":2}\n{\"sta")
            .unwrap();
        let (world, run) = (World::solo(), Folder::at(folder.path()));
        let open = |from| Metrics::open(&run, "irc", from, &world, Device::Cpu).unwrap();
        let mut metrics = open(2);
        for i in 2..5 {
            let value = |x: f64| Tensor::from(x + i as f64);
            let losses = Losses {
                terms: vec![Term { name: "pos", weight: 2.0, value: value(0.5) }],
                totals: vec![("G_loss", value(100.0)), ("D_loss", value(200.0))],
            };
            let norms = vec![("g", value(0.25)), ("d", value(0.125))];
            let timing = Timing { lr: 0.1, seconds: 0.5, images: 4, of_batches: 9 };
            metrics.push(&step(i), losses, norms, &timing, Rc::new([]));
        }
        assert_eq!(metrics.flush(&world).unwrap().len(), 3);
        drop(open(4));
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!((&lines[0]["stage"], &lines[1]["step"]), (&"fse".into(), &2.into()));
        let last = &lines[2];
        assert_eq!(last["step"], 3);
        let losses = serde_json::json!({"D_loss": 203.0, "G_loss": 103.0, "pos": 3.5});
        assert_eq!(last["losses"], losses);
        assert_eq!(last["grad_norm"], serde_json::json!({"d": 3.125, "g": 3.25}));
        assert_eq!(last["images_per_second"], 8.0);
        assert!(last["peak_memory_mb"].as_f64().unwrap() > 1.0);
    }
}

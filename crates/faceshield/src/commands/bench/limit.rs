//! The arithmetic of a step alone: what its convolutions and matrix products cost when nothing
//! else is done.
//!
//! A profiled step tells which there were, forward and backward, with their shapes; each
//! different one is then run by itself, also under the profiler. What a checkpointed segment
//! computes a second time is not counted: it could be avoided.
//!
//! On a CPU an operation takes as long as its call. On CUDA a call returns when its kernels are
//! queued: there an operation takes as long as the kernels that were launched within it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::Context;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

/// Times each operation is run by itself; the shortest counts.
const REPEATS: usize = 3;

/// An operation and its shapes, strides left aside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Operation {
    name: String,
    /// Whether it computes in bfloat16.
    lowered: bool,
    /// Sizes of the tensors among its arguments.
    sizes: Vec<Vec<i64>>,
    /// Its other arguments, as the profiler writes them.
    rest: Vec<String>,
}

/// How often each operation is in a trace, and its shortest time there in seconds.
type Operations = BTreeMap<Operation, (usize, f64)>;

/// Seconds that the convolutions and matrix products of the step in `trace` take alone.
///
/// # Errors
///
/// A trace that cannot be read or written.
pub(super) fn seconds(trace: &Path, scratch: &Path, device: Device) -> anyhow::Result<f64> {
    let step = operations(trace)?;
    let profile = c10d::torch::Profile::start()?;
    for operation in step.keys() {
        for _ in 0..REPEATS {
            operation.run(device)?;
        }
    }
    profile.save(scratch)?;
    let alone = operations(scratch)?;
    let cost = |(operation, (count, _)): (&Operation, &(usize, f64))| {
        let (_, shortest) = alone
            .get(operation)
            .with_context(|| format!("{operation:?} of the step was not run by itself"))?;
        Ok(*count as f64 * shortest)
    };
    step.iter().map(cost).sum()
}

fn operations(trace: &Path) -> anyhow::Result<Operations> {
    let text = std::fs::read(trace).with_context(|| trace.display().to_string())?;
    let trace: Value = serde_json::from_slice(&text).context("the profile is no JSON")?;
    let events = trace["traceEvents"].as_array().context("the profile has no events")?;
    let mut spans: Vec<Event> = events.iter().filter_map(Event::read).collect();
    let kernels: HashMap<i64, f64> = spans.iter().filter_map(Event::kernel).collect();
    spans.retain(|span| span.kernel().is_none());
    spans.sort_by(|a, b| {
        a.thread.cmp(&b.thread).then(a.start.total_cmp(&b.start)).then(b.end.total_cmp(&a.end))
    });
    let mut found = Operations::new();
    let mut rest = spans.as_slice();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let operation = first.operation();
        if operation.is_none() && first.name != "recompute" {
            continue;
        }
        // Whatever lies within an operation is part of it.
        let inner = |span: &&Event| span.thread == first.thread && span.start < first.end;
        let length = rest.iter().take_while(inner).count();
        let (within, after) = rest.split_at(length);
        rest = after;
        let Some(operation) = operation else { continue };
        let microseconds = if kernels.is_empty() {
            first.end - first.start
        } else {
            within.iter().filter_map(|span| kernels.get(&span.correlation()?)).sum()
        };
        let (count, shortest) = found.entry(operation).or_insert((0, f64::MAX));
        *count += 1;
        *shortest = shortest.min(microseconds / 1e6);
    }
    Ok(found)
}

/// A span of a trace; times in microseconds.
struct Event<'a> {
    thread: i64,
    start: f64,
    end: f64,
    name: &'a str,
    category: &'a str,
    arguments: &'a Value,
}

impl<'a> Event<'a> {
    fn read(event: &'a Value) -> Option<Self> {
        let start = event["ts"].as_f64()?;
        Some(Event {
            // Streams may be named; what runs there belongs to no thread.
            thread: event["tid"].as_i64().unwrap_or(-1),
            start,
            end: start + event["dur"].as_f64()?,
            name: event["name"].as_str()?,
            category: event["cat"].as_str().unwrap_or_default(),
            arguments: &event["args"],
        })
    }

    /// What a kernel and the call that launched it have in common.
    fn correlation(&self) -> Option<i64> {
        self.arguments["correlation"].as_i64()
    }

    /// If it is the work of a GPU: the launch that it belongs to, and its microseconds.
    fn kernel(&self) -> Option<(i64, f64)> {
        let gpu = matches!(self.category, "kernel" | "gpu_memcpy" | "gpu_memset");
        Some((self.correlation().filter(|_| gpu)?, self.end - self.start))
    }

    /// If it is a convolution, a matrix product, or the backward pass of a convolution.
    fn operation(&self) -> Option<Operation> {
        let tensors = match self.name {
            "aten::convolution" | "aten::convolution_backward" => 3,
            "aten::mm" | "aten::bmm" => 2,
            "aten::addmm" | "aten::addmm_" | "aten::baddbmm" => 3,
            _ => return None,
        };
        let sizes = self.arguments["Input Dims"].as_array()?.iter().take(tensors);
        let numbers =
            |size: &Value| size.as_array()?.iter().map(Value::as_i64).collect::<Option<Vec<_>>>();
        let rest = self.arguments["Concrete Inputs"].as_array()?.iter().skip(tensors);
        Some(Operation {
            name: self.name.to_owned(),
            lowered: self.arguments["Input type"][0] == "c10::BFloat16",
            sizes: sizes.map(numbers).collect::<Option<_>>()?,
            // A bias that is not there has size 0 or none at all.
            rest: rest
                .map(|value| {
                    value.as_str().filter(|text| *text != "[0]").unwrap_or_default().into()
                })
                .collect(),
        })
    }
}

impl Operation {
    /// Runs it once, on random numbers.
    fn run(&self, device: Device) -> anyhow::Result<()> {
        let kind = if self.lowered { Kind::BFloat16 } else { Kind::Float };
        let random = |size: &Vec<i64>| Tensor::f_rand(size, (kind, device));
        let t = self.sizes.iter().map(random).collect::<Result<Vec<_>, _>>()?;
        match self.name.as_str() {
            "aten::mm" => drop(t[0].f_mm(&t[1])?),
            "aten::bmm" => drop(t[0].f_bmm(&t[1])?),
            "aten::addmm" => drop(t[0].f_addmm(&t[1], &t[2])?),
            "aten::addmm_" => {
                let mut sum = t[0].shallow_clone();
                let _sum = sum.f_addmm_(&t[1], &t[2])?;
            }
            "aten::baddbmm" => drop(t[0].f_baddbmm(&t[1], &t[2], 1.0, 1.0)?),
            "aten::convolution" => {
                let bias = (!self.sizes[2].is_empty()).then_some(&t[2]);
                drop(self.convolve(&t[0], &t[1], bias, &self.rest)?);
            }
            "aten::convolution_backward" => {
                // Arguments: gradient, input, weight | sizes of the bias, stride, …, mask.
                let mask = self.rest.last().map_or("", String::as_str);
                let wanted: Vec<bool> = mask.split(',').map(|flag| flag.contains("True")).collect();
                let bias = match list(&self.rest[0]).as_slice() {
                    [] => None,
                    size => Some(Tensor::f_rand(size, (kind, device))?),
                };
                let inputs = [Some(&t[1]), Some(&t[2]), bias.as_ref()];
                let mut leaves = Vec::new();
                for (input, wanted) in inputs.into_iter().zip(wanted) {
                    if let (Some(input), true) = (input, wanted) {
                        leaves.push(input.set_requires_grad(true));
                    }
                }
                let y = self.convolve(&t[1], &t[2], bias.as_ref(), &self.rest[1..])?;
                // The product's own cost is no part of what is read from the profile.
                let along = (y * &t[0]).sum(Kind::Float);
                Tensor::f_run_backward(&[along], &leaves, false, false)?;
            }
            other => anyhow::bail!("cannot run {other} by itself"),
        }
        Ok(())
    }

    /// `rest`: stride, padding, dilation, whether transposed, output padding, groups.
    fn convolve(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        rest: &[String],
    ) -> anyhow::Result<Tensor> {
        let text = |k: usize| rest.get(k).map_or("", String::as_str);
        let groups = text(5).parse().with_context(|| format!("{self:?}"))?;
        Ok(x.f_convolution(
            weight,
            bias,
            list(text(0)),
            list(text(1)),
            list(text(2)),
            text(3) == "True",
            list(text(4)),
            groups,
        )?)
    }
}

/// `[1, 2]` as numbers.
fn list(text: &str) -> Vec<i64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

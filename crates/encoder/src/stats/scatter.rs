use c10d::{ReduceOp, World};
use tch::{Device, Kind, Tensor};

use super::discriminants::{Discriminants, grid, pool, solve};
use crate::config::SEPARATION_LAYERS;
use crate::{Error, ModelConfig};

/// Images whose products are taken at once; also the most photos of a person that count as
/// one person's.
const BLOCK: usize = 256;

/// Gathers what linear discriminants are made of, in float64: per feature the scatter of all
/// photos and the means of all people. Counted are people with two photos or more.
///
/// Rows carry a 1 behind their elements, so one matrix holds products, sums and count.
#[derive(Debug)]
pub(super) struct Scatter {
    /// How many discriminants are wanted.
    asked: i64,
    /// Features 1…9.
    layers: Vec<Layer>,
    /// Whose the rows are that have not been summed yet.
    waiting: Vec<usize>,
    /// People summed.
    people: i64,
}

#[derive(Debug)]
struct Layer {
    channels: i64,
    grid: i64,
    /// Not summed yet: [B, d + 1] each.
    rows: Vec<Tensor>,
    /// Σ x xᵀ over photos.
    total: Tensor,
    /// R with RᵀR = Σ n m mᵀ over people of n photos and mean m: at first a row √n m each.
    means: Tensor,
}

impl Scatter {
    pub(super) fn new(config: &ModelConfig, asked: i64, device: Device) -> Self {
        let shapes = config.feature_shapes();
        let layer = |&(channels, side): &(i64, i64)| {
            let grid = grid(channels, side);
            let (width, options) = (channels * grid * grid + 1, (Kind::Double, device));
            let zeros = |rows| Tensor::zeros([rows, width], options);
            Layer { channels, grid, rows: Vec::new(), total: zeros(width), means: zeros(0) }
        };
        let layers = shapes[1..SEPARATION_LAYERS].iter().map(layer).collect();
        Scatter { asked, layers, waiting: Vec::new(), people: 0 }
    }

    /// Adds the features 0… of images of these people. A person's images follow one another.
    pub(super) fn add(&mut self, features: &[Tensor], people: &[usize]) {
        for (layer, feature) in self.layers.iter_mut().zip(&features[1..]) {
            let x = pool(feature, layer.grid).flatten(1, -1).to_kind(Kind::Double);
            let one = x.narrow(1, 0, 1).ones_like();
            layer.rows.push(Tensor::cat(&[x, one], 1));
        }
        self.waiting.extend(people);
        if self.waiting.len() >= BLOCK {
            self.sum(false);
        }
    }

    /// Adds what another one has seen.
    pub(super) fn merge(&mut self, other: &Scatter) {
        self.sum(true);
        for (layer, theirs) in self.layers.iter_mut().zip(&other.layers) {
            layer.total += &theirs.total;
            layer.join(&theirs.means);
            layer.rows.extend(theirs.rows.iter().map(Tensor::shallow_clone));
        }
        self.waiting.extend(&other.waiting);
        self.people += other.people;
    }

    /// Sums the rows that wait; those of the last person, who may have more, only if `all`.
    fn sum(&mut self, all: bool) {
        let mut runs = Vec::new();
        let mut end = 0;
        for run in self.waiting.chunk_by(|a, b| a == b) {
            runs.push((end, run.len()));
            end += run.len();
        }
        if !all && runs.len() > 1 {
            end -= runs.pop().map_or(0, |(_, photos)| photos);
        }
        runs.retain(|&(_, photos)| photos > 1);
        self.waiting.drain(..end);
        self.people += runs.len() as i64;
        let chosen: Vec<i64> =
            runs.iter().flat_map(|&(at, photos)| (at..at + photos).map(|row| row as i64)).collect();
        for layer in &mut self.layers {
            let Some(rows) = joined(&layer.rows) else { continue };
            let end = end as i64;
            // Its own memory, or the whole block would stay.
            layer.rows = vec![rows.narrow(0, end, rows.size()[0] - end).copy()];
            if runs.is_empty() {
                continue;
            }
            let chosen = Tensor::from_slice(&chosen).to_device(rows.device());
            let block = rows.index_select(0, &chosen);
            let _ = layer.total.addmm_(&block.tr(), &block);
            let photos = runs.iter().map(|&(_, photos)| photos as i64).collect::<Vec<_>>();
            let means: Vec<Tensor> = block
                .split_with_sizes(&photos[..], 0)
                .iter()
                .zip(&photos)
                .map(|(own, &n)| own.sum_dim_intlist(&[0i64][..], false, None) / (n as f64).sqrt())
                .collect();
            layer.join(&Tensor::stack(&means, 0));
        }
    }

    /// The discriminants of all that the ranks' ones have seen, on every rank: the main rank
    /// solves, the others are told. None where no two photos of a person differ.
    ///
    /// # Errors
    /// A lost rank; numbers that are not finite.
    pub(super) fn solve(mut self, world: &World) -> Result<Vec<Discriminants>, Error> {
        let _guard = tch::no_grad_guard();
        self.sum(true);
        let people = world.sum_scalar(self.people as f64)? as i64;
        let mut found = Vec::new();
        for layer in self.layers.drain(..) {
            let width = layer.total.size()[1] - 1;
            let count = self.asked.min(people - 1).min(width - 1);
            if count < 1 {
                return Ok(Vec::new());
            }
            let (channels, grid) = (layer.channels, layer.grid);
            let [within, between] = layer.gathered(world)?.scatter();
            if within.trace().double_value(&[]) <= 0.0 {
                return Ok(Vec::new());
            }
            let device = within.device();
            let zeros = || Tensor::zeros([count, width], (Kind::Double, Device::Cpu));
            let solved = match world.is_main() {
                // Small, and on the CPU the same numbers for every device.
                true => {
                    let [within, between] = [within, between].map(|t| t.to_device(Device::Cpu));
                    solve(&within, &between, count)?
                }
                false => [zeros(), zeros()],
            };
            let [filters, patterns] = solved.map(|t| t.to_kind(Kind::Float).to_device(device));
            world.broadcast(&filters, 0)?;
            world.broadcast(&patterns, 0)?;
            let shape = [count, channels, grid, grid];
            found.push(Discriminants::new(filters.view(shape), patterns.view(shape)));
        }
        Ok(found)
    }
}

impl Layer {
    /// Adds rows of means. Only their products count: where there are many more rows than
    /// elements, the triangular factor takes their place.
    fn join(&mut self, means: &Tensor) {
        self.means = Tensor::cat(&[&self.means, means], 0);
        let width = self.means.size()[1];
        if 2 * self.means.size()[0] > 3 * width {
            (_, self.means) = Tensor::linalg_qr(&self.means, "r");
        }
    }

    /// The sum over all ranks, on every rank.
    fn gathered(mut self, world: &World) -> Result<Layer, Error> {
        world.all_reduce(&self.total, ReduceOp::Sum)?;
        // As many rows everywhere; zeros add nothing.
        let rows = self.means.size()[0];
        let most = world.reduce_scalar(rows as f64, ReduceOp::Max)? as i64;
        let own = self.means.constant_pad_nd([0, 0, 0, most - rows]);
        let all = world.all_gather(&own)?;
        self.means = self.means.narrow(0, 0, 0);
        all.iter().for_each(|means| self.join(means));
        Ok(self)
    }

    /// S_w [d, d], and rows whose products sum to S_b [p, d].
    fn scatter(&self) -> [Tensor; 2] {
        let width = self.total.size()[1] - 1;
        let photos = self.total.get(width).get(width);
        let mean = self.total.get(width).narrow(0, 0, width) / &photos;
        let within = (&self.total - self.means.tr().matmul(&self.means)) / &photos;
        let centred =
            self.means.narrow(1, 0, width) - self.means.narrow(1, width, 1) * mean.unsqueeze(0);
        [within.narrow(0, 0, width).narrow(1, 0, width), centred / photos.sqrt()]
    }
}

/// The rows as one tensor, if there are any.
fn joined(rows: &[Tensor]) -> Option<Tensor> {
    (!rows.is_empty()).then(|| Tensor::cat(rows, 0))
}

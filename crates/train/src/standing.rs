//! Where a run stands between two steps, beside its tensors.

use crate::Error;
use crate::position::Position;
use tch::{Device, Kind, Tensor};

const CPU_GENERATOR: &str = "generator.cpu";
const CUDA_GENERATOR: &str = "generator.cuda";

/// What a checkpoint at a step boundary holds of this rank alone: where in the data it stands,
/// and its random generators.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) position: Position,
    generators: weights::Tensors,
}

impl Standing {
    /// As it is now. Waits for no device: generators are kept on the host.
    pub(crate) fn now(position: Position, device: Device) -> Result<Self, Error> {
        let mut generators = weights::Tensors::new();
        generators.insert(CPU_GENERATOR.into(), c10d::torch::rng_state(Device::Cpu)?);
        if device.is_cuda() {
            generators.insert(CUDA_GENERATOR.into(), c10d::torch::rng_state(device)?);
        }
        Ok(Self { position, generators })
    }

    /// For a checkpoint.
    pub(crate) fn state(&self) -> Result<weights::Tensors, Error> {
        let Position { step, epoch, batch, dealt } = self.position;
        let numbers = [step, epoch, batch, dealt].map(|x| x as i64);
        let numbers = Tensor::f_from_slice(&numbers)?.f_to_kind(Kind::Int64)?;
        let mut state: weights::Tensors = self
            .generators
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
            .collect();
        state.insert("sampler.step_epoch_batch_dealt".into(), numbers);
        Ok(state)
    }

    /// Puts the generators back to where they were.
    pub(crate) fn restore_generators(
        state: &weights::Tensors,
        device: Device,
    ) -> Result<(), Error> {
        if let Some(state) = state.get(CPU_GENERATOR) {
            c10d::torch::set_rng_state(Device::Cpu, state)?;
        }
        if let (true, Some(state)) = (device.is_cuda(), state.get(CUDA_GENERATOR)) {
            c10d::torch::set_rng_state(device, state)?;
        }
        Ok(())
    }
}

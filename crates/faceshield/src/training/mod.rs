//! From options to a training run: ranks, data, encoder, statistics, stages.

pub(crate) mod data;
pub(crate) mod recogniser;
mod setting;
pub(crate) mod stages;
pub(crate) mod statistics;
mod statistics_cache;

pub(crate) use setting::Setting;

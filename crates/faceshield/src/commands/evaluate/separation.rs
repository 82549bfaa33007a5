//! placeholder
use serde::Serialize;
#[derive(Debug, Serialize)]
pub(super) struct Separation {}

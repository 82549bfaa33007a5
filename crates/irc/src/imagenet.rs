//! ImageNet weights for the Xception behind the implicit identity discriminator.
use std::path::Path;

use tch::nn;
use weights::Tensors;

use crate::Error;

/// Where the backbone's names start in the store.
const PREFIX: &str = "iid_discriminator.backbone.";
/// What ImageNet's Xception does not have: it keeps its random start.
const OWN: &str = "adjust_channel.";

/// Copies the file's weights into the backbone, strictly: `fc` is dropped, the
/// 1×1 `pointwise` weights get the two dimensions the file leaves out.
pub(crate) fn load(store: &nn::VarStore, file: &Path) -> Result<(), Error> {
    let source: Tensors = weights::read(file)?
        .tensors
        .into_iter()
        .filter(|(name, _)| !name.starts_with("fc."))
        .map(|(name, tensor)| {
            let flat = name.ends_with("pointwise.weight") && tensor.dim() == 2;
            let tensor = if flat { tensor.unsqueeze(-1).unsqueeze(-1) } else { tensor };
            (name, tensor)
        })
        .collect();
    let destination: Tensors = store
        .variables()
        .into_iter()
        .filter_map(|(name, tensor)| {
            let name = name.strip_prefix(PREFIX)?;
            (!name.starts_with(OWN)).then(|| (name.to_string(), tensor))
        })
        .collect();
    weights::load_strict(&destination, &source, &file.display().to_string())?;
    Ok(())
}

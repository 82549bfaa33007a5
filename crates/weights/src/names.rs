//! The names tensors are kept under.

use std::collections::HashSet;

use crate::error::{Fault, printable};

/// Collects flattened names, refusing doubles, and strips `module.`, which
/// (Distributed)DataParallel puts before the names of the model it wraps.
#[derive(Default)]
pub(crate) struct Names {
    seen: HashSet<String>,
}

impl Names {
    /// The name to keep `raw` under.
    pub(crate) fn claim(&mut self, raw: &str) -> Result<String, Fault> {
        let name = strip_module(raw);
        if !self.seen.insert(name.clone()) {
            return Err(Fault::corrupt(format!(
                "the name {} appears twice (names are flattened with '.' and lose `module.`)",
                printable(&name)
            )));
        }
        Ok(name)
    }
}

/// Removes every leading or inner `module` of a dotted name; a last one stays.
fn strip_module(raw: &str) -> String {
    let last = raw.rfind('.').map_or(0, |dot| dot + 1);
    let (path, leaf) = raw.split_at(last);
    let mut name = String::with_capacity(raw.len());
    for part in path.split_inclusive('.').filter(|part| *part != "module.") {
        name.push_str(part);
    }
    name.push_str(leaf);
    name
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn module_prefixes_are_stripped_at_every_level() {
        for (raw, want) in [
            ("module.conv.weight", "conv.weight"),
            ("state_dict.module.conv.weight", "state_dict.conv.weight"),
            ("module.module.w", "w"),
            ("submodule.w", "submodule.w"),
            ("module", "module"),
        ] {
            assert_eq!(strip_module(raw), want);
        }
        let mut names = Names::default();
        names.claim("module.w").unwrap();
        names.claim("w").unwrap_err();
    }
}

//! The detector's weights, out of the package that carries them.

use std::path::{Path, PathBuf};

use faces::packages::{self, Archive, File, Kind, Package};

use crate::Error;

/// Name, bytes and SHA-256 of the files, MIT-licensed as the package is.
const FILES: [(&str, u64, &str); 3] = [
    ("pnet.pt", 28_570, "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f"),
    ("rnet.pt", 403_147, "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86"),
    ("onet.pt", 1_559_269, "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"),
];

/// The folder below `cache` with the weights of MTCNN as the Python package facenet-pytorch
/// 2.6.0 carries them. What is missing there, or is not what it was, is fetched with pip (2 MB)
/// and checked by SHA-256; `say` is told so.
///
/// # Errors
/// [`Error::Fetch`]: no pip, no network, another content, a full disk.
pub fn fetch_weights(cache: &Path, say: &dyn Fn(&str)) -> Result<PathBuf, Error> {
    packages::fetch(&package(), &folder(cache), say)?;
    Ok(folder(cache))
}

/// Whether the weights are below `cache`, so that [`fetch_weights`] needs no network.
pub fn has_weights(cache: &Path) -> bool {
    packages::is_fetched(&package(), &folder(cache))
}

fn folder(cache: &Path) -> PathBuf {
    cache.join("facenet-pytorch-2.6.0")
}

fn package() -> Package {
    let file = |&(name, bytes, sha256): &(&str, u64, &str)| File {
        path: format!("facenet_pytorch/data/{name}"),
        bytes,
        sha256: sha256.into(),
    };
    Package {
        name: "facenet-pytorch".into(),
        version: "2.6.0".into(),
        kind: Kind::Wheel,
        archive: Archive {
            file: "facenet_pytorch-2.6.0-py3-none-any.whl".into(),
            bytes: 1_881_930,
            sha256: "ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca".into(),
        },
        files: FILES.iter().map(file).collect(),
    }
}

//! From a description to tensors.

use files::Escape;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use tch::{Device, Kind, Tensor};

use crate::Tensors;
use crate::contents::{Contents, Format, Scalar, Storage};
use crate::dtype::Dtype;
use crate::error::{Error, Fault, printable};

/// Bytes read at once; all that is needed beside the tensors themselves, twice.
const CHUNK: usize = 1 << 20;

/// Bytes of a weights file that is read, at most: many times those of any of this project's
/// models, and few enough for a file of holes not to fill the memory of a large machine.
pub const LONGEST: u64 = 8 << 30;

/// A weights file in memory.
#[derive(Debug)]
pub struct Archive {
    /// The file's format.
    pub format: Format,
    /// Tensors on the CPU by flattened name. Tensors that share a storage in the file
    /// share it here.
    pub tensors: Tensors,
    /// The text table of a safetensors file.
    pub metadata: BTreeMap<String, String>,
    /// What is not a tensor (epoch, learning rate …), by flattened name.
    pub other: BTreeMap<String, Scalar>,
}

/// One tensor of an [`Archive`], summed up.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Flattened name.
    pub name: String,
    /// PyTorch's name of the element type, such as `float32`.
    pub dtype: &'static str,
    /// Size of each dimension.
    pub shape: Vec<i64>,
    /// Number of elements.
    pub elements: u64,
    /// Bytes of the elements.
    pub bytes: u64,
    /// Sum of all elements in double precision; of real and imaginary parts together
    /// where elements are complex.
    pub sum: f64,
}

impl Archive {
    /// Name, type, shape and sum of every tensor, by name.
    ///
    /// # Errors
    /// [`Error::Libtorch`] if a tensor cannot be summed.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry, Error>> + '_ {
        self.tensors.iter().map(|(name, tensor)| {
            let failed = |e| Error::libtorch(format!("summing {}", printable(name)), e);
            let kind = tensor.f_kind().map_err(failed)?;
            let elements = tensor.numel() as u64;
            let dtype = Dtype::from_kind(kind);
            Ok(Entry {
                name: name.clone(),
                dtype: dtype.map_or("quantised", Dtype::name),
                shape: tensor.size(),
                elements,
                bytes: elements * dtype.map_or(1, Dtype::size),
                sum: sum(tensor, kind).map_err(failed)?,
            })
        })
    }
}

fn sum(tensor: &Tensor, kind: Kind) -> Result<f64, tch::TchError> {
    let real = match kind {
        Kind::ComplexHalf => tensor.f_to_kind(Kind::ComplexFloat)?.f_view_as_real()?,
        Kind::ComplexFloat | Kind::ComplexDouble => tensor.f_view_as_real()?,
        Kind::Float8e4m3fn | Kind::Float8e5m2 | Kind::Float8e4m3fnuz | Kind::Float8e5m2fnuz => {
            tensor.f_to_kind(Kind::Float)?
        }
        _ => tensor.shallow_clone(),
    };
    real.f_sum(Kind::Double)?.f_double_value(&[])
}

/// Reads a weights file that the user names: links are followed. The format is told from
/// the content: safetensors, zip `.pth` or old `.pth`. Names are flattened with `.`;
/// `module.` is removed from them. No code in the file is executed, whatever it says.
///
/// # Errors
/// [`Error::Open`] if there is no such file, it is not a regular one or longer than
/// [`LONGEST`]; [`Error::File`] with the [`Fault`] if it is not a complete and consistent
/// weights file.
pub fn read(path: &Path) -> Result<Archive, Error> {
    let file = files::input::open(path);
    read_open(file.map_err(|source| Error::Open { path: path.to_path_buf(), source })?, path)
}

/// As [`read`], from a file that is open; `path` names it in errors.
///
/// # Errors
/// As [`read`].
pub fn read_open(mut file: File, path: &Path) -> Result<Archive, Error> {
    let unreadable = |source| Error::Open { path: path.to_path_buf(), source };
    let length = file.metadata().map_err(unreadable)?.len();
    if length > LONGEST {
        let why = format!("it has {length} bytes, and at most {LONGEST} are read");
        return Err(unreadable(std::io::Error::other(why)));
    }
    let contents = Contents::parse(&file).map_err(|fault| Error::file(path, fault))?;
    let tensors = build(path, &mut file, &contents)?;
    let Contents { format, metadata, other, .. } = contents;
    Ok(Archive { format, tensors, metadata, other })
}

fn build(path: &Path, file: &mut File, contents: &Contents) -> Result<Tensors, Error> {
    let mut loaded: HashMap<(usize, Dtype), Tensor> = HashMap::new();
    let mut tensors = Tensors::new();
    for (name, info) in &contents.tensors {
        let failed = |e| Error::libtorch(format!("{}: {}", path.escaped(), printable(name)), e);
        let signed = |numbers: &[u64]| numbers.iter().map(|&n| n as i64).collect::<Vec<_>>();
        let key = (info.storage, info.dtype);
        if !loaded.contains_key(&key)
            && let Some(storage) = contents.storages.get(info.storage)
        {
            let whole = load(file, storage, info.dtype, contents.big_endian);
            let whole = whole.map_err(|stop| match stop {
                Stop::Fault(fault) => Error::file(path, fault),
                Stop::Libtorch(e) => failed(e),
            })?;
            loaded.insert(key, whole);
        }
        // Contents::parse has checked that every tensor has a storage, which it does
        // not exceed, and that its numbers fit libtorch's signed ones.
        let Some(whole) = loaded.get(&key) else { continue };
        let view =
            whole.f_as_strided(signed(&info.shape), signed(&info.stride), info.offset as i64);
        tensors.insert(name.clone(), view.map_err(failed)?);
    }
    Ok(tensors)
}

enum Stop {
    Fault(Fault),
    Libtorch(tch::TchError),
}

/// Reads a storage, chunk by chunk, straight into a one-dimensional tensor.
fn load(file: &mut File, storage: &Storage, dtype: Dtype, big: bool) -> Result<Tensor, Stop> {
    let io = |e| Stop::Fault(Fault::io(e, "its data"));
    let size = dtype.size() as usize;
    let elements = (storage.length / dtype.size()) as i64;
    let whole = Tensor::f_empty([elements], (dtype.kind(), Device::Cpu)).map_err(Stop::Libtorch)?;
    file.seek(SeekFrom::Start(storage.start)).map_err(io)?;
    let mut crc = crc32fast::Hasher::new();
    let mut chunk = vec![0; CHUNK.min(storage.length as usize)];
    let (mut left, mut done) = (storage.length, 0);
    while left > 0 {
        let bytes = &mut chunk[..left.min(CHUNK as u64) as usize];
        file.read_exact(bytes).map_err(io)?;
        left -= bytes.len() as u64;
        if storage.crc32.is_some() {
            crc.update(bytes);
        }
        if big {
            bytes.chunks_exact_mut(dtype.word()).for_each(<[u8]>::reverse);
        }
        if dtype == Dtype::Bool {
            // Anything but 0 and 1 in a bool is undefined behaviour in libtorch.
            bytes.iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
        }
        // f_from_data_size trusts the shape: give it exactly the bytes it will read.
        let count = bytes.len() / size;
        let part = &bytes[..count * size];
        let copy = || {
            let part = Tensor::f_from_data_size(part, &[count as i64], dtype.kind())?;
            whole.f_narrow(0, done, count as i64)?.f_copy_(&part)
        };
        copy().map_err(Stop::Libtorch)?;
        done += count as i64;
    }
    match storage.crc32 {
        Some(claimed) if claimed != crc.finalize() => {
            Err(Stop::Fault(Fault::corrupt("the checksum of one of its storages differs")))
        }
        _ => Ok(whole),
    }
}

//! Element types, independent of libtorch so that files can be parsed without it.

/// The type of a tensor's elements, named as PyTorch names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // each variant is the torch dtype of the same name
pub enum Dtype {
    Bool,
    Uint8,
    Int8,
    Int16,
    Int32,
    Int64,
    Float16,
    BFloat16,
    Float32,
    Float64,
    Complex32,
    Complex64,
    Complex128,
    Float8E4M3Fn,
    Float8E5M2,
    Float8E4M3Fnuz,
    Float8E5M2Fnuz,
}

/// One line per type: torch's name, bytes per element, the storage class that
/// pickles use (the newer types have none and come as untyped bytes), and the
/// safetensors name.
type Row = (Dtype, &'static str, u64, Option<&'static str>, Option<safetensors::Dtype>);

const TABLE: [Row; 17] = {
    use Dtype::*;
    use safetensors::Dtype as S;
    [
        (Bool, "bool", 1, Some("BoolStorage"), Some(S::BOOL)),
        (Uint8, "uint8", 1, Some("ByteStorage"), Some(S::U8)),
        (Int8, "int8", 1, Some("CharStorage"), Some(S::I8)),
        (Int16, "int16", 2, Some("ShortStorage"), Some(S::I16)),
        (Int32, "int32", 4, Some("IntStorage"), Some(S::I32)),
        (Int64, "int64", 8, Some("LongStorage"), Some(S::I64)),
        (Float16, "float16", 2, Some("HalfStorage"), Some(S::F16)),
        (BFloat16, "bfloat16", 2, Some("BFloat16Storage"), Some(S::BF16)),
        (Float32, "float32", 4, Some("FloatStorage"), Some(S::F32)),
        (Float64, "float64", 8, Some("DoubleStorage"), Some(S::F64)),
        (Complex32, "complex32", 4, None, None),
        (Complex64, "complex64", 8, Some("ComplexFloatStorage"), Some(S::C64)),
        (Complex128, "complex128", 16, Some("ComplexDoubleStorage"), None),
        (Float8E4M3Fn, "float8_e4m3fn", 1, None, Some(S::F8_E4M3)),
        (Float8E5M2, "float8_e5m2", 1, None, Some(S::F8_E5M2)),
        (Float8E4M3Fnuz, "float8_e4m3fnuz", 1, None, Some(S::F8_E4M3FNUZ)),
        (Float8E5M2Fnuz, "float8_e5m2fnuz", 1, None, Some(S::F8_E5M2FNUZ)),
    ]
};

impl Dtype {
    fn row(self) -> &'static Row {
        // The table is in the order of the variants; a test checks it.
        &TABLE[self as usize]
    }

    /// PyTorch's name of the type, such as `float32`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Bytes per element.
    pub fn size(self) -> u64 {
        self.row().2
    }

    /// Bytes that are reversed together when a file's byte order differs: an
    /// element, or one half of a complex element.
    #[cfg(feature = "tensors")]
    pub(crate) fn word(self) -> usize {
        let size = self.size() as usize;
        match self {
            Dtype::Complex32 | Dtype::Complex64 | Dtype::Complex128 => size / 2,
            _ => size,
        }
    }

    /// The type whose torch name (`float32`) or older alias (`float`) is `name`.
    pub(crate) fn from_torch(name: &str) -> Option<Dtype> {
        let name = match name {
            "float" => "float32",
            "double" => "float64",
            "half" => "float16",
            "short" => "int16",
            "int" => "int32",
            "long" => "int64",
            other => other,
        };
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The element type of a storage class such as `FloatStorage`.
    pub(crate) fn from_storage_class(class: &str) -> Option<Dtype> {
        TABLE.iter().find(|row| row.3 == Some(class)).map(|row| row.0)
    }

    /// The storage class a pickle names for this type, if it has one.
    #[cfg(feature = "tensors")]
    pub(crate) fn storage_class(self) -> Option<&'static str> {
        self.row().3
    }

    pub(crate) fn from_safetensors(dtype: safetensors::Dtype) -> Option<Dtype> {
        TABLE.iter().find(|row| row.4 == Some(dtype)).map(|row| row.0)
    }

    /// The safetensors type, if that format has it.
    #[cfg(feature = "tensors")]
    pub(crate) fn to_safetensors(self) -> Option<safetensors::Dtype> {
        self.row().4
    }

    /// libtorch's name of the type.
    #[cfg(feature = "tensors")]
    pub(crate) fn kind(self) -> tch::Kind {
        use tch::Kind;
        match self {
            Dtype::Bool => Kind::Bool,
            Dtype::Uint8 => Kind::Uint8,
            Dtype::Int8 => Kind::Int8,
            Dtype::Int16 => Kind::Int16,
            Dtype::Int32 => Kind::Int,
            Dtype::Int64 => Kind::Int64,
            Dtype::Float16 => Kind::Half,
            Dtype::BFloat16 => Kind::BFloat16,
            Dtype::Float32 => Kind::Float,
            Dtype::Float64 => Kind::Double,
            Dtype::Complex32 => Kind::ComplexHalf,
            Dtype::Complex64 => Kind::ComplexFloat,
            Dtype::Complex128 => Kind::ComplexDouble,
            Dtype::Float8E4M3Fn => Kind::Float8e4m3fn,
            Dtype::Float8E5M2 => Kind::Float8e5m2,
            Dtype::Float8E4M3Fnuz => Kind::Float8e4m3fnuz,
            Dtype::Float8E5M2Fnuz => Kind::Float8e5m2fnuz,
        }
    }

    /// The type of a libtorch tensor; `None` for quantised tensors.
    #[cfg(feature = "tensors")]
    pub(crate) fn from_kind(kind: tch::Kind) -> Option<Dtype> {
        TABLE.iter().map(|row| row.0).find(|dtype| dtype.kind() == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_variants() {
        for (position, row) in TABLE.iter().enumerate() {
            assert_eq!(row.0 as usize, position);
            assert_eq!(Dtype::from_torch(row.1), Some(row.0));
        }
    }

    #[test]
    #[cfg(feature = "tensors")]
    fn sizes_agree_with_libtorch() {
        for row in &TABLE {
            assert_eq!(row.0.kind().elt_size_in_bytes() as u64, row.2, "{}", row.1);
            assert_eq!(Dtype::from_kind(row.0.kind()), Some(row.0));
        }
    }
}

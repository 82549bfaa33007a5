//! The allow-list: every (module, name) a weights file may mention.

use crate::dtype::Dtype;
use crate::error::{Fault, printable};

/// A class or function on the allow-list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Global {
    OrderedDict,
    /// `torch.Size`: a tuple.
    Size,
    /// `torch.device`: kept as text.
    Device,
    /// `_codecs.encode`: how Python 3 pickles bytes for Python 2; kept as text.
    Encode,
    /// `torch._utils._rebuild_tensor` and `…_v2`.
    RebuildTensor,
    /// `torch._utils._rebuild_tensor_v3`, for types without a storage class.
    RebuildTensorV3,
    /// `torch._utils._rebuild_parameter`, with and without state.
    RebuildParameter,
    /// `torch._tensor._rebuild_from_type_v2`: a tensor with attributes.
    RebuildFromType,
    /// `torch.Tensor` and `torch.nn.parameter.Parameter`, as an argument of the former.
    TensorClass,
    /// A storage class; untyped bytes have no element type.
    Storage(Option<Dtype>),
    Dtype(Dtype),
}

impl Global {
    /// Looks a name up.
    ///
    /// # Errors
    /// [`Fault::Forbidden`] for everything that is not on the list.
    pub(crate) fn find(module: &str, name: &str) -> Result<Global, Fault> {
        let found = match (module, name) {
            ("collections", "OrderedDict") => Some(Global::OrderedDict),
            ("torch", "Size") => Some(Global::Size),
            ("torch", "device") => Some(Global::Device),
            ("_codecs", "encode") => Some(Global::Encode),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => {
                Some(Global::RebuildTensor)
            }
            ("torch._utils", "_rebuild_tensor_v3") => Some(Global::RebuildTensorV3),
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                Some(Global::RebuildParameter)
            }
            ("torch._tensor", "_rebuild_from_type_v2") => Some(Global::RebuildFromType),
            ("torch", "Tensor") | ("torch.nn.parameter", "Parameter") => Some(Global::TensorClass),
            ("torch.storage", "UntypedStorage") => Some(Global::Storage(None)),
            ("torch" | "torch.cuda", class) if class.ends_with("Storage") => {
                Dtype::from_storage_class(class).map(|dtype| Global::Storage(Some(dtype)))
            }
            ("torch", dtype) => Dtype::from_torch(dtype).map(Global::Dtype),
            _ => None,
        };
        found.ok_or_else(|| Fault::Forbidden(format!("{}.{}", printable(module), printable(name))))
    }
}

// Bilinear resizing with corners aligned: on CUDA repeatable, and fast for small maps.
#include "shim.h"

#include <torch/csrc/autograd/custom_function.h>

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <ATen/ops/upsample_linear1d.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <algorithm>

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

// [to, from]: how much each number of a line of length `from` counts in each of the resized.
Tensor shares(int64_t from, int64_t to, const at::TensorOptions& options) {
  const Tensor lines = at::eye(from, options).unsqueeze(0);
  return at::upsample_linear1d(lines, {to}, /*align_corners=*/true).squeeze(0).t();
}

// Rows, then columns.
Tensor product(const Tensor& rows, const Tensor& x, const Tensor& columns) {
  return at::matmul(rows, at::matmul(x, columns));
}

// Wide enough for what is added up.
Tensor wide(const Tensor& x) {
  return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
}

// libtorch's kernel on CUDA adds gradients up in whatever order its threads come; two matrix
// products add them up in one order. Forward, one thread there goes over all channels of a
// pixel: with thousands of them on a small map, products take a hundredth of the time.
class Resize : public torch::autograd::Function<Resize> {
 public:
  static Tensor forward(
      AutogradContext* ctx, const Tensor& x, int64_t height, int64_t width, int64_t small) {
    ctx->saved_data["height"] = x.size(2);
    ctx->saved_data["width"] = x.size(3);
    const at::AutoDispatchBelowADInplaceOrView below;
    // Neither maps nor shares are to be rounded on the way.
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    if (std::max(x.size(2), x.size(3)) > small) {
      return at::upsample_bilinear2d(x, {height, width}, /*align_corners=*/true);
    }
    const Tensor from = wide(x);
    const Tensor rows = shares(x.size(2), height, from.options());
    const Tensor columns = shares(x.size(3), width, from.options());
    return product(rows, from, columns.t()).to(x.scalar_type());
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const Tensor grad = wide(grads[0]);
    const auto height = ctx->saved_data["height"].toInt(), width = ctx->saved_data["width"].toInt();
    const Tensor rows = shares(height, grad.size(2), grad.options());
    const Tensor columns = shares(width, grad.size(3), grad.options());
    const Tensor found = product(rows.t(), grad, columns).to(grads[0].scalar_type());
    return {found, Tensor(), Tensor(), Tensor()};
  }
};

} // namespace

extern "C" {

// products: by matrix products, forward where a map's side is at most `small`; else by
// libtorch's kernels.
int32_t c10d_resize(
    const Tensor* x, int64_t height, int64_t width, bool products, int64_t small, Tensor** out) {
  return shim::guard([&] {
    if (x->dim() != 4 || height < 1 || width < 1) {
      throw shim::Failure(
          shim::kInvalid, "resizing wants [batch, channels, height, width] and a size");
    }
    *out = new Tensor(
        products ? Resize::apply(*x, height, width, small)
                 : at::upsample_bilinear2d(*x, {height, width}, /*align_corners=*/true));
  });
}

} // extern "C"

// Batch normalisation over the batches of all ranks, differentiable.
//
// Ioffe & Szegedy (2015), algorithm 1, with the statistics of the union of all batches:
// each rank sends (n, mean, sum of squared deviations) and merges all of them by Chan's
// formula in float64, which loses nothing to cancellation as sums of squares would.
#include "group.h"
#include "shim.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <ATen/ATen.h>

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

struct Statistics {
  double count; // elements per channel, all ranks
  Tensor mean; // [C] float64
  Tensor deviations; // [C] float64, sum of squared deviations from `mean`
};

std::vector<int64_t> all_but_channels(const Tensor& x) {
  std::vector<int64_t> dims;
  for (int64_t d = 0; d < x.dim(); ++d) {
    if (d != 1) {
      dims.push_back(d);
    }
  }
  return dims;
}

std::vector<int64_t> channel_shape(const Tensor& x) {
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[1] = x.size(1);
  return shape;
}

// Half precision is summed in float32, as libtorch's own batch norm does.
at::ScalarType sum_type(const Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

Statistics gather_statistics(const Tensor& x, c10d::ProcessGroup& group) {
  const int64_t channels = x.size(1);
  const double n = static_cast<double>(x.numel()) / static_cast<double>(channels);
  const auto f64 = x.options().dtype(at::kDouble);
  Tensor own = at::zeros({2 * channels + 1}, f64);
  own[0].fill_(n);
  if (n > 0) {
    auto [var, mean] =
        at::var_mean(x.to(sum_type(x)), all_but_channels(x), /*unbiased=*/false);
    own.narrow(0, 1, channels).copy_(mean);
    own.narrow(0, 1 + channels, channels).copy_(var.to(at::kDouble) * n);
  }
  std::vector<std::vector<Tensor>> gathered(1);
  for (int r = 0; r < group.getSize(); ++r) {
    gathered[0].push_back(at::empty_like(own));
  }
  std::vector<Tensor> inputs{own};
  group.allgather(gathered, inputs)->wait();

  const Tensor all = at::stack(gathered[0]); // [ranks, 2C+1]
  const Tensor counts = all.narrow(1, 0, 1); // [ranks, 1]
  const Tensor means = all.narrow(1, 1, channels);
  const Tensor total = counts.sum();
  Tensor mean = (counts * means).sum(0) / total;
  Tensor deviations =
      all.narrow(1, 1 + channels, channels).sum(0) + (counts * (means - mean).square()).sum(0);
  return {total.item<double>(), std::move(mean), std::move(deviations)};
}

c10::intrusive_ptr<c10d::ProcessGroup> saved_group(AutogradContext* ctx) {
  return ctx->saved_data["group"].toCustomClass<c10d::ProcessGroup>();
}

class SyncBatchNorm : public torch::autograd::Function<SyncBatchNorm> {
 public:
  static Tensor forward(
      AutogradContext* ctx,
      const Tensor& x,
      const Tensor& weight,
      const Tensor& bias,
      Tensor running_mean,
      Tensor running_var,
      double momentum,
      double eps,
      const c10::intrusive_ptr<c10d::ProcessGroup>& group) {
    const Statistics s = gather_statistics(x, *group);
    if (s.count <= 1) {
      throw shim::Failure(
          shim::kInvalid, "sync_batch_norm needs more than one value per channel over all ranks");
    }
    const Tensor var = s.deviations / s.count;
    running_mean.mul_(1 - momentum).add_(s.mean.to(running_mean.scalar_type()), momentum);
    running_var.mul_(1 - momentum)
        .add_((s.deviations / (s.count - 1)).to(running_var.scalar_type()), momentum);

    const auto type = sum_type(x);
    const Tensor mean = s.mean.to(type);
    const Tensor invstd = (var + eps).rsqrt().to(type);
    // Statistics given, so the evaluation-mode kernel: one fused pass over x.
    Tensor y = std::get<0>(at::native_batch_norm(
        x, weight.to(type), bias.to(type), mean, var.to(type), /*training=*/false, 0.0, eps));
    ctx->save_for_backward({x, weight, mean, invstd});
    ctx->saved_data["count"] = s.count;
    ctx->saved_data["group"] = group;
    return y;
  }

  // With x̂ = (x − mean)·invstd and g = dL/dy, over the N values per channel of all ranks:
  // dL/dx = weight·invstd·(g − Σg/N − x̂·Σ(g·x̂)/N). The gradients of weight and bias stay
  // this rank's own: the Reducer averages them like those of any other parameter.
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    if (at::GradMode::is_enabled()) {
      throw shim::Failure(
          shim::kUnsupported, "sync_batch_norm cannot be differentiated twice (create_graph)");
    }
    const auto saved = ctx->get_saved_variables();
    const Tensor& x = saved[0];
    const double count = ctx->saved_data["count"].toDouble();
    const auto type = sum_type(x);
    const auto shape = channel_shape(x);
    const auto dims = all_but_channels(x);
    const Tensor weight = saved[1].to(type).view(shape);
    const Tensor invstd = saved[3].view(shape);
    const Tensor normal = (x.to(type) - saved[2].view(shape)) * invstd;
    const Tensor g = grads[0].to(type);

    const Tensor sum_g = g.sum(dims, false, at::kDouble);
    const Tensor sum_gx = (g * normal).sum(dims, false, at::kDouble);
    Tensor sums = at::stack({sum_g, sum_gx});
    std::vector<Tensor> reduced{sums};
    saved_group(ctx)->allreduce(reduced)->wait();
    sums = (sums / count).to(type);

    const Tensor dx =
        weight * invstd * (g - sums[0].view(shape) - normal * sums[1].view(shape));
    return {
        dx.to(x.scalar_type()),
        sum_gx.to(saved[1].scalar_type()),
        sum_g.to(saved[1].scalar_type()),
        Tensor(),
        Tensor(),
        Tensor(),
        Tensor(),
        Tensor()};
  }
};

} // namespace

// group: null for a process alone, which takes libtorch's own batch norm.
extern "C" int32_t c10d_sync_batch_norm(
    const at::Tensor* x,
    const at::Tensor* weight,
    const at::Tensor* bias,
    const at::Tensor* running_mean,
    const at::Tensor* running_var,
    double momentum,
    double eps,
    ShimGroup* group,
    at::Tensor** out) {
  return shim::guard([&] {
    if (x->dim() < 2 || !x->is_floating_point()) {
      throw shim::Failure(
          shim::kInvalid, "sync_batch_norm needs a floating-point input [batch, channels, …]");
    }
    for (const auto* per_channel : {weight, bias, running_mean, running_var}) {
      if (per_channel->dim() != 1 || per_channel->size(0) != x->size(1)) {
        throw shim::Failure(
            shim::kInvalid,
            "sync_batch_norm: the input has " + std::to_string(x->size(1)) +
                " channels, but weight, bias or a running statistic is of another shape");
      }
    }
    if (group == nullptr) {
      *out = new Tensor(at::batch_norm(
          *x, *weight, *bias, *running_mean, *running_var, /*training=*/true, momentum, eps,
          /*cudnn_enabled=*/true));
      return;
    }
    *out = new Tensor(SyncBatchNorm::apply(
        *x, *weight, *bias, *running_mean, *running_var, momentum, eps, group->group));
  });
}

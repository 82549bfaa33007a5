// Gradients of a list of parameters: their norm, clipping, Adam, SGD, and letting go of them.
#include "shim.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/item.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <optional>

using at::Tensor;

namespace {

std::vector<Tensor> gradients(const std::vector<Tensor>& params) {
  std::vector<Tensor> grads;
  for (const auto& param : params) {
    if (param.grad().defined()) {
      grads.push_back(param.grad());
    }
  }
  return grads;
}

// The fused kernels walk plain memory: two tensors must lay their elements out alike.
bool same_layout(const Tensor& a, const Tensor& b) {
  return (a.is_contiguous() && b.is_contiguous()) ||
      (a.strides() == b.strides() && a.is_non_overlapping_and_dense());
}

} // namespace

extern "C" {

int32_t c10d_grad_norm(const Tensor* const* tensors, int64_t count, Tensor** out) {
  return shim::guard([&] {
    at::NoGradGuard no_grad;
    const auto params = shim::list(tensors, count);
    const auto grads = gradients(params);
    if (grads.empty()) {
      *out = new Tensor(
          params.empty() ? at::zeros({}, at::kFloat) : at::zeros({}, params[0].options()));
      return;
    }
    *out = new Tensor(at::linalg_vector_norm(at::stack(at::_foreach_norm(grads, 2)), 2));
  });
}

int32_t c10d_clip_grads(
    const Tensor* const* tensors, int64_t count, const Tensor* norm, double max_norm) {
  return shim::guard([&] {
    at::NoGradGuard no_grad;
    const auto grads = gradients(shim::list(tensors, count));
    if (grads.empty()) {
      return;
    }
    // torch.nn.utils.clip_grad_norm_: max_norm / (norm + 1e-6), at most 1.
    const Tensor factor = norm->add(1e-6).reciprocal().mul(max_norm).clamp_max(1.0);
    for (const auto& grad : grads) {
      grad.mul_(factor.to(grad.options()));
    }
  });
}

int32_t c10d_fused_adam(
    const Tensor* const* params,
    const Tensor* const* exp_avgs,
    const Tensor* const* exp_avg_sqs,
    const Tensor* const* steps,
    int64_t count,
    const Tensor* skip,
    double lr,
    double beta1,
    double beta2,
    double eps,
    double weight_decay) {
  return shim::guard([&] {
    at::NoGradGuard no_grad;
    std::vector<Tensor> p, g, m, v, t;
    for (int64_t i = 0; i < count; ++i) {
      const Tensor& param = *params[i];
      Tensor grad = param.grad();
      if (!grad.defined()) {
        continue;
      }
      for (const Tensor* state : {exp_avgs[i], exp_avg_sqs[i]}) {
        if (state->sizes() != param.sizes() || !same_layout(*state, param) ||
            state->scalar_type() != param.scalar_type() || state->device() != param.device()) {
          throw shim::Failure(
              shim::kInvalid,
              "fused_adam_: the state of parameter " + std::to_string(i) +
                  " differs from it in shape, dtype, device or memory layout");
        }
      }
      if (steps[i]->scalar_type() != at::kFloat || steps[i]->numel() != 1) {
        throw shim::Failure(
            shim::kInvalid,
            "fused_adam_: the step of parameter " + std::to_string(i) +
                " is not a float32 tensor of one element");
      }
      if (!same_layout(grad, param)) {
        grad = at::empty_like(param).copy_(grad);
      }
      p.push_back(param);
      g.push_back(std::move(grad));
      m.push_back(*exp_avgs[i]);
      v.push_back(*exp_avg_sqs[i]);
      t.push_back(*steps[i]);
    }
    if (p.empty()) {
      return;
    }
    std::optional<Tensor> found_inf;
    if (skip == nullptr) {
      at::_foreach_add_(t, 1);
    } else {
      found_inf = *skip;
      at::_foreach_add_(t, skip->neg().add_(1));
    }
    at::_fused_adam_(
        p, g, m, v, {}, t, lr, beta1, beta2, weight_decay, eps, /*amsgrad=*/false,
        /*maximize=*/false, /*grad_scale=*/{}, found_inf);
  });
}

int32_t c10d_fused_sgd(
    const Tensor* const* params,
    const Tensor* const* momenta,
    int64_t count,
    const Tensor* skip,
    double lr,
    double momentum,
    bool nesterov,
    double weight_decay) {
  return shim::guard([&] {
    at::NoGradGuard no_grad;
    std::vector<Tensor> p, g, b;
    for (int64_t i = 0; i < count; ++i) {
      const Tensor& param = *params[i];
      Tensor grad = param.grad();
      if (!grad.defined()) {
        continue;
      }
      const Tensor& state = *momenta[i];
      if (state.sizes() != param.sizes() || !same_layout(state, param) ||
          state.scalar_type() != param.scalar_type() || state.device() != param.device()) {
        throw shim::Failure(
            shim::kInvalid,
            "fused_sgd_: the state of parameter " + std::to_string(i) +
                " differs from it in shape, dtype, device or memory layout");
      }
      if (!same_layout(grad, param)) {
        grad = at::empty_like(param).copy_(grad);
      }
      p.push_back(param);
      g.push_back(std::move(grad));
      // Without momentum the kernels want no buffers at all.
      if (momentum != 0) {
        b.push_back(state);
      }
    }
    if (p.empty()) {
      return;
    }
    std::optional<Tensor> found_inf;
    if (skip != nullptr) {
      found_inf = *skip;
    }
    // Buffers of zeros make the first step like any other.
    at::_fused_sgd_(
        p, g, b, weight_decay, momentum, lr, /*dampening=*/0, nesterov, /*maximize=*/false,
        /*is_first_step=*/false, /*grad_scale=*/{}, found_inf);
  });
}

int32_t c10d_restore_if(
    const Tensor* flag, const Tensor* const* tensors, const Tensor* const* saved, int64_t count) {
  return shim::guard([&] {
    at::NoGradGuard no_grad;
    // In CPU memory the flag costs nothing to read, and restoring is the exception.
    if (flag->is_cpu() && flag->item<double>() == 0) {
      return;
    }
    const Tensor restore = flag->ne(0);
    for (int64_t i = 0; i < count; ++i) {
      tensors[i]->copy_(at::where(restore, *saved[i], *tensors[i]));
    }
  });
}

int32_t c10d_zero_grads(const Tensor* const* tensors, int64_t count, bool set_to_none) {
  return shim::guard([&] {
    at::NoGradGuard no_grad;
    for (auto& param : shim::list(tensors, count)) {
      if (set_to_none) {
        param.mutable_grad().reset();
      } else if (param.grad().defined()) {
        param.mutable_grad().zero_();
      }
    }
  });
}

} // extern "C"

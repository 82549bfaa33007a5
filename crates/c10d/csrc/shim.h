// What all files of the shim share: its guard, and lists of tensors.
//
// Tensors cross as tch's C_tensor, which is a torch::Tensor allocated with new: inputs are
// borrowed, outputs are given away.
#pragma once

#include "guard.h"

#include <ATen/core/Tensor.h>

#include <vector>

namespace shim {

inline std::vector<at::Tensor> list(const at::Tensor* const* tensors, int64_t count) {
  std::vector<at::Tensor> result;
  result.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    result.push_back(*tensors[i]);
  }
  return result;
}

} // namespace shim

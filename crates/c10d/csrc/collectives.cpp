// Collectives on contiguous tensors, and the handle of one under way.
#include "group.h"
#include "shim.h"

#include <ATen/ops/empty_like.h>
#include <torch/csrc/distributed/c10d/comm.hpp>

namespace {

// Collectives work on the data; whether autograd watches the tensor is not their business.
std::vector<at::Tensor> data(const at::Tensor& tensor) {
  return {tensor.detach()};
}

} // namespace

extern "C" {

int32_t c10d_all_reduce(ShimGroup* group, const at::Tensor* tensor, uint8_t op, ShimWork** out) {
  return shim::guard([&] {
    c10d::AllreduceOptions options;
    options.reduceOp = static_cast<c10d::ReduceOp::RedOpType>(op);
    auto tensors = data(*tensor);
    *out = new ShimWork{group->group->allreduce(tensors, options)};
  });
}

int32_t c10d_broadcast(ShimGroup* group, const at::Tensor* tensor, int32_t root, ShimWork** out) {
  return shim::guard([&] {
    c10d::BroadcastOptions options;
    options.rootRank = root;
    auto tensors = data(*tensor);
    *out = new ShimWork{group->group->broadcast(tensors, options)};
  });
}

// outputs: room for one tensor pointer per rank.
int32_t c10d_all_gather(ShimGroup* group, const at::Tensor* tensor, at::Tensor** outputs) {
  return shim::guard([&] {
    auto inputs = data(tensor->contiguous());
    std::vector<std::vector<at::Tensor>> gathered(1);
    for (int r = 0; r < group->group->getSize(); ++r) {
      gathered[0].push_back(at::empty_like(inputs[0]));
    }
    group->group->allgather(gathered, inputs)->wait();
    for (size_t r = 0; r < gathered[0].size(); ++r) {
      outputs[r] = new at::Tensor(gathered[0][r]);
    }
  });
}

// Any dtypes and layouts; sent in flat pieces of at most 25 MiB, as DDP does at start-up.
int32_t c10d_broadcast_all(
    ShimGroup* group, const at::Tensor* const* tensors, int64_t count, int32_t root) {
  return shim::guard([&] {
    std::vector<at::Tensor> all;
    for (auto& tensor : shim::list(tensors, count)) {
      all.push_back(tensor.detach());
    }
    c10d::broadcast_coalesced(group->group, all, 25 * 1024 * 1024, root);
  });
}

int32_t c10d_work_wait(ShimWork* work) {
  return shim::guard([&] { work->work->wait(); });
}

int32_t c10d_work_is_completed(ShimWork* work, bool* completed) {
  return shim::guard([&] { *completed = work->work->isCompleted(); });
}

void c10d_work_free(ShimWork* work) {
  shim::guard([&] { delete work; });
}

} // extern "C"

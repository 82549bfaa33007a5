// A process group with one backend per device type: Gloo for CPU, NCCL for CUDA.
#include "group.h"
#include "shim.h"

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#ifdef USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#include <torch/csrc/cuda/nccl.h>
#endif

#include <cstdlib>
#include <mutex>

using std::chrono::milliseconds;

namespace {

c10::intrusive_ptr<c10d::ProcessGroupGloo::Options> gloo_options(
    milliseconds timeout, bool loopback) {
  const char* chosen = std::getenv("GLOO_SOCKET_IFNAME");
  if (!loopback || (chosen != nullptr && *chosen != '\0')) {
    // Honours GLOO_SOCKET_IFNAME; else the address that this host's name resolves to.
    return c10d::ProcessGroupGloo::Options::create_default(timeout);
  }
  // All ranks are on this machine: whatever its name resolves to, loopback works.
  auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
  return options;
}

// A group whose collectives may be started from several threads: the caller's, those that run a
// backward pass (the reducer's hooks, synchronised batch norm), those that recompute a segment.
// Gloo numbers its collectives without a lock.
class SharedGroup final : public c10d::ProcessGroup {
 public:
  using c10d::ProcessGroup::ProcessGroup;

  c10::intrusive_ptr<c10d::Work> allreduce(
      std::vector<at::Tensor>& tensors, const c10d::AllreduceOptions& options) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return c10d::ProcessGroup::allreduce(tensors, options);
  }

  c10::intrusive_ptr<c10d::Work> broadcast(
      std::vector<at::Tensor>& tensors, const c10d::BroadcastOptions& options) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return c10d::ProcessGroup::broadcast(tensors, options);
  }

  c10::intrusive_ptr<c10d::Work> allgather(
      std::vector<std::vector<at::Tensor>>& outputs,
      std::vector<at::Tensor>& inputs,
      const c10d::AllgatherOptions& options) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return c10d::ProcessGroup::allgather(outputs, inputs, options);
  }

 private:
  std::mutex mutex_; // while a collective is started, not until it ends
};

} // namespace

extern "C" {

int32_t c10d_group_new(
    ShimStore* store,
    int32_t rank,
    int32_t size,
    int64_t timeout_ms,
    bool loopback,
    bool nccl,
    ShimGroup** out) {
  return shim::guard([&] {
    using c10d::ProcessGroup;
    const milliseconds timeout(timeout_ms);
    c10::intrusive_ptr<ProcessGroup> group =
        c10::make_intrusive<SharedGroup>(store->store, rank, size);
    auto gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(
        store->store, rank, size, gloo_options(timeout, loopback));
    group->setBackend(c10::DeviceType::CPU, ProcessGroup::GLOO, gloo);
    group->setDefaultBackend(ProcessGroup::GLOO);
    if (nccl) {
#ifdef USE_C10D_NCCL
      auto options = c10d::ProcessGroupNCCL::Options::create();
      options->timeout = timeout;
      auto backend =
          c10::make_intrusive<c10d::ProcessGroupNCCL>(store->store, rank, size, options);
      group->setBackend(c10::DeviceType::CUDA, ProcessGroup::NCCL, backend);
      group->setDefaultBackend(ProcessGroup::NCCL);
#else
      throw shim::Failure(shim::kUnsupported, "built without the feature `cuda`");
#endif
    }
    group->setGroupName("c10d");
    *out = new ShimGroup{std::move(group)};
  });
}

void c10d_group_free(ShimGroup* group) {
  shim::guard([&] {
#ifdef USE_C10D_NCCL
    for (const auto device : group->group->getDeviceTypes()) {
      if (device.is_cuda()) {
        // What its destructor does anyway, but with a warning: nobody waits for a collective now.
        group->group->getBackend(device.type())->abort();
      }
    }
#endif
    delete group;
  });
}

// NCCL's version as major*10000 + minor*100 + patch; 0 where it is not built in.
int64_t c10d_nccl_version() {
#ifdef USE_C10D_NCCL
  int64_t packed = 0;
  shim::guard([&] {
    // libtorch packs it as major << 32 | minor << 16 | patch.
    const uint64_t version = torch::cuda::nccl::version();
    packed = static_cast<int64_t>(
        (version >> 32) * 10000 + ((version >> 16) & 0xffff) * 100 + (version & 0xffff));
  });
  return packed;
#else
  return 0;
#endif
}

} // extern "C"

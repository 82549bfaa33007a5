// libtorch's own profiler, over all threads, and named ranges for it.
#include "shim.h"

#include <ATen/Context.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/profiler_kineto.h>

#include <atomic>
#include <cstdlib>
#include <set>

namespace profiler = torch::autograd::profiler;
using torch::profiler::impl::ActivityType;

namespace {

// libtorch keeps a state of its own, but tells of it for profiles of a single thread only.
std::atomic<bool> active{false};

torch::profiler::impl::ProfilerConfig configuration() {
  torch::profiler::impl::ExperimentalConfig experimental;
  // Loader threads and the backward pass's own threads, too.
  experimental.profile_all_threads = true;
  return torch::profiler::impl::ProfilerConfig(
      torch::profiler::impl::ProfilerState::KINETO,
      /*report_input_shapes=*/true,
      /*profile_memory=*/false,
      /*with_stack=*/false,
      /*with_flops=*/false,
      /*with_modules=*/false,
      experimental);
}

} // namespace

extern "C" {

int32_t c10d_profile_start() {
  return shim::guard([&] {
    if (active.exchange(true)) {
      throw shim::Failure(shim::kInvalid, "a profile is already being taken");
    }
    // Kineto reports its stages to stderr unless told otherwise before it starts.
    setenv("KINETO_LOG_LEVEL", "99", /*overwrite=*/0);
    std::set<ActivityType> activities{ActivityType::CPU};
    if (at::hasCUDA()) {
      activities.insert(ActivityType::CUDA);
    }
    const auto config = configuration();
    profiler::prepareProfiler(config, activities);
    profiler::enableProfiler(
        config,
        activities,
        {at::RecordScope::FUNCTION,
         at::RecordScope::BACKWARD_FUNCTION,
         at::RecordScope::USER_SCOPE});
  });
}

// path: null drops the recording.
int32_t c10d_profile_stop(const char* path) {
  return shim::guard([&] {
    if (!active.exchange(false)) {
      throw shim::Failure(shim::kInvalid, "no profile is being taken");
    }
    const auto result = profiler::disableProfiler();
    if (path != nullptr) {
      result->save(path);
    }
  });
}

// Null while nobody profiles, which costs a few nanoseconds.
at::RecordFunction* c10d_range_begin(const char* name) {
  at::RecordFunction* range = nullptr;
  shim::guard([&] {
    auto callbacks = at::getStepCallbacksUnlessEmpty(at::RecordScope::USER_SCOPE);
    if (callbacks.has_value()) {
      range = new at::RecordFunction(std::move(*callbacks));
      range->before(std::string(name));
    }
  });
  return range;
}

void c10d_range_end(at::RecordFunction* range) {
  shim::guard([&] { delete range; });
}

} // extern "C"

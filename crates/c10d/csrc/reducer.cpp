// DistributedDataParallel's own reducer, and a backward pass whose failures are reported.
#include "group.h"
#include "shim.h"

#include <c10/util/Exception.h>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <algorithm>

namespace {

// DDP re-orders its buckets after the first step by the order in which gradients arrived. A
// resumed run would then add up its first gradients in another order than the run it
// continues, so the first assignment is kept. (Merely not calling rebuild_buckets() is not
// enough: the reducer would go on recording the order of arrival at every step, for ever.)
class SteadyReducer : public c10d::Reducer {
 public:
  template <typename... Args>
  explicit SteadyReducer(Args&&... args) : c10d::Reducer(std::forward<Args>(args)...) {
    has_rebuilt_bucket_ = true;
  }
};

// The reducer finds each parameter's gradient accumulator when it is built, which only a
// parameter that requires a gradient has; the caller may have frozen some for the moment.
class Thawed {
 public:
  explicit Thawed(const std::vector<at::Tensor>& params) {
    for (const auto& param : params) {
      if (!param.requires_grad()) {
        param.requires_grad_(true);
        frozen_.push_back(param);
      }
    }
  }
  ~Thawed() {
    for (const auto& param : frozen_) {
      param.requires_grad_(false);
    }
  }
  Thawed(const Thawed&) = delete;
  Thawed& operator=(const Thawed&) = delete;

 private:
  std::vector<at::Tensor> frozen_;
};

// The reducer's advice on speed would only puzzle who reads it: find_unused is on so that a
// term of the loss may come and go, and a gradient laid out as channels-last costs no more than
// the copy into its bucket that there is in any case.
class NoAdvice : public c10::WarningHandler {
  void process(const c10::Warning& warning) override {
    for (const char* advice :
         {"find_unused_parameters=True was specified", "Grad strides do not match bucket view"}) {
      if (warning.msg().rfind(advice, 0) == 0) {
        return;
      }
    }
    c10::WarningHandler::process(warning);
  }
};

} // namespace

struct ShimReducer {
  std::unique_ptr<SteadyReducer> reducer;
};

extern "C" {

int32_t c10d_reducer_new(
    ShimGroup* group,
    const at::Tensor* const* tensors,
    int64_t count,
    int64_t first_bucket_bytes,
    int64_t bucket_bytes,
    bool find_unused,
    bool gradient_as_bucket_view,
    ShimReducer** out) {
  return shim::guard([&] {
    auto params = shim::list(tensors, count);
    Thawed thawed(params);
    // Names the first parameter whose shape differs between ranks.
    c10d::verify_params_across_processes(group->group, params, std::nullopt);
    const std::vector<bool> sparse(params.size(), false);
    auto [buckets, limits] = c10d::compute_bucket_assignment_by_size(
        params,
        {static_cast<size_t>(first_bucket_bytes), static_cast<size_t>(bucket_bytes)},
        sparse);
    // Gradients arrive roughly in reverse order of registration.
    std::reverse(buckets.begin(), buckets.end());
    auto result = std::make_unique<ShimReducer>();
    result->reducer = std::make_unique<SteadyReducer>(
        params,
        std::move(buckets),
        group->group,
        sparse,
        bucket_bytes,
        find_unused,
        gradient_as_bucket_view,
        std::unordered_map<size_t, std::string>{},
        first_bucket_bytes,
        /*skip_all_reduce_unused_params=*/false,
        /*use_python_reducer=*/false,
        std::vector<int64_t>{});
    *out = result.release();
  });
}

int32_t c10d_reducer_prepare(ShimReducer* reducer, const at::Tensor* loss) {
  return shim::guard([&] {
    NoAdvice no_advice;
    c10::WarningUtils::WarningHandlerGuard quiet(&no_advice);
    // Rebuilds nothing (see SteadyReducer), but throws if the pass before left a parameter
    // without a gradient, which prepare_for_backward would pass over in silence.
    reducer->reducer->rebuild_buckets();
    reducer->reducer->prepare_for_forward();
    reducer->reducer->prepare_for_backward({*loss});
  });
}

void c10d_reducer_free(ShimReducer* reducer) {
  // The destructor of a reducer may throw.
  shim::guard([&] { delete reducer; });
}

int32_t c10d_backward(const at::Tensor* loss) {
  return shim::guard([&] {
    NoAdvice no_advice;
    c10::WarningUtils::WarningHandlerGuard quiet(&no_advice);
    loss->backward();
  });
}

} // extern "C"

// Activation checkpointing: a segment of the graph that keeps its inputs only and is run
// again in the backward pass (Chen et al. 2016).
#include "shim.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

// A Rust closure. `run` gives a new Tensor, or null after it has noted why.
struct Segment : torch::CustomClassHolder {
  using Run = Tensor* (*)(void* closure, const Tensor* const* inputs, int64_t count, bool again);
  using Drop = void (*)(void* closure);

  Segment(void* closure, Run run, Drop drop) : closure_(closure), run_(run), drop_(drop) {}
  ~Segment() override {
    drop_(closure_);
  }

  Tensor operator()(at::TensorList inputs, bool again) const {
    std::vector<const Tensor*> pointers;
    pointers.reserve(inputs.size());
    for (const auto& input : inputs) {
      pointers.push_back(&input);
    }
    const std::unique_ptr<Tensor> result(
        run_(closure_, pointers.data(), static_cast<int64_t>(pointers.size()), again));
    if (result == nullptr) {
      throw shim::Failure(shim::kLibtorch, "a checkpointed segment failed");
    }
    return *result;
  }

 private:
  void* closure_;
  Run run_;
  Drop drop_;
};

// Parameters are arguments of their own, so that their gradients leave through the outer
// graph, where the reducer waits for them.
class Checkpoint : public torch::autograd::Function<Checkpoint> {
 public:
  static Tensor forward(
      AutogradContext* ctx,
      at::TensorList inputs,
      at::TensorList parameters,
      const c10::intrusive_ptr<Segment>& segment) {
    variable_list saved = inputs.vec();
    saved.insert(saved.end(), parameters.begin(), parameters.end());
    ctx->save_for_backward(std::move(saved));
    ctx->saved_data["inputs"] = static_cast<int64_t>(inputs.size());
    ctx->saved_data["segment"] = c10::IValue::make_capsule(segment);
    return (*segment)(inputs, /*again=*/false);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const auto count = static_cast<size_t>(ctx->saved_data["inputs"].toInt());
    const auto capsule = ctx->saved_data["segment"].toCapsule();
    const auto& segment = static_cast<const Segment&>(*capsule);
    variable_list inputs;
    variable_list sources; // what gradients are wanted of
    std::vector<size_t> places;
    for (size_t i = 0; i < saved.size(); ++i) {
      Tensor source = saved[i];
      if (i < count) {
        source = source.detach();
        source.requires_grad_(saved[i].requires_grad());
        inputs.push_back(source);
      }
      if (source.requires_grad()) {
        sources.push_back(source);
        places.push_back(i);
      }
    }
    Tensor again;
    {
      const at::AutoGradMode record(true);
      again = segment(inputs, /*again=*/true);
    }
    const auto found = torch::autograd::grad(
        {again}, sources, {grads[0]}, /*retain_graph=*/false, /*create_graph=*/false,
        /*allow_unused=*/true);
    variable_list result(saved.size() + 1); // none for the segment itself
    for (size_t i = 0; i < places.size(); ++i) {
      result[places[i]] = found[i];
    }
    return result;
  }
};

} // namespace

extern "C" int32_t c10d_checkpoint(
    const Tensor* const* inputs,
    int64_t input_count,
    const Tensor* const* parameters,
    int64_t parameter_count,
    void* closure,
    Segment::Run run,
    Segment::Drop drop,
    Tensor** out) {
  return shim::guard([&] {
    auto segment = c10::make_intrusive<Segment>(closure, run, drop);
    const auto arguments = shim::list(inputs, input_count);
    const auto others = shim::list(parameters, parameter_count);
    // Only lists of this type are searched for tensors.
    *out = new Tensor(
        Checkpoint::apply(at::TensorList(arguments), at::TensorList(others), segment));
  });
}

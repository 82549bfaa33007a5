// The objects behind the opaque pointers that Rust holds.
#pragma once

#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

struct ShimStore {
  c10::intrusive_ptr<c10d::Store> store;
};

struct ShimGroup {
  c10::intrusive_ptr<c10d::ProcessGroup> group;
};

struct ShimWork {
  c10::intrusive_ptr<c10d::Work> work;
};

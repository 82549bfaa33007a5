// Exceptions become a status and one line of text.
#include "shim.h"

#include <c10/util/Exception.h>
#include <torch/csrc/distributed/c10d/exception.h>

#include <algorithm>
#include <initializer_list>

namespace {

thread_local std::string last_error;

bool mentions(const std::string& text, std::initializer_list<const char*> needles) {
  return std::any_of(needles.begin(), needles.end(), [&](const char* needle) {
    return text.find(needle) != std::string::npos;
  });
}

// Gloo's and the store's exceptions carry no type that tells a lost peer from a timeout
// apart (gloo's own classes are not exported), so their texts decide.
shim::Status classify(const std::string& text) {
  if (mentions(text, {"EADDRINUSE"})) {
    return shim::kAddressInUse;
  }
  if (mentions(text, {"gai error"})) {
    return shim::kRendezvous;
  }
  if (mentions(
          text,
          {"Connection closed by peer",
           "Connection reset by peer",
           "ECONNRESET",
           "EPIPE",
           "Broken pipe",
           "remote process exited",
           "ailed to recv, got 0 bytes"})) {
    return shim::kPeerLost;
  }
  if (mentions(text, {"imed out", "imeout", "IMEOUT"})) {
    return shim::kTimeout;
  }
  return shim::kLibtorch;
}

std::string one_line(std::string text) {
  // libtorch appends "Exception raised from FUNC at FILE (most recent call first): frames".
  for (const char* tail : {"\nException raised from", "\nC++ CapturedTraceback", "\nframe #"}) {
    text = text.substr(0, text.find(tail));
  }
  std::string line;
  bool gap = false;
  for (char c : text) {
    if (c == '\n' || c == '\r' || c == '\t' || c == ' ') {
      gap = !line.empty();
      continue;
    }
    if (gap) {
      line += ' ';
      gap = false;
    }
    line += c;
  }
  constexpr size_t kLongest = 1000;
  if (line.size() > kLongest) {
    line.resize(kLongest);
    line += " …";
  }
  return line;
}

int32_t record(shim::Status status, const std::string& text) {
  last_error = one_line(text);
  return status;
}

} // namespace

int32_t shim::record_current_exception() noexcept {
  try {
    try {
      throw;
    } catch (const shim::Failure& e) {
      return record(e.status, e.what());
    } catch (const c10d::TimeoutError& e) {
      return record(kTimeout, e.what_without_backtrace());
    } catch (const c10::NotImplementedError& e) {
      return record(kUnsupported, e.what_without_backtrace());
    } catch (const c10::Error& e) {
      const std::string text = e.what_without_backtrace();
      return record(classify(text), text);
    } catch (const std::exception& e) {
      const std::string text = e.what();
      return record(classify(text), text);
    } catch (...) {
      return record(kLibtorch, "an exception of unknown type");
    }
  } catch (...) {
    // Out of memory while composing the message: the status alone must do.
    return kLibtorch;
  }
}

extern "C" const char* c10d_last_error() noexcept {
  return last_error.c_str();
}

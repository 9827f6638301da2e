// What the user is told. TensorRT learns of a failure from what a function returns, and the user from
// its log, which at its most verbose also has what TensorRT asked for while it built an engine.
#pragma once

#include <exception>
#include <string>

namespace dcn::trt {

// Remembers who logs for this host: what TensorRT passes to setLoggerFinder().
void set_logger_finder(void* finder);

// Writes an error to the host's log, or to stderr where there is none.
void log_error(const std::string& message);

// Writes to the host's log at its most verbose level, or nowhere.
void log_verbose(const std::string& message);

// How every message begins: with the node that it is about, as far as it has a name.
std::string about(const char* node);

// An error that a function of the interface reports by returning its word for failure.
struct Error : std::exception {
  explicit Error(std::string message) : message(std::move(message)) {}
  const char* what() const noexcept override { return message.c_str(); }
  std::string message;
};

// What `f` returns, or `failed` after the error was logged as that of `node`. Nothing is thrown
// through TensorRT.
template <class Result, class F>
Result guarded(const char* node, Result failed, F&& f) noexcept {
  try {
    try {
      return f();
    } catch (const std::exception& error) {
      log_error(about(node) + error.what());
    }
  } catch (...) {  // no memory for the message
  }
  return failed;
}

}  // namespace dcn::trt

// Where in the kernels' sources a call is written.
#pragma once

namespace emulator {

struct Site {
  const char* file;
  int line;
};

inline bool operator==(const Site& a, const Site& b) {
  return a.file == b.file && a.line == b.line;
}

}  // namespace emulator

// As a parameter's default value: the line of the caller.
#define EMULATOR_HERE                  \
  emulator::Site {                     \
    __builtin_FILE(), __builtin_LINE() \
  }

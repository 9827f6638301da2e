// Where in the kernels' sources a call is written.
#pragma once

#include <cstring>

namespace emulator {

struct Site {
  const char* file;
  int line;
};

inline bool operator==(const Site& a, const Site& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

}  // namespace emulator

// Last parameters of a function that wants to know its caller's line. (Not one parameter of type Site:
// g++ would tell the line of the function itself.)
#define EMULATOR_CALLER const char *file = __builtin_FILE(), int line = __builtin_LINE()

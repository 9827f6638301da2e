// How the emulator ends a program that does what no kernel may.
#pragma once

#include "site.h"

namespace emulator {

// The sentence is printed with the place in the source, and with the thread that runs.
[[noreturn]] __attribute__((format(printf, 2, 3))) void fail_at(Site site, const char* format, ...);
[[noreturn]] __attribute__((format(printf, 1, 2))) void fail(const char* format, ...);

// The last part of the path.
const char* file_name(Site site);

}  // namespace emulator

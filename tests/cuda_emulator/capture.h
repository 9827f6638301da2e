// CUDA graphs: while a test captures, what is enqueued is noted and not done.
#pragma once

#include <functional>

namespace emulator {

// Notes `work` for the graph if there is one being captured.
bool captured(std::function<void()> work);

// Ends the program if a graph is being captured and the calling thread has not said, as
// cudaThreadExchangeStreamCaptureMode() lets it, that it has nothing to do with it.
void forbid_in_capture(const char* function);

}  // namespace emulator

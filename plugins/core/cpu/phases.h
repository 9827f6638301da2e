// What the time goes into, for the benchmarks: counted only if the environment variable
// DCN_DEPLOY_PHASES is set when the library is first used; otherwise a phase costs a branch.
#pragma once

#include <cstdint>

#include "inline.h"

namespace dcn::cpu {

enum Phase : int { kPack, kStage, kSample, kMultiply, kScatter, kStore, kPhaseCount };

inline constexpr const char* kPhaseNames[kPhaseCount] = {"pack",     "stage",   "sample",
                                                         "multiply", "scatter", "store"};

// Nanoseconds that all threads together have spent in a phase.
int64_t nanoseconds_in(Phase phase);

// Whether phases are counted at all.
bool counts_phases();

// Now, in nanoseconds; 0 where nothing is counted.
int64_t phase_clock();
void add_to_phase(Phase phase, int64_t nanoseconds);

// Counts the scope that it lives in. Compiled for each instruction set on its own, like every inline
// function that the kernels use.
class PhaseTimer {
 public:
  DCN_INLINE explicit PhaseTimer(Phase phase) : phase_(phase), start_(phase_clock()) {}
  DCN_INLINE ~PhaseTimer() {
    if (start_ != 0) add_to_phase(phase_, phase_clock() - start_);
  }
  PhaseTimer(const PhaseTimer&) = delete;
  PhaseTimer& operator=(const PhaseTimer&) = delete;

 private:
  const Phase phase_;
  const int64_t start_;
};

}  // namespace dcn::cpu

// Which of the mistakes that were compiled into the kernels is made; 0: none.
#pragma once

inline int chosen_mutation = 0;

inline bool mutated(int mutation) {
  return mutation == chosen_mutation;
}

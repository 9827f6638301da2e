// What the user has told torch about precision and reproducibility.
#pragma once

#include "deform_conv.h"

namespace dcn::torch_op {

// As they are now. Asks Python: worth it only where the answer matters.
cuda::Options current_options();

}  // namespace dcn::torch_op

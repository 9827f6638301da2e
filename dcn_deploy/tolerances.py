"""How far a result may be from the float64 one, as ‖error‖ / ‖reference‖ on identical inputs."""

from __future__ import annotations

TOLERANCE = {"float32": 1e-6, "float16": 5e-4, "bfloat16": 5e-3, "float64": 1e-14}
"""One deformable convolution on the CPU, by the dtype of its data."""

STOCK_TOLERANCE = {"float32": 1e-4, "float16": 2e-3, "bfloat16": 1e-2, "float64": 1e-12}
"""One deformable convolution in somebody else's kernel. It adds the offset to the position before
it takes the fraction: at pixel 1024, float32 places the sample to 6e-5 of a pixel; and data of half
precision pass through casts, each of which rounds."""

MODEL_TOLERANCE = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2, "float64": 1e-10}
"""A whole model, whose other operators round in their own ways in every runtime. A deformable
convolution amplifies such differences: an offset that moves by d moves its sample by d times the
image's slope."""

"""The core's CUDA entry points, called from Python: on the emulator or on a GPU."""

"""What benchmarks/gpu_check.py is made of: the build, the checks, the timings, the report."""

"""What benchmarks/layers.py is made of: the layers, who computes them, how they are timed."""

"""Layers of libraries that do not install beside a CPU build of torch, for the tests of conversion.

Written from the interfaces that the libraries document: class names, arguments, attributes, names
of parameters and submodules, what a layer makes of its inputs before it calls its function. The
compiled kernel at the bottom is dcn_deploy's float64 reference, so nothing of its op takes part.
"""

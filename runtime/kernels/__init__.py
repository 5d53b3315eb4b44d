"""Kernels compiled by Numba. They do not check their arguments: callers do."""

"""Analyses a value of a graph as a piecewise function of one float32 number x; see `pieces`."""

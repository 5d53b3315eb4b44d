"""Analyses of a graph that the passes use: integer sums, monotone functions, thresholds."""

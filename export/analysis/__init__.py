"""What the passes must know of a graph: integer sums, monotone functions, thresholds."""

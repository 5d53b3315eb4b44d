"""Whether every engine computes the same bits."""

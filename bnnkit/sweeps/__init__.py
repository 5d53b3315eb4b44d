"""Sweeps: one network trained with several values of some keys, and the spread of its results."""

"""Checks of each node of a network against the declarations in `operators/`."""
